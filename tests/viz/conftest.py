"""A real browser for the pages, opened from disk as a person would; whoever complains or asks for something fails the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab

from lookalike.viz.report import Page
from tests.e2e.browser import browser as run_browser


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with run_browser() as running:
        yield running


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Tab]]:
    """Open a page of ours, or a file that holds one."""
    tabs: list[Tab] = []
    complaints: list[str] = []

    def show(page: Page | Path, **options: Any) -> Tab:
        path = page if isinstance(page, Path) else page.save(tmp_path / f"page-{len(tabs)}.html")
        tab = browser.new_page(**{"viewport": {"width": 1200, "height": 900}, **options})
        tabs.append(tab)
        tab.set_default_timeout(30_000)
        tab.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("dialog", lambda dialog: (complaints.append("a dialog opened"), dialog.dismiss()))
        tab.on(
            "request",
            lambda r: None if r.url.startswith(("data:", path.as_uri())) else complaints.append(f"asked for {r.url}"),
        )
        tab.goto(path.as_uri())
        tab.wait_for_selector("html[data-ready=true]")
        return tab

    yield show
    for tab in tabs:
        tab.close()
    assert complaints == []
