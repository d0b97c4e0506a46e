"""Cases that need a process of their own, and memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._typing import SearchResult
from lookalike.errors import LookalikeError
from lookalike.index import IVFPQIndex
from lookalike_bench import peers
from lookalike_bench.children import answers
from lookalike_bench.engine.bench import BATCH, Bench, SearchCase
from lookalike_bench.engine.rows import Row, Side
from lookalike_bench.measure import Timing

__all__ = ["first_search", "memory", "plain"]

K, NPROBE = 10, 16
OWN_IDS = 1 << 40  # ids from here on do not fit 32 bits
LIMIT = 3600.0  # seconds that a process may take


def plain(bench: Bench) -> Iterator[Row]:
    """The plain twins, in a process with ``LOOKALIKE_SIMD=off``, against FAISS in that process, on the same codes."""
    index, data, scale = bench.main_index, bench.data.main, bench.scale
    folder = _written(bench)
    case = SearchCase("plain", f"plain twins (LOOKALIKE_SIMD=off), nprobe {NPROBE}, k {K}", data, index, K, NPROBE)
    for threads in bench.thread_counts:
        bench.say(f"plain twins, {threads} thread{'s' * (threads > 1)}")
        answer = _run(
            "plain", folder, {"LOOKALIKE_SIMD": "off"},
            threads=threads, k=K, nprobe=NPROBE, rounds=scale.search.rounds, seconds=scale.search.seconds,
        )  # fmt: skip
        if answer["instructions"]:
            raise LookalikeError(f"expected the plain twins, the process used {answer['instructions']}")
        sides = (("ours", "lookalike, plain twins"), ("peer", "FAISS IVFPQ"))
        mine, theirs = (Timing(answer[side]["wall"], answer[side]["cpu"], name=name) for side, name in sides)
        found = SearchResult(np.load(folder / "distances.npy"), np.load(folder / "ids.npy"))
        reference = peers.faiss_searcher(peers.twin_of(index), K, NPROBE)(data.queries)
        yield case.row(BATCH, threads, mine, theirs, found, reference)


def first_search(bench: Bench) -> Iterator[Row]:
    """Import, load and search in a new process, the kernels compiled before."""
    index, data = bench.main_index, bench.data.main
    folder = _written(bench)
    bench.say("first search in a new process")
    _run("first", folder, {}, k=K, nprobe=NPROBE)  # compiles what is not cached
    measured, whole = [], []
    for _ in range(bench.scale.processes):
        started = time.perf_counter()
        measured.append(_run("first", folder, {}, k=K, nprobe=NPROBE))
        whole.append(time.perf_counter() - started)
    middle = {
        name: statistics.median(answer[name] for answer in measured)
        for name in ("import", "load", "search", "total", "second")
    }
    process = statistics.median(whole)
    yield data.row(
        "first-search", "first search in a new process, kernels cached", params={"nlist": index.nlist, "m": index.m, "nprobe": NPROBE, "k": K},
        ours=Side("lookalike", middle["total"], middle["total"], 1, len(measured), details=middle | {"process": process}),
        value=middle["total"], unit="s",
        note=f"import {middle['import']:.2f} s, load {middle['load']:.2f} s, search {middle['search']:.2f} s; "
        f"the second search, which loads the kernels, {middle['second']:.2f} s; "
        f"with it and the start and end of Python {process:.2f} s",
    )  # fmt: skip


def memory(bench: Bench) -> Iterator[Row]:
    """Bytes of codes, biases and ids for each vector, compacted; beside that, slack before and the map of ids after a look-up."""
    index, data = bench.main_index, bench.data.main
    bench.say("bytes per vector")
    for case, first in (("memory-default-ids", 0), ("memory-own-ids", OWN_IDS)):
        filled = IVFPQIndex(nlist=index.nlist, m=index.m).set_centroids(index.coarse_centroids, index.pq_centroids)
        filled.add(data.base, ids=np.arange(first, first + len(data.base)) if first else None)
        slack = filled.stats()["memory"]["slack"]
        filled.compact()
        stats = filled.stats()
        filled.reconstruct([first])
        id_map = filled.stats()["memory"]["id_map"]
        n = len(data.base)
        value = sum(stats["memory"][part] for part in ("codes", "biases", "ids", "slack")) / n
        yield data.row(
            case, f"bytes per vector, m {index.m}, compacted, {'own' if first else 'default'} ids",
            params={"nlist": index.nlist, "m": index.m}, value=value, unit="B",
            note=f"+ {slack / n:.1f} B slack before compacting, + {id_map / n:.1f} B map of ids once one is looked up, "
            f"+ {stats['memory']['centroids'] / 1e6:.1f} MB centroids",
        )  # fmt: skip


def _written(bench: Bench) -> Path:
    """The folder with the index and the queries for other processes."""
    folder = bench.work
    if not (folder / "index.lka").exists():
        bench.main_index.save(folder / "index.lka")
        np.save(folder / "queries.npy", bench.data.main.queries)
    return folder


def _run(task: str, folder: Path, environ: Mapping[str, str], **settings: Any) -> dict[str, Any]:
    """What a task of `tasks` answers in a new process."""
    about = {"task": task, "folder": str(folder), **settings}
    [answer] = answers("lookalike_bench.engine.tasks", about, environ=environ, limit_s=LIMIT)
    return answer
