"""Connected components against comparing every pair, in float64."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from lookalike._typing import FloatArray, IdArray
from lookalike.curate import alike
from lookalike.curate.alike import Union, connected
from lookalike.curate.spread import spread


def unit(x: np.ndarray) -> FloatArray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def by_definition(x: FloatArray, least: float) -> IdArray:
    """The smallest row that each is connected to, pair by pair."""
    reached = x.astype(np.float64) @ x.astype(np.float64).T >= least
    label = np.arange(len(x))
    while True:
        new = np.minimum(label, np.where(reached, label, len(x)).min(axis=1))
        if (new == label).all():
            return label
        label = new


def made(kind: str, n: int, d: int, rng: np.random.Generator) -> FloatArray:
    if kind == "random":
        return unit(rng.standard_normal((n, d)))
    if kind == "chain":  # each a small step from the one before, shuffled
        angles = np.linspace(0, rng.uniform(0.5, 12), n)
        plane = np.linalg.qr(rng.standard_normal((d, 2)))[0]
        return unit(rng.permutation(np.c_[np.cos(angles), np.sin(angles)] @ plane.T))
    centres = rng.standard_normal((max(1, n // int(rng.integers(2, 60))), d))
    spread = {"copies": 0.0, "edits": 0.15}[kind]
    return unit(centres[rng.integers(0, len(centres), n)] + spread * rng.standard_normal((n, d)))


@settings(max_examples=50, deadline=None)
@given(
    kind=st.sampled_from(["random", "chain", "copies", "edits"]),
    n=st.integers(1, 250),
    d=st.sampled_from([2, 5, 24]),
    least=st.sampled_from([-0.5, 0.3, 0.9, 0.95, 0.99, 1 - 1e-5]),
    width=st.sampled_from([0, 1, 3, 64, None]),
    tile=st.tuples(st.integers(2, 70), st.integers(2, 90)),
    seed=st.integers(0, 2**32),
)
def test_no_pair_is_missed(
    kind: str, n: int, d: int, least: float, width: int | None, tile: tuple[int, int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = made(kind, n, d, rng)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alike, "ROWS", tile[0])
        patch.setattr(alike, "COLUMNS", tile[1])
        patch.setattr(alike, "PAIRS", int(rng.choice([5, 300, 1 << 20])))
        patch.setattr(alike, "DENSE", int(rng.choice([1, 6, 1000])))
        patch.setattr(alike, "GATHERED", int(rng.choice([7, 2048])))
        patch.setattr(alike, "FEW", 10)
        assert connected(lambda places: x[places], n, least, width=width).tolist() == by_definition(x, least).tolist()


def test_far_more_copies_than_any_list_of_neighbours_would_hold() -> None:
    rng = np.random.default_rng(3)
    x = unit(np.r_[np.repeat(rng.standard_normal((1, 64)), 3000, axis=0), rng.standard_normal((2000, 64))])
    order = rng.permutation(5000)
    for width in (0, 32):
        label = connected(lambda places: x[order[places]], 5000, 0.95, width=width)
        assert len(np.unique(label[order < 3000])) == 1
        assert len(np.unique(label)) == 2001


def test_little_is_compared_in_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound rules out nearly all pairs of vectors as models make them: a mean, and axes that matter less and less."""
    monkeypatch.setattr(alike, "FEW", 100)
    rng, n, d = np.random.default_rng(0), 3000, 128
    x = unit(rng.standard_normal((n, d)) * np.arange(1, d + 1) ** -0.75 + 0.02)
    x[n // 2 :: 10] = unit(x[: n // 2 : 10] + 0.01 * rng.standard_normal((n // 20, d)))
    asked = []

    def rows_of(places: IdArray) -> FloatArray:
        asked.append(len(places))
        return x[places]

    label = connected(rows_of, n, 0.95)
    assert (label[n // 2 :: 10] == label[: n // 2 : 10]).all()
    # In full: each of the blocks reads its rows and columns. Bounded: every row once, the sample, and the pairs that are left.
    assert sum(asked) < 3 * n + alike.SAMPLE


def test_work_is_told_of_and_can_be_ended() -> None:
    x = unit(np.random.default_rng(0).standard_normal((5000, 8)))
    told: list[float] = []
    connected(lambda places: x[places], len(x), 0.99, told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert len(told) == 3

    def stop(share: float) -> None:
        raise KeyboardInterrupt

    asked: list[int] = []

    def rows_of(places: IdArray) -> FloatArray:
        asked.append(len(places))
        return x[places]

    with pytest.raises(KeyboardInterrupt):
        connected(rows_of, len(x), 0.99, stop)
    assert len(asked) == 2, "the rows and columns of one block"


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=60))
def test_sets_are_joined_as_one_by_one(pairs: list[tuple[int, int]]) -> None:
    union, label = Union(41), list(range(41))
    for first, second in pairs:
        low, high = sorted((label[first], label[second]))
        label = [low if each == high else each for each in label]
    union.join(np.array([i for i, _ in pairs], np.int64), np.array([j for _, j in pairs], np.int64))
    assert union.find(np.arange(41)).tolist() == label


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(["random", "chain", "copies", "edits"]), m=st.integers(1, 150), seed=st.integers(0, 2**32))
def test_parts_are_led_by_the_first_that_is_alike(kind: str, m: int, seed: int) -> None:
    x, least = made(kind, m, 8, np.random.default_rng(seed)), 0.9
    exact = x.astype(np.float64) @ x.astype(np.float64).T
    leaders: list[int] = []
    expected = []
    for row in range(m):
        found = next((leader for leader in leaders if exact[row, leader] >= least), None)
        if found is None:
            leaders.append(row)
        expected.append(row if found is None else found)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lookalike.curate.spread.ROWS", 16)
        patch.setattr("lookalike.curate.spread.COLUMNS", 23)
        how = spread(lambda places: x[places], m, least, lambda: None)
    assert how.leader.tolist() == expected
    assert how.cosine == pytest.approx(exact[np.arange(m), expected], abs=1e-12)
    assert how.least == pytest.approx(exact.min(), abs=1e-6)
