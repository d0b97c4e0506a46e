"""A collection as a map: where pictures lie, their colours and thumbnails, and the page that shows them."""

from __future__ import annotations

import base64
import builtins
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import lookalike as la
from lookalike.viz.atlas import make_atlas, side_for
from lookalike.viz.map import COLOURS, group, lay_out, map_page, points_page
from tests.e2e.browser import wait_until

HOSTILE = "<img src=x onerror=alert(1)>.png"


def test_alike_vectors_lie_close_together() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 20)) * 5
    which = np.repeat(np.arange(3), 40)
    at = lay_out(centres[which] + rng.normal(size=(120, 20)))
    assert (at.min(), at.max()) == (0, 1)
    middles = np.stack([at[which == n].mean(axis=0) for n in range(3)])
    assert (np.linalg.norm(at[:, None] - middles, axis=2).argmin(axis=1) == which).mean() > 0.95


@pytest.mark.parametrize("x", [np.ones((1, 5)), np.ones((7, 5)), np.eye(2), np.arange(6.0)[:, None], np.eye(3)[:, :2]])
def test_few_and_equal_vectors_lie_within(x: Any) -> None:
    at = lay_out(x)
    assert at.shape == (len(x), 2)
    assert ((at >= 0) & (at <= 1)).all()


def test_umap_is_an_extra_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "umap":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(la.MissingExtraError, match=r'pip install "lookalike\[viz\]"'):
        lay_out(np.eye(9), "umap")
    with pytest.raises(la.InputError, match="expected pca or umap"):
        lay_out(np.eye(9), "tsne")  # type: ignore[arg-type]


def test_groups_are_the_largest_labels_and_the_rest() -> None:
    labels = [f"folder {n}" for n in range(12) for _ in range(12 - n)]
    groups = group(labels)
    assert groups.names == tuple(f"folder {n}" for n in range(COLOURS))
    assert groups.sizes == (12, 11, 10, 9, 8, 7, 6, 5, 10)
    assert groups.rest == "4 more folders"
    assert [int((groups.of == n).sum()) for n in range(9)] == list(groups.sizes)
    assert group(["", "a", "a"]).names == ("a", "no folder")


def test_without_labels_groups_are_clusters() -> None:
    x = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    groups = group([""] * 20, x)
    assert groups.names[0] == "cluster 1"
    assert sum(groups.sizes) == 20
    for start in range(0, 20, 5):
        assert len(set(groups.of[start : start + 5].tolist())) == 1


def test_thumbnails_are_the_pictures(tmp_path: Path) -> None:
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    for number, colour in enumerate(colours):
        Image.new("RGB", (300, 200), colour).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    atlas = make_atlas(
        [
            tmp_path / "0.png",
            tmp_path / "broken.png",
            None,
            tmp_path / "1.png",
            tmp_path / "gone.png",
            tmp_path / "2.png",
        ]
    )
    assert atlas.slots.tolist() == [0, -1, -1, 1, -1, 2]
    assert atlas.unreadable == 2
    sheet = Image.open(io.BytesIO(base64.b64decode(atlas.sheets[0].split(",")[1]))).convert("RGB")
    for slot, colour in enumerate(colours):
        middle = (
            slot % atlas.columns * atlas.side + atlas.side // 2,
            slot // atlas.columns * atlas.side + atlas.side // 2,
        )
        assert np.abs(np.subtract(sheet.getpixel(middle), colour)).max() < 12


