"""The process of one run (`children`): one index, built once, and its searches. Threads are pinned before any library is loaded."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["POOLS", "run"]

POOLS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Variables by which libraries are held to a number of threads; whoever starts the worker sets them."""


def run(task: dict[str, Any], answer: Callable[[str, dict[str, Any]], None]) -> None:
    """Build once, then answer for each search setting as soon as it is measured."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[: task["threads"]])
    import numpy as np

    from lookalike_bench.adapters import get_adapter
    from lookalike_bench.experiments import measuring
    from lookalike_bench.metrics import accuracy

    folder = Path(task["folder"])
    base, queries, exact = (np.load(folder / f"{part}.npy") for part in ("base", "queries", "exact"))
    kind = get_adapter(task["peer"])
    answer("started", {})
    kind(task["build"], task["threads"]).warm_up(base[: kind.warm_rows])
    answer("warm", {})
    adapter = kind(task["build"], task["threads"])
    _forget_peak()
    with tempfile.TemporaryDirectory(prefix="lookalike-bench-") as work:
        built = measuring.build(adapter, base, Path(work), peak_memory)
    answer("built", built)
    for number, settings in enumerate(task["searches"]):
        adapter.set(settings)
        figures, ids = measuring.searches(adapter, queries, task["k"], task["repeats"], task["round_s"])
        answer("searched", {"number": number, **figures, **accuracy(ids, queries, base, exact)})


def _forget_peak() -> None:
    """Let the largest size of this process so far be the present one, where the system can."""
    with contextlib.suppress(OSError), Path("/proc/self/clear_refs").open("w") as file:
        file.write("5")


def peak_memory() -> float:
    """Bytes of memory that this process had at its largest so far; 0 where the system does not say."""
    with contextlib.suppress(
        OSError
    ):  # Linux; getrusage below also counts what the parent had before it started this process
        for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
            if line.startswith("VmHWM:"):
                return 1024.0 * int(line.split()[1])
    try:
        import resource
    except ImportError:
        return 0.0
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(largest if sys.platform == "darwin" else 1024 * largest)
