"""Write the files of this folder with the libraries that are installed: ``python make.py``, once with each version to be kept.

The files and what their library finds in them (expected.json) are committed; tests only read them.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
D, N, K, EF, M = 4, 60, 5, 8, 4


def main() -> None:
    rng = np.random.default_rng(0)
    xb = rng.normal(size=(N, D)).astype(np.float32)
    xq = rng.normal(size=(4, D)).astype(np.float32)
    ids = np.arange(N) * 3 + 2**40
    path = HERE / "expected.json"
    expected = json.loads(path.read_text()) if path.exists() else {}
    for name, metric, distances, found in [*_hnswlib(xb, xq, ids), *_faiss(xb, xq, ids)]:
        expected[name] = {
            "metric": metric,
            "queries": xq.tolist(),
            "ef": EF,
            "distances": distances.tolist(),
            "ids": found.tolist(),
        }
    path.write_text(json.dumps(expected, indent=None, separators=(",", ":"), sort_keys=True) + "\n")


def _hnswlib(xb: Any, xq: Any, ids: Any) -> Any:
    try:
        import hnswlib
    except ImportError:
        return
    for metric in ("l2", "cosine"):
        index = hnswlib.Index(metric, D)
        index.init_index(N + 10, ef_construction=20, M=M, random_seed=1)
        index.add_items(xb, ids, num_threads=1)
        index.mark_deleted(int(ids[7]))
        index.set_ef(EF)
        name = f"{metric}-hnswlib-{importlib.metadata.version('hnswlib')}.bin"
        index.save_index(str(HERE / name))
        found, distances = index.knn_query(xq, K, num_threads=1)
        yield name, metric, distances, found


def _faiss(xb: Any, xq: Any, ids: Any) -> Any:
    import faiss

    faiss.omp_set_num_threads(1)
    for metric, kind in (("l2", faiss.METRIC_L2), ("ip", faiss.METRIC_INNER_PRODUCT)):
        graph = faiss.IndexHNSWFlat(D, M, kind)
        graph.hnsw.efConstruction, graph.hnsw.efSearch = 20, EF
        index = faiss.IndexIDMap2(graph) if metric == "ip" else graph
        index.add_with_ids(xb, ids) if metric == "ip" else index.add(xb)
        name = f"{metric}-faiss-{faiss.__version__}.faiss"
        faiss.write_index(index, str(HERE / name))
        distances, found = index.search(xq, K)
        yield name, metric, distances, found


if __name__ == "__main__":
    main()
