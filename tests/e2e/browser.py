"""A headless Chromium: the system's, or Playwright's own. Without one the tests fail; they are never skipped."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright, sync_playwright

__all__ = ["NAMES", "browser", "find_chromium", "wait_until"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Quiet: a test that looks for foreign requests should see the page's only.
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --use-fake-device-for-media-stream --use-fake-ui-for-media-stream"
)


def find_chromium(playwright: Playwright) -> str:
    """Path of the browser to use."""
    for candidate in (os.environ.get("CHROMIUM"), *map(shutil.which, NAMES), playwright.chromium.executable_path):
        if candidate and Path(candidate).exists():
            return candidate
    raise FileNotFoundError(
        f"no browser: set CHROMIUM, install one of {', '.join(NAMES)}, or run `playwright install chromium`"
    )


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """A browser that runs until the end of the ``with`` statement."""
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=find_chromium(playwright), args=FLAGS.split())
        try:
            yield running
        finally:
            running.close()


def wait_until(page: Page, expression: str, arg: Any = None, seconds: float = 60) -> None:
    """Wait until an expression is true in a page; `Page.wait_for_function` needs `eval`, which our pages forbid."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, f"not true within {seconds:g} s: {expression}"
        page.wait_for_timeout(50)
