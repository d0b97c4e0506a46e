"""Every way to ask, and every mix of them, as chips. The fixture checks: no console error, no request elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.acting import chips, choose_collection, drag, heading, names, results, searched, upload
from tests.e2e.browser import wait_until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="session")
def fish(home: Path) -> Path:
    return sorted((home / "pictures/photos/photos/fish").iterdir())[0]


def asked(page: Page) -> dict[str, list[str]]:
    """The query in the page's address."""
    text = page.evaluate(
        "() => JSON.stringify([...new URLSearchParams(location.search)].reduce("
        "(all, [name, value]) => ({ ...all, [name]: [...(all[name] ?? []), value] }), {}))"
    )
    return dict(json.loads(text))


def region(page: Page) -> list[float]:
    return [float(side) for side in asked(page)["region"][0].split(",")]


def test_several_pictures_are_one_query_of_chips(page: Page, windmill: Path, fish: Path) -> None:
    upload(page, windmill, fish)
    expect(heading(page)).to_have_text("12 pictures like windmill-12.jpg and 1 more")
    expect(chips(page, "picture")).to_have_count(2)
    both = names(page)
    assert {windmill.name, fish.name} <= set(both[:6])
    page.get_by_role("button", name="Show windmill-12.jpg").click()
    expect(page.locator(".lk-query-caption strong")).to_have_text(windmill.name)
    page.get_by_role("button", name=f"Remove {fish.name}").click()
    expect(heading(page)).to_have_text("12 pictures like windmill-12.jpg")
    assert names(page) != both
    page.get_by_role("button", name="Remove windmill-12.jpg").click()
    expect(heading(page)).to_have_text("Which pictures look like yours?")
    expect(chips(page)).to_have_count(0)


def test_anything_can_be_added_to_a_search(page: Page, windmill: Path, fish: Path) -> None:
    upload(page, windmill)
    add = page.get_by_role("button", name="Add to this search")
    add.click()
    expect(page.locator(".lk-drop-text")).to_contain_text("Add a picture")
    page.keyboard.press("Escape")
    expect(page.locator(".lk-drop-text")).not_to_be_visible()
    add.click()
    upload(page, fish)
    expect(chips(page, "picture")).to_have_count(2)
    add.click()
    results(page).nth(3).locator(".lk-tile-button").click()
    expect(chips(page, "picture")).to_have_count(3)
    add.click()
    page.locator("#lk-strip button").first.click()
    expect(chips(page, "picture")).to_have_count(4)
    upload(page, fish)  # and without asking to add, a new search begins
    expect(chips(page, "picture")).to_have_count(1)


