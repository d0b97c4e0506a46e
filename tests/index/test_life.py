"""The life of an index after its first add: update, merge, split, compact, range search; and what it tells of itself."""

from __future__ import annotations

import json

import numpy as np
import pytest

import lookalike as la
from tests import reference
from tests.index.conftest import METRICS, NLIST, M, N, base, empty, filled, queries, same, trained

NBITS = [6, 9]


@pytest.mark.parametrize("nbits", NBITS)
def test_update_replaces_vectors(nbits) -> None:
    index = empty(nbits=nbits).add(base()[:500])
    ids = np.arange(0, 500, 3)
    index.update(ids, base()[1000 : 1000 + len(ids)])
    x = base()[:500].copy()
    x[ids] = base()[1000 : 1000 + len(ids)]
    same(index.search(queries(), 500, nprobe=NLIST), empty(nbits=nbits).add(x).search(queries(), 500, nprobe=NLIST))
    assert index.update([], np.empty((0, 16))) is index
    assert index.add(base()[:1]).ids.max() == 500


def test_update_of_what_is_not_there() -> None:
    index = empty().add(base()[:10])
    before = index.search(queries(), 10, nprobe=NLIST)
    with pytest.raises(la.IdError, match="id 10 is not stored"):
        index.update([3, 10], base()[:2])
    with pytest.raises(la.IdError, match="twice"):
        index.update([3, 3], base()[:2])
    with pytest.raises(la.InputError, match="ids: expected 2"):
        index.update([3], base()[:2])
    same(index.search(queries(), 10, nprobe=NLIST), before)


@pytest.mark.parametrize("nbits", NBITS)
@pytest.mark.parametrize("shift", [0, 2**33])
def test_merge_is_adding(nbits, shift) -> None:
    one, other = empty(nbits=nbits).add(base()[:300]), empty(nbits=nbits).add(base()[300:500], ids=np.arange(200))
    one.merge(other, add_id=shift or 300)
    wanted = empty(nbits=nbits).add(base()[:300]).add(base()[300:500], ids=np.arange(200) + (shift or 300))
    same(one.search(queries(), 500, nprobe=NLIST), wanted.search(queries(), 500, nprobe=NLIST))
    assert other.ntotal == 200
    one.remove(one.ids[:100])
    assert other.ntotal == 200
    assert one.add(base()[:1]).ids.max() == (shift or 300) + 200
    assert one.merge(empty(nbits=nbits)).ntotal == 401


def test_merge_of_what_does_not_fit() -> None:
    index = empty().add(base()[:10])
    with pytest.raises(la.IdError, match="stored already"):
        index.merge(empty().add(base()[:1]))
    for other in (empty("ip"), empty(nbits=4), empty(by_residual=False), la.FlatIndex(), trained("ivfpq"), None):
        with pytest.raises(la.InputError, match="trained the same way"):
            index.merge(other)
    with pytest.raises(la.InputError, match="add_id"):
        index.merge(empty(), add_id=-1)
    assert index.ntotal == 10
    doubled = empty().add(base()[:10])
    doubled.merge(doubled, add_id=10)
    assert sorted(doubled.ids.tolist()) == list(range(20))


@pytest.mark.parametrize("nbits", NBITS)
def test_split_takes_a_part_away(nbits) -> None:
    index = empty(nbits=nbits).add(base()[:500])
    ids = np.random.default_rng(0).permutation(500)[:123]
    part = index.split(ids)
    rest = np.setdiff1d(np.arange(500), ids)
    assert (part.ntotal, index.ntotal) == (123, 377)
    for one, here in ((part, ids), (index, rest)):
        fresh = empty(nbits=nbits).add(base()[here], ids=here)
        same(one.search(queries(), 500, nprobe=NLIST), fresh.search(queries(), 500, nprobe=NLIST))
    part.add(base()[:5])
    assert index.ntotal == 377
    index.remove(rest)
    assert part.ntotal == 128
    with pytest.raises(la.IdError, match="is not stored"):
        part.split([10**6])
    assert part.split([]).ntotal == 0


def test_compact_gives_room_back_and_changes_nothing() -> None:
    index, first = empty(), 0
    while first == 0 or (first < N - 50 and not index.stats()["memory"]["slack"]):
        index.add(base()[first : first + 50])
        first += 50
    before = index.search(queries(), 50, nprobe=NLIST)
    assert index.stats()["memory"]["slack"] > 0
    index.compact()
    assert index.stats()["memory"]["slack"] == 0
    same(index.search(queries(), 50, nprobe=NLIST), before)
    index.add(base()[:100]).remove(np.arange(first, first + 100))
    same(index.search(queries(), 50, nprobe=NLIST), before)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("nbits", NBITS)