def test_thumbnails_keep_to_their_budget(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")  # the worst to compress
    atlas = make_atlas([tmp_path / "noise.png"] * 40, budget=20_000)
    assert sum(len(sheet) for sheet in atlas.sheets) < 20_000 * 1.25 * 4 / 3 + 100
    assert ((atlas.slots >= 0).sum() == 0) == (not atlas.sheets)
    assert side_for(1000, 6_500_000) == (96, 1000)
    side, fits = side_for(1_000_000, 6_500_000)
    assert side == 24
    assert fits < 25_000


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, starter: Path) -> Iterator[la.Collection]:
    """Some starter pictures, with vectors of their own making, and a name that looks like HTML."""
    folder = tmp_path_factory.mktemp("map")
    rng = np.random.default_rng(0)
    paths = sorted((starter / "photos").rglob("*.jpg"))[:60]
    (folder / HOSTILE).write_bytes(paths[0].read_bytes())
    paths = [*paths, folder / HOSTILE]
    with la.Collection.create(folder / "map.lookalike") as collection:
        collection.add_vectors(
            rng.normal(size=(len(paths), 1280)).astype(np.float32), paths=paths, labels=[p.parent.name for p in paths],
            model=collection.model.name,
        )  # fmt: skip
        yield collection


def test_the_page_of_a_collection(photos: la.Collection, show: Callable[..., Any]) -> None:
    asked = int(photos.ids()[3])
    tab = show(map_page(photos, query=asked, k=5))
    canvas = tab.locator("#map canvas").first
    assert canvas.get_attribute("data-shown") == str(len(photos))
    found = [hit.id for hit in photos.search(asked, k=5)]
    shown = tab.eval_on_selector_all("#map button[data-id]", "all => all.map(b => +b.dataset.id)")
    assert shown == found
    tab.click(f"#map button[data-id='{found[0]}']")
    assert tab.get_attribute("html", "data-selected") == str(found[0])
    tab.click("text=Light the 5 results")
    canvas.focus()
    tab.keyboard.press("0")
    for _ in range(3):
        tab.keyboard.press("+")
    wait_until(tab, "Number(document.querySelector('#map canvas').dataset.thumbnails) > 0")
    wait_until(tab, "Number(document.querySelector('#map canvas').dataset.zoom) > 3")  # a key a frame
    tab.keyboard.press("Escape")
    tab.keyboard.press("ArrowRight")
    first = tab.get_attribute("html", "data-selected")
    tab.keyboard.press("ArrowLeft")
    assert tab.get_attribute("html", "data-selected") != first


def test_hover_and_click_find_the_picture(photos: la.Collection, show: Callable[..., Any]) -> None:
    tab = show(map_page(photos))
    number = int(photos.find(str(next(e.path for e in photos.entries(0, 100) if e.relative == HOSTILE))) or 0)
    place = tab.evaluate(
        """id => { const data = lookalike.page.document("map-data"), canvas = document.querySelector("#map canvas");
        const box = canvas.getBoundingClientRect(), [x, y] = canvas.map.position(data.ids.indexOf(id));
        return [box.left + x, box.top + y]; }""",
        number,
    )
    tab.mouse.move(*place)
    hovered = tab.get_attribute("#map canvas", "data-hover")
    assert hovered
    tab.mouse.click(*place)
    assert tab.get_attribute("html", "data-selected") == hovered
    assert tab.locator("img[src=x]").count() == 0


def test_fifty_thousand_points_are_all_drawn(show: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    n = 50_000
    groups = group([f"folder {v}" for v in rng.integers(12, size=n)])
    page = points_page(rng.random((n, 2)), np.arange(n), [f"{i}.jpg" for i in range(n)], groups, title="many")
    tab = show(page)
    assert tab.get_attribute("#map canvas", "data-shown") == str(n)
    tab.evaluate("document.querySelector('#map canvas').map.scale(4)")
    wait_until(tab, "Number(document.querySelector('#map canvas').dataset.shown) < 10000")


def test_more_than_fit_are_sampled_and_it_is_said(photos: la.Collection) -> None:
    page = map_page(photos, most=20, query=int(photos.ids()[0]), k=3, budget=1)
    assert "61 pictures are too many for one map; " in page.html
    assert "are dots without a thumbnail, to keep this file small." in page.html


def test_an_empty_collection_is_named(tmp_path: Path) -> None:
    with (
        la.Collection.create(tmp_path / "none.lookalike") as empty,
        pytest.raises(la.InputError, match="nothing to draw"),
    ):
        map_page(empty)
