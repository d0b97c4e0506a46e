"""How kernels are compiled: without the GIL, and cached on disk under a key that knows all of `kernels/`."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path

from numba import config, njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

__all__ = ["JIT", "inlined", "kernel"]

JIT = not config.DISABLE_JIT


def _source_stamp() -> str:
    """A hash of every module here: Numba's own key is the one file of a function, not what it calls."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCE_STAMP = _source_stamp()


class _KernelCache(FunctionCache):
    def __init__(self, py_func, variant):
        super().__init__(py_func)
        folder = os.path.join(self._cache_path, f"lookalike-{variant}")
        os.makedirs(folder, exist_ok=True)
        self._cache_file = IndexDataCacheFile(folder, self._impl.filename_base, SOURCE_STAMP)


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

        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: Numba found no folder to write to
            dispatcher._cache = _KernelCache(function, instructions() or "plain")
    return dispatcher


inlined = njit(inline="always", nogil=True, error_model="numpy")
