"""Cases that need a process of their own, and memory."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._typing import SearchResult
from lookalike.errors import LookalikeError
from lookalike.index import IVFPQIndex
from lookalike_bench import peers
from lookalike_bench.children import command
from lookalike_bench.engine.bench import BATCH, Bench
from lookalike_bench.measure import Timing, ratio_of
from lookalike_bench.metrics import compare_results, recall
from lookalike_bench.results import Row, Side

__all__ = ["first_search", "memory", "plain"]

K, NPROBE = 10, 16
OWN_IDS = 1 << 40  # ids from here on do not fit 32 bits
LIMIT = 3600.0  # seconds that a process may take


def plain(bench: Bench) -> Iterator[Row]:
    """The plain twins, in a process with ``LOOKALIKE_SIMD=off``, against FAISS in that process, on the same codes."""
    index, data, scale = bench.main_index, bench.data.main, bench.scale
    folder = _written(bench)
    for threads in bench.thread_counts:
        bench.say(f"plain twins, {threads} thread{'s' * (threads > 1)}")
        answer = _run(
            "plain", folder, {"LOOKALIKE_SIMD": "off"},
            threads=threads, k=K, nprobe=NPROBE, rounds=scale.search.rounds, seconds=scale.search.seconds,
        )  # fmt: skip
        if answer["instructions"]:
            raise LookalikeError(f"expected the plain twins, the process used {answer['instructions']}")
        mine, theirs = (Timing(answer[side]["wall"], answer[side]["cpu"]) for side in ("ours", "peer"))
        found = SearchResult(np.load(folder / "distances.npy"), np.load(folder / "ids.npy"))
        reference = peers.faiss_searcher(peers.twin_of(index), K, NPROBE)(data.queries)
        value, low, high = ratio_of(theirs, mine)
        sides = [
            Side.of(name, timing, len(data.queries), recall(ids, data.queries, data.base, data.exact, K))
            for name, timing, ids in (
                ("lookalike, plain twins", mine, found.ids),
                ("FAISS IVFPQ", theirs, reference.ids),
            )
        ]
        yield Row(
            case="plain", mode=BATCH, title=f"plain twins (LOOKALIKE_SIMD=off), nprobe {NPROBE}, k {K}", threads=threads,
            dataset=data.name, n=len(data.base), d=data.base.shape[1],
            params={"nlist": index.nlist, "m": index.m, "nprobe": NPROBE, "k": K},
            ours=sides[0], peer=sides[1], value=value, low=low, high=high,
            agreement=compare_results(found, reference, data.queries, data.base, index.coarse_centroids, NPROBE),
        )  # fmt: skip


def first_search(bench: Bench) -> Iterator[Row]:
    """Import, load and search in a new process, the kernels compiled before."""
    index, data = bench.main_index, bench.data.main
    folder = _written(bench)
    bench.say("first search in a new process")
    _run("first", folder, {}, k=K, nprobe=NPROBE)  # compiles what is not cached
    answers, whole = [], []
    for _ in range(bench.scale.processes):
        started = time.perf_counter()
        answers.append(_run("first", folder, {}, k=K, nprobe=NPROBE))
        whole.append(time.perf_counter() - started)
    middle = {
        name: statistics.median(answer[name] for answer in answers)
        for name in ("import", "load", "search", "total", "second")
    }
    process = statistics.median(whole)
    yield Row(
        case="first-search", mode="", title="first search in a new process, kernels cached", threads=1, dataset=data.name,
        n=len(data.base), d=data.base.shape[1], params={"nlist": index.nlist, "m": index.m, "nprobe": NPROBE, "k": K},
        ours=Side("lookalike", middle["total"], middle["total"], 1, len(answers), details=middle | {"process": process}),
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
        value = (
            stats["memory"]["codes"] + stats["memory"]["biases"] + stats["memory"]["ids"] + stats["memory"]["slack"]
        ) / n
        yield Row(
            case=case, mode="", title=f"bytes per vector, m {index.m}, compacted, {'own' if first else 'default'} ids", threads=1,
            dataset=data.name, n=n, d=data.base.shape[1], params={"nlist": index.nlist, "m": index.m},
            ours=None, value=value, unit="B", agreement=None,
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
    """Run a task of `worker` in a new process; its last line is its answer."""
    done = subprocess.run(
        command("lookalike_bench.engine.worker", task, str(folder), json.dumps(settings)),
        env=os.environ | environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["without a word"])[-1]
        raise LookalikeError(f"the process of the case {task!r} ended with {done.returncode}: {last}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer
