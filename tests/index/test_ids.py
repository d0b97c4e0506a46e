"""Ids: one's own, default ones, wide ones, and those that are refused."""

from __future__ import annotations

import numpy as np
import pytest

import lookalike as la
from tests.index.conftest import NLIST, D, base, empty, queries, same


def fresh(kind: str) -> la.FlatIndex | la.IVFPQIndex:
    return la.FlatIndex() if kind == "flat" else empty()


both = pytest.mark.parametrize("kind", ["flat", "ivfpq"])
LARGE = [2**31 - 1, 2**31, 2**31 + 1, 2**32, 2**40, 2**62]


@both
def test_default_ids_count_up(kind) -> None:
    index = fresh(kind).add(base()[:10]).add(base()[10:15])
    assert sorted(index.ids.tolist()) == list(range(15))
    np.testing.assert_array_equal(index.search(base()[:15], 1, nprobe=NLIST).ids.shape, (15, 1))


@both
def test_default_ids_go_on_from_the_largest(kind) -> None:
    index = fresh(kind).add(base()[:2], ids=[7, 3]).add(base()[2:4])
    assert sorted(index.ids.tolist()) == [3, 7, 8, 9]
    index.remove([9, 8])
    index.add(base()[4:5])
    assert sorted(index.ids.tolist()) == [3, 7, 10]  # an id is not given twice


@both
@pytest.mark.parametrize("number", LARGE)
def test_wide_ids(kind, number, tmp_path) -> None:
    index = fresh(kind).add(base()[:300]).add(base()[300:301], ids=[number]).add(base()[301:400])
    assert set(index.ids.tolist()) == {*range(300), *range(number, number + 100)}
    np.testing.assert_array_equal(
        index.reconstruct([5, number, number + 1]), fresh(kind).add(base()[:400]).reconstruct([5, 300, 301])
    )
    plain = fresh(kind).add(base()[:400]).search(queries(), 20, nprobe=NLIST)
    found = index.search(queries(), 20, nprobe=NLIST)
    np.testing.assert_array_equal(np.where(found.ids >= 300, found.ids - number + 300, found.ids), plain.ids)
    np.testing.assert_array_equal(found.distances, plain.distances)
    index.save(tmp_path / "a.lka")
    for mmap in (False, True):
        same(la.load_index(tmp_path / "a.lka", mmap=mmap).search(queries(), 20, nprobe=NLIST), found)
    assert index.remove([number]) == 1
    assert number not in index.ids


@both
def test_the_last_id_there_is(kind) -> None:
    index = fresh(kind).add(base()[:1], ids=[2**63 - 1])
    assert index.search(base()[:1], 1).ids.tolist() == [[2**63 - 1]]
    with pytest.raises(la.IdError, match="ids"):
        index.add(base()[1:2])  # there is none after it
    assert index.ntotal == 1
    index.add(base()[1:2], ids=[5])
    assert index.ntotal == 2


@both
def test_an_id_is_stored_once(kind) -> None:
    index = fresh(kind).add(base()[:10])
    before = index.search(queries(), 10, nprobe=NLIST)
    with pytest.raises(la.IdError, match="id 21 is given twice"):
        index.add(base()[:3], ids=[20, 21, 21])
    with pytest.raises(la.IdError, match="id 9 is stored already"):
        index.add(base()[:3], ids=[20, 21, 9])
    assert index.ntotal == 10
    same(index.search(queries(), 10, nprobe=NLIST), before)
    index.add(base()[:1])
    assert index.ids.max() == 10  # what was refused counted for nothing


@both
@pytest.mark.parametrize(
    ("ids", "error"),
    [
        ([-1, 2], la.InputError),
        ([1], la.InputError),
        ([1, 2, 3], la.InputError),
        ([[1, 2]], la.InputError),
        ([1.0, 2.0], la.DTypeError),
        (["a", "b"], la.DTypeError),
        ([True, False], la.DTypeError),
        ([2**64, 1], la.DTypeError),
        (np.array([2**63, 1], np.uint64), la.InputError),
    ],
)
def test_what_is_not_an_id(kind, ids, error) -> None:
    index = fresh(kind)
    with pytest.raises(error, match="ids"):
        index.add(base()[:2], ids=ids)
    assert index.ntotal == 0
    assert index.add(base()[:1]).ids.tolist() == [0]


@both
def test_ids_that_are_not_there(kind) -> None:
    index = fresh(kind).add(base()[:10])
    assert index.remove([10, 11, 2**50, 3, 3]) == 1
    with pytest.raises(la.IdError, match="id 3 is not stored") as caught:
        index.reconstruct([1, 3])
    assert isinstance(caught.value, KeyError)
    with pytest.raises(la.IdError):
        fresh(kind).add(base()[:0].reshape(0, D)).reconstruct([0])
    assert index.ntotal == 9


@both
def test_reconstruct_is_in_the_order_asked(kind) -> None:
    index = fresh(kind).add(base()[:100])
    ids = np.random.default_rng(0).permutation(100)
    np.testing.assert_array_equal(index.reconstruct(ids), index.reconstruct(np.arange(100))[ids])
    np.testing.assert_array_equal(index.reconstruct([4, 4]), index.reconstruct([4]).repeat(2, axis=0))


@both
def test_many_small_batches_between_look_ups(kind) -> None:
    """The map of ids is kept up to date by every add, not only built once."""
    index = fresh(kind)
    for i in range(60):
        index.add(base()[i : i + 1], ids=[(i * 37) % 61])
        if i % 7 == 0:
            index.reconstruct([(i * 37) % 61])
        with pytest.raises(la.IdError):
            index.add(base()[:1], ids=[(i * 37) % 61])
    wanted = fresh(kind).add(base()[:60])
    np.testing.assert_array_equal(index.reconstruct([(i * 37) % 61 for i in range(60)]), wanted.reconstruct(range(60)))


def test_ids_and_codes_are_in_one_order() -> None:
    index = empty().add(base()[:300], ids=np.arange(300)[::-1])
    wanted = index.reconstruct(index.ids)
    lists = np.repeat(np.arange(NLIST), index.list_sizes)
    decoded = index.pq.decode(index.codes) + index.coarse_centroids[lists]
    np.testing.assert_array_equal(wanted, decoded)


@both
def test_the_ids_that_are_shown_cannot_be_changed_from_outside(kind) -> None:
    index = fresh(kind).add(base()[:10])
    ids = index.ids
    if ids.flags.writeable:
        ids[:] = 99
    assert sorted(index.ids.tolist()) == list(range(10))
