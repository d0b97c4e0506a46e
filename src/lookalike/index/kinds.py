"""The five kinds of index: which cells, which codec, and what each is good for."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Self

import numpy as np

from lookalike._typing import CodeArray, FloatArray, IdArray, RangeResult, SearchResult
from lookalike._validate import MAX_K, check_count
from lookalike.errors import DimensionError, InputError
from lookalike.index.cells import Cells, OneCell, check_centroids, check_coarse_metric, train_cells
from lookalike.index.codecs.pq import PQCodec
from lookalike.index.codecs.whole import WholeCodec
from lookalike.index.index import Index, missing
from lookalike.index.large import LargeArray
from lookalike.index.refine import StoredRows, order_candidates
from lookalike.quantizers.kmeans import KMeansChoice, get_kmeans
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import parse_rotation

__all__ = ["FlatIndex", "IVFFlatIndex", "IVFPQIndex", "PQIndex", "RefinedIndex"]


class FlatIndex(Index):
    """Exact nearest neighbours by comparing with every vector.

    Parameters
    ----------
    metric : {"l2", "ip", "cosine"}

    Notes
    -----
    Needs no training; `d` is learnt in the first `add`. 4d + 8 bytes a vector. A search costs O(nq · n · d) in numpy's
    matrix product; nothing is compiled, so the first answer comes at once.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> index = la.FlatIndex().add(np.eye(3))
    >>> distances, ids = index.search([[1, 0.1, 0]], k=2)
    >>> ids.tolist()
    [[0, 1]]
    """

    kind = "flat"

    def __init__(self, metric: str = "l2") -> None:
        super().__init__(WholeCodec(metric))

    @property
    def is_trained(self) -> bool:
        return True

    def _train(self, xt: FloatArray) -> None:
        self._take(self._codec.fitted(xt, OneCell(xt.shape[1])), None)

    def _add(self, xb: FloatArray | LargeArray, ids: IdArray) -> None:
        if self._codec.cells is None:
            self._train(xb[:1])
        super()._add(xb, ids)

    def _has_same_space(self, other: Index) -> bool:
        return isinstance(other, FlatIndex) and other.metric == self.metric and (not self.d or other.d in {None, self.d})

    @property
    def _stored(self) -> tuple[FloatArray, IdArray]:
        """Vectors (n, d) and ids (n,), in the order in which they were added."""
        vectors, ids = self._lists.rows(0)
        return vectors, ids

    def _arguments(self) -> dict[str, Any]:
        return {"metric": self.metric}


class _Coded(Index):
    """What the two kinds with a product quantizer say of it."""

    _codec: PQCodec

    @property
    def pq(self) -> ProductQuantizer:
        """The product quantizer; not to be changed."""
        return self._codec.pq

    @property
    def m(self) -> int:
        """Number of sub-quantizers."""
        return self.pq.m

    @property
    def nbits(self) -> int:
        """Bits of a sub-code."""
        return self.pq.nbits

    @property
    def ksub(self) -> int:
        """Centroids of each sub-quantizer, 2**nbits."""
        return self.pq.ksub

    @property
    def dsub(self) -> int:
        """Dimension of each sub-space, d // m."""
        return self.pq.dsub

    @property
    def by_residual(self) -> bool:
        """Whether x − q_c(x) is encoded, or x itself."""
        return self._codec.by_residual

    @property
    def pq_centroids(self) -> FloatArray:
        """float32, shape (m, ksub, dsub), read-only."""
        self._check_trained()
        return self.pq.pq_centroids

    @property
    def codes(self) -> CodeArray:
        """Codes of all vectors, uint8 or uint16, shape (ntotal, m), in the order of `ids`."""
        return self._codec.codes(self._lists.all_rows()[1])

    def _arguments(self) -> dict[str, Any]:
        own = {"m": self.m, "nbits": self.nbits, "metric": self.metric}
        return own | {"kmeans": self.kmeans, "rotation": self.rotation, "seed": self.seed}


class PQIndex(_Coded):
    """Product quantization without an inverted file: m bytes a vector, all of them scanned.

    It is an inverted file of one list whose centroid is the origin.

    Parameters
    ----------
    m : int
        Sub-quantizers; must divide d.
    nbits : int
        Bits of a sub-code, 4 to 16; 8 is the fast one.
    metric : {"l2", "ip", "cosine"}
    kmeans : {"native", "k-means++", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    rotation : {None, "opq", "opq:64", "pca:128"}
    seed : int

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((2000, 16), np.float32)
    >>> index = la.PQIndex(m=8, nbits=4).train(xb).add(xb)
    >>> index.search(xb[:2], k=3).ids.shape
    (2, 3)
    """

    kind = "pq"

    def __init__(
        self,
        m: int = 16,
        nbits: int = 8,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
    ) -> None:
        parse_rotation(rotation)
        pq = ProductQuantizer(m, nbits, kmeans, seed)
        super().__init__(PQCodec(pq, False, metric), 1, kmeans, rotation, seed)


