"""What the cases have done in a process of its own (`children`).

Imports stand inside the functions, because one task is to measure them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["run"]


def first(folder: str, settings: dict[str, Any]) -> dict[str, float]:
    """Import, load, search once; and again, by which time it needs the kernels."""
    begun = time.perf_counter()
    import numpy as np

    import lookalike as la

    load_index = la.load_index
    imported = time.perf_counter()
    index = load_index(f"{folder}/index.lka")
    query = np.load(f"{folder}/queries.npy")[:1]
    loaded = time.perf_counter()
    result = index.search(query, settings["k"], nprobe=settings["nprobe"])
    done = time.perf_counter()
    if result.ids[0, 0] < 0:
        raise RuntimeError("the first search found nothing")
    index.search(query, settings["k"], nprobe=settings["nprobe"])
    again = time.perf_counter() - done
    return {
        "import": imported - begun,
        "load": loaded - imported,
        "search": done - loaded,
        "total": done - begun,
        "second": again,
    }


def plain(folder: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Batch search on this process's kernels and FAISS's, in turns; the results go to files."""
    import numpy as np

    import lookalike as la
    from lookalike.kernels.target import instructions
    from lookalike_bench import peers
    from lookalike_bench.machine import Threads
    from lookalike_bench.measure import Budget, Contestant, take_turns

    index = la.load_index(f"{folder}/index.lka")
    assert isinstance(index, la.IVFPQIndex)  # the parent process wrote it
    xq = np.load(f"{folder}/queries.npy")
    k, nprobe, count = settings["k"], settings["nprobe"], settings["threads"]
    theirs = peers.faiss_searcher(peers.twin_of(index), k, nprobe)
    threads = Threads()
    mine, peer = take_turns(
        [
            Contestant(
                "ours",
                lambda _: index.search(xq, k, nprobe=nprobe, threads=count),
                under=lambda: threads.limited(count),
            ),
            Contestant("peer", lambda _: theirs(xq), under=lambda: threads.limited(count)),
        ],
        Budget(settings["rounds"], settings["seconds"], settings["most"]),
    )
    np.save(f"{folder}/distances.npy", mine.result.distances)
    np.save(f"{folder}/ids.npy", mine.result.ids)
    sides = {name: {"wall": timing.wall, "cpu": timing.cpu} for name, timing in (("ours", mine), ("peer", peer))}
    return {"instructions": instructions(), **sides}


def run(task: dict[str, Any], answer: Callable[[str, dict[str, Any]], None]) -> None:
    """Do the task of that name, once."""
    answer("done", {"first": first, "plain": plain}[task["task"]](task["folder"], task))
