"""Cases that need a process of their own, and memory."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lookalike._typing import SearchResult
from lookalike.errors import LookalikeError
from lookalike.index import IVFPQIndex
from lookalike_bench import peers
from lookalike_bench.cases.base import BATCH, Bench, Case, Way
from lookalike_bench.cases.rows import Row, Side
from lookalike_bench.cases.searching import SearchCase
from lookalike_bench.children import answers
from lookalike_bench.machine import Machine
from lookalike_bench.measure import Timing

__all__ = ["FirstSearch", "Memory", "Plain"]

OWN_IDS = 1 << 40  # ids from here on do not fit 32 bits
AS_INSTALLED = {"PYTHONDONTWRITEBYTECODE": ""}  # else Python compiles the package's sources in each process
LIMIT = 3600.0  # seconds that a process may take


class Plain(SearchCase):
    """The plain twins, in a process with ``LOOKALIKE_SIMD=off``, against FAISS in that process, on the same codes."""

    modes: ClassVar = (BATCH,)

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        folder = bench.shared.folder(bench.data, self.nlist, self.m)
        twin = bench.shared.twin(bench.data, self.nlist, self.m)
        for way in ways:
            answer = _run(
                "plain", folder, {"LOOKALIKE_SIMD": "off"},
                threads=way.threads, k=self.k, nprobe=self.nprobe, rounds=bench.spec.rounds, seconds=bench.spec.seconds, most=bench.spec.most,
            )  # fmt: skip
            if answer["instructions"]:
                raise LookalikeError(f"expected the plain twins, the process used {answer['instructions']}")
            sides = (("ours", "lookalike, plain twins"), ("peer", "FAISS IVFPQ"))
            mine, theirs = (Timing(answer[side]["wall"], answer[side]["cpu"], name=name) for side, name in sides)
            found = SearchResult(np.load(folder / "distances.npy"), np.load(folder / "ids.npy"))
            reference = peers.faiss_searcher(twin, self.k, self.nprobe)(bench.vectors.queries)
            title = f"plain twins (LOOKALIKE_SIMD=off), nprobe {self.nprobe}, k {self.k}"
            yield self.compared(bench, title, way, mine, theirs, found, reference)


class FirstSearch(SearchCase):
    """Import, load and search in a new process, the kernels compiled before; as many processes as there are rounds."""

    def ways(self, machine: Machine) -> list[Way]:
        return [Way("", 1)]

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        folder = bench.shared.folder(bench.data, self.nlist, self.m)
        for way in ways:
            _run("first", folder, AS_INSTALLED, k=self.k, nprobe=self.nprobe)  # compiles what is not cached
            measured, whole = [], []
            for _ in range(bench.spec.rounds):
                started = time.perf_counter()
                measured.append(_run("first", folder, AS_INSTALLED, k=self.k, nprobe=self.nprobe))
                whole.append(time.perf_counter() - started)
            names = ("import", "load", "search", "total", "second")
            middle = {name: statistics.median(answer[name] for answer in measured) for name in names}
            process = statistics.median(whole)
            yield bench.row(
                "first search in a new process, kernels cached", way,
                ours=Side("lookalike", middle["total"], middle["total"], 1, len(measured), details=middle | {"process": process}),
                value=middle["total"], unit="s",
                note=f"import {middle['import']:.2f} s, load {middle['load']:.2f} s, search {middle['search']:.2f} s; "
                f"the second search, which loads the kernels, {middle['second']:.2f} s; "
                f"with it and the start and end of Python {process:.2f} s",
            )  # fmt: skip


@dataclass(frozen=True)
class Memory(Case):
    """Bytes of codes, biases and ids for each vector, compacted; beside that, slack before and the map of ids after a look-up."""

    nlist: int
    m: int
    own_ids: bool  # beyond 32 bits, else 0, 1, 2, …

    def ways(self, machine: Machine) -> list[Way]:
        return [Way("", 1)]

    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        index, base = bench.shared.index(bench.data, self.nlist, self.m), bench.vectors.base
        n, first = len(base), OWN_IDS if self.own_ids else 0
        for way in ways:
            filled = IVFPQIndex(nlist=self.nlist, m=self.m).set_centroids(index.coarse_centroids, index.pq_centroids)
            filled.add(base, ids=np.arange(first, first + n) if first else None)
            slack = filled.stats()["memory"]["slack"]
            filled.compact()
            stats = filled.stats()
            filled.reconstruct([first])
            id_map = filled.stats()["memory"]["id_map"]
            yield bench.row(
                f"bytes per vector, m {self.m}, compacted, {'own' if first else 'default'} ids", way,
                value=sum(stats["memory"][part] for part in ("codes", "biases", "ids", "slack")) / n, unit="B",
                note=f"+ {slack / n:.1f} B slack before compacting, + {id_map / n:.1f} B map of ids once one is looked up, "
                f"+ {stats['memory']['centroids'] / 1e6:.1f} MB centroids",
            )  # fmt: skip


def _run(task: str, folder: Path, environ: Mapping[str, str], **settings: Any) -> dict[str, Any]:
    """What a task of `tasks` answers in a new process."""
    about = {"task": task, "folder": str(folder), **settings}
    [answer] = answers("lookalike_bench.cases.tasks", about, environ=environ, limit_s=LIMIT)
    return answer
