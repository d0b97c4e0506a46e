"""The index: cells × codec × lists, a rotation in front, and one life for every kind.

train   a rotation, if there is one; `cells`, how space is cut; `codec`, what stands for a vector
add     each vector goes to the list of its cell, as what the codec makes of it
search  the nprobe nearest cells are looked up, and the codec searches their lists
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from lookalike._threads import cores
from lookalike._typing import Array, ArrayLike, FloatArray, IdArray, RangeResult, SearchResult
from lookalike._validate import (
    LARGEST_NORM,
    MAX_K,
    check_count,
    check_distinct,
    check_ids,
    check_lengths,
    check_metric,
    check_radius,
    check_vectors,
    is_plain,
    unit_rows,
)
from lookalike.errors import FormatError, IdError, InputError, NotTrainedError, ReadOnlyError
from lookalike.files import native
from lookalike.files.tensors import MappedFile, Source, tensor_bytes, write_tensors
from lookalike.index import plain, storage
from lookalike.index.cells import Cells, OneCell
from lookalike.index.codecs.codec import Codec
from lookalike.index.filters import prepared_filter
from lookalike.index.idmap import IdMap
from lookalike.index.large import ROWS, LargeArray, is_large, sample_rows
from lookalike.index.lists import Lists
from lookalike.index.results import gather_ranges, missing
from lookalike.index.statistics import statistics, training_record
from lookalike.quantizers.kmeans import KMeansChoice
from lookalike.quantizers.rotation import LinearTransform, parse_rotation, train_pca

if TYPE_CHECKING:
    from lookalike.index.trace import Trace
    from lookalike.index.tune import Tuned

__all__ = ["Index", "Progress", "ignore_progress"]

NOWHERE: IdArray = np.empty(0, np.int64)
NO_VECTORS: FloatArray = np.empty((0, 0), np.float32)
STEPS = 3  # of training

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


def ignore_progress(done: int, total: int) -> None:
    """Report to nobody."""


class Index:
    """Vectors that can be searched: what all kinds share, from `FlatIndex` to `IVFSignsIndex` and `RefinedIndex`.

    A search takes no lock: it works on a snapshot that `add` and `remove` replace when they are done, so many
    threads can search while one of them adds. Writers wait for each other. A change that fails leaves the index as it was.

    An index can be copied (`copy.copy` and `copy.deepcopy` alike), pickled, and sent to another process. A copy shares nothing with
    the original, and can be changed even if that was opened with ``mmap=True``.
    """

    kind: ClassVar[str]  # as files name it
    _arguments: ClassVar[tuple[str, ...]]  # of the constructor; each is an attribute, too
    _cells: Cells | OneCell
    _codec: Codec
    _lists: Lists
    _is_fresh = False  # just loaded: the first search may do without the kernels (`index.plain`)

    def __init_subclass__(cls) -> None:
        if "kind" in vars(cls) and (cls.__module__.startswith("lookalike.") or cls.kind not in storage.KINDS):
            storage.KINDS[cls.kind] = cls

    def __init__(
        self, codec: Codec, nlist: int = 1, kmeans: KMeansChoice = "native", rotation: str | None = None, seed: int = 0
    ) -> None:
        self.metric = check_metric(codec.metric)
        self.nlist = check_count(nlist, "nlist")
        self.kmeans, self.rotation, self.seed = kmeans, rotation, seed
        self.d: int | None = None
        self.training: dict[str, Any] = {}  # how it was trained, for the record; empty if centroids were given
        self._codec = codec
        self._lists = Lists.empty(nlist, codec.columns)
        self._transform: LinearTransform | None = None
        self._id_map: IdMap | None = None  # made when ids are first looked up
        self._writing = threading.RLock()
        self._readonly = False
        self._mapped: MappedFile | None = None
        self._next_id = 0

    # --- what it is --------------------------------------------------------------------------------------------------

    @property
    def ntotal(self) -> int:
        """Number of vectors stored."""
        return self._lists.ntotal

    @property
    def is_trained(self) -> bool:
        """Whether vectors can be added."""
        return self._codec.cells is not None

    @property
    def ids(self) -> IdArray:
        """The ids stored, int64, shape (ntotal,), in the order of storage."""
        return self._lists.all_ids()

    def __len__(self) -> int:
        return self.ntotal

    def __bool__(self) -> bool:
        return True  # an empty index is an index

    def __contains__(self, number: object) -> bool:
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number < 1 << 63:
            return False
        with self._writing:
            return bool(self._find(np.array([number], np.int64))[0] >= 0)

    # --- train and add -----------------------------------------------------------------------------------------------

    def train(self, xt: Any, *, progress: Progress | None = None) -> Self:
        """Learn the parameters of the index from `xt`, float, shape (nt, d). Returns the index itself.

        Parameters
        ----------
        xt : array of numbers, shape (nt, d)
        progress : callable, optional
            Called as ``progress(done, total)`` after each step: rotation, cells, codes.

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
            sample = sample_rows(xt, self._codec.trains_on(self.nlist), self.seed) if is_large(xt) else xt
            self._train(self._vectors(sample, "xt", is_first=True), progress or ignore_progress)
        return self

    def _train(self, xt: FloatArray, progress: Progress) -> None:
        transform = self._trained_transform(xt)
        progress(1, STEPS)
        x = xt if transform is None else transform.apply(xt)
        self._codec.check_dimension(x.shape[1])
        cells = self._trained_cells(x)
        progress(2, STEPS)
        self._take(self._codec.fitted(x, cells), transform)
        progress(STEPS, STEPS)
        self.training = training_record(len(xt), self.kmeans, self.seed)

    def _trained_transform(self, xt: FloatArray) -> LinearTransform | None:
        kind, d_out = parse_rotation(self.rotation)
        centre = self.metric == "l2"  # products need the origin where it is
        if kind == "pca":
            return train_pca(xt, d_out or xt.shape[1], centre=centre)
        return self._codec.trained_opq(xt, d_out, centre=centre) if kind == "opq" else None

    def _trained_cells(self, x: FloatArray) -> Cells | OneCell:
        return OneCell(x.shape[1])

    def _take(self, codec: Codec, transform: LinearTransform | None) -> None:
        """Start over with this codec, its cells and this rotation, holding nothing."""
        assert codec.cells is not None
        self._codec, self._cells, self._transform = codec, codec.cells, transform
        self.d = codec.cells.centroids.shape[1] if transform is None else transform.d_in
        self._lists, self._id_map = Lists.empty(codec.cells.nlist, codec.columns), None

    def add(self, xb: Any, ids: ArrayLike | None = None, *, progress: Progress | None = None) -> Self:
        """Store vectors. Returns the index itself.

        Parameters
        ----------
        xb : array of numbers, shape (n, d)
            Cast to float32. ``"cosine"`` stores unit vectors.
        ids : array of int64, shape (n,), optional
            Distinct, not negative and not stored yet. By default numbers that continue after the largest so far.
        progress : callable, optional
            Called as ``progress(done, total)``, in vectors. A search finds none of them before all are stored.

        Raises
        ------
        NotTrainedError, DimensionError, DTypeError, InputError
        IdError
            If an id is given twice or is stored already; nothing is added then.
        """
        with self._changing():
            self._check_trained()
            x = LargeArray(self, xb) if is_large(xb) else self._vectors(xb, "xb", empty_ok=True)
            numbers = self._next_ids(len(x)) if ids is None else check_ids(ids, len(x))
            if ids is not None:
                self._check_new(numbers, "add")
            if len(x):
                self._replace(NOWHERE, x, numbers, progress or ignore_progress)
        return self

    def _next_ids(self, count: int) -> IdArray:
        if self._next_id + count > 2**63:
            raise IdError(f"add: no ids are left above {self._next_id - 1}; give ids of your own")
        return np.arange(self._next_id, self._next_id + count, dtype=np.int64)

    def _replace(
        self, gone: IdArray, xb: FloatArray | LargeArray, ids: IdArray, progress: Progress = ignore_progress
    ) -> None:
        """Drop what stands at the places `gone`, and store these vectors; a search sees all of that or nothing."""
        lists, id_map, places = self._lists, self._id_map, [NOWHERE]
        if len(gone):
            lists = lists.remove(gone)
            id_map = None if id_map is None else id_map.without(gone, self._lists, lists)
        for first in range(0, len(xb), ROWS):
            rows = slice(first, first + ROWS)
            lists, where = lists.append(*self._encoded(xb[rows]), ids[rows])
            places.append(where)
            progress(min(first + ROWS, len(xb)), len(xb))
        if id_map is not None and len(ids):
            id_map = id_map.extended(ids, np.concatenate(places))
        self._lists, self._id_map = lists, id_map
        self._next_id = max(self._next_id, int(ids.max(initial=-1)) + 1)

    def _encoded(self, x: FloatArray) -> tuple[IdArray, tuple[Array, ...]]:
        """List numbers of vectors, and what the lists hold of them."""
        rotated = self._rotated(x)
        if rotated is not x:  # a rotation from a file may make any too long
            check_lengths(rotated, "xb, behind the rotation")
        list_no = self._cells.assign(rotated)
        return list_no, self._codec.encode(rotated, list_no)

    # --- search ------------------------------------------------------------------------------------------------------

    def search(
        self,
        xq: Any,
        k: int = 10,
        *,
        nprobe: int | None = None,
        allow: Any = None,
        deny: Any = None,
        threads: int | None = None,
    ) -> SearchResult:
        """The k nearest vectors of each query among the nprobe lists nearest to it.

        Parameters
        ----------
        xq : array of numbers, shape (nq, d)
        k : int
            Up to 1,000,000.
        nprobe : int, optional
            Lists visited, 1 by default; above nlist means all.
        allow : ids (list, set, range or array of integers), or mask (array of bool indexed by id), optional
            Only these are found, and k of them where the visited lists hold k.
        deny : the same, optional
            These are not found.
        threads : int, optional
            All cores by default.

        Returns
        -------
        SearchResult
            Distances (nq, k) float32 and ids (nq, k) int64, best first, equal distances by id. They are distances to the decoded
            vectors (asymmetric distance), which are the vectors themselves where these are kept whole.

        Raises
        ------
        NotTrainedError, DimensionError, InputError
        """
        return self._searched(self._codec, xq, k, nprobe, allow, deny, threads)

    def _searched(
        self, codec: Codec, xq: Any, k: int, nprobe: int | None, allow: Any, deny: Any, threads: int | None
    ) -> SearchResult:
        """What `search` gives, by a codec of this index."""
        k = check_count(k, "k", 1, MAX_K)
        self._check_whole()
        found = self._search_one(codec, xq, k, nprobe, threads) if allow is None and deny is None else None
        if found is not None:
            return found
        vectors, nprobe, threads, permitted = self._check_request(xq, nprobe, threads, allow, deny)
        lists = self._lists
        if len(vectors) == 0 or lists.ntotal == 0 or (permitted is not None and len(permitted) == 0):
            return missing(len(vectors), k, self.metric)
        if self._is_fresh and plain.is_worthwhile(self, len(vectors), nprobe):
            queries = vectors if self._transform is None else self._transform.apply_cold(vectors)
            distances, ids = plain.search(self, queries, k, nprobe, permitted)
        else:
            queries = self._rotated(vectors, threads)
            probes, coarse = self._cells.probe(queries, nprobe, threads)
            distances, ids = codec.search(lists, queries, probes, coarse, k, permitted, threads)
        self._is_fresh = False
        return SearchResult(self._as_metric(distances), ids)

    def _search_one(
        self, codec: Codec, xq: Any, k: int, nprobe: int | None, threads: int | None
    ) -> SearchResult | None:
        """What `search` gives for one query in the common case, by one call of one kernel; None in any other case."""
        if self._is_fresh or self._transform is not None or not is_plain(xq, self.d) or len(xq) != 1:
            return None
        nprobe = min(check_count(1 if nprobe is None else nprobe, "nprobe"), self.nlist)
        check_count(1 if threads is None else threads, "threads")
        if self.metric == "cosine":
            with np.errstate(invalid="ignore"):  # what is not finite is seen below
                xq = unit_rows(xq)
        found = codec.search_one(self._lists, xq, k, nprobe)
        if found is None or not found[2] < LARGEST_NORM:
            return None
        return SearchResult(self._as_metric(found[0]), found[1])

    def range_search(
        self,
        xq: Any,
        radius: float,
        *,
        nprobe: int | None = None,
        allow: Any = None,
        deny: Any = None,
        threads: int | None = None,
    ) -> RangeResult:
        """Every vector nearer than `radius` among the nprobe lists nearest to each query.

        Parameters
        ----------
        xq : array of numbers, shape (nq, d)
        radius : float
            As in the metric: squared for ``"l2"``; ``"ip"`` gives the vectors of larger inner product.
        nprobe, allow, deny, threads
            As in `search`.

        Returns
        -------
        RangeResult
            lims (nq + 1,), distances and ids (lims[-1],), each query's best first.
        """
        vectors, nprobe, threads, permitted = self._check_request(xq, nprobe, threads, allow, deny)
        limit, lists = check_radius(radius) * (-1 if self.metric == "ip" else 1), self._lists
        if len(vectors) == 0 or lists.ntotal == 0 or (permitted is not None and len(permitted) == 0):
            return gather_ranges([], len(vectors))
        queries = self._rotated(vectors, threads)
        probes, coarse = self._cells.probe(queries, nprobe, threads)
        found = self._codec.within(lists, queries, probes, coarse, limit, permitted, threads)
        return gather_ranges([(self._as_metric(distances), ids) for distances, ids in found], len(queries))

    def tune(
        self, xq: Any, recall: float = 0.95, *, k: int = 10, exact_ids: Any = None, threads: int | None = None
    ) -> Tuned:
        """The smallest nprobe with which a search reaches a recall.

        Parameters
        ----------
        xq : array of numbers, shape (nq, d)
            Typical queries, not the stored vectors; a few hundred or more.
        recall : float
            Above 0 and up to 1.
        k : int
            Of how many neighbours.
        exact_ids : array of int64, shape (nq, k or more), optional
            The true neighbours of each query. Without them recall is measured against a search of all lists, which leaves out what
            codes lose.
        threads : int, optional

        Returns
        -------
        Tuned
            ``nprobe``, and the ``recall`` that these queries reach with it.

        Raises
        ------
        InputError
            If even a search of all lists does not reach it; the message says what that gives.

        Notes
        -----
        Assumes that recall grows with nprobe; takes about 2 · log2(nlist) searches.
        """
        from lookalike.index.tune import tune

        return tune(self, xq, recall, k, exact_ids, threads)

    def trace(self, query: Any, k: int = 10, nprobe: int | None = None, exact_ids: Any = None) -> Trace:
        """One search, step by step: what was probed, computed, kept and, given the exact neighbours' ids, missed and why."""
        from lookalike.index.trace import trace_search

        return trace_search(self, query, k, nprobe, exact_ids)

    def _check_request(
        self, xq: Any, nprobe: int | None, threads: int | None, allow: Any, deny: Any = None
    ) -> tuple[FloatArray, int, int, Array | None]:
        self._check_trained()
        vectors = self._vectors(xq, "xq", empty_ok=True)
        nprobe = min(check_count(1 if nprobe is None else nprobe, "nprobe"), self.nlist)
        threads = cores() if threads is None else check_count(threads, "threads")
        return vectors, nprobe, threads, prepared_filter(allow, deny, self._next_id, self._lists.all_ids)

    def _rotated(self, x: FloatArray, threads: int | None = None) -> FloatArray:
        """Vectors as the cells know them: rotated, if there is a rotation."""
        return x if self._transform is None else self._transform.apply(x, threads)

    def _as_metric(self, distances: FloatArray) -> FloatArray:
        """Distances of the metric from those where smaller is nearer."""
        return np.negative(distances, out=distances) if self.metric == "ip" else distances

    # --- life of an index --------------------------------------------------------------------------------------------

    def remove(self, ids: ArrayLike) -> int:
        """Remove the vectors with these ids; ids that are not stored are ignored. Returns how many were removed."""
        with self._changing():
            numbers = np.unique(check_ids(ids))
            places = self._find(numbers) if len(numbers) else numbers
            places = places[places >= 0]
            if len(places):
                self._replace(places, NO_VECTORS, NOWHERE)
        return len(places)

    def update(self, ids: Any, xb: Any) -> Self:
        """Replace the vectors of these ids, which must be stored; a search sees all of the old ones or all of the new.

        Raises
        ------
        IdError
            If an id is not stored or is given twice; nothing is changed then.
        """
        return self._put(ids, xb, "update")

    def upsert(self, ids: Any, xb: Any) -> Self:
        """Replace the vectors of the ids that are stored, and add the others; a search sees all of it or nothing.

        Raises
        ------
        IdError
            If an id is given twice; nothing is changed then.
        """
        return self._put(ids, xb, "upsert")

    def _put(self, ids: Any, xb: Any, what: Literal["update", "upsert"]) -> Self:
        with self._changing():
            self._check_trained()
            vectors = self._vectors(xb, "xb", empty_ok=True)
            numbers = check_ids(ids, len(vectors))
            check_distinct(numbers, what)
            if len(numbers):
                places = self._find_stored(numbers, what) if what == "update" else self._find(numbers)
                self._replace(places[places >= 0], vectors, numbers)
        return self

    def merge(self, other: Any, add_id: int = 0) -> Self:
        """Add the vectors of an index with the same centroids, their ids shifted by `add_id`. `other` is not changed.

        Raises
        ------
        InputError
            If the two do not share metric, centroids and rotation.
        IdError
            If an id would be stored twice; nothing is changed then.
        """
        if not isinstance(other, Index) or not self._has_same_space(other):
            raise InputError("merge: expected an index trained the same way (metric, codes, centroids, rotation)")
        with self._changing():
            list_no, (*rows, ids) = other._lists.all_rows()
            numbers = _shifted_ids(ids, add_id)
            self._check_new(numbers, "merge")
            if len(numbers):
                if not isinstance(self._codec.cells, Cells | OneCell):  # an empty FlatIndex
                    self._take(other._codec, other._transform)
                self._lists, places = self._lists.append(list_no, tuple(rows), numbers)
                if self._id_map is not None:
                    self._id_map = self._id_map.extended(numbers, places)
                self._next_id = max(self._next_id, int(numbers.max()) + 1)
        return self

    def split(self, ids: Any) -> Self:
        """Move the vectors of these ids, which must be stored, into a new index with the same centroids, and return it."""
        with self._changing():
            self._check_trained()
            numbers = check_ids(ids)
            check_distinct(numbers, "split")
            places = self._find_stored(numbers, "split")
            part = self._like()
            if len(numbers):
                part._lists = part._lists.append(places >> 32, self._lists.at(places), numbers)[0]
                self._replace(places, NO_VECTORS, NOWHERE)
        return part

    def _like(self) -> Self:
        """An empty index with the same centroids, for `split` to fill; training one later does not change the other."""
        like = object.__new__(type(self))
        vars(like).update(vars(self))
        like._writing, like.training = threading.RLock(), dict(self.training)
        like._take(self._codec, self._transform)
        return like

    def _has_same_space(self, other: Index) -> bool:
        """Whether what is stored means the same in both."""
        if (type(self), self.metric, self.nlist) != (type(other), other.metric, other.nlist):
            return False
        own, others = self._learnt(), other._learnt()
        return own.keys() == others.keys() and all(np.array_equal(own[name], others[name]) for name in own)

    def _learnt(self) -> native.Tensors:
        """Cells, codes and rotation, as files name them; nothing before training."""
        if not self.is_trained:
            return {}
        learnt = {"coarse_centroids": self._cells.centroids, **self._codec.tensors()}
        return learnt | native.rotation_tensors(self._transform)

    def compact(self) -> None:
        """Give back the memory that growing lists keep in reserve."""
        with self._changing():
            if len(self._lists.gone):
                self._id_map = None  # what follows them moves up
            self._lists = self._lists.compact()

    # --- single vectors and codes ------------------------------------------------------------------------------------

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
            return self._reconstruct(self._find_stored(numbers, "reconstruct"))

    def _reconstruct(self, places: IdArray) -> FloatArray:
        return self._unrotated(self._codec.decode(self._lists.at(places), places >> 32))

    def _unrotated(self, x: FloatArray) -> FloatArray:
        """Vectors of the cells as they were before the rotation."""
        return x if self._transform is None else self._transform.inverse(x)

    def _find(self, ids: IdArray) -> IdArray:
        """The place of each id, ``list_no << 32 | position``; −1 where it is not stored. For whoever holds `_writing`."""
        if self._id_map is None:
            self._id_map = IdMap(self._lists.all_ids(), self._lists.all_places())
        return self._id_map.find(ids, self._lists)

    def _find_stored(self, ids: IdArray, what: str) -> IdArray:
        """The place of each id; all of them must be stored."""
        places = self._find(ids)
        if (places < 0).any():
            raise IdError(f"{what}: id {int(ids[places < 0][0])} is not stored")
        return places

    # --- about it ----------------------------------------------------------------------------------------------------

    def stats(self, sample: Any = None) -> dict[str, Any]:
        """Memory by part, balance of the lists and, for a `sample` of vectors (n, d), how much coding loses.

        Returns
        -------
        dict
            ``memory``: bytes of each column (codes, biases or vectors, and ids), slack (spare room; `compact` gives it back),
            id_map (built when ids are first looked up), centroids; ``bytes_per_vector``: of the columns. ``lists``: count, empty,
            smallest, largest, ``imbalance`` = nlist · Σ n² / (Σ n)², 1 when all are equal. ``quantization_error``: mean
            ‖x − decoded‖² and its share of the mean ‖x − mean‖².
        """
        return statistics(self, None if sample is None else self._vectors(sample, "sample"))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} metric={self.metric!r} d={self.d} ntotal={self.ntotal}>"

    # --- files and copies --------------------------------------------------------------------------------------------

    def save(self, path: Source) -> None:
        """Write the index to one file; see `lookalike.load_index`.

        Parameters
        ----------
        path : path, or binary file
            A path is written atomically, an open file from its position on.

        Raises
        ------
        NotTrainedError
        """
        with self._writing:  # nothing changes while it is written
            write_tensors(path, *storage.parts(self, "save"))

    def to_bytes(self) -> bytes:
        """What `save` would write."""
        with self._writing:
            return tensor_bytes(*storage.parts(self, "to_bytes"))

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Self:
        """The index that `to_bytes` wrote. The bytes are checked as a file is, so they may come from anyone.

        Raises
        ------
        FormatError
            If the bytes are damaged, or hold an index of another class.
        VersionError
            If a newer lookalike made them.
        """
        index = storage.index_from_bytes(data)
        if not isinstance(index, cls):
            raise FormatError(
                f"from_bytes: expected the bytes of a {cls.__name__}, got those of a {type(index).__name__}"
            )
        return index

    def __copy__(self) -> Self:
        return storage.copied(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return storage.copied(self)

    def __reduce__(self) -> tuple[Any, ...]:
        return storage.reduced(self)

    def _metadata(self) -> dict[str, Any]:
        """What a file says of the index beside its tensors."""
        arguments = {name: getattr(self, name) for name in self._arguments}
        return native.metadata_of(self.kind, arguments, self.d, self.ntotal, self._next_id)

    def _tensors(self) -> native.Tensors:
        """What it learnt and what it holds, as files name it; may share memory with the index."""
        return self._learnt() | self._codec.to_file(self._lists).flat()

    @classmethod
    def _from_parts(cls, metadata: dict[str, Any], tensors: native.Tensors, look: bool) -> Self:
        """An index that takes over these parts; `look` reads all of them, so that none holds what no index could."""
        spec = dict(metadata["spec"])
        native.check_nlist(spec, tensors)
        index = cls(**spec | ({"kmeans": "native"} if spec["kmeans"] == "custom" else {}))
        codec = index._codec_of(tensors, metadata["ntotal"], look)
        assert codec.cells is not None
        index._take(codec, native.rotation_of(tensors, codec.cells.centroids.shape[1]))
        index._lists = codec.from_file(Lists.from_flat(codec.columns, tensors, tensors["sizes"].copy()))
        index.training = dict(metadata.get("training", {}))
        if index.d != metadata["d"]:
            raise FormatError(f"d={metadata['d']}, vectors of {index.d}")
        return index

    def _codec_of(self, tensors: native.Tensors, ntotal: int, look: bool) -> Codec:
        """The codec that these tensors describe, after they were checked."""
        raise NotImplementedError

    def _mark_loaded(self, mapped: MappedFile | None) -> None:
        """Note that it was read from a file, or is mapped from one."""
        self._readonly, self._mapped, self._is_fresh = mapped is not None, mapped, True

    # --- checks ------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """One change: other writers wait, and if it fails, everything is as before.

        Restoring the attributes is enough, since a change replaces the objects that they hold. The only writes in place are behind
        the end of a list, which no snapshot reads.
        """
        with self._writing:
            if self._readonly:
                raise ReadOnlyError("the index was opened with mmap=True; open it with mmap=False to change it")
            before = dict(vars(self))
            try:
                yield
            except BaseException:
                vars(self).update(before)
                for name in vars(self).keys() - before.keys():
                    delattr(self, name)
                raise

    def _vectors(self, x: Any, name: str, *, empty_ok: bool = False, is_first: bool = False) -> FloatArray:
        """`x` checked, cast, and for ``"cosine"`` scaled to unit length."""
        cast = check_vectors(x, None if is_first else self.d, name, empty_ok=empty_ok)
        if self.metric == "cosine":
            return unit_rows(cast)
        check_lengths(cast, name)
        return cast

    def _check_trained(self) -> None:
        self._check_whole()
        if not self.is_trained:
            raise NotTrainedError(f"{type(self).__name__} is not trained; call train(xt) first")

    def _check_whole(self) -> None:
        """Refuse to read a mapped file that has been cut short."""
        if self._mapped is not None:
            self._mapped.check()

    def _check_new(self, ids: IdArray, what: str) -> None:
        check_distinct(ids, what)
        if self.ntotal and len(ids):
            taken = self._find(ids) >= 0
            if taken.any():
                raise IdError(f"{what}: id {int(ids[taken][0])} is stored already; remove it first")


def _shifted_ids(ids: IdArray, add_id: Any) -> IdArray:
    """`ids` of another index, shifted by `add_id`, which must leave them below 2**63."""
    shift, largest = check_count(add_id, "add_id", 0), int(ids.max(initial=0))
    if shift > np.iinfo(np.int64).max - largest:
        raise IdError(f"merge: add_id {shift} would take id {largest} beyond 2**63 - 1; give a smaller one")
    return ids + shift
