"""What an experiment is: a TOML file, read strictly."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from lookalike._files import read_bytes
from lookalike.errors import FormatError, InputError
from lookalike_bench.names import meant

__all__ = [
    "KINDS", "CaseSpec", "DataSpec", "Experiment", "PeerSpec", "Target", "built_in", "load_experiment", "read_experiment", "record",
]  # fmt: skip

_MAX_BYTES = 1 << 20
T = TypeVar("T")

KINDS: dict[str, tuple[str, ...]] = {
    "sift": ("images",),
    "features": ("images", "crops"),
    "upstream": ("images",),
    "collection": ("collection",),
    "files": ("base", "queries_file", "truth"),
    "hdf5": ("path",),
    "synthetic": ("d",),
}
"""Kinds of data, and the keys that each understands beside name, kind, rows and queries."""

PICTURES = ("any", "fetched", "starter")


@dataclass(frozen=True, slots=True)
class DataSpec:
    """Vectors to search.

    Attributes
    ----------
    name : str
        In results and plots.
    kind : str
        One of `KINDS`.
    rows : tuple of int
        How many base vectors at the most, each number a data set of its own; 0 for all.
    queries : int
        At the most.
    images, collection, base, queries_file, truth, path : str
        Where they come from, as the kind needs: a folder of pictures, a collection's name, files.
    crops : bool
        Whether features are also of crops, as many as make up `rows`.
    d : int
        Dimension, of made-up vectors, or to which the upstream set is reduced.
    """

    name: str
    kind: str
    rows: tuple[int, ...] = (0,)
    queries: int = 1000
    images: str = ""
    collection: str = ""
    base: str = ""
    queries_file: str = ""
    truth: str = ""
    path: str = ""
    crops: bool = False
    d: int = 0

    @property
    def wants_pictures(self) -> bool:
        """Whether it is made of pictures that are not its own."""
        return "images" in KINDS[self.kind] and not self.images


@dataclass(frozen=True, slots=True)
class PeerSpec:
    """A library's index, and the parameters to try: a list is swept, every list with every other."""

    name: str
    build: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    n: tuple[int, ...] = ()  # smallest and largest number of vectors that these parameters are for
    threads: tuple[int, ...] = ()  # instead of the experiment's


@dataclass(frozen=True, slots=True)
class Target:
    """What a row of a case should reach.

    Attributes
    ----------
    mode : str
        Of the rows that it is for.
    at_least, aim : float or None
        Ratios peer / ours, larger is better.
    at_most : float or None
        In the unit of the row, smaller is better.
    vbmi_only : bool
        Whether it is asked of CPUs with AVX-512 VBMI only. Elsewhere the row is printed and its verdict stands in brackets.
    """

    mode: str = ""
    at_least: float | None = None
    aim: float | None = None
    at_most: float | None = None
    vbmi_only: bool = True

    def verdict(self, value: float) -> str:
        """``"aim"``, ``"met"``, ``"missed"``, ``"below aim"``, or nothing where nothing is asked."""
        if self.at_most is not None:
            return "met" if value <= self.at_most else "missed"
        if self.aim is not None and value >= self.aim:
            return "aim"
        if self.at_least is not None:
            return "met" if value >= self.at_least else "missed"
        return "" if self.aim is None else "below aim"

    def to_dict(self) -> dict[str, Any]:
        """Without the mode, which its row has."""
        return {name: value for name, value in asdict(self).items() if name != "mode"}


