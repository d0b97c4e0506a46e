"""What every index shares: the public door, where arguments are checked once, and the ids."""

from __future__ import annotations

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar, Self

import numpy as np

from lookalike._typing import Array, ArrayLike, FloatArray, IdArray, PathLike, RangeResult, SearchResult
from lookalike._validate import (
    LARGEST_NORM,
    MAX_K,
    check_allow,
    check_count,
    check_ids,
    check_metric,
    check_vectors,
    unit_rows,
)
from lookalike.errors import FormatError, IdError, InputError, NotTrainedError, ReadOnlyError

__all__ = ["Index", "allowed_ids", "gather_ranges", "missing", "passes", "shifted_ids"]


class Index(ABC):
    """Vectors that can be searched; see `FlatIndex`, `PQIndex`, `IVFFlatIndex`, `IVFPQIndex`.

    A search takes no lock: it works on a snapshot that `add` and `remove` replace when they are done, so many
    threads can search while one of them adds. Writers wait for each other. A change that fails leaves the index as it was.

    An index can be copied (`copy.copy` and `copy.deepcopy` alike), pickled, and sent to another process. A copy shares nothing with
    the index it is of, and can be changed even if that was opened with ``mmap=True``.
    """

    kind: ClassVar[str]

    def __init__(self, metric: str) -> None:
        self.metric = check_metric(metric)
        self.d: int | None = None
        self._writing = threading.RLock()
        self._readonly = False
        self._next_id = 0

    # --- what an index must say and do -------------------------------------------------------------------------------

    @property
    @abstractmethod
    def ntotal(self) -> int:
        """Number of vectors stored."""

    @property
    @abstractmethod
    def is_trained(self) -> bool:
        """Whether vectors can be added."""

    @property
    @abstractmethod
    def ids(self) -> IdArray:
        """The ids stored, int64, shape (ntotal,), in the order of storage."""

    @abstractmethod
    def search(
        self, xq: Any, k: int = 10, *, nprobe: int | None = None, allow: Any = None, threads: int | None = None
    ) -> SearchResult:
        """The k nearest vectors of each query, best first."""

    @abstractmethod
    def _train(self, xt: FloatArray) -> None: ...

    @abstractmethod
    def _add(self, xb: FloatArray, ids: IdArray) -> None: ...

    @abstractmethod
    def _remove(self, ids: IdArray) -> int: ...

    @abstractmethod
    def _find(self, ids: IdArray) -> IdArray:
        """The place of each id, −1 where it is not stored."""

    @abstractmethod
    def _reconstruct(self, places: IdArray) -> FloatArray: ...

    @abstractmethod
    def _arguments(self) -> dict[str, Any]:
        """What the constructor was given."""

    # --- the public door ---------------------------------------------------------------------------------------------

    def train(self, xt: ArrayLike) -> Self:
        """Learn the parameters of the index from `xt`, float, shape (nt, d). Returns the index itself.

        Raises
        ------
        TrainingError
            With fewer points than the index has centroids.
        InputError
            If `xt` is not a finite array of numbers of two dimensions, or the index holds vectors already.
        """
        with self._changing():
            if self.ntotal:
                raise InputError(f"train: expected an empty index, it holds {self.ntotal} vectors; make a new one")
            self._train(self._vectors(self._sampled(xt), "xt", fresh=True))
        return self

    def add(self, xb: ArrayLike, ids: ArrayLike | None = None) -> Self:
        """Store vectors. Returns the index itself.

        Parameters
        ----------
        xb : array of numbers, shape (n, d)
            Cast to float32. ``"cosine"`` stores unit vectors.
        ids : array of int64, shape (n,), optional
            Distinct, not negative and not stored yet. By default they go on from the largest so far.

        Raises
        ------
        NotTrainedError, DimensionError, DTypeError, InputError
        IdError
            If an id is given twice or is stored already; nothing is added then.
        """
        with self._changing():
            self._check_trained()
            x = self._rows(xb)
            if ids is None:
                if self._next_id + len(x) > 2**63:
                    raise IdError(f"add: no ids are left above {self._next_id - 1}; give ids of your own")
                numbers = np.arange(self._next_id, self._next_id + len(x), dtype=np.int64)
            else:
                numbers = check_ids(ids, len(x))
                self._check_new(numbers)
            if len(x):
                self._add(x, numbers)
                self._next_id = max(self._next_id, int(numbers.max()) + 1)
        return self

    def remove(self, ids: ArrayLike) -> int:
        """Forget the vectors with these ids; ids that are not stored are ignored. Returns how many were removed."""
        with self._changing():
            numbers = np.unique(check_ids(ids))
            return self._remove(numbers) if len(numbers) else 0

    def reconstruct(self, ids: ArrayLike) -> FloatArray:
        """The vectors that the index holds for these ids, float32, shape (n, d): decoded where they were coded.

        ``"cosine"`` gives unit vectors (up to coding), as they were stored.

        Raises
        ------
        IdError
            If an id is not stored.
        """
        self._check_trained()
        numbers = check_ids(ids)
        with self._writing:  # the map of ids belongs to the writer
            places = self._find(numbers)
            if (places < 0).any():
                raise IdError(f"reconstruct: id {int(numbers[places < 0][0])} is not stored")
            return self._reconstruct(places)

    # --- files and copies --------------------------------------------------------------------------------------------

    def save(self, path: PathLike | BinaryIO) -> None:
        """Write the index to one file; see `lookalike.load_index`.

        Parameters
        ----------
        path : path, or binary file
            A path is written atomically. A file that is open for writing is written to from where it stands.

        Raises
        ------
        NotTrainedError
        """
        from lookalike.index.storage import save_index

        save_index(self, path)

    def to_bytes(self) -> bytes:
        """What `save` would write."""
        from lookalike.index.storage import index_to_bytes

        return index_to_bytes(self)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Self:
        """The index of `to_bytes`. Like a file it is checked, so that bytes of anybody may be given.

        Raises
        ------
        FormatError
            If the bytes are damaged, or hold an index of another class.
        VersionError
            If a newer lookalike made them.
        """
        from lookalike.index.storage import index_from_bytes

        index = index_from_bytes(data)
        if not isinstance(index, cls):
            raise FormatError(
                f"from_bytes: expected the bytes of a {cls.__name__}, got those of a {type(index).__name__}"
            )
        return index

    def __copy__(self) -> Self:
        from lookalike.index.storage import copied

        copy: Self = copied(self)
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    def __reduce__(self) -> tuple[Any, ...]:
        from lookalike.index.storage import reduced

        return reduced(self)

    # --- checks ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One change: other writers wait, and if it fails, everything is as before.

        To put the attributes back is enough, since a change replaces what they hold. It writes to it only behind the end of a
        list, where nobody looks.
        """
        with self._writing:
            self._check_writable()
            before = dict(vars(self))
            try:
                yield
            except BaseException:
                vars(self).update(before)
                for name in vars(self).keys() - before.keys():
                    delattr(self, name)
                raise

    def _vectors(self, x: Any, name: str, *, empty_ok: bool = False, fresh: bool = False) -> FloatArray:
        """`x` checked, cast, and for ``"cosine"`` scaled to unit length."""
        cast = check_vectors(x, None if fresh else self.d, name, empty_ok=empty_ok)
        if self.metric == "cosine":
            return unit_rows(cast)
        flat = cast.reshape(-1)
        with np.errstate(over="ignore"):
            if np.dot(flat, flat) < LARGEST_NORM:  # all of them together are short enough
                return cast
            norms = np.einsum("nd,nd->n", cast, cast)
        if len(norms) and not norms.max() < LARGEST_NORM:
            row = int(np.argmax(norms))
            raise InputError(
                f"{name}: row {row} is too long, its squared norm overflows float32; scale the vectors down"
            )
        return cast

    def _rows(self, xb: Any) -> Any:
        """The vectors to add, checked, or checked as they are read."""
        return self._vectors(xb, "xb", empty_ok=True)

    def _sampled(self, xt: Any) -> Any:
        """The training vectors, or as many of them as training uses."""
        return xt

    def _check_search(self, xq: Any, k: Any) -> tuple[FloatArray, int]:
        self._check_trained()
        return self._vectors(xq, "xq", empty_ok=True), check_count(k, "k", 1, MAX_K)

    def _check_trained(self) -> None:
        if not self.is_trained:
            raise NotTrainedError(f"{type(self).__name__} is not trained; call train(xt) first")

    def _check_writable(self) -> None:
        if self._readonly:
            raise ReadOnlyError("the index was opened with mmap=True; open it with mmap=False to change it")

    def _check_new(self, ids: IdArray) -> None:
        unique, counts = np.unique(ids, return_counts=True)
        if len(unique) != len(ids):
            raise IdError(f"add: id {int(unique[counts > 1][0])} is given twice")
        if self.ntotal and len(ids):
            taken = self._find(ids) >= 0
            if taken.any():
                raise IdError(f"add: id {int(ids[taken][0])} is stored already; remove it first")

    def _find_stored(self, ids: IdArray, what: str) -> IdArray:
        """Places of distinct ids, all of them stored."""
        if len(np.unique(ids)) != len(ids):
            raise IdError(f"{what}: an id is given twice")
        places = self._find(ids)
        if (places < 0).any():
            raise IdError(f"{what}: id {int(ids[places < 0][0])} is not stored")
        return places

    def __repr__(self) -> str:
        return f"<{type(self).__name__} metric={self.metric!r} d={self.d} ntotal={self.ntotal}>"


def allowed_ids(allow: Any, below: int = 1 << 63) -> Array | None:
    """`allow` as a boolean mask over ids or a sorted array of distinct ids; None lets everything pass.

    No id that is stored is as large as `below`.
    """
    if allow is None:
        return None
    array = check_allow(allow, below)
    return np.require(array, np.bool_, ["C", "A", "W"]) if array.dtype == np.bool_ else np.unique(array)


def shifted_ids(ids: IdArray, add_id: Any) -> IdArray:
    """`ids` of another index, shifted by `add_id`, which must leave them below 2**63."""
    shift, largest = check_count(add_id, "add_id", 0), int(ids.max(initial=0))
    if shift > np.iinfo(np.int64).max - largest:
        raise IdError(f"merge: add_id {shift} would take id {largest} beyond 2**63 - 1; give a smaller one")
    return ids + shift


def passes(allow: Array, ids: IdArray) -> Array:
    """Which of `ids` the prepared filter lets pass."""
    if allow.dtype == np.bool_:
        inside = (ids >= 0) & (ids < len(allow))
        return inside & allow[np.where(inside, ids, 0)] if len(allow) else np.zeros(len(ids), np.bool_)
    at = np.minimum(np.searchsorted(allow, ids), max(len(allow) - 1, 0))
    return allow[at] == ids if len(allow) else np.zeros(len(ids), np.bool_)


def missing(nq: int, k: int, metric: str) -> SearchResult:
    """The result of a search that found nothing."""
    worst = -np.inf if metric == "ip" else np.inf
    return SearchResult(np.full((nq, k), worst, np.float32), np.full((nq, k), -1, np.int64))


def gather_ranges(parts: list[tuple[FloatArray, IdArray]], nq: int) -> RangeResult:
    """One `RangeResult` from the distances and ids of each query; no parts is a search that found nothing."""
    lims = np.zeros(nq + 1, np.int64)
    if not parts:
        return RangeResult(lims, np.empty(0, np.float32), np.empty(0, np.int64))
    lims[1:] = np.cumsum([len(ids) for _, ids in parts])
    return RangeResult(lims, np.concatenate([d for d, _ in parts]), np.concatenate([ids for _, ids in parts]))
