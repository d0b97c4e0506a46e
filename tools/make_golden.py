"""Write the golden index files of this version of the format, and what searching them gives, to tests/golden/.

A golden file is written once, when the version of the format is new, and never again: the tests see that every later
lookalike reads it. So this script refuses to write over one.

    python tools/make_golden.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import lookalike as la
from lookalike.files.native import VERSION

ROOT = Path(__file__).resolve().parent.parent / "tests" / "golden"
N, D, K, NPROBE = 300, 16, 5, 3


def main() -> int:
    folder = ROOT / f"v{VERSION}"
    if folder.exists():
        print(f"{folder} exists; golden files are not written again", file=sys.stderr)
        return 1
    folder.mkdir(parents=True)
    rng = np.random.default_rng(VERSION)
    clumps = rng.normal(0.5, 1, (30, D)).repeat(N // 30, axis=0)
    xb = (clumps + 0.3 * rng.normal(size=(N, D))).astype(np.float32)
    xq = (xb[rng.choice(N, 20, replace=False)] + 0.1 * rng.normal(size=(20, D))).astype(np.float32)
    xt = np.concatenate([xb, xb + 0.05 * rng.normal(size=(N, D)), xb - 0.05 * rng.normal(size=(N, D))])
    ids = np.concatenate([np.arange(N // 2), np.arange(N // 2) + 2**33])
    indexes = {
        "flat": la.FlatIndex("cosine").add(xb, ids=ids),
        "pq": la.PQIndex(m=4, nbits=4).train(xt).add(xb),
        "ivfflat": la.IVFFlatIndex(nlist=8).train(xt).add(xb),
        "ivfpq": la.IVFPQIndex(nlist=8, m=4, nbits=4).train(xt).add(xb, ids=ids),
        "ivfpq-ip": la.IVFPQIndex(nlist=8, m=4, nbits=4, metric="ip", by_residual=False).train(xt).add(xb),
        "ivfpq-rotation": la.IVFPQIndex(nlist=8, m=4, nbits=4, metric="cosine", rotation="opq:12").train(xt).add(xb),
    }
    indexes["refined"] = la.RefinedIndex(la.IVFPQIndex(nlist=8, m=4, nbits=4)).train(xt).add(xb, ids=ids)
    expected = {"xb": xb, "xq": xq, "k": np.array(K), "nprobe": np.array(NPROBE)}
    for name, index in indexes.items():
        index.remove([3, 17])
        index.save(folder / f"{name}.lka")
        distances, found = index.search(xq, K, nprobe=NPROBE)
        expected |= {f"{name}/distances": distances, f"{name}/ids": found}
        expected[f"{name}/decoded"] = index.reconstruct(index.ids[:10])
    np.savez_compressed(folder / "expected.npz", **expected)  # type: ignore[arg-type]  # numpy's allow_pickle is not meant
    print(f"{sum(path.stat().st_size for path in folder.iterdir())} bytes in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
