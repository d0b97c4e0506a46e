"""What indexes of coded vectors share: a product quantizer, lists of codes, and the search of given lists."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple, Self

import numpy as np

import lookalike
from lookalike._typing import Array, CodeArray, FloatArray, IdArray, RangeResult, SearchResult
from lookalike._validate import MAX_K, check_count, check_radius
from lookalike.errors import NotTrainedError
from lookalike.index.base import gather_ranges, missing
from lookalike.index.cold import is_worthwhile, search_codes
from lookalike.index.invlists import SIZE, InvertedLists
from lookalike.index.large import ROWS, LargeArray
from lookalike.index.listed import POSITION, ListedIndex, Stored
from lookalike.index.preassigned import KERNEL_METRICS, CodeSpace, range_preassigned, search_preassigned
from lookalike.quantizers.kmeans import POINTS_PER_CENTROID, KMeansChoice
from lookalike.quantizers.origin import far_origin
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import LinearTransform, parse_rotation, train_opq, train_pca

__all__ = ["CodedIndex"]


class Near(NamedTuple):
    """What codes mean, seen from a point among the vectors, where these lie far from the origin.

    ‖q − c − r̂‖² = ‖(q − o) − (c − o) − r̂‖², and without residuals ‖q − p‖² = ‖(q − o) − (p − o)‖²: the distance is the
    same, and the terms that it is opened into (`kernels.distances`) are no longer large beside it. Inner products have no
    such freedom. None of this is stored: o follows from the centroids.
    """

    origin: FloatArray | None  # (d,); None is 0
    centroids: FloatArray  # (nlist, d): c − o
    pq: ProductQuantizer | None  # its codebook around o, where that differs

    def moved(self, x: FloatArray) -> FloatArray:
        """Vectors as these centroids and codes have to be compared with."""
        return x if self.origin is None else x - self.origin


class CodedIndex(ListedIndex):
    """Base of `PQIndex` and `IVFPQIndex`: vectors as PQ codes in one or many lists."""

    by_residual = False
    _lists: InvertedLists

    def __init__(
        self, nlist: int, m: int, nbits: int, metric: str, kmeans: KMeansChoice, rotation: str | None, seed: int
    ) -> None:
        super().__init__(nlist, metric, kmeans, rotation, seed)
        self.pq = ProductQuantizer(m, nbits, kmeans, seed)
        self._centroids: FloatArray | None = None
        self._near: Near | None = None
        self.training: dict[str, Any] = {}  # how it was trained, for the record; empty if centroids were given
        self._lists = InvertedLists(nlist, m, self.pq.code_dtype)

    # --- what differs ------------------------------------------------------------------------------------------------

    @abstractmethod
    def _train_coarse(self, xt: FloatArray) -> FloatArray:
        """Coarse centroids, float32, shape (nlist, d)."""

    @abstractmethod
    def _assign(self, x: FloatArray, centroids: FloatArray) -> IdArray:
        """The list of each vector."""

    def _search_alone(
        self, xq: Any, k: int, nprobe: int | None, threads: int | None, allow: Any
    ) -> SearchResult | None:
        """The results of a search that can take a shorter way, or None."""
        return None

    # --- what it is --------------------------------------------------------------------------------------------------

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
    def ntotal(self) -> int:
        return self._lists.snapshot.ntotal

    @property
    def is_trained(self) -> bool:
        return self._centroids is not None

    @property
    def pq_centroids(self) -> FloatArray:
        """float32, shape (m, ksub, dsub), read-only."""
        self._check_trained()
        return self.pq.pq_centroids

    @property
    def codes(self) -> CodeArray:
        """Codes of all vectors, uint8 or uint16, shape (ntotal, m), in the order of `ids`."""
        now = self._lists.snapshot
        parts = [self._lists.rows(number, now)[0] for number in range(self.nlist)]
        return np.concatenate(parts)  # type: ignore[return-value]

    # --- train and add -----------------------------------------------------------------------------------------------

    def _train(self, xt: FloatArray) -> None:
        from lookalike.kernels.simd import instructions

        transform = self._train_transform(xt)
        x = xt if transform is None else transform.apply(xt)
        pq = self._new_quantizer()
        pq.check_dimension(x.shape[1])
        centroids = self._train_coarse(x)
        limit = POINTS_PER_CENTROID * self.ksub
        if len(x) > limit:
            x = x[np.sort(np.random.default_rng(self.seed + 1).choice(len(x), limit, replace=False))]
        if self.by_residual:
            x = x - centroids[self._assign(x, centroids)]
        self.pq = pq.train(x)
        self._transform = transform
        self._set_centroids(centroids)
        self.training = {
            "points": len(xt),
            "kmeans": self.kmeans if isinstance(self.kmeans, str) else "custom",
            "seed": self.seed,
            "instructions": instructions() or "plain",
            "lookalike": lookalike.__version__,
            "numpy": np.__version__,
        }

    def _new_quantizer(self) -> ProductQuantizer:
        """One to be trained in place of `pq`, which other indexes may share."""
        return ProductQuantizer(self.m, self.nbits, self.pq.kmeans, self.pq.seed)

    def _like(self) -> Self:
        like = super()._like()
        like.training = dict(self.training)
        like.pq = self._new_quantizer().set_centroids(self.pq_centroids)
        return like

    def _train_transform(self, xt: FloatArray) -> LinearTransform | None:
        kind, d_out = parse_rotation(self.rotation)
        if kind == "pca":
            return train_pca(xt, d_out or xt.shape[1], centre=self._is_l2)  # products need the origin where it is
        if kind != "opq":
            return None
        return train_opq(xt, self.m, d_out, nbits=self.nbits, seed=self.seed, centre=self._is_l2)

    def _set_centroids(self, centroids: FloatArray) -> None:
        centroids.flags.writeable = False
        self.d = centroids.shape[1] if self._transform is None else self._transform.d_in
        self._near = self._seen_near(centroids)
        self._centroids = centroids

    def _seen_near(self, centroids: FloatArray) -> Near:
        """See `Near`."""
        book = self.pq.pq_centroids
        rows = centroids if self.by_residual else book.transpose(1, 0, 2).reshape(self.ksub, -1)
        origin = far_origin(rows) if self._is_l2 else None
        if origin is None:
            return Near(None, centroids, None)
        if self.by_residual:
            moved = centroids - origin
            moved.flags.writeable = False
            return Near(origin, moved, None)
        around = ProductQuantizer(self.m, self.nbits).set_centroids(book - origin.reshape(self.m, 1, -1))
        return Near(origin, centroids, around)

    def _encode(self, x: FloatArray) -> tuple[IdArray, CodeArray, FloatArray]:
        """List number, code and bias (see `kernels.distances`) of each vector."""
        from lookalike.kernels.assign import residuals

        list_no, near = self._assign(x, self._trained()), self._seen()
        to_encode = x = near.moved(x)
        if self.by_residual:
            to_encode = np.empty_like(x)
            residuals(x, list_no, near.centroids, to_encode)
        codes = self._seen_pq().encode(to_encode)
        return list_no, codes, self._biases(list_no, codes)

    def _empty_lists(self) -> InvertedLists:
        return InvertedLists(self.nlist, self.m, self.pq.code_dtype)

    def _changed(self, lists: InvertedLists, without: IdArray | None, more: Stored | None) -> InvertedLists:
        lists = lists.clone()
        if without is not None and len(without):
            lists.remove(without >> 32, without & POSITION)
        if more is not None and len(more[0]):
            lists.append(*more)
        return lists

    def _stored_at(self, places: IdArray) -> Stored:
        at = places >> 32, places & POSITION
        return at[0], self._lists.codes_at(*at), self._lists.biases_at(*at)

    def _all_stored(self) -> Stored:
        now = self._lists.snapshot
        codes, biases, ids = zip(*(self._lists.rows(number, now) for number in range(self.nlist)), strict=True)
        list_no = np.repeat(np.arange(self.nlist), now.table[:, SIZE])
        return list_no, np.concatenate(codes), np.concatenate(biases), np.concatenate(ids)

    def _arguments(self) -> dict[str, Any]:
        common = super()._arguments()
        common = {name: common[name] for name in ("metric", "kmeans", "rotation", "seed")}
        return {"m": self.m, "nbits": self.nbits, **common}

    def _coarse_space(self) -> FloatArray:
        return self._trained()

    def _space_arrays(self) -> list[Array]:
        return [np.array([self.by_residual]), self._trained(), self.pq_centroids]

    def _biases(self, list_no: IdArray, codes: CodeArray) -> FloatArray:
        """The part of each distance that depends on the stored vector only (see `kernels.distances`)."""
        near = self._seen()
        return self._biases_of(list_no, codes, near.centroids, self._seen_pq().pq_centroids)

    def _biases_of(self, list_no: IdArray, codes: CodeArray, centroids: FloatArray, book: FloatArray) -> FloatArray:
        from lookalike.kernels.distances import code_biases

        biases = np.zeros(len(codes), np.float32)
        if self._is_l2:
            code_biases(codes, list_no, centroids, book, self.by_residual, biases)
        return biases

    def _lists_to_store(self) -> InvertedLists:
        """The lists as files hold them, with biases around 0, whatever origin they are searched from."""
        if self._seen().origin is None:
            return self._lists
        return self._lists.with_biases(
            lambda list_no, codes: self._biases_of(list_no, codes, self._trained(), self.pq_centroids)
        )

    def _take_lists(self, lists: InvertedLists) -> None:
        """Search these lists of a file from now on."""
        self._lists = lists if self._seen().origin is None else lists.with_biases(self._biases)

    def _trains_on(self) -> int:
        return 256 * max(self.nlist, self.ksub)

    def _add(self, xb: FloatArray | LargeArray, ids: IdArray) -> None:
        lists, places = self._lists.clone(), []  # a search sees all of `xb` or nothing of it
        for first in range(0, len(xb), ROWS):
            rows = slice(first, first + ROWS)
            list_no, codes, biases = self._encode(self._to_store(xb[rows]))
            if self._places is not None:
                places.append(_next_places(list_no, lists.sizes))
            lists.append(list_no, codes, biases, ids[rows])
        self._lists = lists
        if self._places is not None:
            self._places = self._places.extended(ids, np.concatenate(places))

    # --- search ------------------------------------------------------------------------------------------------------

    def search(
        self, xq: Any, k: int = 10, *, nprobe: int | None = None, allow: Any = None, threads: int | None = None
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
        threads : int, optional
            All cores by default.

        Returns
        -------
        SearchResult
            Distances (nq, k) float32 and ids (nq, k) int64, best first, equal distances by id. They are distances to the decoded
            vectors (asymmetric distance).

        Raises
        ------
        NotTrainedError, DimensionError, InputError
        """
        k = check_count(k, "k", 1, MAX_K)
        self._check_whole()
        if not self._cold:
            alone = self._search_alone(xq, k, nprobe, threads, allow)
            if alone is not None:
                return alone
        vectors, nprobe, threads, permitted = self._check_request(xq, nprobe, threads, allow)
        if len(vectors) == 0 or self.ntotal == 0 or (permitted is not None and len(permitted) == 0):
            return missing(len(vectors), k, self.metric)
        if self._cold and is_worthwhile(self, len(vectors), nprobe, self.pq_centroids.size, self.m):
            distances, ids = search_codes(self, self._inside_cold(vectors), k, nprobe, permitted)
        else:
            queries = self._inside(vectors, threads)
            probes, coarse = self._probe(queries, nprobe, threads)
            distances, ids = search_preassigned(
                self._lists.snapshot, self._space(), self._seen().moved(queries), probes, coarse, k, permitted, threads
            )
        self._cold = False
        return SearchResult(self._as_metric(distances), ids)

    def range_search(
        self, xq: Any, radius: float, *, nprobe: int | None = None, allow: Any = None, threads: int | None = None
    ) -> RangeResult:
        """Every vector nearer than `radius` among the nprobe lists nearest to each query.

        Parameters
        ----------
        xq : array of numbers, shape (nq, d)
        radius : float
            As in the metric: squared for ``"l2"``; ``"ip"`` gives the vectors of larger inner product.
        nprobe, allow, threads
            As in `search`.

        Returns
        -------
        RangeResult
            lims (nq + 1,), distances and ids (lims[-1],), each query's best first.
        """
        vectors, nprobe, threads, permitted = self._check_request(xq, nprobe, threads, allow)
        limit = check_radius(radius) * (-1 if self.metric == "ip" else 1)
        if len(vectors) == 0 or self.ntotal == 0 or (permitted is not None and len(permitted) == 0):
            return gather_ranges([], len(vectors))
        queries = self._inside(vectors, threads)
        probes, coarse = self._probe(queries, nprobe, threads)
        found = range_preassigned(
            self._lists.snapshot, self._space(), self._seen().moved(queries), probes, coarse, limit, permitted, threads
        )
        return gather_ranges([(self._as_metric(distances), ids) for distances, ids in found], len(queries))

    def _space(self) -> CodeSpace:
        centroids, pq = self._seen().centroids, self._seen_pq()
        return CodeSpace(centroids, pq.pq_centroids, pq.columns, self.by_residual, KERNEL_METRICS[self.metric])

    @property
    def _least(self) -> float:
        """The part of the distance that depends on nothing."""
        return 1.0 if self.metric == "cosine" else 0.0

    def _own_terms(self, xq: FloatArray) -> FloatArray:
        """The part of the distance that depends on the query only, where vectors are coded without residuals."""
        if not self._is_l2:
            return np.full(len(xq), self._least, np.float32)
        moved = self._seen().moved(xq)
        return np.asarray(np.einsum("qd,qd->q", moved, moved), np.float32)

    def _seen(self) -> Near:
        if self._near is None:
            self._check_trained()
            raise AssertionError("the centroids are set together")
        return self._near

    def _seen_pq(self) -> ProductQuantizer:
        return self._seen().pq or self.pq

    # --- the rest ----------------------------------------------------------------------------------------------------

    def stats(self, sample: Any = None) -> dict[str, Any]:
        """Memory by part, balance of the lists and, for a `sample` of vectors (n, d), the quantization error.

        Returns
        -------
        dict
            ``memory``: bytes of codes, biases, ids, slack (room that growth left; `compact` gives it back), id_map (built
            when ids are first looked up), centroids; ``bytes_per_vector``: of the first three. ``lists``: count, empty, smallest,
            largest, ``imbalance`` = nlist · Σ n² / (Σ n)², 1 when all are equal. ``quantization_error``: mean
            ‖x − decoded‖² and its share of the mean ‖x − mean‖².
        """
        from lookalike.index.stats import index_stats

        return index_stats(self, sample)

    def compact(self) -> None:
        """Give back the memory that growing lists keep in reserve."""
        with self._changing():
            lists = self._lists.clone()
            lists.compact()
            self._lists = lists

    def _reconstruct(self, places: IdArray) -> FloatArray:
        list_no, position = places >> 32, places & POSITION
        decoded = self.pq.decode(self._lists.codes_at(list_no, position))
        if self.by_residual:
            decoded += self._trained()[list_no]
        return decoded if self._transform is None else self._transform.inverse(decoded)

    def _trained(self) -> FloatArray:
        if self._centroids is None:
            raise NotTrainedError(f"{type(self).__name__} is not trained; call train(xt) first")
        return self._centroids


def _next_places(list_no: IdArray, sizes: IdArray) -> IdArray:
    """Where vectors will stand that are appended to these lists in this order: ``list_no << 32 | position``."""
    order = np.argsort(list_no, kind="stable")
    added = np.bincount(list_no, minlength=len(sizes))
    places = np.empty(len(list_no), np.int64)
    places[order] = np.arange(len(order)) - np.repeat(np.cumsum(added) - added, added)
    return (list_no << 32) | (places + sizes[list_no])
