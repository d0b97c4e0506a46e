"""What an index says of itself: memory, balance, loss, and how it was trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

import lookalike
from lookalike._typing import FloatArray
from lookalike.quantizers.kmeans import KMeansChoice

if TYPE_CHECKING:
    from lookalike.index.index import Index

__all__ = ["statistics", "training_record"]


def training_record(points: int, kmeans: KMeansChoice, seed: int) -> dict[str, Any]:
    """How an index was trained, as `Index.training` keeps it."""
    from lookalike.kernels.target import instructions

    return {
        "points": points,
        "kmeans": kmeans if isinstance(kmeans, str) else "custom",
        "seed": seed,
        "instructions": instructions() or "plain",
        "lookalike": lookalike.__version__,
        "numpy": np.__version__,
    }


def statistics(index: Index, sample: FloatArray | None) -> dict[str, Any]:
    """See `Index.stats`."""
    lists, held, n = index._lists, index._lists.nbytes(), index._lists.ntotal
    sizes = lists.counts
    stats: dict[str, Any] = {
        "ntotal": n,
        "memory": {
            **held,
            "id_map": 0 if index._id_map is None else index._id_map.nbytes,
            "centroids": index._codec.nbytes,
        },
        "bytes_per_vector": (sum(held.values()) - held["slack"]) / n if n else 0.0,
        "lists": {
            "count": index.nlist,
            "empty": int((sizes == 0).sum()),
            "smallest": int(sizes.min()),
            "largest": int(sizes.max()),
            "imbalance": float(index.nlist * np.square(sizes, dtype=np.float64).sum() / n**2) if n else 1.0,
        },
    }
    if sample is not None:
        stats["quantization_error"] = _loss(index, sample)
    return stats


def _loss(index: Index, x: FloatArray) -> dict[str, float]:
    """Mean squared distance of vectors to what their codes decode to, and its share of their variance."""
    list_no, rows = index._encoded(x)
    decoded = index._unrotated(index._codec.decode(rows, list_no))
    error = float(np.square(x - decoded, dtype=np.float64).sum(axis=1).mean())
    spread = float(np.square(x - x.mean(axis=0), dtype=np.float64).sum(axis=1).mean())
    return {"mean": error, "relative": error / spread if spread else 0.0}
