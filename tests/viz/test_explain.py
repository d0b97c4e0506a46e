"""The page of a search: what it shows is what was computed, and it plays, answers to a pointer and to keys."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page as Tab

from lookalike import Collection
from lookalike.errors import LookalikeWarning
from lookalike.explain import contents as inside
from lookalike.explain import search as explaining
from lookalike.explain.explanation import Explanation
from lookalike.viz.explain import ask_command, explain_html, explanation_page
from tests.e2e.browser import wait_until
from tests.viz.conftest import HOSTILE


@pytest.fixture(scope="module")
def fish(pictured: Collection) -> Path:
    return pictured.entries(limit=1)[0].path


@pytest.fixture(scope="module")
def told(pictured: Collection, fish: Path) -> Explanation:
    return pictured.explain(fish, k=5, nprobe=2)


@pytest.fixture(scope="module")
def page_file(told: Explanation, fish: Path, pictured: Collection, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return explanation_page(told, fish, ask=ask_command(pictured.path)).save(
        tmp_path_factory.mktemp("page") / "why.html"
    )


@pytest.fixture
def tab(show: Callable[..., Tab], page_file: Path) -> Tab:
    return show(page_file)


def numbers(tab: Tab, selector: str, *names: str) -> list[tuple[float, ...]]:
    """Data attributes of every element, as numbers."""
    found = tab.eval_on_selector_all(
        selector, "(all, names) => all.map(e => names.map(n => e.dataset[n]))", list(names)
    )
    return [tuple(float(value) for value in row) for row in found]


def test_the_numbers_on_the_page_are_those_of_the_trace(tab: Tab, told: Explanation) -> None:
    trace = json.loads(tab.text_content("#trace") or "")
    assert trace == told.to_json()
    scanned = {
        (float(i), float(f"{d:.9g}"))
        for cell in told.trace.probed
        for i, d in zip(cell.ids.tolist(), cell.distances.tolist(), strict=True)
    }
    assert set(numbers(tab, "#rings .vector", "id", "distance")) == scanned
    assert scanned <= set(numbers(tab, "#projection .vector", "id", "distance"))
    assert set(numbers(tab, "#errors .vector", "id", "distance")) == scanned
    cells = {(float(no), float(f"{d:.9g}")) for no, d in enumerate(told.trace.coarse_distances.tolist())}
    assert set(numbers(tab, "#cells .cell", "list", "distance")) == cells
    hits = zip(told.final_ids.tolist(), told.final_distances.tolist(), strict=True)
    assert numbers(tab, "#story .hit", "id", "distance") == [(float(i), float(f"{d:.9g}")) for i, d in hits]
    story = dict(
        tab.eval_on_selector_all("#story [data-number]", "all => all.map(e => [e.dataset.number, +e.dataset.value])")
    )
    assert (story["cells"], story["scanned"]) == (2, len(scanned))
    assert len(trace["missed"]) == tab.locator("#missed .miss").count()


def test_the_sum_along_the_path_is_the_estimate(tab: Tab, told: Explanation) -> None:
    table = told.trace.lookup_table
    for at in (0, 1):
        number = int(told.detailed[at])
        tab.locator(f"#table [role=radio][data-id='{number}']").click()
        path = numbers(tab, "#table .step", "piece", "code", "value")
        assert [int(code) for _, code, _ in path] == told.codes[at].tolist()
        assert [value for *_, value in path] == pytest.approx([float(table[int(j), int(c)]) for j, c, _ in path])
        [(total, estimated)] = numbers(tab, "#table .sum", "total", "estimated")
        scope = told.scope.ids.tolist().index(number)
        assert total == pytest.approx(float(told.scope.estimated[scope]), abs=1e-5)
        assert estimated == pytest.approx(float(told.scope.estimated[scope]), rel=1e-6)
        assert int(tab.get_attribute("#codebooks", "data-code") or -1) == told.codes[at][0]


def test_playback_by_button_key_and_slider(tab: Tab, told: Explanation) -> None:
    steps = len(told.trace.probed) + 4
    rings = tab.locator("#rings")
    assert rings.get_attribute("data-step") == str(steps - 1)
    rings.get_by_label("First step").click()
    assert tab.locator("#rings .vector:not([visibility=hidden])").count() == 0
    assert tab.locator("#cells [data-lit]").count() == 0
    rings.get_by_label("Step", exact=True).fill("2")
    first = told.trace.probed[0]
    assert tab.locator("#rings .vector:not([visibility=hidden])").count() == len(first.ids)
    assert tab.locator("#cells [data-lit='1']").get_attribute("data-list") == str(first.list_no)
    assert f"cell {first.list_no}" in (rings.locator("output").text_content() or "")
    rings.locator("h2").evaluate("e => { e.tabIndex = -1; e.focus(); }")
    tab.keyboard.press("ArrowRight")
    assert tab.get_attribute("#projection", "data-step") == "3"
    tab.keyboard.press("Home")
    tab.clock.install()
    rings.get_by_label("Play", exact=True).click()
    assert rings.get_by_label("Pause").count() == 1
    tab.clock.run_for(30_000)
    assert rings.get_attribute("data-step") == str(steps - 1)
    assert rings.get_by_label("Play", exact=True).count() == 1


def test_hover_focus_and_click(tab: Tab, told: Explanation, pictured: Collection, tmp_path: Path) -> None:
    [kept] = tab.locator(f"#rings .vector[data-id='{told.trace.ids[1]}']").all()
    kept.dispatch_event("pointerenter", {"pageX": 300, "pageY": 300})
    assert told.paths[int(told.trace.ids[1])][0] in (tab.text_content(".tip") or "")
    assert (tab.get_attribute(".tip img", "src") or "").startswith("data:image/jpeg;base64,")
    kept.dispatch_event("click")
    assert tab.get_attribute("html", "data-selected") == str(told.trace.ids[1])
    chosen = tab.locator("#pieces [role=radio][aria-checked=true]")
    assert chosen.get_attribute("data-id") == str(told.trace.ids[1])
    offer = tab.get_by_role("complementary", name="The chosen picture")
    command = offer.locator("code").text_content() or ""
    assert command == f"lookalike explain --id {told.trace.ids[1]} --in {shlex.quote(str(pictured.path))}"
    run = [sys.executable, "-m", *shlex.split(command)]
    home = {"LOOKALIKE_HOME": str(tmp_path / "home")}  # where no collection has this one's name
    subprocess.run(run, cwd=tmp_path, env=os.environ | home, check=True)
    assert "Why these pictures?" in (tmp_path / "why.html").read_text("utf-8")
    offer.get_by_role("button", name="Copy the command").click()
    wait_until(tab, "document.querySelector('.offer .ask button').textContent !== 'Copy'")
    tab.keyboard.press("Escape")
    assert offer.is_hidden()
    assert tab.locator(".tip").is_hidden()
    cell = tab.locator("#cells .cell[tabindex='0']")
    cell.focus()
    assert "Cell" in (tab.text_content(".tip") or "")
    tab.keyboard.press("ArrowRight")
    assert tab.locator("#cells .cell[tabindex='0']").count() == 1


def test_the_command_names_the_collection_where_its_name_leads_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, told: Explanation, pictured: Collection
) -> None:
    monkeypatch.setenv("LOOKALIKE_HOME", str(tmp_path))
    at_home = tmp_path / "collections"
    assert ask_command(at_home / "my pictures") == ("lookalike explain --id", " --in 'my pictures'")
    assert ask_command(at_home / "-x") == ("lookalike explain --id", " --in=-x")
    other = tmp_path / "it's" / "my pictures"
    assert shlex.split((ask_command(other) or ("", ""))[1]) == ["--in", str(other)]
    assert ask_command(tmp_path / os.fsdecode(b"a\xff")) is None
    assert str(pictured.path.parent) not in explanation_page(told).html, "a page for others tells no folder"


def test_what_if_equals_the_index(tab: Tab, told: Explanation, pictured: Collection, fish: Path) -> None:
    index = told.index
    query = pictured.vectors([fish])
    for nprobe in (1, 2, index.nlist):
        found = index.search(query, k=5, nprobe=nprobe).ids[0]
        entries = [told.entry_of[i] for i in found.tolist() if i >= 0]
        assert set(tab.evaluate("([n, m]) => lookalike.whatif(n, m, 0)", [nprobe, index.m])) == set(entries)
    everything = tab.evaluate("([n, m]) => lookalike.whatif(n, m, 1000)", [index.nlist, index.m])
    assert everything == told.exact_ids.tolist()
    assert tab.get_attribute("#whatif [data-tile=scanned]", "data-value") == str(
        sum(len(cell.ids) for cell in told.trace.probed)
    )
    tab.locator("#whatif-nprobe").fill(str(index.nlist - 1))
    assert tab.get_attribute("#whatif [data-tile=scanned]", "data-value") == str(index.ntotal)


def test_the_page_needs_nothing_and_runs_nothing_else(tab: Tab, page_file: Path) -> None:
    html = page_file.read_text("utf-8")
    assert not re.search(r"""(src|href)=["']?https?:""", html)
    assert len(html) < 3_000_000
    assert HOSTILE in tab.evaluate(
        "Object.values(lookalike.page.document('pictures')).map(p => p.name.split('/').pop())"
    )
    assert tab.evaluate("document.querySelectorAll('img[src=x]').length") == 0