class _InvertedFile(Index):
    """What the two kinds with many cells say of them."""

    coarse_metric: str

    @property
    def coarse_centroids(self) -> FloatArray:
        """float32, shape (nlist, d), read-only; in the rotated space if there is a rotation."""
        self._check_trained()
        return self._cells.centroids

    @property
    def list_sizes(self) -> IdArray:
        """Vectors in each list, int64, shape (nlist,)."""
        return self._lists.sizes.copy()

    def _trained_cells(self, x: FloatArray) -> Cells:
        return train_cells(x, self.nlist, self.coarse_metric, self.kmeans, self.seed)

    def _check_empty(self) -> None:
        if self.ntotal:
            raise InputError(f"set_centroids: expected an empty index, it holds {self.ntotal} vectors")


class IVFFlatIndex(_InvertedFile):
    """Inverted file of float32 vectors: as `IVFPQIndex`, without the loss of codes and with 4d + 8 bytes a vector.

    Parameters
    ----------
    nlist : int
        Inverted lists; about 4·sqrt(n) to 16·sqrt(n).
    metric : {"l2", "ip", "cosine"}
    kmeans : {"native", "k-means++", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    rotation : {None, "pca:128"}
        Reduce vectors by PCA first; distances are those of the reduced vectors.
    seed : int
        Training is repeatable on one machine.
    coarse_metric : {None, "l2", "ip"}
        How lists are assigned and chosen: by default by inner product for ``"ip"``, else by L2 distance, as in FAISS. Lists that
        are chosen by inner product have centroids of length 1 (spherical k-means).

    Notes
    -----
    A search costs O(d · nlist) and O(d) for each vector of the nprobe lists.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((4000, 16), np.float32)
    >>> index = la.IVFFlatIndex(nlist=16).train(xb).add(xb)
    >>> index.search(xb[:2], k=1, nprobe=4).ids.tolist()
    [[0], [1]]
    """

    kind = "ivfflat"

    def __init__(
        self,
        nlist: int = 1024,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
        coarse_metric: str | None = None,
    ) -> None:
        get_kmeans(kmeans)
        if parse_rotation(rotation)[0] == "opq":
            raise InputError(
                f'rotation: expected None or "pca:128", got {rotation!r}; OPQ prepares vectors for codes, this index has none'
            )
        super().__init__(WholeCodec(metric), nlist, kmeans, rotation, seed)
        self.coarse_metric = check_coarse_metric(coarse_metric, metric)

    def set_centroids(self, coarse_centroids: Any) -> Self:
        """Use these centroids, float, shape (nlist, d), instead of training. Returns the index itself.

        Raises
        ------
        DimensionError
            If there are not nlist of them.
        InputError
            If they are not finite, or the index holds vectors already.
        """
        centroids = np.array(coarse_centroids, np.float32, order="C")
        if centroids.ndim != 2 or centroids.shape[0] != self.nlist or not centroids.shape[1]:
            raise DimensionError(f"coarse_centroids: expected ({self.nlist}, d), got {centroids.shape}")
        if not np.isfinite(centroids).all():
            raise InputError("coarse_centroids: expected finite numbers, got NaN or infinity")
        with self._changing():
            self._check_empty()
            self._take(WholeCodec(self.metric, Cells(centroids, self.coarse_metric)), None)
        return self

    def _arguments(self) -> dict[str, Any]:
        own = {"nlist": self.nlist, "metric": self.metric, "kmeans": self.kmeans, "rotation": self.rotation}
        return own | {"seed": self.seed, "coarse_metric": self.coarse_metric}


