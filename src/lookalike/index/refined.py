"""An index that keeps the vectors beside it and orders its own candidates by their exact distances (FAISS: RFlat)."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from lookalike._typing import FloatArray, IdArray, SearchResult
from lookalike._validate import MAX_K, check_count
from lookalike.errors import InputError
from lookalike.index.base import Index, missing
from lookalike.index.flat import FlatIndex
from lookalike.index.rerank import Rows, order_candidates

__all__ = ["RefinedIndex"]


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
        super().__init__(base.metric)
        if base.ntotal:
            raise InputError(f"base: expected an empty index, it holds {base.ntotal} vectors; use Reranked")
        if isinstance(k_factor, bool) or not isinstance(k_factor, int | float) or not 1 <= k_factor <= MAX_K:
            raise InputError(f"k_factor: expected a number of at least 1, got {k_factor!r}")
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
        threads: int | None = None,
        candidates: int | None = None,
    ) -> SearchResult:
        """The k nearest of the candidates that `base` finds.

        Parameters
        ----------
        xq, k, nprobe, allow, threads
            As in the search of `base`.
        candidates : int, optional
            How many to ask for; ``k · k_factor`` by default, at least k.

        Returns
        -------
        SearchResult
            Exact distances (nq, k) float32 and ids (nq, k) int64, best first, equal distances by id.
        """
        queries, k = self._check_search(xq, k)
        wanted = int(k * self.k_factor) if candidates is None else check_count(candidates, "candidates", 1, MAX_K)
        count = max(k, min(wanted, MAX_K, max(self.ntotal, 1)))
        found = self.base.search(queries, count, nprobe=nprobe, allow=allow, threads=threads).ids
        with self._storing:
            places, vectors = self._store._find(found.ravel()).reshape(found.shape), self._store._stored.vectors
        if not len(vectors):
            return missing(len(queries), k, self.metric)
        # what is in no place was removed since `base` was searched, or is no result
        return order_candidates(queries, found, places, Rows.of(vectors) or vectors, k, self.metric, threads)

    def _arguments(self) -> dict[str, Any]:
        return {"base": self.base, "k_factor": self.k_factor}

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        with super()._changing(), self.base._changing(), self._store._changing():
            yield

    def _train(self, xt: FloatArray) -> None:
        self.base.train(xt)
        self._store.train(xt)
        self.d = self.base.d

    def _add(self, xb: FloatArray, ids: IdArray) -> None:
        with self._storing:  # first, so that whatever a search of `base` finds is there
            self._store.add(xb, ids)
        self.base.add(xb, ids)
        self.d = self.base.d

    def _remove(self, ids: IdArray) -> int:
        removed = self.base.remove(ids)
        with self._storing:
            self._store.remove(ids)
        return removed

    def _find(self, ids: IdArray) -> IdArray:
        with self._storing:
            return self._store._find(ids)

    def _reconstruct(self, places: IdArray) -> FloatArray:
        with self._storing:
            return self._store._reconstruct(places)
