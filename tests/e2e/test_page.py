"""The page in a real browser. The fixture checks after each test: no console error, no request elsewhere."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.app.serving import HOSTILE
from tests.e2e.acting import choose_collection, heading, issues, results, upload
from tests.e2e.browser import wait_until

pytestmark = pytest.mark.browser


def test_an_uploaded_picture_shows_its_twin_first(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    expect(results(page)).to_have_count(12)
    first = results(page).first
    expect(first.locator(".lk-name")).to_have_text("windmill-12.jpg")
    expect(first.locator(".lk-similarity")).to_have_text("100%")
    expect(first.locator(".lk-sub")).to_contain_text("same picture")
    expect(first.locator(".lk-credit")).to_contain_text("Jean-Pol GRANDMONT")
    expect(first.locator(".lk-credit a")).to_have_attribute("href", "https://creativecommons.org/licenses/by/2.0/")
    expect(heading(page)).to_have_text("12 pictures like windmill-12.jpg")
    expect(page.locator(".lk-timing")).to_contain_text("embedding")
    expect(page.locator(".lk-timing")).to_contain_text("search")
    expect(page.locator(".lk-query-picture")).to_be_visible()
    wait_until(page, "document.querySelector('.is-results img').naturalWidth > 0")


def test_a_click_on_a_result_searches_with_it(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    second = results(page).nth(1)
    name = second.locator(".lk-name").inner_text()
    second.locator(".lk-tile-button").click()
    expect(heading(page)).to_have_text(f"12 pictures like {name}")
    expect(page.locator(".lk-query-caption strong")).to_have_text(name)
    assert name not in results(page).locator(".lk-name").all_inner_texts()


def test_an_example_is_searched_with_by_a_click(page: Page) -> None:
    example = page.locator("#lk-results .lk-tile").first
    name = example.locator(".lk-name").inner_text()
    example.locator(".lk-tile-button").click()
    expect(heading(page)).to_have_text(f"12 pictures like {name}")
    expect(page.locator("#lk-strip button").first).to_be_visible()
    page.locator("#lk-strip button").nth(3).click()
    expect(heading(page)).not_to_contain_text(name)
    expect(results(page)).to_have_count(12)


def test_another_collection_searches_again(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    choose_collection(page, "drawings")
    expect(results(page).first.locator(".lk-sub")).to_contain_text("drawings/")
    expect(heading(page)).to_have_text("12 pictures like windmill-12.jpg")
    expect(page.locator("#lk-status")).to_contain_text("25")


def test_a_result_of_one_collection_searches_another(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    results(page).nth(1).locator(".lk-tile-button").click()
    expect(heading(page)).not_to_contain_text("windmill-12.jpg")
    choose_collection(page, "drawings")
    expect(results(page).first.locator(".lk-sub")).to_contain_text("drawings/")


def test_before_a_search_another_collection_shows_its_examples(page: Page) -> None:
    choose_collection(page, "drawings")
    expect(page.locator("#lk-results .lk-sub").first).to_contain_text("drawings/")


def test_the_number_of_results_searches_again(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    number = page.locator("#lk-count input[type=number]")
    number.fill("5")
    number.press("Enter")
    expect(results(page)).to_have_count(5)
    expect(heading(page)).to_have_text("5 pictures like windmill-12.jpg")
    number.fill("999")  # as many as there may be, and that is what it says
    number.press("Enter")
    expect(results(page)).to_have_count(24)
    assert [each.input_value() for each in page.locator("#lk-count input").all()] == ["200", "200"]


@pytest.mark.parametrize("content", [b"this is not a picture", b"", b"\xff\xd8\xff\xe0\x00\x10JFIF cut off"])
def test_a_broken_file_shows_a_clear_message(page: Page, tmp_path: Path, windmill: Path, content: bytes) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(content)
    upload(page, broken)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("This picture cannot be read")
    assert "Traceback" not in page.content()
    assert "Error" not in alert.inner_text()
    expect(page.locator(".lk-query-picture")).not_to_be_visible()
    upload(page, windmill)  # and nothing is lost
    expect(results(page).first.locator(".lk-name")).to_have_text("windmill-12.jpg")


def test_after_an_error_one_can_start_over(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"nothing")
    upload(page, broken)
    page.get_by_role("button", name="Back to the examples").click()
    expect(page.locator("#lk-results .lk-tile").first).to_be_visible()


def test_a_file_above_the_limit_is_not_even_sent(page: Page, tmp_path: Path) -> None:
    large = tmp_path / "large.jpg"
    with large.open("wb") as file:
        file.truncate(26_000_000)
    upload(page, large)
    expect(page.get_by_role("alert")).to_contain_text("This file is too large")
    expect(page.get_by_role("alert")).to_contain_text("25 MB")


def test_a_public_url_is_searched_with(page: Page) -> None:
    page.get_by_label("Words or picture URL").fill("https://pictures.test/windmill.jpg")
    page.get_by_label("Words or picture URL").press("Enter")
    expect(results(page).first.locator(".lk-name")).to_have_text("windmill-12.jpg")
    expect(page.locator(".lk-query-picture")).to_be_visible()


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:7860/a.jpg", "http://[::1]/", "file:///etc/passwd", "ftp://windmill/a.jpg"]
)
def test_a_url_inside_this_machine_is_refused_with_a_message(page: Page, url: str) -> None:
    page.get_by_label("Words or picture URL").fill(url)
    page.get_by_role("button", name="Search with this").click()
    expect(page.get_by_role("alert")).to_contain_text("This address cannot be searched with")


PASTE = """([data, type, name]) => {
  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name, { type }));
  return transfer;
}"""


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_a_picture_is_pasted_or_dropped_anywhere(page: Page, windmill: Path, event: str) -> None:
    data = base64.b64encode(windmill.read_bytes()).decode()
    transfer = page.evaluate_handle(PASTE, [data, "image/jpeg", "from-a-chat.jpg"])
    page.evaluate(
        """([transfer, event]) => (event === "drop"
          ? document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }))
          : document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })))""",
        [transfer, event],
    )
    expect(results(page).first.locator(".lk-name")).to_have_text("windmill-12.jpg")
    expect(heading(page)).to_contain_text("from-a-chat.jpg")


def test_the_camera_takes_a_picture(open_page: Callable[..., Page]) -> None:
    page = open_page(permissions=["camera"])
    page.get_by_role("button", name="Camera").click()
    wait_until(page, "document.querySelector('.lk-dialog video')?.videoWidth > 0")
    page.get_by_role("button", name="Take the picture").click()
    expect(heading(page)).to_contain_text("camera picture")
    expect(results(page)).to_have_count(12)
    expect(page.locator("dialog")).to_have_count(0)


def test_names_of_files_are_text(page: Page) -> None:
    choose_collection(page, "drawings")
    number = page.locator("#lk-count input[type=number]")
    number.fill("60")
    number.press("Enter")
    page.locator("#lk-results .lk-tile-button").first.click()
    page.get_by_label("Fold copies").uncheck()
    expect(results(page)).to_have_count(24)
    assert HOSTILE in [*results(page).locator(".lk-name").all_inner_texts(), page.locator("h2 em").inner_text()]
    assert page.locator("#lk-body img[src=x]").count() == 0


def test_a_hostile_name_of_an_upload_is_text(page: Page, tmp_path: Path, windmill: Path) -> None:
    copy = tmp_path / HOSTILE
    copy.write_bytes(windmill.read_bytes())
    upload(page, copy)
    expect(heading(page)).to_contain_text(HOSTILE)
    assert page.locator("#lk-body img[src=x]").count() == 0


def test_everything_can_be_done_with_the_keyboard(page: Page) -> None:
    page.locator("#lk-file").focus()
    assert page.evaluate("getComputedStyle(document.querySelector('.lk-drop')).outlineStyle") == "solid"
    page.locator("#lk-results .lk-tile-button").nth(1).focus()
    page.keyboard.press("Enter")
    expect(results(page)).to_have_count(12)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement !== document.body")


def test_start_over_shows_the_examples_again(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    page.get_by_role("button", name="Start over").click()
    expect(page.locator("#lk-results h2")).to_have_text("Which pictures look like yours?")
    expect(page.locator(".lk-query-picture")).not_to_be_visible()


def test_results_do_not_move_while_they_load(page: Page, windmill: Path) -> None:
    upload(page, windmill)
    page.wait_for_timeout(500)
    before = results(page).nth(1).bounding_box()
    results(page).nth(2).locator(".lk-tile-button").click()
    expect(heading(page)).not_to_contain_text("windmill-12.jpg")
    page.wait_for_timeout(500)
    assert results(page).nth(1).bounding_box() == before


def test_the_dark_theme_is_the_systems_and_can_be_chosen(open_page: Callable[..., Page]) -> None:
    page = open_page(color_scheme="dark")
    assert brightness(page) < 60
    page.get_by_role("button", name="Light or dark").click()
    assert brightness(page) > 200
    page.reload()
    page.wait_for_selector(".lk-tile")
    assert brightness(page) > 200, "the choice is kept"


def brightness(page: Page) -> float:
    colour = page.evaluate("getComputedStyle(document.querySelector('body')).backgroundColor")
    return max(float(part) for part in colour.removeprefix("rgba(").removeprefix("rgb(").rstrip(")").split(",")[:3])


@pytest.mark.parametrize("width", [320, 390, 768, 1920])
def test_no_width_scrolls_sideways(open_page: Callable[..., Page], windmill: Path, width: int) -> None:
    page = open_page(viewport={"width": width, "height": 800})
    upload(page, windmill)
    expect(results(page)).to_have_count(12)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for tile in results(page).all():
        box = tile.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width


def test_on_a_phone_the_results_come_into_view(open_page: Callable[..., Page], windmill: Path) -> None:
    page = open_page(viewport={"width": 390, "height": 800})
    upload(page, windmill)
    expect(results(page).first).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", ["examples", "results", "error"])
def test_no_accessibility_issue_in_our_own_parts(
    open_page: Callable[..., Page], windmill: Path, scheme: str, state: str
) -> None:
    page = open_page(color_scheme=scheme, reduced_motion="reduce")
    if state == "results":
        upload(page, windmill)
    if state == "error":
        page.get_by_label("Words or picture URL").fill("http://127.0.0.1/")
        page.get_by_label("Words or picture URL").press("Enter")
        expect(page.get_by_role("alert")).to_be_visible()
    page.wait_for_timeout(400)
    assert issues(page) == []
