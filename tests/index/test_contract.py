"""What the design promises, on every index: its example, every width of code, large k, arrays on disk, a whole life."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookalike as la
from lookalike.index import large
from tests.index.conftest import METRICS, NLIST, D, M, N, base, centroids, empty, filled, queries, same, trained

EVERY: dict[str, Callable[..., Any]] = {
    "flat": la.FlatIndex,
    "ivfflat": lambda metric="l2": la.IVFFlatIndex(nlist=NLIST, metric=metric),
    "ivfsigns": lambda metric="l2": la.IVFSignsIndex(nlist=NLIST, metric=metric),
    "pq": lambda metric="l2": la.PQIndex(m=M, nbits=5, metric=metric),
    "ivfpq": lambda metric="l2": la.IVFPQIndex(nlist=NLIST, m=M, nbits=5, metric=metric),
}


@pytest.fixture(scope="module")
def built() -> dict[tuple[str, str], Any]:
    """Every index with `base()`; not to be changed."""
    return {
        (kind, metric): make(metric).train(base()).add(base()) for kind, make in EVERY.items() for metric in METRICS
    }


def test_the_example_of_the_design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line by line, but for the sizes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    xt, xb, xq = (rng.normal(size=(n, 64)).astype(np.float32) for n in (3000, 4000, 20))
    ids, radius = np.arange(10), 60.0

    index = la.IVFPQIndex(nlist=16, m=16, nbits=4, metric="l2", kmeans="native", rotation=None, seed=0)
    index.train(xt).add(xb)
    distances, found = index.search(xq, k=10, nprobe=16)
    assert distances.shape == found.shape == (20, 10)
    other = la.IVFPQIndex(nlist=16, m=16, nbits=4).train(xt).add(xb[:5], ids=np.arange(7000, 7005))
    assert index.remove(ids) == 10
    assert index.reconstruct([11, 12]).shape == (2, 64)
    lims, near, _ = index.range_search(xq, radius, nprobe=16)
    assert lims[-1] == len(near) > 0
    assert (near < radius).all()
    index.merge(other)
    assert index.ntotal == 4000 - 10 + 5
    index.save("sift.lka")
    same(la.load_index("sift.lka", mmap=True).search(xq, 10, nprobe=4), index.search(xq, 10, nprobe=4))
    la.write_faiss(index, "sift.faiss")
    index = la.read_faiss("sift.faiss")
    vectors = np.memmap(tmp_path / "x.f16", np.float16, "w+", shape=(8000, 64))
    vectors[:4000], vectors[7000:7005] = xb, xb[:5]
    fine = la.Reranked(index, vectors)
    distances, found = fine.search(xq, k=10, nprobe=16, candidates=200)
    assert (np.diff(distances, axis=1) >= 0).all()
    trace = index.trace(xq[0], k=10, nprobe=16)
    assert set(trace.ids.tolist()) == set(index.search(xq[:1], 10, nprobe=16).ids[0].tolist())
    index = la.index_factory("OPQ16_64,IVF1024,PQ16", metric="l2")
    assert (index.nlist, index.m, index.rotation) == (1024, 16, "opq:64")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", EVERY)
def test_ten_thousand_results(kind: str, metric: str, built: dict[tuple[str, str], Any]) -> None:
    """k of 10,000 over 12,000 vectors: each id once, best first, the nearest those of a small k."""
    index = EVERY[kind](metric).train(base())
    x = np.tile(base(), (8, 1)) + 0.05 * np.random.default_rng(1).normal(size=(8 * N, D)).astype(np.float32)
    index.add(x)
    result = index.search(queries()[:2], 10_000, nprobe=NLIST)
    for distances, ids in zip(*result, strict=True):
        assert len(np.unique(ids)) == 10_000
        assert ids.min() >= 0
        assert ((np.diff(distances) <= 0) if metric == "ip" else (np.diff(distances) >= 0)).all()
    few = index.search(queries()[:2], 10, nprobe=NLIST)
    np.testing.assert_array_equal(result.ids[:, :10], few.ids)
    if kind != "flat":
        same(index.search(queries()[:1], 10_000, nprobe=NLIST), la_first(result))


def la_first(result: la.SearchResult) -> la.SearchResult:
    """The first query's."""
    return la.SearchResult(result.distances[:1], result.ids[:1])


