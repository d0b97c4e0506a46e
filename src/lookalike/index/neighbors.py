"""Approximate nearest neighbours as a scikit-learn estimator.

This module needs scikit-learn; it is loaded when ``lookalike.IVFPQNeighbors`` is first used.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike._validate import check_count
from lookalike.errors import InputError, MissingExtraError
from lookalike.index.index import Index
from lookalike.index.kinds import FlatIndex, IVFPQIndex
from lookalike.index.refine import Reranked

try:
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]
    from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise MissingExtraError('IVFPQNeighbors needs scikit-learn 1.6 or newer; pip install "lookalike[bench]"') from None

__all__ = ["IVFPQNeighbors"]

METRICS = {"euclidean": "l2", "l2": "l2", "sqeuclidean": "l2", "cosine": "cosine"}
EXACT_BELOW = 10_000  # samples: comparing with all of them takes little longer than training would
SAMPLES = 39  # for each list at least, or its centroid is poor
CANDIDATES = 10  # of the codes for each neighbour that is wanted, when they are compared exactly


class IVFPQNeighbors(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Nearest neighbours by an inverted file with product quantization.

    Parameters
    ----------
    n_neighbors : int, default=5
        Neighbours by default of `kneighbors`, and beside the sample itself in `transform`.
    nlist : int or "auto", default="auto"
        Inverted lists. ``"auto"`` is 4·sqrt(n) or n / 39, whichever is less, and below 10,000 samples exact search without lists
        or codes. That is also what happens where there are fewer samples than centroids to be learnt.
    m : int or "auto", default="auto"
        Bytes of a code; must divide the number of features. ``"auto"`` is a quarter of the features, at most 64.
    nbits : int, default=8
        Bits of a sub-code, 4 to 16.
    nprobe : int or "auto", default="auto"
        Lists visited by each query; ``"auto"`` is a sixteenth of them, at least 16.
    rerank : bool, default=True
        Keep the samples, and compare the candidates that the codes give exactly.
    metric : {"euclidean", "l2", "sqeuclidean", "cosine"}, default="euclidean"
        ``"l2"`` is another name for ``"euclidean"``, as in scikit-learn.
    seed : int, default=0

    Attributes
    ----------
    index_ : FlatIndex or IVFPQIndex
    n_samples_fit_ : int
    n_features_in_ : int

    See Also
    --------
    sklearn.neighbors.KNeighborsTransformer : The same interface, exact.

    Examples
    --------
    >>> from sklearn.cluster import DBSCAN
    >>> from sklearn.datasets import make_blobs
    >>> from sklearn.pipeline import make_pipeline
    >>> from lookalike import IVFPQNeighbors
    >>> X, _ = make_blobs(300, centers=3, cluster_std=0.3, random_state=0)
    >>> labels = make_pipeline(IVFPQNeighbors(20), DBSCAN(eps=0.5, metric="precomputed")).fit_predict(X)
    >>> len(set(labels.tolist()) - {-1})
    3
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        nlist: int | str = "auto",
        m: int | str = "auto",
        nbits: int = 8,
        nprobe: int | str = "auto",
        rerank: bool = True,
        metric: str = "euclidean",
        seed: int = 0,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.nlist = nlist
        self.m = m
        self.nbits = nbits
        self.nprobe = nprobe
        self.rerank = rerank
        self.metric = metric
        self.seed = seed

    def fit(self, X: Any, y: Any = None) -> Self:
        """Index the samples.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
        y : ignored
        """
        x = validate_data(self, X, dtype=np.float32, order="C")
        if self.metric not in METRICS:
            raise InputError(f"metric: expected one of {', '.join(METRICS)}, got {self.metric!r}")
        self.n_samples_fit_ = self._n_features_out = len(x)
        self._pad = 0
        index = self._new_index(len(x), x.shape[1])
        self._fit_X = self._padded(x)
        self.index_ = index.train(self._fit_X).add(self._fit_X)
        return self

    def _new_index(self, n: int, features: int) -> Index:
        metric, nlist, m = METRICS[self.metric], self.nlist, self.m
        if nlist == "auto":
            nlist = 0 if n < EXACT_BELOW else min(int(4 * n**0.5), n // SAMPLES)
        else:
            nlist = check_count(nlist, "nlist")
        nbits = check_count(self.nbits, "nbits", 4, 16)
        if nlist == 0 or n < max(nlist, 1 << nbits):
            return FlatIndex(metric)
        if m == "auto":  # a quarter of the features; zeros at the end, which change no distance, make it divide them
            m = min(64, -(-features // 4))
            self._pad = -features % m
        return IVFPQIndex(nlist, check_count(m, "m"), nbits, metric, seed=self.seed)

    def _padded(self, x: FloatArray) -> FloatArray:
        return np.pad(x, ((0, 0), (0, self._pad))) if self._pad else x

    def kneighbors(
        self, X: Any = None, n_neighbors: int | None = None, return_distance: bool = True
    ) -> tuple[Array, IdArray] | IdArray:
        """The nearest samples of each point.

        Parameters
        ----------
        X : array of shape (n_queries, n_features), optional
            By default the samples themselves, and none is its own neighbour.
        n_neighbors : int, optional
        return_distance : bool

        Returns
        -------
        distances : ndarray of float64, shape (n_queries, n_neighbors)
            Ascending; only if `return_distance`.
        indices : ndarray of int64, shape (n_queries, n_neighbors)
            Rows of the fitted samples.
        """
        check_is_fitted(self)
        k = check_count(self.n_neighbors if n_neighbors is None else n_neighbors, "n_neighbors")
        most = self.n_samples_fit_ - (X is None)
        if k > most:
            raise InputError(
                f"Expected n_neighbors <= {most}, but n_neighbors = {k}, n_samples_fit = {self.n_samples_fit_}"
            )
        if X is None:
            distances, ids = _without_self(*self._search(self._fit_X, k + 1))
        else:
            queries = validate_data(self, X, dtype=np.float32, order="C", reset=False)
            distances, ids = self._search(self._padded(queries), k)
        return (distances, ids) if return_distance else ids

    def _search(self, queries: FloatArray, k: int) -> tuple[Array, IdArray]:
        nprobe = None
        if isinstance(self.index_, IVFPQIndex):
            nprobe = max(16, self.index_.nlist // 16) if self.nprobe == "auto" else check_count(self.nprobe, "nprobe")
        distances, ids = self._find(queries, k, nprobe)
        short = np.flatnonzero(ids[:, -1] < 0)
        if len(short):  # the lists that were visited hold fewer than k: visit all
            distances[short], ids[short] = self._find(queries[short], k, self.n_samples_fit_)
        wide = distances.astype(np.float64)
        return np.sqrt(wide) if self.metric in {"euclidean", "l2"} else wide, ids

    def _find(self, queries: FloatArray, k: int, nprobe: int | None) -> tuple[FloatArray, IdArray]:
        if self.rerank and isinstance(self.index_, IVFPQIndex):
            candidates = min(CANDIDATES * k + 100, self.n_samples_fit_)
            return Reranked(self.index_, self._fit_X).search(queries, k, nprobe=nprobe, candidates=max(k, candidates))
        return self.index_.search(queries, k, nprobe=nprobe)

    def kneighbors_graph(self, X: Any = None, n_neighbors: int | None = None, mode: str = "connectivity") -> Any:
        """The nearest samples of each point as a sparse matrix.

        Parameters
        ----------
        X, n_neighbors
            As in `kneighbors`.
        mode : {"connectivity", "distance"}
            What stands at (query, sample): 1, or their distance.

        Returns
        -------
        graph : CSR matrix of shape (n_queries, n_samples_fit), each row ascending by distance
        """
        if mode not in {"connectivity", "distance"}:
            raise InputError(f'mode: expected "connectivity" or "distance", got {mode!r}')
        distances, ids = self.kneighbors(X, n_neighbors)
        data = distances.ravel() if mode == "distance" else np.ones(ids.size)
        starts = np.arange(0, ids.size + 1, ids.shape[1])
        return csr_matrix((data, ids.ravel(), starts), shape=(len(ids), self.n_samples_fit_))

    def transform(self, X: Any) -> Any:
        """The graph of distances to the nearest ``n_neighbors + 1`` samples, for estimators with ``metric="precomputed"``.

        One more than `n_neighbors`, as in `sklearn.neighbors.KNeighborsTransformer`, since a fitted sample is its own nearest.

        Parameters
        ----------
        X : array of shape (n_queries, n_features)

        Returns
        -------
        graph : CSR matrix of float64, shape (n_queries, n_samples_fit)
        """
        check_is_fitted(self)
        return self.kneighbors_graph(X, check_count(self.n_neighbors, "n_neighbors") + 1, mode="distance")

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Earlier versions pickled the index as bytes; it now pickles itself."""
        if isinstance(state.get("index_"), bytes):
            state = {**state, "index_": Index.from_bytes(state["index_"])}
        super().__setstate__(state)


def _without_self(distances: Array, ids: IdArray) -> tuple[Array, IdArray]:
    """Row i without i itself, or without its last neighbour where i is not among them."""
    keep = ids != np.arange(len(ids))[:, None]
    keep[keep.all(axis=1), -1] = False
    shape = (len(ids), ids.shape[1] - 1)
    return distances[keep].reshape(shape), ids[keep].reshape(shape)
