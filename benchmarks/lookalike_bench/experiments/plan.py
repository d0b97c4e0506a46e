"""From a spec to the runs that it asks for, each search setting with a key of its own."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lookalike.errors import InputError
from lookalike_bench.adapters import Adapter, get_adapter
from lookalike_bench.cases.base import Case, Way
from lookalike_bench.cases.kinds import CASES
from lookalike_bench.data import Prepared
from lookalike_bench.experiments.spec import CaseSpec, Experiment, PeerSpec, record
from lookalike_bench.machine import Machine
from lookalike_bench.names import meant

__all__ = ["METHOD", "CaseRun", "Run", "check_cases", "check_peers", "plan", "plan_cases"]

_MOST = 5000  # settings of a peer
METHOD = 2  # part of every key: raise it when something is measured otherwise


@dataclass(frozen=True, slots=True)
class Run:
    """One build in one process, and the searches of it.

    Attributes
    ----------
    peer : str
    data : Prepared
    build : dict
    searches : tuple of dict
    threads : int
    """

    peer: str
    data: Prepared
    build: dict[str, Any]
    searches: tuple[dict[str, Any], ...]
    threads: int
    k: int

    def key(self, search: Mapping[str, Any]) -> str:
        """Of one search setting: the same wherever and whenever it is measured."""
        return _key(self.data.fingerprint, self.peer, self.build, dict(search), self.threads, self.k)

    @property
    def title(self) -> str:
        settings = ", ".join(f"{name} {value}" for name, value in self.build.items() if value != "")
        return f"{self.data.name}: {self.peer}{f' ({settings})' if settings else ''}, {self.threads} thread{'s' * (self.threads > 1)}"


@dataclass(frozen=True, slots=True)
class CaseRun:
    """One case on one data set, and the ways to measure it, each of which gives a row.

    Attributes
    ----------
    spec : CaseSpec
    case : Case
        Its parameters.
    data : Prepared
    ways : tuple of Way
    """

    spec: CaseSpec
    case: Case
    data: Prepared
    ways: tuple[Way, ...]

    def key(self, way: Way) -> str:
        """Of one row: the same wherever and whenever it is measured."""
        return _key(self.data.fingerprint, self.spec.name, self.spec.measure, asdict(self.case), way.mode, way.threads)


def _key(*what: Any) -> str:
    return hashlib.sha256(json.dumps([METHOD, *what], sort_keys=True).encode()).hexdigest()[:16]


def check_peers(experiment: Experiment) -> None:
    """Raise `InputError` for a peer or a parameter that does not exist, before any data is made."""
    for peer in experiment.peer:
        adapter = get_adapter(peer.name)
        _check_names(peer, "build", adapter.build_params)
        _check_names(peer, "search", adapter.search_params)
        settings = math.prod(len(v) for part in (peer.build, peer.search) for v in part.values() if isinstance(v, list))
        if not 1 <= settings <= _MOST:
            raise InputError(
                f"peer {peer.name!r}: {settings:,} settings: expected 1 to {_MOST:,}; are the lists as they were meant?"
            )


def check_cases(experiment: Experiment) -> dict[str, Case]:
    """The cases with their parameters, by name.

    Raises
    ------
    InputError
        For a measure, a parameter or a mode that does not exist.
    """
    cases = {}
    for spec in experiment.case:
        where = f"case {spec.name!r}"
        if spec.measure not in CASES:
            raise InputError(
                f"{where}: measure={spec.measure!r} is not known{meant(spec.measure, CASES, 'there are:')}"
            )
        kind = CASES[spec.measure]
        for target in spec.target:
            if target.mode not in kind.modes:
                known = ", ".join(repr(mode) for mode in kind.modes)
                raise InputError(f"{where}: target: mode={target.mode!r}: expected one of {known}")
        cases[spec.name] = record(kind, spec.params, f"{where}: params")
    return cases


def _check_names(peer: PeerSpec, part: str, known: Mapping[str, Any]) -> None:
    for name, value in getattr(peer, part).items():
        if name not in known:
            raise InputError(f"peer {peer.name!r}: unknown {part} parameter {name!r}{meant(name, known, 'it takes')}")
        for item in value if isinstance(value, list) else [value]:
            if not _fits(item, known[name]):
                kind = {int: "a whole number", float: "a number", str: "a text"}[type(known[name])]
                raise InputError(f"peer {peer.name!r}: {part} parameter {name}: expected {kind}, got {item!r}")


def _fits(value: Any, example: Any) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(example, float):
        return isinstance(value, (int, float))
    return isinstance(value, type(example)) and (not isinstance(example, int) or value >= min(1, example))


def plan(experiment: Experiment, data: Mapping[str, list[Prepared]]) -> list[Run]:
    """Every run: one thread before two, small data before large, so that a run that is stopped early has something of every peer.

    Within these, peers are mixed, always alike, so that a machine which grows slower favours nobody.

    Parameters
    ----------
    data : mapping of str to list of Prepared
        By the name in the spec.

    Raises
    ------
    InputError
        If a peer cannot have these parameters on this data: m that does not divide d, for instance.
    """
    runs = []
    for name, sets in data.items():
        for prepared in sets:
            for peer in experiment.peer:
                if (peer.data and name not in peer.data) or (peer.n and not peer.n[0] <= prepared.n <= peer.n[1]):
                    continue
                runs += list(_runs(experiment, peer, prepared))
    keys: set[str] = set()
    unique: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.threads, run.data.n * run.data.d, _mixed(run))):
        mine = {run.key(search) for search in run.searches}
        if not mine <= keys:
            unique.append(run)
            keys |= mine
    return unique


def plan_cases(experiment: Experiment, data: Mapping[str, list[Prepared]], machine: Machine) -> list[CaseRun]:
    """Every case on each of its data, in the order of the spec.

    Raises
    ------
    InputError
        If a case cannot have these parameters on this data.
    """
    cases = check_cases(experiment)
    runs = []
    for spec in experiment.case:
        case = cases[spec.name]
        for prepared in itertools.chain.from_iterable(data[name] for name in spec.data or data):
            try:
                case.check(prepared.n, prepared.d)
            except InputError as error:
                raise InputError(f"case {spec.name!r} on {prepared.name}: {error}") from None
            runs.append(CaseRun(spec, case, prepared, tuple(case.ways(machine))))
    return runs


def _mixed(run: Run) -> str:
    return hashlib.sha256(run.title.encode()).hexdigest()


def _runs(experiment: Experiment, peer: PeerSpec, data: Prepared) -> Iterator[Run]:
    adapter: type[Adapter] = get_adapter(peer.name)
    for build in _swept(adapter.build_params, peer.build):
        try:
            adapter.check(build, data.n, data.d)
        except InputError as error:
            raise InputError(f"peer {peer.name!r} on {data.name}: {error}") from None
        for threads in peer.threads or experiment.threads:
            searches = tuple(_swept(adapter.search_params, peer.search))
            yield Run(peer.name, data, build, searches, threads, min(experiment.k, data.n))


def _swept(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    values = [given.get(name, default) for name, default in defaults.items()]
    lists = [value if isinstance(value, list) else [value] for value in values]
    for combination in itertools.product(*lists):
        yield dict(zip(defaults, combination, strict=True))
