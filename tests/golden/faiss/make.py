"""Write the files of this folder with the FAISS that is installed: ``python make.py``, once with each version to be kept.

The files of a version and what that version finds in them (expected.json) are committed; tests only read them.
"""

from __future__ import annotations

import json
from pathlib import Path

import faiss
import numpy as np

HERE = Path(__file__).parent
D, NT, N, K, NPROBE = 8, 300, 100, 5, 2
KINDS = {
    "flat": ("Flat", "l2"),
    "pq": ("PQ2x5", "l2"),
    "ivfflat": ("IVF4,Flat", "ip"),
    "ivfpq": ("IVF4,PQ2x4", "l2"),
    "pca": ("PCA4,IVF4,PQ2x4", "l2"),
    "opq": ("OPQ2_4,IVF4,PQ2x6", "l2"),
    "cosine": ("L2norm,IVF4,PQ4x4", "cosine"),
    "idmap": ("IDMap,PQ4x4", "ip"),
    "refined": ("IVF4,PQ2x4,RFlat", "l2"),
}


def main() -> None:
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, D))
    xt = (centres[rng.integers(10, size=NT)] + 0.3 * rng.normal(size=(NT, D))).astype(np.float32)
    xb = xt[:N]
    xq = (xb[:4] + 0.1 * rng.normal(size=(4, D))).astype(np.float32)
    path = HERE / "expected.json"
    expected = json.loads(path.read_text()) if path.exists() else {}
    for kind, (description, metric) in KINDS.items():
        index = faiss.index_factory(D, description, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)
        index.train(xt)
        if kind == "idmap":
            index.add_with_ids(xb, np.arange(N, dtype=np.int64) * 3 + 2**40)
        else:
            index.add(xb)
        inverted = index.base_index if kind == "refined" else index
        if "IVF" in description:
            faiss.extract_index_ivf(inverted).nprobe = NPROBE
        distances, ids = index.search(xq, K)
        name = f"{kind}-{faiss.__version__}.faiss"
        faiss.write_index(index, str(HERE / name))
        expected[name] = {
            "description": description,
            "metric": metric,
            "queries": xq.tolist(),
            "nprobe": NPROBE,
            "distances": distances.tolist(),
            "ids": ids.tolist(),
        }
    path.write_text(json.dumps(expected, indent=None, separators=(",", ":"), sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