class IVFPQIndex(_Coded, _InvertedFile):
    """Inverted file with product quantization: m bytes a vector, sub-linear search.

    Parameters
    ----------
    nlist : int
        Inverted lists; about 4·sqrt(n) to 16·sqrt(n).
    m : int
        Sub-quantizers; must divide d. A vector takes m bytes (2 m for nbits > 8) and 8 more, for its bias and its id.
    nbits : int
        Bits of a sub-code, 4 to 16; 8 is the fast one.
    metric : {"l2", "ip", "cosine"}
    kmeans : {"native", "k-means++", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    rotation : {None, "opq", "opq:64", "pca:128"}
        A linear map in front, learnt in `train`; the number is the dimension behind it, which m must divide.
    by_residual : bool
        Encode x − q_c(x) (default) or x itself.
    seed : int
        Training is repeatable on one machine.
    coarse_metric : {None, "l2", "ip"}
        How lists are assigned and chosen: by default by L2 distance for ``"l2"`` and ``"cosine"``, and by inner product for
        ``"ip"``, as in FAISS. Lists that are chosen by inner product have centroids of length 1 (spherical k-means).

    Notes
    -----
    Search costs O(d · nlist + d · ksub) once and O(m) for each vector of the nprobe lists.

    References
    ----------
    H. Jégou, M. Douze, C. Schmid, "Product quantization for nearest neighbor search", IEEE TPAMI 33(1), 2011.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((4000, 16), np.float32)
    >>> index = la.IVFPQIndex(nlist=16, m=4, nbits=6).train(xb).add(xb)
    >>> distances, ids = index.search(xb[:2], k=3, nprobe=4)
    >>> distances.shape
    (2, 3)
    """

    kind = "ivfpq"

    def __init__(
        self,
        nlist: int = 1024,
        m: int = 16,
        nbits: int = 8,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
        by_residual: bool = True,
        coarse_metric: str | None = None,
    ) -> None:
        parse_rotation(rotation)
        pq = ProductQuantizer(m, nbits, kmeans, seed)
        super().__init__(PQCodec(pq, bool(by_residual), metric), nlist, kmeans, rotation, seed)
        self.coarse_metric = check_coarse_metric(coarse_metric, metric)

    def set_centroids(self, coarse_centroids: Any, pq_centroids: Any) -> Self:
        """Use these centroids instead of training; float, shapes (nlist, d) and (m, ksub, dsub). Returns the index itself.

        Raises
        ------
        DimensionError
            If the shapes do not fit the index or each other.
        InputError
            If they are not finite, or the index holds vectors already.
        """
        coarse = np.array(coarse_centroids, np.float32, order="C")
        if coarse.ndim != 2 or coarse.shape[0] != self.nlist:
            raise DimensionError(f"coarse_centroids: expected ({self.nlist}, d), got {coarse.shape}")
        check_centroids(coarse)
        with self._changing():
            self._check_empty()
            if self._transform is not None and self._transform.d_out != coarse.shape[1]:
                raise DimensionError(
                    f"coarse_centroids: expected d={self._transform.d_out} behind the rotation, got {coarse.shape[1]}"
                )
            pq = ProductQuantizer(self.m, self.nbits, self.pq.kmeans, self.pq.seed)
            pq.check_dimension(coarse.shape[1])
            pq.set_centroids(pq_centroids)
            if pq.d != coarse.shape[1]:
                raise DimensionError(f"pq_centroids: expected m · dsub = {coarse.shape[1]}, got {pq.d}")
            cells = Cells(coarse, self.coarse_metric)
            self._take(PQCodec(pq, self.by_residual, self.metric, cells), self._transform)
            self.training = {}
        return self

    def _arguments(self) -> dict[str, Any]:
        more = {"nlist": self.nlist, "by_residual": self.by_residual, "coarse_metric": self.coarse_metric}
        return super()._arguments() | more


