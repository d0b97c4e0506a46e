"""The search step by step, in the frame of the "Why?" tab: it is what the server says, reaches nothing, and searches on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, FrameLocator, Page, expect

from lookalike.app import AppServer
from tests.app.serving import HOSTILE
from tests.e2e.browser import wait_until

pytestmark = pytest.mark.browser
FRAME = "iframe.lk-report-frame"


def open_why(page: Page, id: int = 3, collection: str = "photos") -> FrameLocator:
    page.evaluate("([id, name]) => window.lookalike.searchWith(id, name)", [id, collection])
    page.locator("#lk-results [aria-label^='Details:']").nth(1).click()
    page.get_by_role("tab", name="Why?").click()
    return page.frame_locator(FRAME)


def test_the_report_is_shown_and_searches_on(open_page: Callable[..., Page]) -> None:
    page = open_page(color_scheme="dark")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/explain" in request.url else None)
    page.evaluate("window.lookalike.setCollection('drawings')")
    expect(page.locator("#lk-status")).to_contain_text("25")
    report = open_why(page, collection="drawings")
    expect(page.get_by_role("status").filter(has_text="Tracing the search")).to_be_visible()
    expect(report.locator("html[data-ready=true][data-theme=dark]")).to_have_count(1)
    assert page.get_attribute(FRAME, "sandbox") == "allow-scripts"
    heading = page.locator("#lk-details-name")
    page.wait_for_timeout(100)
    assert _picture(report) == heading.inner_text()
    assert report.locator("img[src=x]").count() == 0
    page.get_by_role("button", name="Next picture").click()  # the same search, so the same page
    wait_until(page, "document.querySelector('iframe')")
    expect(report.locator("html[data-ready=true]")).to_have_count(1)
    page.wait_for_timeout(100)
    assert _picture(report) == heading.inner_text()
    assert len(asked) == 1
    report.locator("#story .hit button").nth(2).click()
    chosen = report.locator("html").get_attribute("data-selected")
    report.get_by_role("button", name="Search from it").click()
    expect(page.locator("dialog")).to_have_count(0)
    wait_until(page, "(id) => new URLSearchParams(location.search).get('id') === id", arg=chosen)


def test_messages_of_others_start_no_search(open_page: Callable[..., Page]) -> None:
    page = open_page()
    report = open_why(page)
    expect(report.locator("html[data-ready=true]")).to_have_count(1)
    before = page.url
    page.evaluate("window.postMessage({ lookalike: 'search', id: 5 }, '*')")
    for wrong in ("'5'", "-1", "1.5", "{ toString: () => '5' }.x"):
        report.locator("body").evaluate(f"() => parent.postMessage({{ lookalike: 'search', id: {wrong} }}, '*')")
    page.wait_for_timeout(200)
    assert page.url == before
    expect(page.locator("dialog")).to_have_count(1)


def test_what_went_wrong_is_said_and_can_be_tried_again(open_page: Callable[..., Page]) -> None:
    page = open_page(viewport={"width": 390, "height": 800})
    answer = {"error": {"type": "InputError", "message": HOSTILE}}
    page.route("**/api/explain", lambda route: route.fulfill(json=answer), times=1)
    report = open_why(page)
    expect(page.locator(".lk-report").get_by_role("alert")).to_contain_text(HOSTILE)
    page.get_by_role("button", name="Try again").click()
    expect(report.locator("html[data-ready=true]")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert report.locator("html").evaluate("e => e.scrollWidth <= innerWidth")


def test_the_frame_reaches_nothing(browser: Browser, server: AppServer) -> None:
    with browser.new_context() as context:  # of its own: the browser reports what the frame is refused
        page = context.new_page()
        asked: list[str] = []
        page.on("response", lambda response: asked.append(response.url))
        page.goto(server.url)
        page.wait_for_selector(".lk-tile")
        report = open_why(page)
        expect(report.locator("html[data-ready=true]")).to_have_count(1)
        asked.clear()
        assert report.locator("body").evaluate(
            """async (_, here) => {
              const outside = [() => parent.document.title, () => top.location.href,
                () => localStorage.length, () => document.cookie];
              const reached = outside.map((look) => { try { look(); return true; } catch { return false; } });
              for (const url of [here + "api/status", "http://127.0.0.1:9/"]) {
                reached.push(await fetch(url).then(() => true, () => false));
              }
              const image = new Image();
              image.src = here + "api/images/1";
              reached.push(await new Promise((done) => { image.onload = () => done(true); image.onerror = () => done(false); }));
              document.body.append(Object.assign(document.createElement("script"), { textContent: "window.ran = true" }));
              return [...reached, window.ran === true];
            }""",
            server.url,
        ) == [False] * 8  # fmt: skip
        assert asked == []


def _picture(report: FrameLocator) -> str:
    """The name of the picture that the report is about."""
    name: str = report.locator("html").evaluate(
        "() => lookalike.page.picture(document.documentElement.dataset.selected).name.split('/').pop()"
    )
    return name
