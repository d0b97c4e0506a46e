"""Journey 4: an engineer brings a file of FAISS: the same neighbours, filters, deletes, threads, and back to FAISS."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import lookalike as la

D, N, K, NPROBE = 32, 6000, 10, 8
RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(40, D))
XB = (CENTRES[RNG.integers(40, size=N)] + 0.5 * RNG.normal(size=(N, D))).astype(np.float32)
XQ = (XB[:40] + 0.2 * RNG.normal(size=(40, D))).astype(np.float32)
IDS = RNG.permutation(N).astype(np.int64) * 3 + 2**40


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """What is in production, scaled down, and the file that it was read from."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    theirs = faiss.index_factory(D, "IVF64,PQ8x6")
    theirs.train(XB)
    theirs.add_with_ids(XB, IDS)
    theirs.nprobe = NPROBE
    path = tmp_path_factory.mktemp("production") / "ivfpq.faiss"
    faiss.write_index(theirs, str(path))
    faiss.omp_set_num_threads(threads)
    return theirs, path


def same(ours: la.SearchResult, distances: Any, ids: Any) -> None:
    """Distances close; ids equal but for ties at the end."""
    np.testing.assert_allclose(ours.distances, distances, rtol=1e-4, atol=1e-4)
    assert np.mean([np.isin(own, other).mean() for own, other in zip(ours.ids, ids, strict=True)]) > 0.99


def test_the_same_neighbours(production: tuple[Any, Path]) -> None:
    theirs, path = production
    ours = la.read_faiss(path)
    assert isinstance(ours, la.IVFPQIndex)
    assert (ours.ntotal, ours.nlist, ours.m, ours.nbits) == (N, 64, 8, 6)
    same(ours.search(XQ, K, nprobe=NPROBE), *theirs.search(XQ, K))


def test_filters(production: tuple[Any, Path]) -> None:
    theirs, path = production
    allowed = np.sort(IDS[::3])
    wanted = theirs.search(XQ, K, params=faiss.SearchParametersIVF(sel=faiss.IDSelectorBatch(allowed), nprobe=NPROBE))
    found = la.read_faiss(path).search(XQ, K, nprobe=NPROBE, allow=allowed)
    assert np.isin(found.ids, allowed).all()
    same(found, *wanted)


def test_deletes_additions_and_back(production: tuple[Any, Path], tmp_path: Path) -> None:
    theirs, path = production
    ours = la.read_faiss(path)
    gone = IDS[:500]
    ours.remove(gone)
    assert not np.isin(ours.search(XB[:50], K, nprobe=NPROBE).ids, gone).any()
    fresh = np.arange(200, dtype=np.int64) + 7
    ours.add(XB[:200], ids=fresh)
    la.write_faiss(ours, tmp_path / "back.faiss")
    back = faiss.read_index(str(tmp_path / "back.faiss"))
    back.nprobe = NPROBE
    assert back.ntotal == ours.ntotal == N - 300
    theirs_now = faiss.clone_index(theirs)
    theirs_now.remove_ids(faiss.IDSelectorBatch(gone))
    theirs_now.add_with_ids(XB[:200], fresh)
    theirs_now.nprobe = NPROBE
    distances, ids = theirs_now.search(XQ, K)
    same(ours.search(XQ, K, nprobe=NPROBE), distances, ids)
    np.testing.assert_allclose(back.search(XQ, K)[0], distances, rtol=1e-4, atol=1e-4)


def test_many_threads_while_another_writes(production: tuple[Any, Path]) -> None:
    _, path = production
    ours = la.read_faiss(path)
    expected = ours.search(XQ, K, nprobe=NPROBE, allow=IDS)

    def ask(_: int) -> bool:
        found = ours.search(XQ, K, nprobe=NPROBE, allow=IDS, threads=1)
        return bool(np.array_equal(found.ids, expected.ids))

    def write(number: int) -> bool:
        ids = np.arange(20, dtype=np.int64) + 20 * number
        ours.add(XB[:20], ids=ids)
        ours.remove(ids)
        return True

    with ThreadPoolExecutor(6) as pool:
        searches = [pool.submit(ask, n) for n in range(40)]
        writes = [pool.submit(write, n) for n in range(10)]
        assert all(job.result() for job in [*searches, *writes])
    assert ours.ntotal == N
