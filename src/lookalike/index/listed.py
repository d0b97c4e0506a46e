"""What indexes with inverted lists share: the checks of a request, and the life of what is stored."""

from __future__ import annotations

import threading
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lookalike._threads import cores
from lookalike._typing import Array, FloatArray, IdArray
from lookalike._validate import check_count, check_ids
from lookalike.errors import InputError
from lookalike.index.base import Index, allowed_ids, check_lengths, shifted_ids
from lookalike.index.idmap import IdMap
from lookalike.index.large import LargeArray, is_large, sample_rows
from lookalike.quantizers.kmeans import KMeansChoice, get_kmeans
from lookalike.quantizers.rotation import LinearTransform, parse_rotation

if TYPE_CHECKING:
    from lookalike.index.trace import Trace

__all__ = ["POSITION", "ListedIndex", "Stored"]

POSITION = 0xFFFFFFFF  # a place is list_no << 32 | position

Stored = tuple[Any, ...]
"""What lists hold of some vectors, row by row: (list_no, …, ids), without the ids (list_no, …)."""


class ListedIndex(Index):
    """Base of indexes whose vectors lie in one or many lists, in whatever form.

    An optional rotation (`quantizers.rotation`) stands at the public door: what lies behind it lives in the rotated space.
    """

    coarse_metric = "l2"  # how lists are chosen
    _lists: Any
    _cold = False  # just loaded: the first search may do without the kernels (`index.cold`)

    def __init__(self, nlist: int, metric: str, kmeans: KMeansChoice, rotation: str | None, seed: int) -> None:
        super().__init__(metric)
        get_kmeans(kmeans)
        parse_rotation(rotation)
        self.nlist = check_count(nlist, "nlist")
        self.kmeans, self.rotation, self.seed = kmeans, rotation, seed
        self._transform: LinearTransform | None = None
        self._places: IdMap | None = None

    # --- what differs ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _encode(self, x: FloatArray) -> Stored:
        """What lists hold of these vectors: (list_no, …)."""

    @abstractmethod
    def _empty_lists(self) -> Any:
        """Lists that hold nothing."""

    @abstractmethod
    def _changed(self, lists: Any, without: IdArray | None, more: Stored | None) -> Any:
        """New lists: `lists` without what stands at these places, then with (list_no, …, ids) appended."""

    @abstractmethod
    def _stored_at(self, places: IdArray) -> Stored:
        """What stands at these places: (list_no, …)."""

    @abstractmethod
    def _all_stored(self) -> Stored:
        """What all lists hold, list by list: (list_no, …, ids)."""

    @abstractmethod
    def _probe(self, xq: FloatArray, nprobe: int, threads: int = 1) -> tuple[IdArray, FloatArray]:
        """The lists to visit for each query, (nq, nprobe), nearest first, and the part of the distance they give."""

    @abstractmethod
    def _coarse_space(self) -> FloatArray:
        """Centroids of the lists, float32, shape (nlist, d)."""

    @abstractmethod
    def _space_arrays(self) -> list[Array]:
        """The centroids that give meaning to what is stored; two indexes can be merged where theirs are equal."""

    # --- vectors larger than memory ----------------------------------------------------------------------------------

    @abstractmethod
    def _trains_on(self) -> int:
        """How many vectors training makes use of."""

    def _rows(self, xb: Any) -> Any:
        return LargeArray(self, xb) if is_large(xb) else super()._rows(xb)

    def _sampled(self, xt: Any) -> Any:
        return sample_rows(xt, self._trains_on(), self.seed) if is_large(xt) else xt

    # --- one request -------------------------------------------------------------------------------------------------

    @property
    def ids(self) -> IdArray:
        ids: IdArray = self._lists.all_ids()
        return ids

    @property
    def _is_l2(self) -> bool:
        return self.metric == "l2"

    def _inside(self, x: FloatArray, threads: int | None = None) -> FloatArray:
        """Vectors as the lists know them: rotated, if there is a rotation."""
        return x if self._transform is None else self._transform.apply(x, threads)

    def _to_store(self, x: FloatArray) -> FloatArray:
        """Vectors as the lists are to hold them; a rotation from a file may make any too long to be compared."""
        inside = self._inside(x)
        if inside is not x:
            check_lengths(inside, "xb, behind the rotation")
        return inside

    def _inside_cold(self, x: FloatArray) -> FloatArray:
        """The same without the kernels."""
        return x if self._transform is None else self._transform.apply_cold(x)

    def _check_request(
        self, xq: Any, nprobe: int | None, threads: int | None, allow: Any
    ) -> tuple[FloatArray, int, int, Array | None]:
        self._check_trained()
        vectors = self._vectors(xq, "xq", empty_ok=True)
        nprobe = min(check_count(1 if nprobe is None else nprobe, "nprobe"), self.nlist)
        threads = cores() if threads is None else check_count(threads, "threads")
        return vectors, nprobe, threads, allowed_ids(allow, self._next_id)

    def _as_metric(self, distances: FloatArray) -> FloatArray:
        """From "smaller is nearer" to what the metric promises."""
        return np.negative(distances, out=distances) if self.metric == "ip" else distances

    # --- life of an index --------------------------------------------------------------------------------------------

    def update(self, ids: Any, xb: Any) -> Self:
        """Replace the vectors of these ids, which must be stored; a search sees all of the old ones or all of the new.

        Raises
        ------
        IdError
            If an id is not stored or is given twice; nothing is changed then.
        """
        with self._changing():
            self._check_trained()
            vectors = self._vectors(xb, "xb", empty_ok=True)
            numbers = check_ids(ids, len(vectors))
            places = self._find_stored(numbers, "update")
            more = (*self._encode(self._to_store(vectors)), numbers)
            self._lists, self._places = self._changed(self._lists, places, more), None
        return self

    def merge(self, other: Any, add_id: int = 0) -> Self:
        """Take over the vectors of an index with the same centroids, their ids shifted by `add_id`. `other` is not changed.

        Raises
        ------
        InputError
            If the two do not share metric, centroids and rotation.
        IdError
            If an id would be stored twice; nothing is changed then.
        """
        if not isinstance(other, ListedIndex) or not self._same_space(other):
            raise InputError("merge: expected an index trained the same way (metric, codes, centroids, rotation)")
        with self._changing():
            *stored, numbers = other._all_stored()
            numbers = shifted_ids(numbers, add_id)
            self._check_new(numbers)
            self._lists, self._places = self._changed(self._lists, None, (*stored, numbers)), None
            self._next_id = max(self._next_id, int(numbers.max(initial=-1)) + 1)
        return self

    def split(self, ids: Any) -> Self:
        """Move the vectors of these ids, which must be stored, into a new index with the same centroids, and return it."""
        with self._changing():
            self._check_trained()
            numbers = check_ids(ids)
            places = self._find_stored(numbers, "split")
            part = self._like()
            part._lists = self._changed(self._empty_lists(), None, (*self._stored_at(places), numbers))
            self._lists, self._places = self._changed(self._lists, places, None), None
        return part

    def _like(self) -> Self:
        """An index of the same centroids that holds nothing, for `split` to fill; what either learns later is its own."""
        like = object.__new__(type(self))
        vars(like).update(vars(self))
        like._writing, like._places = threading.RLock(), None
        return like

    def _same_space(self, other: ListedIndex) -> bool:
        if (type(self), self.metric, self.nlist) != (type(other), other.metric, other.nlist):
            return False
        own, theirs = self._space_arrays(), other._space_arrays()
        for index, parts in ((self, own), (other, theirs)):
            if index._transform is not None:
                parts += [index._transform.matrix, index._transform.offset]
        return len(own) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(own, theirs, strict=True))

    def _remove(self, ids: IdArray) -> int:
        places = self._find(ids)
        places = places[places >= 0]
        if len(places):
            self._lists, self._places = self._changed(self._lists, places, None), None
        return len(places)

    def _find(self, ids: IdArray) -> IdArray:
        if self._places is None:
            self._places = IdMap(self._lists.all_ids(), self._lists.all_places())
        return self._places.find(ids)

    def trace(self, query: Any, k: int = 10, nprobe: int | None = None, exact_ids: Any = None) -> Trace:
        """One search, step by step: what was probed, computed, kept and, given the exact neighbours' ids, missed and why."""
        from lookalike.index.trace import trace_search

        return trace_search(self, query, k, nprobe, exact_ids)  # type: ignore[arg-type]  # there are two kinds of lists

    def _arguments(self) -> dict[str, Any]:
        return {
            "nlist": self.nlist,
            "metric": self.metric,
            "kmeans": self.kmeans,
            "rotation": self.rotation,
            "seed": self.seed,
            "coarse_metric": self.coarse_metric,
        }
