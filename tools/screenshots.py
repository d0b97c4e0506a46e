"""Screenshots of the app's main states: ``python tools/screenshots.py OUT`` draws every one of them there.

Needs a browser as the end-to-end tests do. ``docs/images/app.png`` and ``app-dark.png`` are ``results.png`` and
``results-dark.png``; the pictures in them are credited under each result.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.browser import browser  # noqa: E402

from lookalike.app import AppServer  # noqa: E402
from lookalike.collection import Collection  # noqa: E402
from lookalike.data.datasets import starter_folder  # noqa: E402

QUERY = "photos/windmill/windmill-12.jpg"
WIDE = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


def examples(page: Page) -> None:
    """As the page opens."""


def results(page: Page) -> None:
    for _ in range(2):  # times are shown: the first search of a process is not the usual one
        page.set_input_files("#lk-file", starter_folder() / QUERY)
        page.wait_for_selector(".lk-searching", state="detached")
        page.wait_for_selector("#lk-results:not([aria-busy]) .is-results")


def loading(page: Page) -> None:
    page.evaluate("() => { window.fetch = () => new Promise(() => {}); }")
    page.set_input_files("#lk-file", starter_folder() / QUERY)


def error(page: Page) -> None:
    page.set_input_files("#lk-file", FilePayload(name="holiday.jpg", mimeType="image/jpeg", buffer=b"no picture"))
    page.wait_for_selector(".lk-error")


STATES: dict[str, tuple[Callable[[Page], None], dict[str, int], str]] = {
    "examples": (examples, WIDE, "light"),
    "examples-dark": (examples, WIDE, "dark"),
    "results": (results, WIDE, "light"),
    "results-dark": (results, WIDE, "dark"),
    "loading": (loading, WIDE, "light"),
    "error": (error, WIDE, "light"),
    "error-dark": (error, WIDE, "dark"),
    "phone-examples": (examples, PHONE, "light"),
    "phone-results": (results, PHONE, "light"),
    "phone-results-dark": (results, PHONE, "dark"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the pictures")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["LOOKALIKE_HOME"] = home
        path = Path(home) / "collections" / "starter"
        with Collection.create(path) as collection:
            collection.add(starter_folder())
        with AppServer(path) as server, browser() as chromium:
            for name, (reach, size, scheme) in STATES.items():
                shoot(chromium, server.url, reach, size, scheme, out / f"{name}.png")
                print(out / f"{name}.png")


def shoot(
    chromium: Browser, url: str, reach: Callable[[Page], None], size: dict[str, int], scheme: str, to: Path
) -> None:
    context = chromium.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector(".lk-tile")
    reach(page)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(700)
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    _with_palette(shot).save(to, optimize=True)
    context.close()


def _with_palette(shot: Image.Image, frequent: int = 24) -> Image.Image:
    """In 256 colours, dithered, a third of the size; the page's own colours stay exactly what they are."""
    counted = sorted(shot.getcolors(shot.width * shot.height) or [], reverse=True)[:frequent]
    own = [part for _, colour in counted for part in (colour if isinstance(colour, tuple) else (colour,))]
    pictures = shot.quantize(256 - frequent, Image.Quantize.MEDIANCUT, kmeans=2).getpalette() or []
    palette = Image.new("P", (1, 1))
    palette.putpalette([*own, *pictures[: 3 * (256 - frequent)]])
    return shot.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)


if __name__ == "__main__":
    main()
