"""lookalike for ann-benchmarks: copy this file as ``ann_benchmarks/algorithms/lookalike/module.py``, with ``config.yml`` beside it.

ann-benchmarks gives its modules a base class; where it is not installed, as in our own tests, this one stands by itself with the
same methods.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

try:
    from ann_benchmarks.algorithms.base.module import BaseANN
except ImportError:
    BaseANN = object

__all__ = ["Lookalike"]

METRICS = {"euclidean": "l2", "angular": "cosine"}


class Lookalike(BaseANN):  # type: ignore[misc, unused-ignore]
    """An IVFPQ index whose candidates are re-ranked by the vectors in half precision.

    Parameters
    ----------
    metric : str
        ``"euclidean"`` or ``"angular"``.
    params : dict
        ``nlist`` and ``m``.
    """

    def __init__(self, metric: str, params: dict[str, Any]) -> None:
        if metric not in METRICS:
            raise NotImplementedError(f"lookalike: metric {metric!r}: expected one of {', '.join(METRICS)}")
        self.metric, self.params = METRICS[metric], dict(params)
        self.nprobe, self.candidates = 16, 200
        self._index: Any = None
        self._found: Any = None
        self.name = self._name()

    def _name(self) -> str:
        about = ", ".join(f"{key}={value}" for key, value in self.params.items())
        return f"lookalike({about}, nprobe={self.nprobe}, candidates={self.candidates})"

    def fit(self, X: Any) -> None:
        """Train on the vectors and add them."""
        import lookalike as la

        x = np.ascontiguousarray(X, np.float32)
        m = int(self.params.get("m", 16))
        if x.shape[1] % m:  # the nearest that divides, as dimensions differ between data sets
            m = min((i for i in range(1, x.shape[1] + 1) if x.shape[1] % i == 0), key=lambda i: abs(i - m))
        nlist = min(int(self.params.get("nlist", 1024)), max(len(x) // 40, 1))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", la.LookalikeWarning)
            index = la.IVFPQIndex(nlist=nlist, m=m, metric=self.metric).train(x).add(x)
        self._index = la.Reranked(index, x.astype(np.float16))
        self._codes, self._bytes = index, 2 * x.size
        self.query(x[0], 10)  # loads the compiled kernels

    def set_query_arguments(self, nprobe: int, candidates: int = 200) -> None:
        """How the next queries are to be searched."""
        self.nprobe, self.candidates = int(nprobe), int(candidates)
        self.name = self._name()

    def query(self, q: Any, n: int) -> Any:
        """Ids of the n nearest to one vector, best first, fewer where fewer were found."""
        ids = self._index.search(np.asarray(q, np.float32)[None], n, **self._how(n), threads=1).ids[0]
        return ids[ids >= 0]

    def batch_query(self, X: Any, n: int) -> None:
        """Search many at once; `get_batch_results` gives what was found."""
        self._found = self._index.search(np.ascontiguousarray(X, np.float32), n, **self._how(n)).ids

    def get_batch_results(self) -> list[Any]:
        """Of the last `batch_query`: a row of ids a query."""
        return [row[row >= 0] for row in self._found]

    def _how(self, n: int) -> dict[str, int]:
        return {"nprobe": self.nprobe, "candidates": max(n, self.candidates)}

    def get_memory_usage(self) -> float:
        """Kilobytes of the index and of the vectors that re-ranking reads; of the process where there is no index yet."""
        if self._index is None:
            try:
                with open("/proc/self/statm") as file:  # noqa: PTH123
                    return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1024
            except (OSError, ValueError):
                return 0.0
        return float(self._codes.stats()["bytes_per_vector"] * self._codes.ntotal + self._bytes) / 1024

    def get_additional(self) -> dict[str, Any]:
        """Nothing beyond what ann-benchmarks measures itself."""
        return {}

    def done(self) -> None:
        """Let go of the index."""
        self._index = self._found = None

    def __str__(self) -> str:
        return self.name
