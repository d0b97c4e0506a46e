"""What an experiment is: a TOML file, read strictly."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from lookalike._files import read_bytes
from lookalike.errors import FormatError, InputError
from lookalike_bench.names import meant

__all__ = ["KINDS", "DataSpec", "Experiment", "PeerSpec", "built_in", "load_experiment", "read_experiment"]

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
class Experiment:
    """All of a spec.

    Attributes
    ----------
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
    peer: tuple[PeerSpec, ...]
    description: str = ""
    k: int = 10
    threads: tuple[int, ...] = (1,)
    repeats: int = 3
    round_s: float = 2.0
    limit_s: float = 300.0
    limit_mb: float = 0.0


def built_in() -> dict[str, Path]:
    """Names and files of the specs in the package."""
    folder = Path(str(importlib.resources.files("lookalike_bench.experiments") / "specs"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


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
        names = ["engine", *known]
        raise InputError(f"expected a TOML file or one of {', '.join(names)}, got {name!r}{meant(name, names)}")
    return read_experiment(path)


def read_experiment(path: Path) -> Experiment:
    """A spec from a TOML file; paths in it are relative to the file."""
    try:
        text = read_bytes(path, _MAX_BYTES).decode("utf-8")
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FormatError(f"{path}: not TOML: {str(error).splitlines()[0]}") from None
    table.setdefault("name", path.stem)
    where = str(path)
    data = tuple(_data(path, entry, number) for number, entry in enumerate(_tables(table, "data", where), 1))
    peers = tuple(
        _record(PeerSpec, entry, f"{path}: peer {n}") for n, entry in enumerate(_tables(table, "peer", where), 1)
    )
    experiment = _record(Experiment, {**table, "data": data, "peer": peers}, where)
    _check(experiment, where)
    return experiment


def _tables(table: Mapping[str, Any], key: str, where: str) -> list[Any]:
    entries = table.get(key)
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{where}: expected at least one [[{key}]]")
    return entries


def _data(path: Path, entry: dict[str, Any], number: int) -> DataSpec:
    where = f"{path}: data {number}"
    spec = _record(DataSpec, entry, where)
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
    changed = {
        key: _beside(path, value)
        for key in ("base", "queries_file", "truth", "path", "images")
        if (value := getattr(spec, key))
    }
    values = {f.name: getattr(spec, f.name) for f in fields(spec)} | changed
    return DataSpec(**values)


def _beside(spec: Path, value: str) -> str:
    path = Path(value).expanduser()
    return str(path if path.is_absolute() else spec.parent / path)


def _record(kind: type[T], entry: Mapping[str, Any], where: str) -> T:
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
    return float(value) if kind == "float" else value


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
    names = [data.name for data in experiment.data]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{where}: two data are called {name!r}")
    for peer in experiment.peer:
        if peer.n and (len(peer.n) != 2 or peer.n[0] > peer.n[1]):
            raise InputError(
                f"{where}: peer {peer.name!r}: n: expected the smallest and the largest, got {list(peer.n)}"
            )
        for name in peer.data:
            if name not in names:
                hint = meant(name, names, "there are")
                raise InputError(f"{where}: peer {peer.name!r} wants data {name!r}, which is not there{hint}")
    for key in ("k", "repeats"):
        if getattr(experiment, key) < 1:
            raise InputError(f"{where}: {key}: expected at least 1, got {getattr(experiment, key)}")
    for whose, threads in [("", experiment.threads), *((f"peer {p.name!r}: ", p.threads) for p in experiment.peer)]:
        if min(threads, default=1) < 1:
            raise InputError(f"{where}: {whose}threads: expected at least 1, got {min(threads)}")
    if experiment.k > 100:
        raise InputError(
            f"{where}: k: expected at most 100, which is how far exact neighbours are known, got {experiment.k}"
        )
