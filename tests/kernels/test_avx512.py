"""The AVX-512 form of the kernels, on any x86-64: compiled for such a CPU and read, not run."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

FEATURES = (
    "+64bit,+sse,+sse2,+sse3,+ssse3,+sse4.1,+sse4.2,+popcnt,+avx,+avx2,+fma,+bmi,+bmi2,+lzcnt,+f16c,"
    "+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl,+avx512vbmi"
)
PROGRAM = """
from numba import types
from lookalike.kernels import scan, target

assert target.instructions() == "avx512vbmi", target.instructions()
address, f32 = types.intp, types.float32
signature = (address, address, address, address, address, f32, f32, types.uint64[::1])
scan.masks_simd.compile(signature)
print(scan.masks_simd.inspect_asm(scan.masks_simd.signatures[0]))
"""


@pytest.mark.skipif(
    platform.machine().lower() not in {"x86_64", "amd64"}, reason="AVX-512 is an instruction set of x86-64"
)
def test_the_scan_compiles_to_byte_permutes_without_spilling(tmp_path: Path) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("LOOKALIKE_SIMD", "NUMBA_"))
    }
    environment |= {
        "NUMBA_CPU_NAME": "icelake-server",
        "NUMBA_CPU_FEATURES": FEATURES,
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines()]
    permutes = [i for i, line in enumerate(lines) if line.startswith(("vpermt2b", "vpermi2b"))]
    assert len(permutes) >= 10  # two for each of four blocks that share a table row, two for a block alone
    inner = lines[permutes[0] : permutes[7] + 1]
    assert all("zmm" in line for line in inner if line.startswith("vpadd")), "sums of a row in 512-bit registers"
    assert not [line for line in inner if "(%rsp)" in line], "no register is spilled to the stack"
