"""A real browser for the pages, opened from disk as a person would; whoever complains or asks for something fails the test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser
from playwright.sync_api import Page as Tab

from lookalike import Collection
from lookalike.viz.report import Page
from tests.conftest import copy_pictures
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


HOSTILE = "<img src=x onerror=alert(1)>&.jpg"


@pytest.fixture(scope="package")
def pictured(tmp_path_factory: pytest.TempPathFactory, starter: Path) -> Iterator[Collection]:
    """A collection of 25 pictures, one with a name that looks like HTML; not to be changed."""
    folder = copy_pictures(starter, tmp_path_factory.mktemp("pictured") / "pictures")
    shutil.copy2(sorted((starter / "photos/fish").iterdir())[15], folder / "photos/fish" / HOSTILE)
    with Collection.create(folder.parent / "pictured.lookalike") as collection:
        collection.add(folder)
        yield collection


@pytest.fixture(scope="package")
def vectored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collection]:
    """A collection that is large enough for an index of its own, of vectors in clusters, without any file."""
    rng = np.random.default_rng(0)
    middles = rng.standard_normal((40, 16))
    x = middles[rng.integers(0, 40, 2_500)] + 0.5 * rng.standard_normal((2_500, 16))
    with Collection.create(tmp_path_factory.mktemp("vectored") / "vectored.lookalike") as collection:
        collection.add_vectors(x, paths=[f"/nowhere/{i}.jpg" for i in range(len(x))], model="mine")
        yield collection
