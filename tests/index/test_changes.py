"""Many changes in any order, against a dictionary; what an index says of single ids; codes given and taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lookalike as la
from lookalike.index.idmap import IdMap
from lookalike.index.lists import Column, Lists
from tests.index.conftest import METRICS, NLIST, D, M, base, queries, trained

pytestmark = pytest.mark.filterwarnings("ignore::lookalike.LookalikeWarning")  # few points to train on

KINDS = ["flat", "pq", "ivfflat", "ivfpq", "ivfsigns", "refined"]


def empty_of(kind: str, metric: str = "l2") -> Any:
    """An index of a kind that holds nothing."""
    if kind == "refined":
        return la.RefinedIndex(la.IVFPQIndex(NLIST, M, 6, metric)).train(base())
    if kind == "ivfflat":
        return la.IVFFlatIndex(NLIST, metric).train(base())
    if kind == "ivfsigns":
        return la.IVFSignsIndex(NLIST, metric).train(base())
    index = trained(kind, metric).split(np.empty(0, np.int64))
    assert len(index) == 0
    index._next_id = 0
    return index


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "update", "upsert", "merge", "split", "compact", "copy"]),
        st.lists(st.integers(0, 60), min_size=0, max_size=25, unique=True),
        st.integers(0, 1400),
    ),
    max_size=14,
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25)
@given(steps=STEPS)
def test_any_order_of_changes_is_what_a_dictionary_holds(kind: str, steps: Any) -> None:
    check_changes(kind, steps)


@pytest.mark.parametrize("kind", ["flat", "pq", "refined"])
@settings(max_examples=25)
@given(steps=STEPS, share=st.sampled_from([1, 2, 4]))
def test_so_it_is_where_removed_vectors_stay_in_place(kind: str, steps: Any, share: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike.index.lists.LONG", 1)
        patch.setattr("lookalike.index.lists.SHARE", share)
        check_changes(kind, steps)


def check_changes(kind: str, steps: Any) -> None:
    """Make the changes to an index and to a dictionary, and compare the two."""
    index, held = empty_of(kind), {}
    for what, ids, at in steps:
        rows = base()[at : at + len(ids)]
        stored = [number for number in ids if number in held]
        if what == "add":
            fresh = [number for number in ids if number not in held]
            index.add(base()[at : at + len(fresh)], fresh) if fresh else None
            held |= dict(zip(fresh, range(at, at + len(fresh)), strict=True))
        elif what == "remove":
            assert index.remove(ids) == len(stored)
            held = {number: row for number, row in held.items() if number not in ids}
        elif what == "update":
            index.update(stored, base()[at : at + len(stored)].reshape(-1, D))
            held |= dict(zip(stored, range(at, at + len(stored)), strict=True))
        elif what == "upsert":
            index.upsert(ids, rows.reshape(-1, D))
            held |= dict(zip(ids, range(at, at + len(ids)), strict=True))
        elif what == "merge":
            index.merge(index.split(stored))
        elif what == "split":
            part = index.split(stored)
            assert sorted(part.ids.tolist()) == sorted(stored)
            held = {number: row for number, row in held.items() if number not in stored}
        elif what == "compact":
            index.compact()
        else:
            index = type(index).from_bytes(index.to_bytes())
        assert sorted(index.ids.tolist()) == sorted(held)
        assert len(index) == len(held)
    for number in range(61):
        assert (number in index) == (number in held)
    if held:
        numbers, rows = list(held), base()[list(held.values())]
        whole = empty_of(kind).add(rows, numbers)
        np.testing.assert_array_equal(index.reconstruct(numbers), whole.reconstruct(numbers))
        found, wanted = (each.search(queries()[:5], 7, nprobe=NLIST) for each in (index, whole))
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_array_equal(found.distances, wanted.distances)


@pytest.mark.parametrize("kind", KINDS)
def test_an_upsert_that_fails_changes_nothing(kind: str) -> None:
    index = empty_of(kind).add(base()[:50])
    before = index.to_bytes()
    with pytest.raises(la.IdError, match="twice"):
        index.upsert([3, 3], base()[:2])
    with pytest.raises(la.DimensionError):
        index.upsert([3, 70], base()[:2, :5])
    assert index.to_bytes() == before
    index.upsert([3, 70], base()[90:92])
    assert len(index) == 51
    assert index.add(base()[:1]).ids.max() == 71, "ids go on from the largest"


def test_what_is_no_id_is_in_no_index() -> None:
    index = la.FlatIndex().add(base()[:3])
    assert 2 in index
    assert np.int32(2) in index
    for other in (3, -1, 2**63, 1.0, "1", None, True):
        assert other not in index
    assert la.FlatIndex(), "an empty index is not false, as an empty list is"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_denied_ids_are_not_found(kind: str, metric: str) -> None:
    index = empty_of(kind, metric).add(base())
    all_but = np.ones(len(base()), np.bool_)
    all_but[100:900] = False
    wanted = index.search(queries(), 9, nprobe=NLIST, allow=all_but)
    for deny in (range(100, 900), list(range(100, 900)), ~all_but, set(range(100, 900))):
        found = index.search(queries(), 9, nprobe=NLIST, deny=deny)
        np.testing.assert_array_equal(found.ids, wanted.ids)
    both = index.search(queries(), 9, nprobe=NLIST, allow=range(50, 200), deny=range(100, 900)).ids
    assert set(both[both >= 0].tolist()) <= set(range(50, 100))
    assert (index.search(queries()[:1], 3, deny=range(5000)).ids == -1).all()
    ranges = index.range_search(queries()[:3], 1e30 if metric != "ip" else -1e30, nprobe=NLIST, deny=[1, 2])
    assert ranges.lims[1] == len(base()) - 2
    with pytest.raises(la.InputError, match="deny: "):
        index.search(queries(), 3, deny="abc")


def test_denied_ids_are_not_reranked() -> None:
    index = la.Reranked(empty_of("ivfpq").add(base()), base())
    found = index.search(queries(), 5, nprobe=NLIST, deny=range(750)).ids
    assert found.min() >= 750


def test_denied_ids_far_apart() -> None:
    index = la.FlatIndex().add(base()[:4], ids=[0, 10**12, 2 * 10**15, 2**63 - 1])
    assert sorted(index.search(base()[:1], 4, deny=[10**12, 5, 2**63 - 1]).ids[0].tolist()) == [-1, -1, 0, 2 * 10**15]


def test_the_map_of_ids_is_not_made_anew_for_a_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    index = empty_of("ivfpq").add(np.tile(base(), (16, 1)))
    index.remove([0])
    with monkeypatch.context() as patch:
        patch.setattr(Lists, "all_places", lambda self: pytest.fail("the map was made anew"))
        for number in range(1, 9):
            assert index.remove([number]) == 1
            assert index.remove([number]) == 0
            assert number not in index
            index.upsert([50000 + number], base()[number : number + 1])
    for number in (40, 41, 5900, 23999):
        assert number in index
    for number in range(1, 9):
        assert 50000 + number in index


def test_a_place_that_is_out_of_date_is_looked_up() -> None:
    columns = {"vectors": Column(np.dtype(np.float32), 2), "ids": Column(np.dtype(np.int64))}
    ids = np.arange(100)[::-1].copy()
    lists, places = Lists.empty(2, columns).append(ids % 2, (np.zeros((100, 2), np.float32),), ids)
    known = IdMap(ids, places)
    np.testing.assert_array_equal(known.find(ids, lists), places)
    gone = places[[90, 91]]
    fewer = lists.remove(gone)
    later = known.without(gone, lists, fewer)
    assert later is not None
    found = later.find(ids, fewer)
    assert (found[[90, 91]] == -1).all()
    assert (np.delete(found, [90, 91]) >= 0).all()
    order = np.argsort(fewer.all_ids())
    np.testing.assert_array_equal(later.find(np.sort(fewer.all_ids()), fewer), fewer.all_places()[order])
    fewer = lists.remove(places[:2])
    once = known.without(places[:2], lists, fewer)
    assert once is not None
    first = fewer.all_places()[[0, 60]]
    assert once.without(first, fewer, fewer.remove(first)) is None, "all have moved"


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["pq", "ivfpq"])
def test_codes_are_those_that_add_stores(kind: str, metric: str) -> None:
    index = empty_of(kind, metric)
    codes, list_no = index.encode(base()[:70])
    index.add(base()[:70])
    order = np.argsort(index.ids)
    np.testing.assert_array_equal(codes, index.codes[order])
    np.testing.assert_array_equal(index.decode(codes, list_no), index.reconstruct(np.arange(70)))
    assert index.encode(base()[:0]).codes.shape == (0, M)


def test_codes_that_are_none_of_an_index() -> None:
    index = empty_of("ivfpq")
    codes, list_no = index.encode(base()[:3])
    with pytest.raises(la.InputError, match="list_no: expected the list of each code"):
        index.decode(codes)
    with pytest.raises(la.InputError, match=f"list_no: expected 0 to {NLIST - 1}, got 99"):
        index.decode(codes, [0, 99, 1])
    with pytest.raises(la.InputError, match="list_no: expected 3"):
        index.decode(codes, [0])
    with pytest.raises(la.InputError, match="codes: expected"):
        index.decode(codes + 100, list_no)
    with pytest.raises(la.NotTrainedError):
        la.PQIndex(4).encode(base())


@pytest.mark.parametrize("kind", KINDS)
def test_progress_of_training_and_adding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.index.index.ROWS", 400)
    told: list[tuple[int, int]] = []
    index = empty_of(kind)
    index.train(base(), progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1]
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    told.clear()
    index.add(base(), progress=lambda done, total: told.append((done, total)))
    assert told == [(400, 1500), (800, 1500), (1200, 1500), (1500, 1500)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    before = index.to_bytes()
    with pytest.raises(KeyboardInterrupt):
        index.add(base(), progress=stop)
    assert index.to_bytes() == before


@pytest.mark.parametrize("kind", ["ivfflat", "ivfpq", "refined"])
def test_tuning_finds_the_smallest_nprobe(kind: str) -> None:
    index = empty_of(kind).add(base())
    exact = la.FlatIndex().add(base()).search(queries(), 5).ids if kind == "refined" else None
    wanted = index.search(queries(), 5, nprobe=NLIST).ids if exact is None else exact
    recalls = [
        np.mean(
            [
                np.isin(row, found).mean()
                for row, found in zip(wanted, index.search(queries(), 5, nprobe=n).ids, strict=True)
            ]
        )
        for n in range(1, NLIST + 1)
    ]
    for target in (0.5, 0.9, 0.99):
        tuned = index.tune(queries(), target, k=5, exact_ids=exact)
        assert tuned.recall == pytest.approx(recalls[tuned.nprobe - 1])
        assert tuned.recall >= target
        assert tuned.nprobe == 1 or recalls[tuned.nprobe - 2] < target


def test_a_refined_index_is_tuned_by_the_lists_of_its_base() -> None:
    x = np.random.default_rng(3).normal(size=(2000, D)).astype(np.float32)
    index = la.RefinedIndex(la.IVFPQIndex(32, M, 4)).train(x).add(x)
    tuned = index.tune(x[:100] + 0.3, 0.95)
    assert tuned.nprobe > 2
    for other in (type(index).from_bytes(index.to_bytes()), index.split(range(1000))):
        assert other.nlist == 32


def test_tuning_says_what_cannot_be_reached() -> None:
    index = empty_of("ivfpq").add(base())
    exact = la.FlatIndex().add(base()).search(queries(), 5).ids
    with pytest.raises(la.InputError, match=rf"is not reached with all {NLIST} lists, which give 0\.\d+; re-rank"):
        index.tune(queries(), 1.0, k=5, exact_ids=exact)
    for bad in (0, 1.5, "0.9", True):
        with pytest.raises(la.InputError, match="recall: expected a number above 0"):
            index.tune(queries(), bad)
    with pytest.raises(la.InputError, match="exact_ids: expected ids of shape"):
        index.tune(queries(), 0.9, k=9, exact_ids=exact)
    with pytest.raises(la.InputError, match="it is empty"):
        empty_of("ivfpq").tune(queries())
