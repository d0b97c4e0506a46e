"""What other settings of an index would find: distances to codes with fewer or more bytes a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lookalike._typing import FloatArray, IdArray
from lookalike.explain.contents import unwarned

if TYPE_CHECKING:
    from lookalike.index.kinds import IVFPQIndex

__all__ = ["TRAINED", "other_codes"]

TRAINED = 2048  # vectors that codebooks of other m are learnt from
ROUNDS = 2


def other_codes(index: IVFPQIndex, q: FloatArray, x: FloatArray, list_no: IdArray, total: int) -> dict[int, FloatArray]:
    """Distances to the vectors' codes, were the index made with fewer or more bytes a vector."""
    from lookalike.quantizers.pq import ProductQuantizer

    d, other = len(q), {}
    options = [m for m in (index.m // 4, index.m // 2, index.m * 2) if m >= 1 and d % m == 0]
    if len(x) < index.ksub:
        return {}
    residuals = index._rotated(x) - index.coarse_centroids[list_no]
    chosen = np.random.default_rng(0).permutation(len(x))[:TRAINED]
    base = 1 - index.coarse_centroids[list_no] @ q
    with unwarned():
        for m in options:
            pq = ProductQuantizer(m, index.nbits, kmeans=quick_centroids).train(residuals[chosen])
            estimated = np.full(total, np.nan, np.float32)
            table = np.einsum("jcd,jd->jc", pq.pq_centroids, q.reshape(m, -1))
            products = table[np.arange(m), pq.encode(residuals)].sum(axis=1)
            estimated[: len(x)] = np.maximum(base - products, 0)
            other[m] = estimated
    return other


def quick_centroids(x: FloatArray, k: int, seed: int) -> FloatArray:
    """k of the points, chosen at random, and moved to the mean of those nearest to them a few times: rough, and quick."""
    rng = np.random.default_rng(seed)
    centroids = x[rng.choice(len(x), k, replace=False)]
    for _ in range(ROUNDS):
        near = (x @ centroids.T - np.square(centroids).sum(axis=1) / 2).argmax(axis=1)
        counts = np.bincount(near, minlength=k)
        order = np.argsort(near, kind="stable")
        used = counts > 0
        starts = (np.cumsum(counts) - counts)[used]
        sums = np.add.reduceat(x[order], starts, axis=0)
        centroids[used] = sums / counts[used, None]
    return centroids