class RefinedIndex(Index):
    """Search `base` for more candidates than wanted, then order them by exact distance to the vectors that were added.

    Parameters
    ----------
    base : Index
        Empty; train and fill it through this one.
    k_factor : float
        A search for k asks `base` for ``k · k_factor`` candidates, unless it is told how many.

    Notes
    -----
    4d + 8 bytes a vector on top of `base`. Where the vectors are in a file or in float16, `Reranked` uses them in place.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((4000, 16), np.float32)
    >>> index = la.index_factory("IVF16,PQ4x6,RFlat").train(xb).add(xb)
    >>> index.search(xb[:2], k=1, nprobe=4).ids.tolist()
    [[0], [1]]
    """

    kind = "refined"

    def __init__(self, base: Index, k_factor: float = 10) -> None:
        if base.ntotal:
            raise InputError(f"base: expected an empty index, it holds {base.ntotal} vectors; use Reranked")
        if isinstance(k_factor, bool) or not isinstance(k_factor, int | float) or not 1 <= k_factor <= MAX_K:
            raise InputError(f"k_factor: expected a number of at least 1, got {k_factor!r}")
        super().__init__(WholeCodec(base.metric))
        self.base, self.k_factor = base, float(k_factor)
        self._store = FlatIndex(base.metric)
        self._storing = threading.Lock()  # held while vectors are put into the store or read from it, never longer

    @property
    def ntotal(self) -> int:
        return self.base.ntotal

    @property
    def is_trained(self) -> bool:
        return self.base.is_trained

    @property
    def ids(self) -> IdArray:
        return self._store.ids

    def search(
        self,
        xq: Any,
        k: int = 10,
        *,
        nprobe: int | None = None,
        allow: Any = None,
        deny: Any = None,
        threads: int | None = None,
        candidates: int | None = None,
    ) -> SearchResult:
        """The k nearest of the candidates that `base` finds.

        Parameters
        ----------
        xq, k, nprobe, allow, deny, threads
            As in the search of `base`.
        candidates : int, optional
            How many to ask for; ``k · k_factor`` by default, at least k.

        Returns
        -------
        SearchResult
            Exact distances (nq, k) float32 and ids (nq, k) int64, best first, equal distances by id.
        """
        self._check_trained()
        queries, k = self._vectors(xq, "xq", empty_ok=True), check_count(k, "k", 1, MAX_K)
        wanted = int(k * self.k_factor) if candidates is None else check_count(candidates, "candidates", 1, MAX_K)
        count = max(k, min(wanted, MAX_K, max(self.ntotal, 1)))
        found = self.base.search(queries, count, nprobe=nprobe, allow=allow, deny=deny, threads=threads).ids
        with self._storing:
            places, vectors = self._store._find(found.ravel()).reshape(found.shape), self._store._stored[0]
        if not len(vectors):
            return missing(len(queries), k, self.metric)
        # what is in no place was removed since `base` was searched, or is no result
        return order_candidates(queries, found, places, StoredRows.of(vectors) or vectors, k, self.metric, threads)

    def range_search(self, xq: Any, radius: float, **options: Any) -> RangeResult:
        """Every vector nearer than `radius`, exactly: the vectors themselves are compared, all of them.

        Parameters and result as in `IVFPQIndex.range_search`; ``nprobe`` changes nothing.
        """
        self._check_trained()
        return self._store.range_search(xq, radius, **options)

    def trace(self, query: Any, k: int = 10, nprobe: int | None = None, exact_ids: Any = None) -> Any:
        """How `base` finds its candidates; see `IVFPQIndex.trace`."""
        return self.base.trace(query, k, nprobe, exact_ids)

    def update(self, ids: Any, xb: Any) -> Self:
        """Replace the vectors of these ids, which must be stored; see `IVFPQIndex.update`."""
        with self._changing(), self._storing:
            self._store.update(ids, xb)
            self.base.update(ids, xb)
        return self

    def upsert(self, ids: Any, xb: Any) -> Self:
        """Replace the vectors of the ids that are stored, and add the others; see `IVFPQIndex.upsert`."""
        with self._changing(), self._storing:
            self.base.upsert(ids, xb)
            self._store.upsert(ids, xb)
            self.d, self._next_id = self.base.d, self.base._next_id
        return self

    def merge(self, other: Any, add_id: int = 0) -> Self:
        """Take over the vectors of an index refined the same way; see `IVFPQIndex.merge`."""
        if not isinstance(other, RefinedIndex):
            raise InputError("merge: expected an index trained the same way (metric, codes, centroids, rotation)")
        with self._changing(), self._storing:
            self._store.merge(other._store, add_id)
            self.base.merge(other.base, add_id)
            self._next_id = self.base._next_id
        return self

    def split(self, ids: Any) -> Self:
        """Move the vectors of these ids, which must be stored, into a new index, and return it."""
        with self._changing(), self._storing:
            base, store = self.base.split(ids), self._store.split(ids)
        part = type(self)(FlatIndex(self.metric), self.k_factor)
        part.base, part._store, part.d, part._next_id = base, store, self.d, self._next_id
        return part

    def compact(self) -> None:
        """Give back the memory that growing lists keep in reserve."""
        with self._changing(), self._storing:
            self.base.compact()
            self._store.compact()

    def stats(self, sample: Any = None) -> dict[str, Any]:
        """Those of `base`, with the vectors beside it in ``memory`` and ``bytes_per_vector``."""
        stats, stored = self.base.stats(sample), self._store.stats()
        stats["memory"]["refinement"] = sum(stored["memory"].values())
        stats["bytes_per_vector"] += stored["bytes_per_vector"]
        return stats

    def remove(self, ids: Any) -> int:
        with self._changing():
            removed = self.base.remove(ids)
            with self._storing:
                self._store.remove(ids)
        return removed

    remove.__doc__ = Index.remove.__doc__

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with super()._changing(), self.base._changing(), self._store._changing():
            yield

    def _train(self, xt: FloatArray) -> None:
        self.base.train(xt)
        self._store.train(xt)
        self.d = self.base.d

    def _add(self, xb: FloatArray | LargeArray, ids: IdArray) -> None:
        with self._storing:  # first, so that whatever a search of `base` finds is there
            self._store.add(xb, ids)
        self.base.add(xb, ids)
        self.d = self.base.d

    def _find(self, ids: IdArray) -> IdArray:
        with self._storing:
            return self._store._find(ids)

    def _reconstruct(self, places: IdArray) -> FloatArray:
        with self._storing:
            return self._store._reconstruct(places)

    def _arguments(self) -> dict[str, Any]:
        return {"base": self.base, "k_factor": self.k_factor}