@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize("nbits", range(4, 17))
def test_every_width_of_code_on_every_path(nbits: int, by_residual: bool) -> None:
    """Batch, one query, filter, range, all lists: what decoding every vector finds."""
    if nbits <= 10:
        index = filled("l2", nbits, by_residual)
    else:  # as many centroids as codes can name, most of them far away
        coarse, codebook = centroids(10, "l2", by_residual)
        wide = np.full((M, 1 << nbits, D // M), 1e3, np.float32)
        at = np.random.default_rng(nbits).choice(1 << nbits, 1 << 10, replace=False)  # low and high codes
        wide[:, at] = codebook
        index = (
            la.IVFPQIndex(nlist=NLIST, m=M, nbits=nbits, by_residual=by_residual)
            .set_centroids(coarse, wide)
            .add(base())
        )
        assert index.codes.max() >= 1 << (nbits - 1)
    assert index.codes.dtype == (np.uint8 if nbits <= 8 else np.uint16)
    decoded = index.reconstruct(np.arange(N))
    true = np.square(queries()[:, None] - decoded).sum(axis=2)
    wanted = np.sort(true, axis=1)[:, :7]
    found = index.search(queries(), 7, nprobe=NLIST)
    np.testing.assert_allclose(found.distances, wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.take_along_axis(true, found.ids, axis=1), wanted, rtol=1e-4, atol=1e-4)
    same(index.search(queries()[:1], 7, nprobe=NLIST), la_first(found))
    even = index.search(queries(), 7, nprobe=NLIST, allow=np.arange(0, N, 2))
    np.testing.assert_allclose(even.distances, np.sort(true[:, ::2], axis=1)[:, :7], rtol=1e-4, atol=1e-4)
    radius = float(np.median(wanted[:, 3])) + 1e-3
    lims, distances, _ = index.range_search(queries(), radius, nprobe=NLIST)
    assert (distances < radius).all()
    assert abs(int(lims[-1]) - int((true < radius).sum())) <= 2  # rounding at the radius itself


# --- arrays larger than memory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint8])
def test_a_memory_map_is_trained_on_and_added_like_an_array(
    kind: str, dtype: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read block by block; the same to the last bit, and a block with NaN leaves the index as it was."""
    monkeypatch.setattr("lookalike.index.index.ROWS", 400)
    x = (40 * (base() - base().min())).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert large.is_large(mapped)
    ours, plain = (EVERY[kind]().train(array).add(array) for array in (mapped, x))
    same(ours.search(x[:30], 5, nprobe=3), plain.search(x[:30], 5, nprobe=3))
    np.testing.assert_array_equal(ours.ids, plain.ids)
    ours.reconstruct([3])  # the map of ids is there, and grows along
    assert ours.add(mapped).ntotal == 2 * N
    np.testing.assert_array_equal(ours.reconstruct([N + 7]), plain.reconstruct([7]))
    if dtype != np.uint8:
        broken = np.load(tmp_path / "x.npy", mmap_mode="c")
        broken[1300, 2] = np.nan
        with pytest.raises(la.InputError, match="NaN"):
            ours.add(broken)
        assert ours.ntotal == 2 * N
        same(ours.search(x[:30], 5, nprobe=3), ours.search(x[:30], 5, nprobe=3))
    with pytest.raises(la.DimensionError):
        ours.add(mapped[:, :-1])


def test_training_reads_a_sample_of_a_memory_map(tmp_path: Path) -> None:
    """Of a map of more rows than training uses, it copies only these."""
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float32, (20_000, 8))
    x[:] = np.random.default_rng(0).normal(size=x.shape)
    index = la.IVFPQIndex(nlist=4, m=4, nbits=4).train(x)
    assert index.training["points"] == 256 * 16
    assert index.add(x).ntotal == 20_000


# --- a whole life ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", EVERY)
def test_update_merge_split_and_compact(kind: str, metric: str, built: dict[tuple[str, str], Any]) -> None:
    index, whole = EVERY[kind](metric).train(base()), built[kind, metric]
    index.add(base()[:900]).add(base()[900:])
    part = index.split(np.arange(0, N, 3))
    assert (part.ntotal, index.ntotal) == (N // 3, N - N // 3)
    assert not set(part.ids.tolist()) & set(index.ids.tolist())
    with pytest.raises(la.IdError, match="0 is not stored"):
        index.split([0])
    with pytest.raises(la.IdError, match="twice"):
        index.split([1, 1])
    before = part.search(queries(), 5, nprobe=NLIST)
    index.merge(part)
    same(part.search(queries(), 5, nprobe=NLIST), before)
    np.testing.assert_array_equal(np.sort(index.ids), np.arange(N))
    np.testing.assert_allclose(
        index.search(queries(), 5, nprobe=NLIST).distances,
        whole.search(queries(), 5, nprobe=NLIST).distances,
        rtol=1e-6,
    )
    with pytest.raises(la.IdError, match="stored already"):
        index.merge(part)
    assert index.merge(part, add_id=10_000).ntotal == N + N // 3
    assert index.add(base()[:1]).ids.max() == 10_000 + 3 * (N // 3 - 1) + 1
    index.update([5, 7], base()[[7, 5]])
    np.testing.assert_array_equal(index.reconstruct([5, 7]), whole.reconstruct([7, 5]))
    with pytest.raises(la.IdError, match="999999 is not stored"):
        index.update([5, 999_999], base()[:2])
    assert index.stats()["memory"]["slack"] >= 0
    index.compact()
    assert index.stats()["ntotal"] == index.ntotal
    with pytest.raises(la.InputError, match="merge: expected"):
        index.merge(la.FlatIndex("ip" if metric == "l2" else "l2").add(base()))
    with pytest.raises(la.InputError):
        index.merge(part, add_id=-1)
    for shift in (2**63 - 1, 2**63, 2**80):
        with pytest.raises(la.IdError, match=r"beyond 2\*\*63"):
            index.merge(part, add_id=shift)
    for radius in (10**400, float("inf"), None, "1"):
        with pytest.raises(la.InputError, match="radius"):
            index.range_search(queries(), radius)
    assert len(index.range_search(queries()[:1], -1e300 if metric == "ip" else 1e300, nprobe=NLIST).ids) == index.ntotal


def test_an_empty_flat_index_takes_what_it_is_given() -> None:
    index = la.FlatIndex().merge(la.FlatIndex().add(base()))
    assert (index.ntotal, index.d) == (N, D)
    assert la.FlatIndex().add(base()).merge(la.FlatIndex()).ntotal == N
    with pytest.raises(la.IdError), np.errstate(over="ignore"):
        la.FlatIndex().add(base()[:1], ids=[5]).merge(la.FlatIndex().add(base()[:1], ids=[0]), add_id=5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", EVERY)
def test_every_index_traces_a_search(kind: str, metric: str, built: dict[tuple[str, str], Any]) -> None:
    """What the trace says is what `search` and `range_search` say, and every neighbour that is wanted is accounted for."""
    index, exact = built[kind, metric], built["flat", metric]
    wanted = exact.search(queries()[:1], 20).ids[0]
    trace = index.trace(queries()[0], k=5, nprobe=2, exact_ids=np.append(wanted, 10**6))
    same(la.SearchResult(trace.distances[None], trace.ids[None]), index.search(queries()[0], 5, nprobe=2))
    seen = {int(i): float(d) for cell in trace.probed for i, d in zip(cell.ids, cell.distances, strict=True)}
    np.testing.assert_allclose([seen[int(i)] for i in trace.ids], trace.distances, rtol=1e-4, atol=1e-5)
    missed = {miss.id: miss for miss in trace.missed}
    assert set(missed) == {*wanted.tolist(), 10**6} - set(trace.ids.tolist())
    assert missed[10**6].reason == "not stored"
    for miss in missed.values():
        if miss.id == 10**6:
            continue
        assert (miss.reason == "cell not probed") == (miss.id not in seen)
        if miss.id in seen:
            assert miss.reason == ("code too coarse" if kind in {"pq", "ivfpq"} else "beyond k")
        assert miss.id in index.search(queries()[0], N, nprobe=max(miss.needed_nprobe, 1)).ids
    assert len(trace.coarse_distances) == {"flat": 0, "pq": 1}.get(kind, NLIST)
    assert json.loads(json.dumps(trace.to_json()))["k"] == 5


def test_traces_of_empty_indexes() -> None:
    assert la.FlatIndex().trace(np.zeros(D)).ids.tolist() == []
    assert empty().trace(queries()[0]).ids.tolist() == []
    with pytest.raises(la.InputError, match="one query"):
        trained("flat").trace(queries())


@pytest.mark.parametrize("rotation", [None, "opq"])
def test_quantization_error_is_that_of_reconstructed_vectors(rotation: str | None) -> None:
    index = trained("pq", "l2", rotation)
    error = index.stats(base())["quantization_error"]
    true = np.square(base() - index.reconstruct(np.arange(N))).sum(axis=1).mean()
    np.testing.assert_allclose(error["mean"], true, rtol=1e-4)
    np.testing.assert_allclose(
        error["relative"], true / np.square(base() - base().mean(axis=0)).sum(axis=1).mean(), rtol=1e-4
    )
