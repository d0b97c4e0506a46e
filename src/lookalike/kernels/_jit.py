"""How kernels are compiled: without the GIL, and cached on disk under a key that knows all of `kernels/`."""

from __future__ import annotations

import hashlib
import os
import warnings
from pathlib import Path

import numba
from numba import config, njit

__all__ = ["CACHE_FAULT", "JIT", "inlined", "kernel"]

JIT = not config.DISABLE_JIT
CACHE_FAULT = []  # why kernels are not kept on disk, if they are not: at most one line


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
    instruction set (`simd.instructions`), since a kernel that was compiled with one set of register operations must not be
    loaded under another. Where no folder can be written, nothing is cached.
    """
    if function is None:
        return lambda f: kernel(f, fast=fast)
    dispatcher = njit(nogil=True, error_model="numpy", fastmath=FAST if fast else False)(function)
    if JIT:
        from lookalike.kernels.simd import instructions

        _keep_on_disk(dispatcher, function, instructions() or "plain")
    return dispatcher


inlined = njit(inline="always", nogil=True, error_model="numpy")
