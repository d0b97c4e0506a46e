from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from lookalike import _fetch
from lookalike.app import AppServer
from tests.app.serving import WINDMILL, build_home, serving
from tests.e2e.browser import browser as run_browser

expect.set_options(timeout=180_000)  # the first report compiles its kernels, beside other tests


@dataclass
class Visit:
    """One open page, and what it complained about and asked for."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)

    def watch(self) -> Visit:
        def asked(url: str) -> None:
            if not url.startswith((self.url, "data:", "blob:")):
                self.foreign.append(url)

        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: asked(request.url))
        self.page.on("response", lambda r: self.complaints.append(f"{r.status} {r.url}") if r.status >= 400 else None)
        return self


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="session")
def windmill(home: Path) -> Path:
    return home / "pictures/photos" / WINDMILL


@pytest.fixture(scope="package")
def server(home: Path, windmill: Path) -> Iterator[AppServer]:
    def fetch(url: str) -> bytes:
        if url == "https://pictures.test/windmill.jpg":
            return windmill.read_bytes()
        return _fetch.fetch(url)

    with serving(home, fetch=fetch) as running:
        yield running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with run_browser() as running:
        yield running


@pytest.fixture(scope="package")
def context(browser: Browser) -> Iterator[BrowserContext]:
    """One cache for all tests that need no special window."""
    with browser.new_context(viewport={"width": 1280, "height": 900}) as shared:
        yield shared


@pytest.fixture
def open_page(browser: Browser, context: BrowserContext, server: AppServer) -> Iterator[Callable[..., Page]]:
    """Open the page (of another server, in a context of its own), and see at the end who complained or asked elsewhere."""
    visits: list[Visit] = []

    def open_page(url: str = server.url, **options: Any) -> Page:
        within = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}) if options else context
        visit = Visit(within.new_page(), url).watch()
        visits.append(visit)
        visit.page.set_default_timeout(30_000)
        visit.page.goto(url)
        visit.page.wait_for_selector(".lk-tile")
        return visit.page

    yield open_page
    for visit in visits:
        visit.page.close()
        if visit.page.context is not context:
            visit.page.context.close()
    assert [visit.complaints for visit in visits if visit.complaints] == []
    assert [visit.foreign for visit in visits if visit.foreign] == []


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()