@dataclass(frozen=True, slots=True)
class CaseSpec:
    """What is measured side by side: ours and a peer in turns.

    Attributes
    ----------
    name : str
        In results and for ``--only``.
    measure : str
        The kind of case, one of `lookalike_bench.cases.kinds.CASES`.
    params : dict
        As that kind takes them.
    data : tuple of str
        Names of data; all by default.
    target : tuple of Target
    rounds, seconds, most : int, float, int
        How long to measure each row: at least `rounds`, then until `seconds` are spent, at most `most` rounds.
    """

    name: str
    measure: str
    params: dict[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    target: tuple[Target, ...] = ()
    rounds: int = 9
    seconds: float = 10.0
    most: int = 51


@dataclass(frozen=True, slots=True)
class Experiment:
    """All of a spec.

    Attributes
    ----------
    pictures : str
        Which ones data are made of that name none, where no folder is given: those that were fetched, without which others stand
        in (``"any"``) or nothing is measured (``"fetched"``), or those in the package (``"starter"``).
    k : int
        Neighbours asked for in the timed searches.
    threads : tuple of int
        Each number is a run of its own.
    repeats : int
        Rounds of the batch search at the least.
    round_s : float
        About how long a round may take: where a peer is slower, it is asked fewer of the queries.
    limit_s, limit_mb : float
        What one run (a build and all its searches) may take; 0 for no limit.
    """

    name: str
    data: tuple[DataSpec, ...]
    peer: tuple[PeerSpec, ...] = ()
    case: tuple[CaseSpec, ...] = ()
    description: str = ""
    pictures: str = "any"
    k: int = 10
    threads: tuple[int, ...] = (1,)
    repeats: int = 3
    round_s: float = 2.0
    limit_s: float = 300.0
    limit_mb: float = 0.0

    def only(self, names: Sequence[str]) -> Experiment:
        """The cases of these names, or whose names begin with one of them and a hyphen, with their data; no peers.

        Raises
        ------
        InputError
            If there is no such case.
        """
        for name in names:
            if not any(_begins(case.name, name) for case in self.case):
                known = ", ".join(case.name for case in self.case) or "none"
                raise InputError(f"no case of {self.name} is called {name!r}; there are: {known}")
        cases = tuple(case for case in self.case if any(_begins(case.name, name) for name in names))
        data = tuple(data for data in self.data if any(not case.data or data.name in case.data for case in cases))
        return replace(self, data=data, peer=(), case=cases)


def _begins(name: str, with_name: str) -> bool:
    return f"{name}-".startswith(f"{with_name}-")


def built_in() -> dict[str, Path]:
    """Names and files of the specs in the package."""
    folder = Path(str(importlib.resources.files("lookalike_bench.experiments") / "specs"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"), key=lambda path: path.stem)}


def load_experiment(name: str) -> Experiment:
    """A spec by its built-in name, or from a file.

    Raises
    ------
    InputError
        If there is no such spec, or it has a key or a value that cannot be.
    FormatError
        If the file is not TOML.
    """
    known = built_in()
    if name in known:
        return read_experiment(known[name])
    path = Path(name)
    if not path.is_file():
        raise InputError(f"expected a TOML file or one of {', '.join(known)}, got {name!r}{meant(name, known)}")
    return read_experiment(path)


def read_experiment(path: Path) -> Experiment:
    """A spec from a TOML file; paths in it are relative to the file."""
    try:
        text = read_bytes(path, _MAX_BYTES).decode("utf-8")
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{path}: not TOML: {str(error).splitlines()[0]}") from None
    where = str(path)
    table.setdefault("name", path.stem)
    tables = {
        "data": tuple(_data(path, entry, f"{path}: data {n}") for n, entry in _tables(table, "data", where)),
        "peer": tuple(record(PeerSpec, entry, f"{path}: peer {n}") for n, entry in _tables(table, "peer", where)),
        "case": tuple(_case(entry, f"{path}: case {n}") for n, entry in _tables(table, "case", where)),
    }
    experiment = record(Experiment, {**table, **tables}, where)
    _check(experiment, where)
    return experiment


def _tables(table: Mapping[str, Any], key: str, where: str) -> list[tuple[int, dict[str, Any]]]:
    """The tables of that name, numbered from 1."""
    entries = table.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{where}: expected {key} as [[{key}]]")
    return list(enumerate(entries, 1))


def _case(entry: dict[str, Any], where: str) -> CaseSpec:
    targets = tuple(record(Target, target, f"{where}: target {n}") for n, target in _tables(entry, "target", where))
    return record(CaseSpec, {**entry, "target": targets}, where)


def _data(path: Path, entry: dict[str, Any], where: str) -> DataSpec:
    spec = record(DataSpec, entry, where)
    if spec.kind not in KINDS:
        raise InputError(f"{where}: kind={spec.kind!r}: expected one of {', '.join(KINDS)}{meant(spec.kind, KINDS)}")
    useful = {"name", "kind", "rows", "queries", *KINDS[spec.kind], *(["d"] if spec.kind == "upstream" else [])}
    for key in entry:
        if key not in useful:
            raise InputError(
                f"{where}: {key!r} means nothing for kind={spec.kind!r}; it takes {', '.join(sorted(useful))}"
            )
    needed = {"collection": ("collection",), "files": ("base",), "hdf5": ("path",), "synthetic": ("d",)}
    for key in needed.get(spec.kind, ()):
        if not getattr(spec, key):
            raise InputError(f"{where}: kind={spec.kind!r} needs {key}")
    changed: dict[str, Any] = {
        key: _beside(path, value)
        for key in ("base", "queries_file", "truth", "path", "images")
        if (value := getattr(spec, key))
    }
    return replace(spec, **changed)


def _beside(spec: Path, value: str) -> str:
    path = Path(value).expanduser()
    return str(path if path.is_absolute() else spec.parent / path)


def record(kind: type[T], entry: Mapping[str, Any], where: str) -> T:
    """A dataclass from a table: unknown keys, missing keys and values of another type are errors."""
    known = {f.name: f for f in fields(kind)}  # type: ignore[arg-type]
    for key in entry:
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}{meant(key, known, 'it takes')}")
    values = {}
    for name, about in known.items():
        if name in entry:
            values[name] = _value(entry[name], str(about.type), f"{where}: {name}")
        elif about.default is MISSING and about.default_factory is MISSING:
            raise InputError(f"{where}: {name} is missing")
    return kind(**values)


def _value(value: Any, kind: str, where: str) -> Any:
    several = value if isinstance(value, list) else [value]
    expected, fits = next((words, fits) for start, words, fits in _VALUES if kind.startswith(start))
    if kind.startswith(("tuple[int", "tuple[str")):
        if not all(map(fits, several)) or (not several and "int" in kind):
            raise InputError(f"{where}: expected {expected}, got {value!r}")
        return tuple(several)
    if not fits(value):
        raise InputError(f"{where}: expected {expected}, got {value!r}")
    return float(value) if kind.startswith("float") else value


def _is_number(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_number(value, int) and value >= 0


_VALUES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("str", "a text", lambda value: isinstance(value, str) and value != ""),
    ("int", "a whole number of at least 0", _is_count),
    ("float", "a number of at least 0", lambda value: _is_number(value, (int, float)) and 0 <= value < float("inf")),
    ("bool", "true or false", lambda value: isinstance(value, bool)),
    ("tuple[int", "whole numbers of at least 0", _is_count),
    ("tuple[str", "names", lambda value: isinstance(value, str)),
    ("dict", "a table of parameters", lambda value: isinstance(value, dict)),
    ("", "anything", lambda _: True),
)
"""How the type of a field begins, what it is called, and what fits it; of a tuple, each of its items."""


def _check(experiment: Experiment, where: str) -> None:
    if experiment.name == ".." or Path(experiment.name).name != experiment.name or "\\" in experiment.name:
        raise InputError(
            f"{where}: name: expected a name without slashes, as results go into a folder of it, got {experiment.name!r}"
        )
    if experiment.pictures not in PICTURES:
        raise InputError(f"{where}: pictures: expected one of {', '.join(PICTURES)}, got {experiment.pictures!r}")
    for key in ("k", "repeats"):
        if getattr(experiment, key) < 1:
            raise InputError(f"{where}: {key}: expected at least 1, got {getattr(experiment, key)}")
    if experiment.k > 100:
        raise InputError(
            f"{where}: k: expected at most 100, which is how far exact neighbours are known, got {experiment.k}"
        )
    _check_names(experiment, where)
    for peer in experiment.peer:
        if peer.n and (len(peer.n) != 2 or peer.n[0] > peer.n[1]):
            raise InputError(
                f"{where}: peer {peer.name!r}: n: expected the smallest and the largest, got {list(peer.n)}"
            )
    for whose, threads in [("", experiment.threads), *((f"peer {p.name!r}: ", p.threads) for p in experiment.peer)]:
        if min(threads, default=1) < 1:
            raise InputError(f"{where}: {whose}threads: expected at least 1, got {min(threads)}")
    for case in experiment.case:
        if min(case.rounds, case.most) < 1:
            raise InputError(f"{where}: case {case.name!r}: rounds and most: expected at least 1")


def _check_names(experiment: Experiment, where: str) -> None:
    """Something of each has to be there, and no name twice; data that are wanted have to be there."""
    if not experiment.data:
        raise InputError(f"{where}: expected at least one [[data]]")
    if not experiment.peer and not experiment.case:
        raise InputError(f"{where}: expected at least one [[peer]] or [[case]]")
    names = [data.name for data in experiment.data]
    for what, given in (("data", names), ("cases", [case.name for case in experiment.case])):
        for name in given:
            if given.count(name) > 1:
                raise InputError(f"{where}: two {what} are called {name!r}")
    wanted = [("peer", peer.name, peer.data) for peer in experiment.peer]
    wanted += [("case", case.name, case.data) for case in experiment.case]
    for what, whose, data in wanted:
        for name in data:
            if name not in names:
                hint = meant(name, names, "there are")
                raise InputError(f"{where}: {what} {whose!r} wants data {name!r}, which is not there{hint}")
