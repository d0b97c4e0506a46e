"""What people do on the page, and what they see of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

__all__ = [
    "chips",
    "choose_collection",
    "drag",
    "heading",
    "issues",
    "names",
    "results",
    "searched",
    "upload",
]

RESULTS = "#lk-results .is-results .lk-tile"
AXE_RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}


def results(page: Page) -> Locator:
    """The tiles of the results."""
    return page.locator(RESULTS)


def names(page: Page) -> list[str]:
    """What the results are called."""
    return results(page).locator(".lk-name").all_inner_texts()


def heading(page: Page) -> Locator:
    """What the results say they are."""
    return page.locator("#lk-results h2")


def chips(page: Page, role: str = "") -> Locator:
    """The parts of the query."""
    return page.locator(f'.lk-chip[data-role="{role}"]' if role else ".lk-chip")


def searched(page: Page) -> None:
    """Wait until results are there and nothing is on its way."""
    page.wait_for_selector("body:not(.lk-searching)")
    expect(page.locator("#lk-results")).not_to_have_attribute("aria-busy", "true")


def upload(page: Page, *pictures: Path) -> None:
    """Choose files, and wait for the answer."""
    page.set_input_files("#lk-file", pictures)
    searched(page)


def choose_collection(page: Page, name: str) -> None:
    """Choose another collection."""
    page.get_by_label("Collection", exact=True).select_option(name)


def drag(page: Page, start: tuple[float, float], end: tuple[float, float], on: str = ".lk-stage") -> None:
    """Drag from one place to another, both as fractions of an element."""
    box = page.locator(on).bounding_box()
    assert box is not None
    (x0, y0), (x1, y1) = start, end
    page.mouse.move(box["x"] + x0 * box["width"], box["y"] + y0 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + x1 * box["width"], box["y"] + y1 * box["height"], steps=5)
    page.mouse.up()


def issues(page: Page) -> list[str]:
    """What axe-core has against the page."""
    found: list[dict[str, Any]] = Axe().run(page, options=AXE_RULES).response["violations"]
    return [
        f"{issue['id']} ({issue['impact']}): {node['target']} {node['failureSummary']}"
        for issue in found
        for node in issue["nodes"]
    ]