@pytest.mark.parametrize("width", [380, 1200])
def test_dark_and_narrow(show: Callable[..., Tab], page_file: Path, width: int) -> None:
    tab = show(page_file, color_scheme="dark", viewport={"width": width, "height": 800})
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
    tab.click("button.theme")
    assert tab.locator(".view[data-ready=true]").count() == tab.locator(".view").count() == 10


def test_a_collection_with_an_index_of_its_own(vectored: Collection, show: Callable[..., Tab], tmp_path: Path) -> None:
    x = np.asarray(np.random.default_rng(5).standard_normal(16), np.float32)
    told = vectored.explain(x, k=10)
    assert not told.temporary
    assert told.exact_ids.tolist() == [hit.id for hit in vectored.search(x, k=10, exact=True)]
    assert told.final_ids.tolist() == [hit.id for hit in vectored.search(x, k=10)]
    page = tmp_path / "vectors.html"
    page.write_text(explain_html(vectored, x), "utf-8")
    tab = show(page)
    assert "temporary" not in (tab.text_content("header") or "")
    assert tab.locator("#rings .vector").count() == sum(len(cell.ids) for cell in told.trace.probed)
    assert tab.locator("#story .thumb.none").count() == 10


def test_a_large_collection_without_an_index_is_told_by_a_sample(
    vectored: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(vectored.path, tmp_path / "damaged.lookalike")
    for file in (tmp_path / "damaged.lookalike/index").iterdir():
        file.write_bytes(b"nothing")
    monkeypatch.setattr(inside, "SAMPLE", 600)
    x = np.asarray(np.random.default_rng(5).standard_normal(16), np.float32)
    with Collection.open(tmp_path / "damaged.lookalike") as collection:
        with pytest.warns(LookalikeWarning, match="damaged"):
            told = collection.explain(x, k=10)
        looked = collection.inside()
        true = [hit.id for hit in collection.search(x, k=10, exact=True)]
    assert told.temporary
    assert looked.temporary
    assert looked.index.ntotal == 600 < told.index.ntotal <= 610
    assert told.exact_ids.tolist() == true
    assert "not stored" not in {miss.reason for miss in told.trace.missed}
    assert f"of {told.index.ntotal:,} of them" in explanation_page(told).html


def test_more_than_a_page_can_tell_is_told_of_the_nearest_cells(
    vectored: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.asarray(np.random.default_rng(5).standard_normal(16), np.float32)
    whole = vectored.explain(x, k=10, nprobe=8)
    monkeypatch.setattr(explaining, "SCOPE", sum(len(cell.ids) for cell in whole.trace.probed[:3]))
    told = vectored.explain(x, k=10, nprobe=8)
    assert (whole.asked, len(whole.trace.probed)) == (told.asked, 8) == (8, 8)
    assert len(told.trace.probed) == told.scope.lists == 3
    assert told.to_json()["index"]["nprobe"] == 8
    assert "a search of the nearest 3" in explanation_page(told).html
    assert "a search of the nearest" not in explanation_page(whole).html
    monkeypatch.setattr(explaining, "SCOPE", 1)
    assert len(vectored.explain(x, k=10, nprobe=8).trace.probed) == 1


def test_small_collections(tmp_path: Path, show: Callable[..., Tab]) -> None:
    for n, d in ((1, 4), (2, 2), (7, 3)):
        with Collection.create(tmp_path / f"{n}.lookalike") as collection:
            x = np.random.default_rng(n).standard_normal((n, d))
            collection.add_vectors(x, paths=[f"/nowhere/{i}.png" for i in range(n)], model="mine")
            told = collection.explain(x[0], k=10)
            assert told.temporary
            assert told.final_ids[0] == told.exact_ids[0]
            page = explanation_page(told)
        tab = show(page)
        assert tab.locator(".view[data-ready=true]").count() == 10
