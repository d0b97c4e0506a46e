"""What kernels are compiled to, and how: for which instructions, without the GIL, cached on disk."""

from __future__ import annotations

import functools
import hashlib
import os
import warnings
from pathlib import Path

import numba
import numpy as np
from numba import config, njit
from numba.core.registry import cpu_target

__all__ = ["CACHE_FAULT", "JIT", "NONE", "WIDE", "available", "inlined", "instructions", "kernel"]

JIT = not config.DISABLE_JIT
CACHE_FAULT = []  # why kernels are not kept on disk, if they are not: at most one line

# --- which instructions ----------------------------------------------------------------------------------------------

OFF = ("off", "0", "no", "false")
WISHES = ("auto", "avx512vbmi", "avx2", *OFF)  # the most that may be used; what the CPU lacks is not used either way


def _wish() -> str:
    """What LOOKALIKE_SIMD asks for; what is not understood is said once, and is as if it were not set."""
    given = os.environ.get("LOOKALIKE_SIMD", "")
    wish = given.strip().lower() or "auto"
    if wish in WISHES:
        return wish
    warnings.warn(
        f"lookalike kernels: LOOKALIKE_SIMD={given!r} is not understood, so the best instructions of this CPU are used; "
        f"expected one of {', '.join(WISHES)}",
        stacklevel=2,
    )
    return "auto"


@functools.cache
def instructions() -> str:
    """``"avx512vbmi"``, ``"avx2"`` or ``""``: what the vector kernels are compiled to, nothing where they cannot be.

    Numba's own target is asked, not the host: an instruction that the target lacks aborts the process, and
    ``NUMBA_CPU_NAME`` can make the two differ. ``LOOKALIKE_SIMD=off`` forces the plain twins, ``avx2`` the narrower form.
    """
    wish = _wish()
    if wish in OFF:
        return ""
    if not JIT:
        return "numpy"
    features = cpu_target.target_context.codegen().magic_tuple()[2].split(",")
    if wish != "avx2" and "+avx512vbmi" in features and "+avx512bw" in features:
        return "avx512vbmi"
    return "avx2" if {"+avx2", "+fma", "+f16c"} <= set(features) else ""


def available() -> bool:
    """Whether the vector kernels can run; the only question about the CPU that anything asks."""
    return bool(instructions())


WIDE = instructions() == "avx512vbmi"  # a 512-bit value is one register, and there are 32 of them

# --- how ----------------------------------------------------------------------------------------------------------------


def _source_stamp() -> str:
    """A hash of every module here: Numba's own key is the one file of a function, not what it calls."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCE_STAMP = _source_stamp()


def _keep_on_disk(dispatcher, function, variant):
    """Cache what `dispatcher` compiles in a folder of its variant, under a key that knows all of `kernels/`.

    The one place that touches Numba's cache, whose interface is private and may change with any version. Then kernels are compiled
    anew in every process: slower, and right, which Numba's own key would not be.
    """
    try:
        from numba.core.caching import FunctionCache, IndexDataCacheFile

        cache = FunctionCache(function)
        if type(cache._cache_file) is not IndexDataCacheFile or not callable(dispatcher._cache.load_overload):
            raise TypeError("its cache is another")
        folder = os.path.join(cache._cache_path, f"lookalike-{variant}")
        os.makedirs(folder, exist_ok=True)
        cache._cache_file = IndexDataCacheFile(folder, cache._impl.filename_base, SOURCE_STAMP)
        dispatcher._cache = cache
    except (OSError, RuntimeError):  # RuntimeError: Numba found no folder to write to
        return
    except (ImportError, AttributeError, TypeError) as error:
        if not CACHE_FAULT:
            CACHE_FAULT.append(f"numba {numba.__version__}: {error}")
            warnings.warn(
                f"lookalike kernels: they are compiled anew in every process, which takes seconds, since {CACHE_FAULT[0]}; "
                "install a version of Numba that this lookalike asks for",
                stacklevel=3,
            )


FAST = {"nsz", "arcp", "contract", "reassoc"}  # what keeps infinities and comparisons right; never fastmath=True


def kernel(function=None, *, fast=False):
    """Compile at the first call, release the GIL, cache on disk.

    `fast` lets sums be reordered and products fused, which vectorises reductions. The cache folder is named after the
    instruction set (`instructions`), since a kernel that was compiled with one set of register operations must not be
    loaded under another. Where no folder can be written, nothing is cached.
    """
    if function is None:
        return lambda f: kernel(f, fast=fast)
    dispatcher = njit(nogil=True, error_model="numpy", fastmath=FAST if fast else False)(function)
    if JIT:
        _keep_on_disk(dispatcher, function, instructions() or "plain")
    return dispatcher


NONE = np.int64(0)
"""Where counting starts if a kernel is then called with the count: for a literal 0 Numba would compile that once more."""

inlined = njit(inline="always", nogil=True, error_model="numpy")
