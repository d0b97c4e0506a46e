"""The search of inverted lists as a kernel, against decoding everything."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numba import njit

from lookalike.kernels import ivf, scratch, topk
from lookalike.kernels.layout import Allow, Tiles, group_size
from tests import reference
from tests.kernels.conftest import examples

NOBODY, NOTHING = np.empty(0, np.int64), np.empty(0, np.bool_)
GONE = np.empty(0, np.int64)  # nothing was removed in place


class Lists(NamedTuple):
    """Lists of random codes, and what they decode to."""

    memory: list[Any]  # keeps alive what `table` points to
    table: np.ndarray
    centroids: np.ndarray
    codebook: np.ndarray
    columns: np.ndarray  # of `layout.Tiles`
    decoded: np.ndarray
    ids: np.ndarray
    list_no: np.ndarray


def make_lists(rng, sizes, m: int, dsub: int, nbits: int, *, l2: bool, by_residual: bool, wide: bool = False) -> Lists:
    nlist, ksub, d = len(sizes), 1 << nbits, m * dsub
    centroids = rng.normal(size=(nlist, d)).astype(np.float32)
    codebook = (rng.normal(size=(m, ksub, dsub)) / 2).astype(np.float32)
    columns = Tiles.of(codebook, width=256).columns  # padding must not widen the range of the table
    n = sum(sizes)
    names = rng.permutation(3 * n)[:n] + (2**33 if wide else 0)
    list_no = np.repeat(np.arange(nlist), sizes)
    codes = rng.integers(0, ksub, (n, m)).astype(np.uint8 if nbits <= 8 else np.uint16)
    decoded = reference.decode(codes, codebook).astype(np.float64)
    biases = np.zeros(n)
    if l2:
        biases = np.square(decoded).sum(axis=1)
        if by_residual:
            biases += 2 * (decoded * centroids[list_no]).sum(axis=1)
    memory, table = [], np.zeros((nlist, 4), np.int64)
    for number, size in enumerate(sizes):
        here = list_no == number
        near = np.full(-(-size // 64) * 64, np.nan, np.float32)  # lanes that hold nothing must not matter
        known = np.full(len(near), -77, np.int64 if wide else np.int32)
        near[:size], known[:size] = biases[here], names[here]
        parts = reference.to_blocks(codes[here]), reference.aligned(near), reference.aligned(known)
        table[number] = [*(part.ctypes.data for part in parts), size]
        memory.append(parts)
    whole = decoded + centroids[list_no] if by_residual else decoded
    centroids.flags.writeable = codebook.flags.writeable = False  # as indexes hold them: a type of its own to Numba
    return Lists(memory, table, centroids, codebook, columns, whole, names, list_no)


def coarse_terms(lists: Lists, xq: np.ndarray, probes: np.ndarray, l2: bool, by_residual: bool) -> np.ndarray:
    centroids = lists.centroids[probes].astype(np.float64)
    if by_residual:
        terms = np.square(xq[:, None] - centroids).sum(2) if l2 else -(centroids * xq[:, None]).sum(2)
    else:
        terms = np.repeat(np.square(xq).sum(1, keepdims=True), probes.shape[1], 1) if l2 else np.zeros(probes.shape)
    return terms.astype(np.float32)


def packed(lists, l2: bool, by_residual: bool, wide: bool = False):
    """The lists and what their codes mean, as kernels take them."""
    space = lists.centroids, lists.codebook, lists.columns, by_residual, int(l2)
    return space, (lists.table, GONE, int(lists.table[:, 3].max()), wide)


def searched(lists, xq, probes, k, *, l2, by_residual, wide=False, mask=NOTHING, chosen=NOBODY):
    out_d, out_i = np.full((len(xq), k), np.nan, np.float32), np.full((len(xq), k), -9, np.int64)
    coarse = coarse_terms(lists, xq, probes, l2, by_residual)
    ivf.search_lists(xq, probes, coarse, *packed(lists, l2, by_residual, wide), (mask, chosen), out_d, out_i)
    return out_d, out_i


def wanted(lists: Lists, xq, probes, k, *, l2, allowed=None):
    """The k best of the probed lists by decoding everything; inner products negated, as kernels know them."""
    distance = reference.distances(xq, lists.decoded, "l2" if l2 else "ip") * (1 if l2 else -1)
    for i in range(len(xq)):
        distance[i, ~np.isin(lists.list_no, probes[i])] = np.inf
    if allowed is not None:
        distance[:, ~allowed] = np.inf
    best, found = reference.top_k(distance, lists.ids, k, "l2")
    return best, np.where(np.isinf(best), -1, found)


SIZES = [0, 1, 63, 64, 65, 200, 0, 130]


@pytest.mark.parametrize("nbits", [4, 8, 9])
@pytest.mark.parametrize("l2", [True, False])
@pytest.mark.parametrize("by_residual", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_search_finds_what_decoding_finds(nbits, l2, by_residual, wide, rng) -> None:
    lists = make_lists(rng, SIZES, 4, 3, nbits, l2=l2, by_residual=by_residual, wide=wide)
    xq = rng.normal(size=(5, 12)).astype(np.float32)
    for nprobe, k in [(1, 3), (3, 40), (8, 1), (8, 200), (8, 600)]:
        probes = np.stack([rng.permutation(8)[:nprobe] for _ in xq])
        got = searched(lists, xq, probes, k, l2=l2, by_residual=by_residual, wide=wide)
        best = wanted(lists, xq, probes, k, l2=l2)
        reference.assert_same_results(got, best, np.full((5, k), 1e-4))
        for i in range(5):  # one by one, in the order of the probes, gives the very same
            alone = searched(lists, xq[i : i + 1], probes[i : i + 1], k, l2=l2, by_residual=by_residual, wide=wide)
            np.testing.assert_array_equal(alone[0][0], got[0][i])
            np.testing.assert_array_equal(alone[1][0], got[1][i])


@examples(15)
@given(seed=st.integers(0, 2**32), m=st.integers(1, 40), k=st.integers(1, 70), size=st.integers(1, 200))
def test_search_of_one_list(seed, m, k, size) -> None:
    rng = np.random.default_rng(seed)
    lists = make_lists(rng, [size], m, 2, 6, l2=True, by_residual=True)
    xq, probes = rng.normal(size=(2, 2 * m)).astype(np.float32), np.zeros((2, 1), np.int64)
    got = searched(lists, xq, probes, k, l2=True, by_residual=True)
    reference.assert_same_results(got, wanted(lists, xq, probes, k, l2=True), np.full((2, k), 1e-3))


def test_more_pieces_than_16_bits_hold_at_full_bytes(rng) -> None:
    lists = make_lists(rng, [100, 70], 300, 1, 8, l2=True, by_residual=True)
    xq, probes = rng.normal(size=(3, 300)).astype(np.float32), np.tile([1, 0], (3, 1))
    got = searched(lists, xq, probes, 10, l2=True, by_residual=True)
    reference.assert_same_results(got, wanted(lists, xq, probes, 10, l2=True), np.full((3, 10), 1e-2))


@pytest.mark.parametrize("m", [170, 100, 600])
def test_queries_that_are_more_than_a_group(m, rng) -> None:
    """The tables of few queries fit the cache when there are many pieces: three, five and one."""
    assert group_size(m, 64, 10) == {170: 3, 100: 5, 600: 1}[m]
    lists = make_lists(rng, SIZES, m, 1, 6, l2=True, by_residual=True)
    xq = rng.normal(size=(8, m)).astype(np.float32)
    probes = np.stack([rng.permutation(8)[:5] for _ in xq])
    got = searched(lists, xq, probes, 10, l2=True, by_residual=True)
    reference.assert_same_results(got, wanted(lists, xq, probes, 10, l2=True), np.full((8, 10), 1e-2))


@pytest.mark.parametrize("nbits", [8, 9])
@pytest.mark.parametrize("by_mask", [True, False])
def test_filters(nbits, by_mask, rng) -> None:
    lists = make_lists(rng, SIZES, 4, 3, nbits, l2=True, by_residual=True)
    xq, probes = rng.normal(size=(4, 12)).astype(np.float32), np.tile(np.arange(8), (4, 1))
    for share in (0.02, 0.5, 1.0):
        allowed = rng.random(len(lists.ids)) < share
        allowed[0] = True
        chosen = np.sort(lists.ids[allowed])
        mask = np.zeros(int(lists.ids.max()) if share < 1 else 3 * len(lists.ids), np.bool_)  # shorter than the ids go
        mask[chosen[chosen < len(mask)]] = True
        allowed = np.isin(lists.ids, np.flatnonzero(mask) if by_mask else chosen)
        which = {"mask": mask} if by_mask else {"chosen": chosen}
        got = searched(lists, xq, probes, 20, l2=True, by_residual=True, **which)
        best = wanted(lists, xq, probes, 20, l2=True, allowed=allowed)
        reference.assert_same_results(got, best, np.full((4, 20), 1e-4))


@pytest.mark.parametrize("nbits", [4, 9])
def test_range_search_finds_all_that_are_nearer(nbits, rng) -> None:
    lists = make_lists(rng, SIZES, 4, 3, nbits, l2=True, by_residual=True)
    xq, probes = rng.normal(size=(3, 12)).astype(np.float32), np.arange(8)
    every = reference.distances(xq, lists.decoded, "l2")
    for i in range(3):
        coarse = coarse_terms(lists, xq[i : i + 1], probes[None], True, True)[0]
        between = np.sort(every[i])[199:201].mean()  # no vector lies at it: that would be a matter of rounding
        for radius in (0.0, float(between), 1e9):
            got_d, got_i = ivf.range_lists(
                xq[i], probes, coarse, *packed(lists, True, True), (NOTHING, NOBODY), np.float32(radius)
            )
            assert (np.diff(got_d) >= 0).all()
            assert set(got_i.tolist()) == set(lists.ids[every[i] < np.float32(radius)].tolist())


@examples(40)
@given(seed=st.integers(0, 2**32), nq=st.integers(1, 9), nlist=st.integers(1, 20), data=st.data())
def test_visiting_order_groups_pairs_by_list(seed, nq, nlist, data) -> None:
    nprobe = data.draw(st.integers(1, nlist))
    first = data.draw(st.integers(0, nprobe))
    rng = np.random.default_rng(seed)
    probes = np.stack([rng.permutation(nlist)[:nprobe] for _ in range(nq)])
    order = np.full(nq * nprobe, -1)
    pairs = ivf.visiting_order(probes, first, nprobe, np.full(nlist + 1, -5), order)
    expected = sorted((probes[i, p], i * nprobe + p) for i in range(nq) for p in range(first, nprobe))
    assert order[:pairs].tolist() == [pair for _, pair in expected]
    assert (order[pairs:] == -1).all()


@njit
def _allowed(number, mask, chosen):
    return ivf.is_allowed(number, Allow(mask, chosen))


def test_who_is_allowed() -> None:
    mask, chosen = np.array([True, False, True]), np.array([3, 2**40])
    assert [bool(_allowed(number, mask, NOBODY)) for number in (0, 1, 2, 3, -1, -(2**62))] == [1, 0, 1, 0, 0, 0]
    assert [bool(_allowed(number, NOTHING, chosen)) for number in (3, 2**40, 2, 2**41, -1)] == [1, 1, 0, 0, 0]


@njit
def _aligned():
    memory = scratch.aligned_bytes(100)
    return memory.ctypes.data, memory.shape[0]


def test_byte_memory_is_aligned() -> None:
    for _ in range(10):
        address, length = _aligned()
        assert (address % 64, length) == (0, 100)


@njit
def _scratch(group, nprobe, nlist, m, k, longest):
    return scratch.make_scratch(group, nprobe, nlist, m, k, longest)


@pytest.mark.parametrize(
    ("group", "nprobe", "nlist", "m", "k", "longest"),
    [
        (1, 4, 9, 3, 5, 130), (3, 4, 9, 3, 5, 130), (7, 1, 1, 1, 1, 1), (2, 5, 6, 48, 600, 64), (4, 2, 3, 2, 10, 0),
        (1, 1, 1, 1, 1, 0), (16, 33, 70, 8, 100, 4097),
    ],
)  # fmt: skip
def test_working_memory_is_as_large_as_was_asked(group, nprobe, nlist, m, k, longest) -> None:
    """Slices that reach beyond the block are cut short in silence, and written beyond."""
    work = _scratch(group, nprobe, nlist, m, k, longest)
    capacity, blocks = 2 * k + topk.LANES, -(-longest // 64)
    pairs, lists = (group * nprobe, nlist + 1) if group > 1 else (0, 0)
    shapes = {
        "tables": (group, m, 256), "exact": (group, m, 256), "steps": (group,), "floors": (group,),
        "distances": (group, capacity), "ids": (group, capacity), "places": (group, capacity), "counts": (group,),
        "limits": (group,), "rounding": (group,), "settled": (group,),
        "masks": (blocks,), "estimates": (64 * blocks,), "minima": (topk.LANES,),
        "starts": (lists,), "order": (pairs,),
    }  # fmt: skip
    assert work.k == k
    assert {name: part.shape for name, part in work._asdict().items() if name != "k"} == shapes
    spans = sorted((part.ctypes.data, part.ctypes.data + part.nbytes) for part in work[1:] if part.size)
    assert all(end <= first for (_, end), (first, _) in pairwise(spans))
    assert all(first % 64 == 0 for first, _ in spans)
    assert work.tables.ctypes.data % 4096 == 0
