"""Results and everything that refines them: order, threshold, copies, filters, details, history, addresses."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from lookalike.app import AppServer
from lookalike.collection import Collection
from tests.app.serving import WINDMILL, serving
from tests.e2e.acting import chips, choose_collection, heading, issues, names, results, searched, upload
from tests.e2e.browser import wait_until

pytestmark = pytest.mark.browser


def percents(page: Page) -> list[int]:
    return [int(text.rstrip("%")) for text in results(page).locator(".lk-similarity").all_inner_texts()]


def slide(page: Page, label: str, value: int) -> None:
    """Set a slider as a hand does: it says so while it moves."""
    page.get_by_label(label).evaluate(
        "(slider, to) => { slider.value = to; slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        str(value),
    )


def test_order_threshold_and_number_of_results(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    expect(results(page)).to_have_count(12)
    assert percents(page) == sorted(percents(page), reverse=True)
    page.get_by_label("Order").select_option("name")
    page.wait_for_url("**sort=name**")
    searched(page)
    assert names(page) == sorted(names(page), key=str.casefold)
    slide(page, "Minimum similarity", 50)
    page.wait_for_url("**threshold=50**")
    searched(page)
    assert 0 < len(percents(page)) < 12
    assert min(percents(page)) >= 50
    slide(page, "Number of results, as a slider", 200)
    slide(page, "Minimum similarity", 0)
    expect(results(page)).to_have_count(24)
    assert page.locator("#lk-count input[type=number]").input_value() == "200"


def test_copies_are_folded_under_one(page: Page) -> None:
    choose_collection(page, "drawings")
    page.get_by_role("button", name="All pictures").click()
    page.locator(".is-page .lk-tile").filter(has_text="bird").nth(3).locator(".lk-tile-button").click()
    folded = page.locator(".lk-same")
    expect(folded).to_have_text("+1 same")
    expect(results(page)).to_have_count(12)
    folded.click()
    expect(results(page)).to_have_count(13)
    expect(folded).to_have_attribute("aria-expanded", "true")
    folded.click()
    expect(results(page)).to_have_count(12)
    page.get_by_label("Fold copies").uncheck()
    expect(folded).to_have_count(0)
    assert "fold=false" in page.url


def test_filters_are_chosen_seen_and_removed(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    page.get_by_role("button", name=re.compile("Filter")).click()
    page.get_by_label("Find a folder").fill("win")
    page.locator(".lk-folders").get_by_role("checkbox").check()
    expect(results(page).first.locator(".lk-sub")).to_contain_text("photos/windmill")
    expect(results(page)).to_have_count(8)
    page.locator(".lk-shape").filter(has_text="Landscape").click()
    page.wait_for_url("**shape=landscape**")
    searched(page)
    n = results(page).count()
    assert 0 < n < 8
    page.get_by_label("At least", exact=True).fill("100000")
    page.get_by_label("At least", exact=True).press("Tab")
    expect(page.locator(".lk-empty")).to_contain_text("Nothing in photos passes these filters")
    page.keyboard.press("Escape")
    expect(page.locator("#lk-filter-panel")).not_to_be_visible()
    expect(page.locator("#lk-filter-count")).to_have_text("3")
    page.get_by_role("button", name="Remove filter 100000 px or more").click()
    expect(results(page)).to_have_count(n)
    page.get_by_role("button", name=re.compile("Filter 2")).click()
    page.get_by_label("From", exact=True).fill("2099-01-01")
    page.get_by_label("From", exact=True).press("Tab")
    expect(page.locator(".lk-empty")).to_be_visible()
    page.get_by_label("From", exact=True).fill("")
    page.get_by_label("Until", exact=True).fill("2099-01-01")
    page.get_by_label("Until", exact=True).press("Tab")
    page.wait_for_url("**before=2099-01-01**")
    expect(results(page)).to_have_count(n)
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Remove all").click()
    expect(results(page)).to_have_count(12)
    expect(page.locator("#lk-active")).not_to_be_visible()


def test_details_say_what_is_known_and_what_can_be_done(
    open_page: Callable[..., Page], windmill: Path, tmp_path: Path
) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"], accept_downloads=True)
    upload(page, windmill)
    results(page).first.get_by_role("button", name="Details").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(WINDMILL)
    expect(dialog).to_contain_text("320 × 240 · JPEG")
    expect(dialog).to_contain_text("100%, same picture")
    expect(dialog.locator(".lk-known")).to_contain_text("Cosine1.0000")
    dialog.get_by_role("button", name="Copy path").click()
    expect(dialog).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == WINDMILL
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Download").click()
    assert Path(download.value.path()).read_bytes() == windmill.read_bytes()
    with page.expect_popup() as popup:
        dialog.get_by_role("link", name="Open large").click()
    assert "/api/images/" in popup.value.url
    popup.value.close()
    dialog.get_by_role("button", name="Next picture").click()
    second = names(page)[1]
    expect(dialog.get_by_role("heading")).to_have_text(second)
    dialog.get_by_role("tab", name="Side by side").click()
    expect(dialog.locator("figure img")).to_have_count(2)
    wait_until(page, "[...document.querySelectorAll('figure img')].every((image) => image.naturalWidth > 0)")
    page.keyboard.press("ArrowLeft")
    expect(dialog.get_by_role("tab", name="Details")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    expect(results(page).first.get_by_role("button", name="Details")).to_be_focused()
    results(page).nth(1).get_by_role("button", name="Details").click()
    dialog.get_by_role("button", name="Add to the search").click()
    expect(chips(page, "picture")).to_have_count(2)


def test_back_and_forward_lead_through_the_searches_of_this_visit(page: Page, windmill: Path) -> None:
    expect(page.get_by_role("button", name="Back", exact=True)).to_be_disabled()
    upload(page, windmill)
    first = names(page)
    results(page).nth(2).locator(".lk-tile-button").click()
    expect(heading(page)).not_to_contain_text("windmill-12.jpg")
    searched(page)
    last = page.locator("#lk-recent button")
    expect(last).to_have_count(1)
    page.get_by_role("button", name="Back", exact=True).click()
    expect(heading(page)).to_have_text("12 pictures like windmill-12.jpg")
    assert names(page) == first
    page.get_by_role("button", name="Forward").click()
    expect(heading(page)).not_to_contain_text("windmill-12.jpg")
    expect(page.get_by_role("button", name="Forward")).to_be_disabled()
    searched(page)
    page.get_by_role("button", name="Search again with windmill-12.jpg").click()
    expect(heading(page)).to_have_text("12 pictures like windmill-12.jpg")
    page.go_back()
    expect(heading(page)).not_to_contain_text("windmill-12.jpg")
    page.goto(f"{page.url.partition('?')[0]}?id=1")  # followed: nothing lies ahead of it
    expect(results(page)).to_have_count(12)
    expect(page.get_by_role("button", name="Forward")).to_be_disabled()


def test_an_address_repeats_its_search_with_all_that_refines_it(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    results(page).nth(4).get_by_role("button", name="Less like this").click()
    expect(chips(page, "dislike")).to_have_count(1)
    page.get_by_label("Order").select_option("name")
    page.wait_for_url("**sort=name**")
    searched(page)
    found = names(page)
    page.reload()
    expect(chips(page)).to_have_count(2)
    expect(heading(page)).to_contain_text("pictures like windmill-12.jpg")
    searched(page)
    assert names(page) == found
    url = page.url
    page.goto("about:blank")
    page.goto(url)
    expect(chips(page)).to_have_count(2)
    searched(page)
    assert names(page) == found
    page.goto(re.sub("query=[0-9a-f]+", f"query={'0' * 32}", url))
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The picture of this search is gone")
    alert.get_by_role("button", name="Back to the examples").click()
    expect(heading(page)).to_have_text("Which pictures look like yours?")


def test_a_bad_address_is_said_and_not_broken(page: Page) -> None:
    address = page.url.partition("?")[0]
    page.goto(f"{address}?id=99999&like=88888")
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Back to the examples").click()
    page.goto(f"{address}?id=1&k=nonsense&sort=beauty&threshold=-5&region=a,b&browse=")
    expect(page.locator("#lk-results .lk-tile").first).to_be_visible()
    page.goto(f"{address}?id=1&k=nonsense")
    expect(results(page)).to_have_count(12)
    page.goto(f"{address}?id=1&shape=zigzag")
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("button", name="Back to the examples").click()
    page.locator("#lk-results .lk-tile-button").first.click()
    expect(results(page)).to_have_count(12)  # the shape is not asked for again
    page.goto(f"{address}?browse=99")
    expect(page.locator(".is-page .lk-tile")).to_have_count(24)
    page.goto(f"{address}?in=nowhere&id=1")
    page.get_by_role("button", name="Go to photos").click()
    expect(page.locator("#lk-collection-select")).to_have_value("photos")
    expect(heading(page)).to_have_text("Which pictures look like yours?")


def test_arrow_keys_lead_through_the_results(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    searched(page)
    page.locator("#lk-sort").focus()
    page.keyboard.press("Tab")
    expect(results(page).first.locator(".lk-tile-button")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    focused = page.evaluate("document.activeElement.closest('.lk-tile').dataset.id")
    order = [tile.get_attribute("data-id") for tile in results(page).all()]
    assert focused == order[5], "one to the right, and one row of four down"
    page.keyboard.press("i")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("-")
    expect(chips(page, "dislike")).to_have_count(1)
    searched(page)
    expect(results(page).nth(5).locator('[data-act="dislike"]')).not_to_be_focused()
    expect(results(page).nth(5).locator(".lk-tile-button")).to_be_focused()  # what took the place of what went
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(chips(page, "like")).to_have_count(1)
    searched(page)
    expect(page.locator('.lk-tile [data-act="like"][aria-pressed="true"]')).to_be_focused()
    page.locator(".lk-chip-remove").last.focus()
    page.keyboard.press("Enter")
    expect(chips(page)).to_have_count(2)
    expect(page.locator(".lk-chip-remove").last).to_be_focused()
    searched(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_refining_has_no_accessibility_issue(open_page: Callable[..., Page], windmill: Path, scheme: str) -> None:
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    upload(page, windmill)
    results(page).nth(3).get_by_role("button", name="Less like this").click()
    expect(chips(page, "dislike")).to_have_count(1)
    page.locator(".lk-box").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**region=**")
    page.get_by_role("button", name=re.compile("Filter")).click()
    page.locator(".lk-folders").get_by_role("checkbox").first.check()
    page.wait_for_url("**label=**")
    searched(page)
    assert issues(page) == []
    page.keyboard.press("Escape")
    results(page).first.get_by_role("button", name="Details").click()
    assert issues(page) == []
    page.get_by_role("tab", name="Side by side").click()
    assert issues(page) == []


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, windmill: Path) -> Iterator[AppServer]:
    """Vectors enough for an index, each with a picture: the same one under many names."""
    import numpy as np

    home = tmp_path_factory.mktemp("large")
    folder = home / "pictures"
    folder.mkdir()
    paths = [folder / f"{at}.jpg" for at in range(2100)]
    shutil.copy(windmill, paths[0])
    for path in paths[1:]:
        path.hardlink_to(paths[0])
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 32))[rng.integers(0, 60, 2100)] + 1.5 * rng.standard_normal((2100, 32))
    with Collection.create(home / "collections/large") as collection:
        collection.add_vectors(x, paths)
        assert collection.status()["index"] == "ivfpq"
    with serving(home, "large") as server:
        yield server


def test_exact_search_shows_what_the_index_missed(open_page: Callable[..., Page], large: AppServer) -> None:
    page = open_page(url=large.url)
    status = page.locator("#lk-status")
    expect(status).to_contain_text(re.compile(r"Recall@10[01]\.\d{3} \([01]\.\d{3}–[01]\.\d{3}\)"))
    expect(status).to_contain_text("IVF")
    page.goto(f"{large.url}?id=5&k=12&fold=false")
    expect(results(page)).to_have_count(12)
    expect(page.locator("#lk-total")).to_have_text(re.compile(r"total [\d.]+ ms"))
    page.get_by_role("button", name="Search exactly").click()
    note = page.locator("#lk-missed")
    expect(note).to_contain_text("Compared with all 2,100 pictures")
    marked = page.locator(".lk-tile[data-missed]").count()
    expect(note).to_contain_text(f"missed {marked} of these 12" if marked else "found all of these")
    assert "exact=true" in page.url
    page.get_by_role("button", name="Back to the index").click()
    expect(note).to_have_count(0)
    page.goto(f"{large.url}?id=5&k=200&fold=false")
    expect(results(page)).to_have_count(200)
    expect(page.locator(".lk-timing")).to_contain_text("exact")
    expect(page.locator("#lk-exact")).to_have_count(0)  # all were compared already
    loaded = page.evaluate(
        "[...document.querySelectorAll('.is-results img')].filter((image) => image.complete && image.naturalWidth).length"
    )
    assert loaded < 150, "pictures far below are not loaded yet"


def test_a_server_that_was_restarted_is_found_again(browser: Browser, home: Path, windmill: Path) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    with serving(home) as server:
        port = int(server.url.rsplit(":", 1)[1].rstrip("/"))
        page.goto(server.url)
        page.wait_for_selector(".lk-tile")
        upload(page, windmill)
        before = names(page)
    page.get_by_label("Order").select_option("newest")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("The server does not answer")
    expect(alert).to_contain_text("Trying again")
    with serving(home, port=port):
        expect(results(page)).to_have_count(12, timeout=30_000)  # the picture too, which only the old server had seen
        assert sorted(names(page)) == sorted(before)
        expect(page.locator(".lk-query-picture")).to_be_visible()
        context.close()
