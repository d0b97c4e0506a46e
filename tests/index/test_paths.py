"""The same answers on every path: without vector instructions, on another CPU, without the JIT."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lookalike.kernels.target import instructions

pytestmark = pytest.mark.paths  # `make test-plain`
ROOT = Path(__file__).parent.parent.parent
PRINT = "from lookalike.kernels.target import instructions; print(instructions() or 'plain')"

PATHS = {  # and LOOKALIKE_SIMD=off, which `make test-plain` sets itself
    "generic": ({"NUMBA_CPU_NAME": "generic"}, "plain"),
    "emulated": ({"NUMBA_DISABLE_JIT": "1"}, "numpy"),
} | ({"narrow": ({"LOOKALIKE_SIMD": "avx2"}, "avx2")} if instructions() == "avx512vbmi" else {})


def run(arguments: list[str], environment: dict[str, str]) -> str:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "LOOKALIKE_SIMD"))}
    env |= environment
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


@pytest.mark.parametrize("name", PATHS)
def test_golden_files_are_found_on_every_path(name) -> None:
    """Ids and codes to the last one, distances to rounding; and nothing aborts where an instruction is missing."""
    environment, path = PATHS[name]
    assert run(["-c", PRINT], environment).strip() == path
    out = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/files/test_golden.py"], environment)
    assert " passed" in out
    assert "skipped" not in out


def test_vector_kernels_without_the_jit_equal_their_twins() -> None:
    """Every operation on registers is a numpy function then, so that the kernels can be stepped through."""
    names = ("simd", "scan", "distances", "assign", "blocks", "ivf", "tiles", "signs")
    kernels = [f"tests/kernels/test_{name}.py" for name in names]
    slow = "not decoding and not filters and not range and not 16_bits and not 1280 and not 5120 and not 640"
    options = ["-q", "-p", "no:cacheprovider", "--hypothesis-profile=brief", "-k", slow]
    out = run(["-m", "pytest", *options, *kernels], {"NUMBA_DISABLE_JIT": "1"})
    assert " passed" in out
    assert "skipped" not in out
