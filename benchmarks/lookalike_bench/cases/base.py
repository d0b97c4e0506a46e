"""What the cases share: vectors, indexes, threads, and how rivals are set up."""

from __future__ import annotations

import functools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lookalike._typing import FloatArray, SearchResult
from lookalike.errors import InputError, LookalikeWarning
from lookalike.index import IVFPQIndex
from lookalike_bench import peers
from lookalike_bench.adapters.base import check_divides, check_lists
from lookalike_bench.cases.rows import Row
from lookalike_bench.data import Prepared, Vectors
from lookalike_bench.experiments.spec import CaseSpec, Target
from lookalike_bench.machine import Machine, Threads
from lookalike_bench.measure import Budget, Contestant

__all__ = ["BATCH", "ONE_BY_ONE", "Bench", "Case", "Shared", "Way", "built"]

BATCH, ONE_BY_ONE = "batch", "one by one"


class Way(NamedTuple):
    """One way to measure a case, which gives one row: the mode and the number of threads."""

    mode: str
    threads: int

    def __str__(self) -> str:
        threads = f"{self.threads} thread{'s' * (self.threads > 1)}"
        return f"{self.mode}, {threads}" if self.mode else threads


def built(x: FloatArray, nlist: int, m: int, kmeans: str = "native") -> IVFPQIndex:
    """An index trained on all of `x`, filled with it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LookalikeWarning)
        return IVFPQIndex(nlist=nlist, m=m, kmeans=kmeans).train(x).add(x)


class Shared:
    """What the cases of a run share, made when it is first wanted: vectors, indexes of them, FAISS's twins of these.

    Parameters
    ----------
    work : Path
        A folder for files that pass to other processes.
    say : callable
        Takes a line of progress.
    """

    def __init__(self, work: Path, say: Callable[[str], None]) -> None:
        self._work, self._say = work, say
        self.vectors = functools.cache(Prepared.load)
        self.index = functools.cache(self._index)
        self.twin = functools.cache(self._twin)
        self.folder = functools.cache(self._folder)

    def _index(self, data: Prepared, nlist: int, m: int) -> IVFPQIndex:
        """An index trained on all vectors, filled with them."""
        self._say(f"  building IVF{nlist},PQ{m} of {data.n:,} × {data.d}")
        index = built(self.vectors(data).base, nlist, m)
        index.compact()
        return index

    def _twin(self, data: Prepared, nlist: int, m: int) -> Any:
        """FAISS's index of the same centroids, codes and ids."""
        return peers.twin_of(self.index(data, nlist, m))

    def _folder(self, data: Prepared, nlist: int, m: int) -> Path:
        """A folder with the index and the queries, for other processes."""
        folder = self._work / f"{data.fingerprint}-{nlist}-{m}"
        folder.mkdir()
        self.index(data, nlist, m).save(folder / "index.lka")
        np.save(folder / "queries.npy", self.vectors(data).queries)
        return folder


@dataclass(frozen=True, slots=True)
class Bench:
    """What one case is measured with.

    Attributes
    ----------
    spec : CaseSpec
    case : Case
        Its parameters.
    data : Prepared
    shared : Shared
    machine : Machine
    threads : Threads
    say : callable
        Takes a line of progress.
    """

    spec: CaseSpec
    case: Case
    data: Prepared
    shared: Shared
    machine: Machine
    threads: Threads
    say: Callable[[str], None]

    @property
    def vectors(self) -> Vectors:
        return self.shared.vectors(self.data)

    @property
    def budget(self) -> Budget:
        return Budget(self.spec.rounds, self.spec.seconds, self.spec.most)

    def row(self, title: str, way: Way, **more: Any) -> Row:
        """A row about the case; `more` are fields of `Row`."""
        target = next((target for target in self.spec.target if target.mode == way.mode), Target())
        about: dict[str, Any] = {"n": self.data.n, "d": self.data.d, "params": asdict(self.case), "target": target}
        dataset = f"{self.data.n:,} {self.data.about}"
        return Row(self.spec.name, way.mode, title, way.threads, dataset, **about | more)

    def rival(
        self, name: str, threads: int, run: Callable[[Any], Any], prepare: Callable[[], Any] = lambda: None
    ) -> Contestant:
        """A contestant held to that many threads."""
        return Contestant(name, run, prepare, lambda: self.threads.limited(threads))

    def searcher(self, name: str, search: Callable[[FloatArray], SearchResult], way: Way, xq: FloatArray) -> Contestant:
        """`search` of all queries at once, or of one after the other; gives a list of results (`metrics.merged`)."""
        parts = [xq] if way.mode == BATCH else [xq[i : i + 1] for i in range(len(xq))]
        return self.rival(name, way.threads, lambda _: [search(part) for part in parts])


@dataclass(frozen=True)
class Case(ABC):
    """A kind of case: a frozen dataclass whose fields are the parameters that a spec gives."""

    modes: ClassVar[tuple[str, ...]] = ("",)

    def ways(self, machine: Machine) -> list[Way]:
        """One row each: every mode with one thread, then with all cores."""
        return [Way(mode, threads) for threads in sorted({1, machine.cores}) for mode in self.modes]

    def check(self, n: int, d: int) -> None:
        """Raise `InputError` where the parameters are impossible for n vectors of dimension d."""
        params = asdict(self)
        for name, value in params.items():
            for number in value if isinstance(value, tuple) else (value,):
                if number <= 0 and not isinstance(number, bool):
                    raise InputError(f"{name}: expected more than 0, got {number}")
                if name in {"m", "fast_scan_m"}:
                    check_divides({name: number}, d, name)
        if "nlist" in params:
            check_lists(params, n)

    @abstractmethod
    def rows(self, bench: Bench, ways: Sequence[Way]) -> Iterator[Row]:
        """Measure it in these ways, one after the other."""
