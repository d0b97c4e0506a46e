"""What an index of coded vectors weighs, how its lists are balanced, and how much its codes lose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from lookalike.index.coded import CodedIndex

__all__ = ["index_stats"]


def index_stats(index: CodedIndex, sample: Any = None) -> dict[str, Any]:
    """See `CodedIndex.stats`."""
    sizes, held = index._lists.sizes, index._lists.nbytes()
    n = int(sizes.sum())
    used = held["codes"] + held["biases"] + held["ids"]
    centroids = index.pq.columns.nbytes * 2
    if index.is_trained:
        centroids += index._trained().nbytes * 2 + index.pq_centroids.nbytes
    stats: dict[str, Any] = {
        "ntotal": n,
        "memory": {
            **held,
            "id_map": index._places.nbytes if index._places is not None else 0,
            "centroids": centroids,
        },
        "bytes_per_vector": used / n if n else 0.0,
        "lists": {
            "count": index.nlist,
            "empty": int((sizes == 0).sum()),
            "smallest": int(sizes.min()),
            "largest": int(sizes.max()),
            "imbalance": float(index.nlist * np.square(sizes, dtype=np.float64).sum() / n**2) if n else 1.0,
        },
    }
    if sample is not None:
        stats["quantization_error"] = _quantization_error(index, sample)
    return stats


def _quantization_error(index: CodedIndex, sample: Any) -> dict[str, float]:
    """Mean squared distance of vectors to what their codes decode to, and its share of their variance."""
    x = index._vectors(sample, "sample")
    inside = index._inside(x)
    list_no, codes, _ = index._encode(inside)
    decoded = index.pq.decode(codes)
    if index.by_residual:
        decoded += index._trained()[list_no]
    if index._transform is not None:
        decoded = index._transform.inverse(decoded)
    error = float(np.square(x - decoded, dtype=np.float64).sum(axis=1).mean())
    spread = float(np.square(x - x.mean(axis=0), dtype=np.float64).sum(axis=1).mean())
    return {"mean": error, "relative": error / spread if spread else 0.0}
