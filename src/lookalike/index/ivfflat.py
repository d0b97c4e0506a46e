"""An inverted file of whole vectors: exact distances, in the nprobe lists nearest to a query only."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from lookalike._threads import run_all
from lookalike._typing import Array, FloatArray, IdArray, RangeResult, SearchResult
from lookalike._validate import MAX_K, check_count, check_radius
from lookalike.errors import DimensionError, InputError, NotTrainedError
from lookalike.index.base import gather_ranges, missing, passes
from lookalike.index.coarse import CoarseQuantizer, check_coarse_metric
from lookalike.index.cold import is_worthwhile, search_vectors
from lookalike.index.large import ROWS, LargeArray
from lookalike.index.listed import ListedIndex, Stored
from lookalike.index.preassigned import KERNEL_METRICS, split_filter
from lookalike.index.vectorlists import VectorLists
from lookalike.quantizers.kmeans import KMeansChoice, train_centroids
from lookalike.quantizers.rotation import LinearTransform, parse_rotation, train_pca

__all__ = ["IVFFlatIndex"]

QUERIES = 1024  # of one pass over the lists
KEPT = 2_000_000  # candidates of one pass at the most
SPARE = 64  # candidates beyond 2 k that a query gathers before they are cut back to k


class IVFFlatIndex(ListedIndex):
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
    _lists: VectorLists

    def __init__(
        self,
        nlist: int = 1024,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
        coarse_metric: str | None = None,
    ) -> None:
        super().__init__(nlist, metric, kmeans, rotation, seed)
        if parse_rotation(rotation)[0] == "opq":
            raise InputError(
                f'rotation: expected None or "pca:128", got {rotation!r}; OPQ prepares vectors for codes, this index has none'
            )
        self.coarse_metric = check_coarse_metric(coarse_metric, metric)
        self._coarse: CoarseQuantizer | None = None
        self._lists = VectorLists.empty(nlist, 0)

    @property
    def ntotal(self) -> int:
        return self._lists.ntotal

    @property
    def is_trained(self) -> bool:
        return self._coarse is not None

    @property
    def coarse_centroids(self) -> FloatArray:
        """float32, shape (nlist, d), read-only; in the reduced space if there is a rotation."""
        return self._trained().centroids

    @property
    def list_sizes(self) -> IdArray:
        """Vectors in each list, int64, shape (nlist,)."""
        return self._lists.sizes.copy()

    # --- train and add -----------------------------------------------------------------------------------------------

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
            if self.ntotal:
                raise InputError(f"set_centroids: expected an empty index, it holds {self.ntotal} vectors")
            self._set_trained(centroids, None)
        return self

    def _set_trained(self, centroids: FloatArray, transform: LinearTransform | None) -> None:
        centroids.flags.writeable = False
        self._transform = transform
        self._lists = VectorLists.empty(self.nlist, centroids.shape[1])
        self.d = centroids.shape[1] if transform is None else transform.d_in
        self._coarse = CoarseQuantizer(centroids, self.coarse_metric)

    def _train(self, xt: FloatArray) -> None:
        kind, d_out = parse_rotation(self.rotation)
        transform = train_pca(xt, d_out or xt.shape[1], centre=self.metric == "l2") if kind else None
        x = xt if transform is None else transform.apply(xt)
        spherical = self.coarse_metric == "ip"
        centroids = train_centroids(x, self.nlist, self.kmeans, self.seed, "coarse quantizer", spherical=spherical)
        self._set_trained(centroids, transform)

    def _encode(self, x: FloatArray) -> Stored:
        return self._trained().assign(x), x

    def _empty_lists(self) -> VectorLists:
        return VectorLists.empty(self.nlist, self.coarse_centroids.shape[1])

    def _changed(self, lists: VectorLists, without: IdArray | None, more: Stored | None) -> VectorLists:
        if without is not None:
            lists = lists.remove(without)
        return lists if more is None else lists.append(*more)[0]

    def _stored_at(self, places: IdArray) -> Stored:
        return places >> 32, self._lists.at(places)

    def _all_stored(self) -> Stored:
        lists = self._lists
        return np.repeat(np.arange(self.nlist), lists.sizes), lists.flat()["vectors"], lists.all_ids()

    def _coarse_space(self) -> FloatArray:
        return self.coarse_centroids

    def _space_arrays(self) -> list[Array]:
        return [self.coarse_centroids]

    def _trains_on(self) -> int:
        return max(256 * self.nlist, 1 << 16)  # a rotation wants some, too

    def _add(self, xb: FloatArray | LargeArray, ids: IdArray) -> None:
        lists, all_places = self._lists, []  # a search sees all of `xb` or nothing of it
        for first in range(0, len(xb), ROWS):
            rows = slice(first, first + ROWS)
            x = self._to_store(xb[rows])
            lists, places = lists.append(self._trained().assign(x), x, ids[rows])
            all_places.append(places)
        self._lists = lists
        if self._places is not None:
            self._places = self._places.extended(ids, np.concatenate(all_places))

    def _probe(self, xq: FloatArray, nprobe: int, threads: int = 1) -> tuple[IdArray, FloatArray]:
        return self._trained().probe(xq, nprobe, threads)

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
            Distances (nq, k) float32 and ids (nq, k) int64, best first, equal distances by id.

        Raises
        ------
        NotTrainedError, DimensionError, InputError
        """
        k = check_count(k, "k", 1, MAX_K)
        vectors, nprobe, threads, permitted = self._check_request(xq, nprobe, threads, allow)
        lists = self._lists
        if len(vectors) == 0 or lists.ntotal == 0 or (permitted is not None and len(permitted) == 0):
            return missing(len(vectors), k, self.metric)
        if self._cold and is_worthwhile(self, len(vectors), nprobe, 0, self.coarse_centroids.shape[1]):
            self._cold = False
            distances, ids = search_vectors(self, self._inside_cold(vectors), k, nprobe, permitted)
            return SearchResult(self._as_metric(distances), ids)
        queries = self._inside(vectors, threads)
        probes = self._probe(queries, nprobe, threads)[0]
        distances, ids = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)

        def run(rows: slice) -> None:
            self._scan(queries[rows], probes[rows], lists, permitted, distances[rows], ids[rows])

        step = max(1, min(QUERIES, KEPT // k, -(-len(queries) // threads)))
        run_all(run, [slice(at, at + step) for at in range(0, len(queries), step)], threads)
        return SearchResult(self._as_metric(distances), ids)

    def range_search(
        self, xq: Any, radius: float, *, nprobe: int | None = None, allow: Any = None, threads: int | None = None
    ) -> RangeResult:
        """Every vector nearer than `radius` (``"ip"``: of a larger inner product) among the nprobe lists nearest to each query.

        Parameters and result as in `IVFPQIndex.range_search`.
        """
        from lookalike.kernels.flat_scan import row_distances

        vectors, nprobe, threads, permitted = self._check_request(xq, nprobe, threads, allow)
        limit, lists = check_radius(radius), self._lists
        if len(vectors) == 0 or lists.ntotal == 0:
            return gather_ranges([], len(vectors))
        queries = self._inside(vectors, threads)
        probes = self._probe(queries, nprobe, threads)[0]

        def run(i: int) -> tuple[FloatArray, IdArray]:
            near_distances, near_ids = [], []
            for number in probes[i].tolist():
                x, ids = lists.rows(number)
                distances = np.empty(len(ids), np.float32)
                row_distances(queries[i], x, KERNEL_METRICS[self.metric], distances)
                distances = self._as_metric(distances)
                near = distances > limit if self.metric == "ip" else distances < limit
                if permitted is not None:
                    near &= passes(permitted, ids)
                near_distances.append(distances[near])
                near_ids.append(ids[near])
            distances, ids = np.concatenate(near_distances), np.concatenate(near_ids)
            order = np.lexsort((ids, -distances if self.metric == "ip" else distances))
            return distances[order], ids[order]

        return gather_ranges(run_all(run, range(len(queries)), threads), len(queries))

    def _scan(
        self,
        xq: FloatArray,
        probes: IdArray,
        lists: VectorLists,
        permitted: Array | None,
        out_distances: FloatArray,
        out_ids: IdArray,
    ) -> None:
        """Search the given lists of each query, list by list for all its visitors; smaller is nearer."""
        from lookalike.kernels.flat_scan import best_of_each, scan_list

        nq, k = out_ids.shape
        mask, chosen = split_filter(permitted)
        capacity = min(2 * k, lists.ntotal) + SPARE
        distances, ids = np.empty((nq, capacity), np.float32), np.empty((nq, capacity), np.int64)
        places = np.zeros((nq, capacity), np.int64)
        counts, limits = np.zeros(nq, np.int64), np.full(nq, np.inf, np.float32)
        order = np.argsort(probes, axis=None, kind="stable")
        visitors, visited = order // probes.shape[1], probes.ravel()[order]
        starts = np.flatnonzero(np.diff(visited, prepend=-1))
        for start, end in zip(starts.tolist(), [*starts[1:].tolist(), len(visited)], strict=True):
            x, numbers = lists.rows(int(visited[start]))
            scan_list(
                xq, visitors[start:end], x, numbers, KERNEL_METRICS[self.metric], mask, chosen, k,
                distances, ids, places, counts, limits,
            )  # fmt: skip
        best_of_each(distances, ids, places, counts, k, out_distances, out_ids)

    # --- the rest ----------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Memory by part and balance of the lists.

        Returns
        -------
        dict
            ``memory``: bytes of vectors, ids, slack (room that growth left; `compact` gives it back), id_map (built when ids
            are first looked up), centroids; ``bytes_per_vector``; ``lists``: count, empty, smallest, largest, ``imbalance`` =
            nlist · Σ n² / (Σ n)², 1 when all are equal.
        """
        sizes, held, n = self._lists.sizes, self._lists.nbytes(), self.ntotal
        return {
            "ntotal": n,
            "memory": {
                **held,
                "id_map": self._places.nbytes if self._places is not None else 0,
                "centroids": 2 * self.coarse_centroids.nbytes if self.is_trained else 0,
            },
            "bytes_per_vector": (held["vectors"] + held["ids"]) / n if n else 0.0,
            "lists": {
                "count": self.nlist,
                "empty": int((sizes == 0).sum()),
                "smallest": int(sizes.min()),
                "largest": int(sizes.max()),
                "imbalance": float(self.nlist * np.square(sizes, dtype=np.float64).sum() / n**2) if n else 1.0,
            },
        }

    def compact(self) -> None:
        """Give back the memory that growing lists keep in reserve."""
        with self._changing():
            self._lists = self._lists.compacted()

    def _reconstruct(self, places: IdArray) -> FloatArray:
        vectors = self._lists.at(places)
        return vectors if self._transform is None else self._transform.inverse(vectors)

    def _trained(self) -> CoarseQuantizer:
        if self._coarse is None:
            raise NotTrainedError(f"{type(self).__name__} is not trained; call train(xt) first")
        return self._coarse
