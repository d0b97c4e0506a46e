"""The search step by step is asked for once for all results of a search, and not when nobody looks any more."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_report import open_why

pytestmark = pytest.mark.browser


def test_one_page_serves_a_search_and_one_frame_is_listened_to(open_page: Callable[..., Page]) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/explain" in request.url else None)
    report = open_why(page)
    expect(report.locator("html[data-ready=true]")).to_have_count(1)
    listening = _listeners(page)
    page.evaluate("document.querySelector('iframe').dataset.old = 'true'")
    page.get_by_role("button", name="Next picture").click()
    page.wait_for_selector("iframe:not([data-old])")
    assert _listeners(page) == listening
    page.locator("dialog").get_by_role("button", name="Close", exact=True).click()
    expect(page.locator("dialog")).to_have_count(0)
    assert _listeners(page) == listening - 1
    page.locator("#lk-results [aria-label^='Details:']").nth(2).click()  # of the same search
    page.get_by_role("tab", name="Why?").click()
    expect(report.locator("html[data-ready=true]")).to_have_count(1)
    assert len(asked) == 1


def test_closing_the_details_stops_the_request(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.route("**/api/explain", lambda route: None, times=1)  # it is never answered
    report = open_why(page)
    expect(page.get_by_role("status").filter(has_text="Tracing the search")).to_be_visible()
    with page.expect_event("requestfailed", lambda request: "/api/explain" in request.url):
        page.keyboard.press("Escape")
    page.locator("#lk-results [aria-label^='Details:']").nth(1).click()
    page.get_by_role("tab", name="Why?").click()
    expect(report.locator("html[data-ready=true]")).to_have_count(1)


def _listeners(page: Page) -> int:
    """How many listen to messages to the page."""
    session = page.context.new_cdp_session(page)
    count = "(getEventListeners(window).message ?? []).length"
    found = session.send("Runtime.evaluate", {"expression": count, "includeCommandLineAPI": True})
    session.detach()
    return int(found["result"]["value"])
