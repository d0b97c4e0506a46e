"""What every library in the comparison must be able to do."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike.errors import InputError

__all__ = ["Adapter", "Parameters", "Size", "check_choice", "check_divides", "check_lists", "file_size"]

Parameters = Mapping[str, Any]


class Size(NamedTuple):
    """How large an index is.

    Attributes
    ----------
    bytes : int
        Everything that a search needs, vectors for re-ranking included.
    source : str
        ``"file"`` (as the library saves it), ``"memory"`` (as the library counts it) or ``"arrays"`` (sum of its arrays).
    """

    bytes: int
    source: str


class Adapter(ABC):
    """One kind of index of one library, used as that library's documentation uses it.

    All search for squared Euclidean distance. Imports of the library stand inside the methods.

    Parameters
    ----------
    params : mapping
        Values for `build_params`.
    threads : int
        What the library may use in building and searching.
    """

    name: ClassVar[str]
    package: ClassVar[str]  # as it is installed
    module: ClassVar[str]  # as it is imported
    family: ClassVar[str]  # "lookalike", "FAISS", "graph", "tree", "exact" or "codes": the colour in plots
    build_params: ClassVar[dict[str, Any]] = {}  # with their defaults
    search_params: ClassVar[dict[str, Any]] = {}
    is_exact: ClassVar[bool] = False
    warm_rows: ClassVar[int] = 600  # of the base, for what is compiled on first use
    note: ClassVar[str] = ""  # what a reader has to know to read its numbers

    def __init__(self, params: Parameters, threads: int) -> None:
        self.params = dict(self.build_params) | dict(params)
        self.threads = threads
        self.settings: dict[str, Any] = dict(self.search_params)

    @classmethod
    def version(cls) -> str | None:
        """Of the installed library; None where it is not installed."""
        if importlib.util.find_spec(cls.module.partition(".")[0]) is None:
            return None
        try:
            return importlib.metadata.version(cls.package)
        except importlib.metadata.PackageNotFoundError:
            return "unknown"

    @classmethod  # noqa: B027 - most have nothing to check
    def check(cls, params: Parameters, n: int, d: int) -> None:
        """Raise `InputError` where these parameters are impossible for n vectors of dimension d."""

    def warm_up(self, x: FloatArray) -> None:
        """Load the library, and compile what it compiles on first use; not timed."""
        importlib.import_module(self.module)

    @abstractmethod
    def build(self, x: FloatArray) -> None:
        """Make the index of the rows of `x`; their numbers are the ids."""

    def set(self, settings: Parameters) -> None:
        """Take the parameters of the searches that follow."""
        self.settings = dict(self.search_params) | dict(settings)

    @abstractmethod
    def search(self, xq: FloatArray, k: int) -> Array:
        """Ids (nq, k) of the nearest, best first, −1 where there is none."""

    @abstractmethod
    def size(self, folder: Path) -> Size:
        """How large the index is; `folder` is an empty one to write to."""

    def decoded(self, rows: Array) -> FloatArray | None:
        """What the codes of these rows stand for; None where the library does not say."""
        return None


def check_lists(params: Parameters, n: int, name: str = "nlist") -> None:
    """There cannot be more lists than vectors."""
    if not 1 <= params[name] <= n:
        raise InputError(f"{name}={params[name]}: expected 1 to n={n:,}, the number of vectors")


def check_divides(params: Parameters, d: int, name: str = "m") -> None:
    """m has to divide d."""
    m = params[name]
    if d % m:
        near = min((i for i in range(1, d + 1) if d % i == 0), key=lambda i: (abs(i - m), i))
        raise InputError(f"{name}={m} does not divide d={d}; the nearest that does is {name}={near}")


def check_choice(params: Parameters, name: str, *known: Any) -> None:
    """The parameter has to be one of those."""
    if params[name] not in known:
        *others, last = (str(choice) for choice in known)
        raise InputError(f"{name}={params[name]!r}: expected {', '.join(others)} or {last}")


def file_size(folder: Path) -> Size:
    """Of everything that was written into `folder`."""
    return Size(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()), "file")


def padded(ids: Any, k: int) -> Array:
    """Ids of one query as a row of k."""
    row = np.full(k, -1, np.int64)
    found = np.asarray(ids, np.int64)[:k]
    row[: len(found)] = found
    return row
