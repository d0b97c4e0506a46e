"""The page of a graph: its numbers are those of the trace, and it plays."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.viz import hnsw
from lookalike.viz.hnsw import hnsw_page, place
from lookalike.viz.hnsw_graph import HNSWGraph, read_hnsw

GOLDEN = Path(__file__).parents[1] / "golden" / "hnsw"


@pytest.fixture(scope="module")
def graph() -> HNSWGraph:
    return read_hnsw(GOLDEN / "l2-hnswlib-0.8.0.bin")


def test_distance_from_the_middle_is_the_distance(graph: HNSWGraph) -> None:
    trace = graph.trace([0.1, 0.2, 0.3, 0.4], 5, 20)
    placed = place(graph, trace)
    assert [part.level for part in placed] == sorted({step.level for step in trace.steps}, reverse=True)
    distances = np.concatenate([part.distances for part in placed])
    radii = np.concatenate([np.hypot(part.x, part.y) for part in placed])
    order = np.argsort(distances, kind="stable")
    assert (np.diff(radii[order]) > -1e-6).all()
    assert (radii.min(), radii.max()) == pytest.approx((hnsw.INNER, 1))
    for part in placed:
        assert part.visited == len(trace.visited()[part.level]) == (part.steps >= 0).sum()
        assert set(part.nodes) <= set(graph.links[part.level].nodes)
        np.testing.assert_allclose(part.distances, np.square(graph.vectors[part.nodes] - trace.query).sum(1), rtol=1e-5)


def test_a_vector_stands_in_the_same_place_on_all_levels(graph: HNSWGraph) -> None:
    spots: dict[int, tuple[float, float]] = {}
    for part in place(graph, graph.trace(np.zeros(4), 5, 20)):
        for node, x, y in zip(part.nodes.tolist(), part.x, part.y, strict=True):
            assert spots.setdefault(node, (x, y)) == (x, y)


def test_large_searches_are_drawn_in_part_and_say_so(graph: HNSWGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = graph.trace(np.zeros(4), 5, 60)
    monkeypatch.setattr(hnsw, "MOST_VISITED", 20)
    monkeypatch.setattr(hnsw, "MOST_OTHERS", 4)
    ground = place(graph, trace)[-1]
    drawn = set(ground.nodes[ground.steps >= 0].tolist())
    assert len(drawn) == 20 < ground.visited
    assert set(trace.nodes.tolist()) <= drawn
    page = hnsw_page(graph, trace, "small.bin")
    assert f"Of the {ground.visited} vectors met on level 0, the 20 that matter most are drawn." in page.html


@pytest.mark.parametrize("d", [1, 2])
def test_equal_vectors_and_few_dimensions(d: int) -> None:
    base = read_hnsw(GOLDEN / "l2-hnswlib-0.8.0.bin")
    flat = dataclasses.replace(base, vectors=np.ones((60, d), np.float32))
    for part in place(flat, flat.trace(np.ones(d), 3)):
        assert np.isfinite(part.x).all()
        assert np.isfinite(part.y).all()


def test_the_page_shows_the_trace(graph: HNSWGraph, show: Callable[..., Any]) -> None:
    trace = graph.trace([0.1, 0.2, 0.3, 0.4], 5, 12)
    tab = show(hnsw_page(graph, trace, "</script><b>graph.bin", pictures={int(trace.ids[0]): {"name": "<i>first.jpg"}}))
    assert json.loads(tab.text_content("#trace")) == json.loads(json.dumps(trace.to_json()))
    marks = tab.eval_on_selector_all(
        "#levels circle.met", "all => all.map(c => [+c.dataset.level, +c.dataset.id, +c.dataset.distance])"
    )
    wanted = {
        (level, int(graph.ids[node]), float(graph.keys(trace.query, np.array([node]))[0]))
        for level, nodes in trace.visited().items()
        for node in nodes.tolist()
    }
    assert {tuple(mark) for mark in marks} == wanted
    found = tab.eval_on_selector_all("#levels circle.found", "all => all.map(c => +c.dataset.id)")
    assert set(found) == set(trace.ids.tolist())
    bars = tab.eval_on_selector_all('#work rect[data-what="visited"]', "all => all.map(r => +r.dataset.value)")
    assert bars == [len(trace.visited()[level]) for level in sorted(trace.visited(), reverse=True)]


def test_it_plays_and_shows_what_is_under_the_pointer(graph: HNSWGraph, show: Callable[..., Any]) -> None:
    trace = graph.trace([0.1, 0.2, 0.3, 0.4], 5, 12)
    tab = show(hnsw_page(graph, trace, "graph.bin", pictures={int(trace.ids[0]): {"name": "<i>first.jpg"}}))
    tab.click("#levels button[aria-label='First step']")
    first = {int(graph.ids[node]) for node in (trace.entry, *trace.steps[0].new.tolist())}
    lit = tab.eval_on_selector_all("#levels circle.met", "all => all.map(c => +c.dataset.id)")
    assert set(lit) == first
    assert float(tab.get_attribute("#distance .cursor", "data-nearest")) == pytest.approx(trace.steps[0].nearest)
    tab.click("#levels button[aria-label='Next step']")
    assert tab.get_attribute("#levels", "data-step") == "1"
    tab.click("#levels button[aria-label='Play']")
    tab.wait_for_selector(f"#levels[data-step='{len(trace.steps)}']", timeout=60_000)
    circle = tab.locator(f"#levels circle.found[data-id='{trace.ids[0]}']").first
    circle.hover(force=True)
    assert "<i>first.jpg" in tab.text_content(".tip")
    circle.click(force=True)
    assert tab.get_attribute("html", "data-selected") == str(trace.ids[0])
