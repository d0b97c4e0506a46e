"""The page of gradio's components, `serve --gradio`: a picture is given, cropped and mirrored, and examples are searched with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.app.serving import serving

pytestmark = pytest.mark.browser


@pytest.fixture
def page(browser: Browser, home: Path) -> Iterator[Page]:
    with serving(home, gradio=True) as server, browser.new_context() as context:
        page = context.new_page()
        foreign: list[str] = []
        page.on(
            "request", lambda r: foreign.append(r.url) if not r.url.startswith((server.url, "data:", "blob:")) else None
        )
        page.goto(server.url)
        expect(gallery(page, "Examples")).to_have_count(12)
        yield page
        assert foreign == []


def gallery(page: Page, label: str) -> Locator:
    return page.locator(".block", has=page.get_by_text(label, exact=True)).locator(".thumbnail-item")


def search(page: Page) -> None:
    page.get_by_role("button", name="Search", exact=True).click()


def test_a_picture_is_found_whole_cropped_and_mirrored(page: Page, windmill: Path) -> None:
    found = gallery(page, "Most alike first")
    page.set_input_files("input[type=file]", windmill)
    expect(page.get_by_role("button", name="Remove Image")).to_be_visible()
    search(page)
    expect(found.first).to_contain_text("100% windmill-12.jpg")
    page.get_by_text("Crop and mirror").click()
    page.get_by_label("Mirror it").check()
    search(page)
    expect(found.first).not_to_contain_text("100%")
    expect(found.first).to_contain_text("windmill-12.jpg")
    page.get_by_label("number input for Right, %").fill("0")
    page.get_by_label("number input for Right, %").press("Tab")
    search(page)
    expect(page.get_by_text("crop: nothing lies from 0 to 0 % across")).to_be_visible()


def test_examples_are_searched_with(page: Page) -> None:
    gallery(page, "Examples").first.click()
    expect(gallery(page, "Most alike first")).to_have_count(12)
    search(page)
    expect(page.get_by_text("Give a picture first.")).to_be_visible()
    page.get_by_label("Collection").click()
    page.get_by_role("option", name="drawings").click()
    expect(gallery(page, "Most alike first")).to_have_count(0)  # they were of the other collection
    page.get_by_label("Or the URL of a picture").fill("http://127.0.0.1/")
    page.get_by_label("Or the URL of a picture").press("Enter")
    expect(page.get_by_text("127.0.0.1").last).to_be_visible()