def test_range_search_is_the_search_cut_at_a_radius(metric, nbits) -> None:
    index, worse = filled(metric, nbits), -1 if metric == "ip" else 1
    every = index.search(queries(), N, nprobe=5)
    held = every.ids >= 0
    ordered = np.sort(every.distances[held])
    for part in (0.02, 0.3, 0.9):
        at = int(part * len(ordered))
        radius = float(ordered[at : at + 2].astype(np.float64).mean())
        lims, distances, ids = index.range_search(queries(), radius, nprobe=5, threads=2)
        assert lims.tolist()[0] == 0
        assert (lims.dtype, distances.dtype, ids.dtype) == (np.int64, np.float32, np.int64)
        for i in range(len(queries())):
            near = held[i] & (worse * every.distances[i] < worse * radius)
            edge = np.abs(every.distances[i] - radius) < 1e-4  # rounding may put these on either side
            mine = set(ids[lims[i] : lims[i + 1]].tolist())
            assert mine ^ set(every.ids[i][near].tolist()) <= set(every.ids[i][edge].tolist())
            assert (np.diff(worse * distances[lims[i] : lims[i + 1]]) >= 0).all()
    allowed = index.range_search(queries(), radius, nprobe=NLIST, allow=[1, 2, 3]).ids
    assert set(allowed.tolist()) <= {1, 2, 3}


@pytest.mark.parametrize("made", [filled, lambda: trained("flat"), lambda: filled("l2", 9)], ids=["6", "flat", "9"])
def test_range_search_at_the_edges(made) -> None:
    index = made()
    assert index.range_search(np.empty((0, 16)), 1.0).lims.tolist() == [0]
    assert not index.range_search(queries(), -1.0).lims.any()
    assert index.range_search(queries(), 1e30, nprobe=NLIST).lims.tolist() == [N * i for i in range(41)]
    for radius in (np.nan, np.inf, "1", None, True):
        with pytest.raises(la.InputError, match="radius"):
            index.range_search(queries(), radius)


def test_memory_is_told_by_part() -> None:
    index = empty(nbits=8).add(base())
    index.compact()
    stats = index.stats(base())
    blocks = sum(-(-size // 64) for size in index.list_sizes.tolist())
    assert stats["memory"]["codes"] == blocks * 64 * M
    assert stats["memory"]["biases"] == stats["memory"]["ids"] == blocks * 64 * 4
    assert stats["bytes_per_vector"] == pytest.approx(blocks * 64 * (M + 8) / N)
    assert stats["lists"]["count"] == NLIST
    assert stats["lists"]["largest"] == index.list_sizes.max()
    assert stats["lists"]["imbalance"] >= 1
    error = np.square(index.reconstruct(np.arange(N)) - base()).sum(axis=1).mean()
    assert stats["quantization_error"]["mean"] == pytest.approx(error, rel=1e-4)
    assert 0 < stats["quantization_error"]["relative"] < 1
    json.dumps(stats)
    json.dumps(la.IVFPQIndex(nlist=3, m=4).stats())


# --- traces ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("nbits", NBITS)
def test_a_trace_is_the_search_step_by_step(metric, nbits) -> None:
    index, q = filled(metric, nbits), queries()[3]
    trace = index.trace(q, k=10, nprobe=4)
    found = index.search(q, 10, nprobe=4)
    np.testing.assert_array_equal(trace.ids, found.ids[0])
    np.testing.assert_array_equal(trace.distances, found.distances[0])
    unit = reference.unit(q[None]) if metric == "cosine" else q[None]
    coarse = reference.distances(unit, index.coarse_centroids, "ip" if metric == "ip" else "l2")[0]
    np.testing.assert_allclose(trace.coarse_distances, coarse, rtol=1e-4, atol=1e-4)
    order = np.argsort(-coarse if metric == "ip" else coarse)[:4]
    assert [cell.list_no for cell in trace.probed] == order.tolist()
    scanned = np.concatenate([cell.ids for cell in trace.probed])
    assert len(scanned) == index.list_sizes[order].sum()
    for cell in trace.probed:
        decoded = index.reconstruct(cell.ids)
        np.testing.assert_allclose(cell.distances, reference.distances(unit, decoded, metric)[0], rtol=1e-4, atol=1e-4)
    table = reference.product_table(unit[0], index.pq_centroids, -2 if metric == "l2" else 1)
    np.testing.assert_allclose(trace.lookup_table, table, rtol=1e-4, atol=1e-4)
    json.dumps(trace.to_json())


def test_a_trace_says_why_a_neighbour_was_missed() -> None:
    index = empty().add(base())
    index.remove([17])
    for q in queries()[:10]:
        exact = np.append(la.FlatIndex().add(base()).search(q, 10).ids[0], 17)
        trace = index.trace(q, k=5, nprobe=2, exact_ids=exact)
        probed = {cell.list_no for cell in trace.probed}
        assert {miss.id for miss in trace.missed} == set(exact.tolist()) - set(trace.ids.tolist())
        for miss in trace.missed:
            if miss.id == 17:
                assert miss.reason == "not stored"
                continue
            assert (miss.reason == "cell not probed") == (miss.list_no not in probed)
            assert miss.id in index.search(q, N, nprobe=miss.needed_nprobe).ids
            if miss.needed_nprobe > 1:
                assert miss.id not in index.search(q, N, nprobe=miss.needed_nprobe - 1).ids
            if miss.reason == "code too coarse":
                assert miss.distance >= miss.worst_kept - 1e-4
                assert miss.id in index.search(q, miss.rank + 2, nprobe=2).ids
        json.dumps(trace.to_json())


def test_a_trace_is_of_one_query() -> None:
    for x in (queries()[:2], np.empty((0, 16))):
        with pytest.raises(la.InputError, match="one query"):
            filled().trace(x)
    with pytest.raises(la.NotTrainedError):
        la.IVFPQIndex(nlist=2, m=4).trace(queries()[0])
    assert len(empty().trace(queries()[0], exact_ids=[4]).ids) == 0
