"""The map of an inverted file: from our files and from FAISS's, without pictures, and of indexes that have little to show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page as Tab

import lookalike as la
from lookalike import Collection
from lookalike.viz.cells import look_at_cells
from lookalike.viz.explain import collection_index_page, index_page
from tests.cli.conftest import Command

rng = np.random.default_rng(0)
xb = rng.standard_normal((700, 8)).astype(np.float32)


@pytest.fixture(scope="module")
def index() -> la.IVFPQIndex:
    return la.IVFPQIndex(nlist=12, m=4, nbits=4).train(xb).add(xb)


def test_sizes_spread_and_nearest(index: la.IVFPQIndex) -> None:
    cells = look_at_cells(index)
    assert cells.sizes.tolist() == index.list_sizes.tolist()
    flat = la.IVFFlatIndex(nlist=12).set_centroids(index.coarse_centroids).add(xb)
    exact = look_at_cells(flat)
    assigned = np.square(xb[:, None] - index.coarse_centroids).sum(axis=2).argmin(axis=1)
    for no in range(12):
        squares = np.square(xb[assigned == no] - index.coarse_centroids[no]).sum(axis=1)
        assert exact.spread[no] == pytest.approx(np.sqrt(squares.mean()), rel=1e-4)
        assert exact.nearest[no][0] == np.flatnonzero(assigned == no)[squares.argmin()]
    signs = la.IVFSignsIndex(nlist=12).train(xb).add(xb)
    assert look_at_cells(signs).sizes.sum() == len(xb)
    same = la.IVFFlatIndex(nlist=12).set_centroids(signs.coarse_centroids).add(xb)
    np.testing.assert_allclose(look_at_cells(signs).spread, look_at_cells(same).spread, rtol=0.01)


def test_the_map_shows_every_cell(index: la.IVFPQIndex, show: Callable[..., Tab]) -> None:
    tab = show(index_page(index, "<b>sift</b>"))
    assert tab.text_content("h1") == "Inside <b>sift</b>"
    drawn = tab.eval_on_selector_all("#cells .cell", "all => all.map(e => [+e.dataset.list, +e.dataset.size])")
    assert dict(map(tuple, drawn)) == dict(enumerate(index.list_sizes.tolist()))
    bars = tab.eval_on_selector_all("#balance .list", "all => all.map(e => +e.dataset.size)")
    assert bars == sorted(index.list_sizes.tolist(), reverse=True)
    tab.get_by_role("radiogroup", name="Area").get_by_text("spread").click()
    tab.get_by_role("radiogroup", name="Colour").get_by_text("spread").click()
    assert tab.locator("#cells .cell").count() == 12


def test_little_to_show(show: Callable[..., Tab]) -> None:
    one = la.IVFPQIndex(nlist=1, m=2, nbits=4).train(xb[:, :2]).add(xb[:20, :2])
    assert show(index_page(one, "one cell")).locator("#cells .cell").count() == 1
    empty = la.IVFFlatIndex(nlist=5, metric="ip").train(xb)
    tab = show(index_page(empty, "empty"))
    assert "no vectors in them" in (tab.text_content("header") or "")
    assert tab.locator("#cells .cell").count() == tab.locator("#cells .empty").count() == 5


def test_nothing_to_show(index: la.IVFPQIndex) -> None:
    with pytest.raises(la.NotTrainedError, match="not trained"):
        index_page(la.IVFPQIndex(nlist=4), "untrained")
    with pytest.raises(la.InputError, match="has no cells"):
        index_page(la.FlatIndex().add(xb), "flat")


def test_many_cells_are_sampled() -> None:
    many = la.IVFFlatIndex(nlist=3_000).set_centroids(rng.standard_normal((3_000, 4))).add(xb[:, :4])
    cells = look_at_cells(many, np.array([7, 2_999]))
    assert len(cells.sizes) <= 1_502
    assert {7, 2_999} <= set(cells.list_no.tolist())
    assert "Of 3,000 cells" in index_page(many, "many").html


def test_pictures_of_a_collection(pictured: Collection, show: Callable[..., Tab]) -> None:
    tab = show(collection_index_page(pictured))
    assert "temporary" in (tab.text_content("header") or "")
    tab.locator("#cells .cell").first.dispatch_event("pointerenter", {"pageX": 200, "pageY": 200})
    assert tab.locator(".tip img").count() > 0


def test_commands(index: la.IVFPQIndex, pictured: Collection, tmp_path: Path) -> None:
    lookalike = Command(tmp_path / "home")
    index.save(tmp_path / "ours.lka")
    la.write_faiss(index, tmp_path / "theirs.faiss")
    for name in ("ours.lka", "theirs.faiss"):
        done = lookalike("viz", "index", tmp_path / name, "--out", tmp_path / f"{name}.html")
        assert done.lines == [str(tmp_path / f"{name}.html")], done
        assert f"Inside {name}" in (tmp_path / f"{name}.html").read_text("utf-8")
    (tmp_path / "cut.faiss").write_bytes((tmp_path / "theirs.faiss").read_bytes()[:200])
    (tmp_path / "other.bin").write_bytes(b"\x89PNG\r\n\x1a\n" * 9)
    for name in ("cut.faiss", "other.bin", "none.lka"):
        lookalike("viz", "index", tmp_path / name).failed_with(name)
    picture = pictured.entries(limit=1)[0].path
    lookalike("explain", picture, "--in", pictured.path, "--out", tmp_path / "why.html")
    assert 'id="trace"' in (tmp_path / "why.html").read_text("utf-8")
    printed = lookalike("explain", picture, "--in", pictured.path, "--json", "-k", "3").json
    assert printed["ids"][0] == printed["reranked"]["ids"][0] == pictured.find(picture)
    number = str(pictured.find(picture))
    by_id = lookalike("explain", "--id", number, "--in", pictured.path, "--json", "-k", "3").json
    assert by_id == printed
    assert lookalike("explain", "--in", pictured.path).code == 2
    lookalike("explain", "a red bicycle", "--in", pictured.path).failed_with("matched to labels, not compared")