def test_a_part_is_drawn_moved_sized_and_removed_with_the_mouse(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    whole = names(page)
    expect(page.locator(".lk-hint")).to_have_text("Drag to search by a part")
    drag(page, (0.1, 0.5), (0.6, 0.9))
    page.wait_for_url("**region=**")
    searched(page)
    assert region(page) == pytest.approx([0.1, 0.5, 0.5, 0.4], abs=0.02)
    assert names(page) != whole
    expect(page.locator(".lk-query-picture")).to_be_visible()
    drag(page, (0.5, 0.5), (0.7, 0.25), on=".lk-box")
    wait_until(page, "() => !location.search.includes('region=0.1')")
    x, y, width, height = region(page)
    assert (width, height) == pytest.approx((0.5, 0.4), abs=0.02)
    assert (x, y) == pytest.approx((0.2, 0.4), abs=0.03)
    drag(page, (0.98, 0.97), (1.3, 1.2), on=".lk-box")
    wait_until(page, "Number(new URLSearchParams(location.search).get('region').split(',')[2]) > 0.6")
    assert region(page)[:2] == pytest.approx([x, y], abs=0.01)
    page.get_by_role("button", name="Whole picture").click()
    page.wait_for_url(lambda url: "region" not in url)
    searched(page)
    assert names(page) == whole


def test_a_part_is_chosen_with_the_keyboard(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    box = page.locator(".lk-box")
    box.focus()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url("**region=0.25,0.25,0.5,0.5**")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Shift+ArrowDown")
    page.wait_for_url("**region=0.22,0.25,0.5,0.53**")
    expect(box).to_have_attribute(
        "aria-label",
        "A part 50% wide and 53% high, 22% from the left, 25% from the top. "
        "Arrow keys move it, Shift and arrow keys resize it, Escape takes the whole picture.",
    )
    page.keyboard.press("Escape")
    page.wait_for_url(lambda url: "region" not in url)


def test_a_part_is_chosen_with_a_finger(open_page: Callable[..., Page], windmill: Path) -> None:
    page = open_page(viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True)
    upload(page, windmill)
    stage = page.locator(".lk-stage")
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    assert box is not None
    session = page.context.new_cdp_session(page)
    corners = [(0.2, 0.2), (0.4, 0.5), (0.7, 0.8)]
    for kind, (x, y) in zip(("touchStart", "touchMove", "touchMove"), corners, strict=True):
        point = {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    page.wait_for_url("**region=**")
    assert region(page) == pytest.approx([0.2, 0.2, 0.5, 0.6], abs=0.03)
    expect(results(page).first.locator('[data-act="dislike"]')).to_be_visible()


def test_words_are_labels_of_the_default_model_and_the_page_says_so(page: Page) -> None:
    words = page.get_by_label("Words or picture URL")
    words.fill("fish")
    words.press("Enter")
    expect(heading(page)).to_contain_text("of “fish”")
    expect(page.locator(".lk-note")).to_contain_text("A label search")
    expect(chips(page, "text")).to_contain_text("“fish”")
    assert "fish" in names(page)[0]
    page.get_by_role("button", name="Add to this search").click()
    page.locator("#lk-strip button").first.click()
    expect(page.get_by_role("alert")).to_contain_text("These words cannot be searched with")
    expect(page.get_by_role("alert")).to_contain_text("do not mix with pictures")
    page.get_by_role("button", name="Back to the results").click()
    expect(heading(page)).to_contain_text("of “fish”")
    words.fill("windmill")  # no label of the model, but a folder
    words.press("Enter")
    page.get_by_role("button", name="Show the folder photos/windmill").click()
    expect(heading(page)).to_have_text("8 pictures")


def test_thumbs_ask_for_more_and_less(page: Page, windmill: Path, fish: Path) -> None:
    upload(page, windmill, fish)
    before = names(page)
    unwanted = next(
        tile for tile in results(page).all() if "fish" in tile.inner_text() and fish.name not in tile.inner_text()
    )
    name = unwanted.locator(".lk-name").inner_text()
    unwanted.get_by_role("button", name="Less like this").click()
    expect(chips(page, "dislike")).to_have_count(1)
    searched(page)
    assert name not in names(page)
    results(page).nth(1).get_by_role("button", name="More like this").click()
    expect(chips(page, "like")).to_have_count(1)
    searched(page)
    expect(page.locator('.lk-act[data-act="like"][aria-pressed="true"]')).to_have_count(1)
    page.locator('.lk-act[data-act="like"][aria-pressed="true"]').click()  # once more takes it back
    expect(chips(page, "like")).to_have_count(0)
    page.get_by_role("button", name=f"Remove less like {name}").click()
    expect(chips(page)).to_have_count(2)
    searched(page)
    assert names(page) == before


def test_the_collection_is_browsed_and_searched_from(page: Page) -> None:
    page.get_by_role("button", name="All pictures").click()
    expect(heading(page)).to_have_text("24 pictures")
    expect(page.locator(".is-page .lk-tile")).to_have_count(24)
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.locator(".is-page .lk-tile-button").nth(5).click()
    expect(results(page)).to_have_count(12)
    page.go_back()
    expect(heading(page)).to_have_text("24 pictures")
    choose_collection(page, "drawings")
    expect(heading(page)).to_have_text("25 pictures")


def test_a_hostile_dropped_text_and_too_many_files_are_refused(page: Page, fish: Path) -> None:
    page.set_input_files(
        "#lk-file", [{"name": f"{at}.jpg", "mimeType": "image/jpeg", "buffer": b"x"} for at in range(51)]
    )
    expect(page.get_by_role("alert")).to_contain_text("Too many at once")
    page.evaluate(
        """() => {
          const transfer = new DataTransfer();
          transfer.setData("text/uri-list", "javascript:alert(1)");
          document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
        }"""
    )
    expect(page.get_by_role("alert")).to_contain_text("neither a picture nor the address of one")
