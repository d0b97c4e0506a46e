from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

from lookalike.viz.report import assemble, to_json

HOSTILE = "</script><img src=x onerror=alert(1)>&'\"\u2028"


def test_json_survives_a_page_unchanged() -> None:
    text = to_json({"name": HOSTILE, "odd": "caf\udce9", 3: [1.5, float("inf"), float("nan")]})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"name": HOSTILE, "odd": "caf\udce9", "3": [1.5, None, None]}


def test_nothing_in_a_name_runs(show: Callable[..., Any]) -> None:
    page = assemble(HOSTILE, [], lead=HOSTILE, notes=[HOSTILE], pictures={1: {"name": HOSTILE}})
    tab = show(page)
    assert tab.title() == HOSTILE
    assert tab.text_content("h1") == HOSTILE
    assert tab.locator("img").count() == 0
    assert tab.evaluate("lookalike.page.picture(1).name") == HOSTILE


def test_only_scripts_of_the_page_run(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "changed.html"
    path.write_text(assemble("a page", []).html.replace("lookalike.start();", "document.title = 'changed';"), "utf-8")
    tab = browser.new_page()
    refused: list[str] = []
    tab.on("console", lambda message: refused.append(message.text))
    tab.goto(path.as_uri())
    assert tab.title() == "a page"
    assert "Content Security Policy" in refused[0]
    tab.close()


def test_light_and_dark(show: Callable[..., Any]) -> None:
    tab = show(assemble("a page", []), color_scheme="dark")
    assert tab.get_attribute("html", "data-theme") == "dark"
    dark = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    tab.click("button.theme")
    assert tab.get_attribute("html", "data-theme") == "light"
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") != dark
