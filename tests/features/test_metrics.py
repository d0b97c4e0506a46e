"""Measures of rankings, against definitions written out slowly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lookalike.features import metrics
from lookalike.features.metrics import group, macro, pair_order, score_queries, separation


def _unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def _slow(scores: list[float], relevant: set[int], own: int) -> tuple[float, list[float], list[float]]:
    """AP, P@k and recall@k, one result at a time."""
    order = sorted((row for row in range(len(scores)) if row != own), key=lambda row: (-scores[row], row))
    hits = [row in relevant for row in order]
    precisions = [sum(hits[: at + 1]) / (at + 1) for at, hit in enumerate(hits) if hit]
    cuts = metrics.CUTS
    return (
        sum(precisions) / len(relevant),
        [sum(hits[:k]) / k for k in cuts],
        [sum(hits[:k]) / len(relevant) for k in cuts],
    )


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=3, max_size=25), st.data())
def test_one_ranking_is_as_the_definitions_say_ties_included(rows: list[tuple[int, bool]], data: st.DataObject) -> None:
    own = data.draw(st.integers(0, len(rows) - 1))
    scores = np.array([score for score, _ in rows], np.float32)
    relevant = {at for at, (_, is_relevant) in enumerate(rows) if is_relevant and at != own}
    if not relevant:
        return
    ranks = metrics.ranks_of(metrics.order_of(scores, own), np.array(sorted(relevant), np.int64))
    ap, precision, recall = _slow(scores.tolist(), relevant, own)
    assert metrics.average_precision(ranks) == pytest.approx(ap)
    assert [metrics.precision_at(ranks, k) for k in metrics.CUTS] == pytest.approx(precision)
    assert [metrics.recall_at(ranks, k) for k in metrics.CUTS] == pytest.approx(recall)


@pytest.mark.parametrize("blocks", [(8_000_000, 8192), (60, 7)], ids=["at once", "in small blocks"])
def test_all_queries_by_three_distances_are_as_a_slow_loop_says(
    blocks: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "BLOCK_SCORES", blocks[0])
    monkeypatch.setattr(metrics, "BLOCK_ROWS", blocks[1])
    rng = np.random.default_rng(0)
    raw = rng.standard_normal((30, 6))
    labels = [[] if at % 11 == 5 else ["a", "b"] if at % 7 == 0 else ["abc"[at % 3]] for at in range(30)]
    groups = group(labels)
    queries = np.array([at for at in range(30) if labels[at]], np.int64)
    found = score_queries(_unit(raw), groups, queries, metrics.DISTANCES, np.linalg.norm(raw, axis=1))
    slow = {
        "cosine": lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b),
        "euclidean": lambda a, b: -np.linalg.norm(a - b),
        "dot": lambda a, b: a @ b,
    }
    for name, nearness in slow.items():
        for at, row in enumerate(queries.tolist()):
            scores = [float(nearness(raw[row], other)) for other in raw]
            relevant = {other for other in range(30) if other != row and set(labels[other]) & set(labels[row])}
            ap, precision, recall = _slow(scores, relevant, row)
            got = found[name]
            assert got.ap[at] == pytest.approx(ap)
            assert got.precision[at].tolist() == pytest.approx(precision)
            assert got.recall[at].tolist() == pytest.approx(recall)
            best = sorted((other for other in range(30) if other != row), key=lambda other: -scores[other])
            assert got.nearest[at].tolist() == best[:5]


def test_a_mean_over_labels_counts_small_labels_as_much_and_a_query_in_each_of_its_labels() -> None:
    groups = group([["big"], ["big"], ["big"], ["big", "small"], ["small"]])
    values = np.array([[1.0], [1.0], [1.0], [0.0], [0.5]])
    mean, each = macro(values, groups, np.arange(5))
    assert each["big"][0] == pytest.approx(3 / 4)
    assert each["small"][0] == pytest.approx((0.0 + 0.5) / 2)
    assert mean[0] == pytest.approx((3 / 4 + 1 / 4) / 2)


def test_separation_is_the_mean_over_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "BLOCK_ROWS", 5)
    raw = np.random.default_rng(1).standard_normal((13, 4))
    labels = [["x"], ["y"], ["x", "y"], ["z"], [], ["y"], ["x"], ["z"], ["y"], ["x"], [], ["once"], ["z"]]
    unit = _unit(raw)
    found = separation(unit, np.linalg.norm(raw, axis=1), group(labels))
    assert sorted(found) == ["x", "y", "z"]
    for name, of in found.items():
        inside = [at for at, own in enumerate(labels) if name in own]
        within = list(itertools.permutations(inside, 2))
        between = [(a, b) for a in inside for b in range(13) if b not in inside]
        for pairs, place in ((within, 0), (between, 1)):
            squares = [np.sum((raw[a] - raw[b]) ** 2) for a, b in pairs]
            assert of["cosine"][place] == pytest.approx(np.mean([unit[a] @ unit[b] for a, b in pairs]), abs=1e-6)
            assert of["dot"][place] == pytest.approx(np.mean([raw[a] @ raw[b] for a, b in pairs]), rel=1e-5)
            assert of["euclidean"][place] == pytest.approx(np.mean(squares) ** 0.5, rel=1e-5)


def test_pairs_of_clusters_that_lie_apart_are_always_in_order_and_random_ones_half_of_the_time() -> None:
    rng = np.random.default_rng(2)
    labels = [["ab"[at % 2]] for at in range(40)]
    apart = np.array([[1.0, 0.0], [0.0, 1.0]])[[at % 2 for at in range(40)]] + rng.uniform(0, 0.1, (40, 2))
    assert pair_order(_unit(apart), group(labels), 500) == 1.0
    noise = _unit(rng.standard_normal((2000, 64)))
    assert pair_order(noise, group([["ab"[at % 2]] for at in range(2000)])) == pytest.approx(0.5, abs=0.02)
