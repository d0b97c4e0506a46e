"""Screenshots of the app's main states: ``python tools/screenshots.py OUT`` draws every one of them there.

Needs a browser as the end-to-end tests do. ``docs/images/app.png`` and ``app-dark.png`` are ``results.png`` and
``results-dark.png``; the pictures in them are credited under each result.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.browser import browser  # noqa: E402

from lookalike.app import AppServer  # noqa: E402
from lookalike.collection import Collection  # noqa: E402
from lookalike.data.datasets import starter_folder  # noqa: E402

QUERY = "photos/windmill/windmill-12.jpg"
STREET = "photos/windmill/windmill-13.jpg"
BIRD = "drawings/bird/crow-01.jpg"
WIDE = {"width": 1280, "height": 860}
PHONE = {"width": 390, "height": 844}


def done(page: Page) -> None:
    """Wait for the answer."""
    page.wait_for_timeout(150)
    page.wait_for_selector("body:not(.lk-searching)")
    page.wait_for_selector("#lk-results:not([aria-busy])")


def examples(page: Page) -> None:
    """As the page opens."""


def results(page: Page) -> None:
    for _ in range(2):  # times are shown: the first search of a process is not the usual one
        page.set_input_files("#lk-file", starter_folder() / QUERY)
        done(page)


def region(page: Page) -> None:
    page.set_input_files("#lk-file", starter_folder() / STREET)
    done(page)
    page.locator(".lk-box").focus()
    for key in ("Enter", *["ArrowUp"] * 4, *["Shift+ArrowRight"] * 3):
        page.keyboard.press(key)
    page.wait_for_url("**region=**")
    done(page)


def chips(page: Page) -> None:
    page.set_input_files("#lk-file", [starter_folder() / QUERY, starter_folder() / BIRD])
    done(page)
    for act, at in (("dislike", 5), ("like", 3)):
        page.locator(f'.is-results [data-act="{act}"]').nth(at).click()
        done(page)


def filters(page: Page) -> None:
    results(page)
    page.locator("#lk-filter").click()
    page.locator(".lk-folders label", has_text="windmill").click()
    done(page)
    page.locator(".lk-shape", has_text="Portrait").click()
    done(page)


def details(page: Page) -> None:
    results(page)
    page.locator('.is-results [data-act="details"]').nth(1).click()


def beside(page: Page) -> None:
    details(page)
    page.locator('[data-tab="beside"]').click()


def why(page: Page) -> None:
    details(page)
    page.locator('[data-tab="why"]').click()


def folded(page: Page) -> None:
    page.goto(f"{page.url.partition('?')[0]}?in=copies&id=1")
    done(page)
    page.locator(".lk-same").first.click()


def words(page: Page) -> None:
    page.locator("#lk-url").fill("sailing boat")
    page.keyboard.press("Enter")
    done(page)


def exact(page: Page) -> None:
    page.goto(f"{page.url.partition('?')[0]}?in=many&id=1&k=40&exact=true&fold=false")
    done(page)


def browse(page: Page) -> None:
    page.locator("#lk-browse").click()
    done(page)


def empty(page: Page) -> None:
    page.goto(f"{page.url.partition('?')[0]}?id=1&threshold=95&min_side=4000")
    done(page)


def adding(page: Page) -> None:
    results(page)
    page.locator("#lk-add").click()


def loading(page: Page) -> None:
    page.evaluate("() => { window.fetch = () => new Promise(() => {}); }")
    page.set_input_files("#lk-file", starter_folder() / QUERY)


def error(page: Page) -> None:
    page.set_input_files("#lk-file", FilePayload(name="holiday.jpg", mimeType="image/jpeg", buffer=b"no picture"))
    page.wait_for_selector(".lk-error")


def gone(page: Page) -> None:
    page.goto(f"{page.url.partition('?')[0]}?query={'0' * 32}&like=3")
    page.wait_for_selector(".lk-error")


def unreachable(page: Page) -> None:
    page.evaluate("() => { window.fetch = () => Promise.reject(new TypeError()); }")
    page.set_input_files("#lk-file", starter_folder() / QUERY)
    page.wait_for_selector(".lk-error")


STATES: dict[str, tuple[Callable[[Page], None], dict[str, int], str]] = {
    **{
        each.__name__: (each, WIDE, "light")
        for each in (examples, results, region, chips, filters, details, beside, why)
    },
    **{each.__name__: (each, WIDE, "light") for each in (folded, words, exact, browse, empty, adding, loading)},
    **{each.__name__: (each, WIDE, "light") for each in (error, gone, unreachable)},
    **{f"{each.__name__}-dark": (each, WIDE, "dark") for each in (examples, results, region, chips, filters, details)},
    **{f"{each.__name__}-dark": (each, WIDE, "dark") for each in (folded, why, exact, error)},
    **{
        f"phone-{each.__name__}": (each, PHONE, "light")
        for each in (examples, results, region, chips, filters, details)
    },
    **{f"phone-{each.__name__}-dark": (each, PHONE, "dark") for each in (results, details)},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for the pictures")
    parser.add_argument("only", nargs="*", choices=[*STATES, []], help="states to draw; all if none is named")
    wanted = parser.parse_args()
    out: Path = wanted.out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["LOOKALIKE_HOME"] = home
        path = Path(home) / "collections" / "starter"
        with Collection.create(path) as collection:
            collection.add(starter_folder())
        make_copies(Path(home))
        make_many(Path(home))
        with AppServer(path) as server, browser() as chromium:
            for name, (reach, size, scheme) in STATES.items():
                if wanted.only and name not in wanted.only:
                    continue
                shoot(chromium, server.address, reach, size, scheme, out / f"{name}.png")
                print(out / f"{name}.png")


def make_copies(home: Path) -> None:
    """A collection in which one picture is there several times, as phones and chats leave them."""
    folder = home / "copies"
    shutil.copytree(starter_folder() / "photos/windmill", folder / "windmill")
    with Image.open(starter_folder() / QUERY) as picture:
        width, height = picture.size
        picture.crop((6, 6, width - 6, height - 6)).save(folder / "windmill/windmill-12 (cut).jpg")
        picture.resize((width // 2, height // 2)).save(folder / "windmill/windmill-12 (small).jpg")
        picture.save(folder / "windmill/windmill-12 (again).jpg", quality=60)
    with Collection.create(home / "collections/copies") as collection:
        collection.add(folder)


def make_many(home: Path) -> None:
    """Vectors enough for an index that misses some, each with one of the starter pictures."""
    pictures = sorted(file for file in starter_folder().rglob("*.jpg"))
    paths = [home / "many" / f"{at:04}-{pictures[at % len(pictures)].name}" for at in range(2100)]
    paths[0].parent.mkdir()
    for at, path in enumerate(paths):
        shutil.copy(pictures[at % len(pictures)], path)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((60, 32))[rng.integers(0, 60, 2100)] + 1.5 * rng.standard_normal((2100, 32))
    with Collection.create(home / "collections/many") as collection:
        collection.add_vectors(x, paths)


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
