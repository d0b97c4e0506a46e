"""How fast the app answers, seen from the browser: ``python tools/measure_app.py FOLDER... [--pictures 10000] [--home DIR]``.

Indexes the folders, and crops of their first pictures until there are as many as wanted, into a collection under DIR (kept
and used again if it is given). `lookalike serve` answers in a process of its own. Then a browser gives the page a picture of
one megapixel, again and again, and reads the page's own performance marks: from the click, or the choice of the file, to the
frame in which the results are drawn.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, FilePayload, Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.browser import browser  # noqa: E402

from lookalike.collection import Collection  # noqa: E402
from lookalike.data.datasets import starter_folder  # noqa: E402
from lookalike.errors import ImageError  # noqa: E402
from lookalike.features.images import open_picture  # noqa: E402

NAME = "measured"
SIZE = (1224, 817)  # one megapixel
TURNS = 15
REST = 500  # ms between searches: whoever searches looks at the results


def build(home: Path, folders: list[Path], pictures: int) -> Path:
    """A collection of at least so many pictures, crops included."""
    path = home / "collections" / NAME
    if path.is_dir():
        return path
    with Collection.create(path) as collection:
        for folder in folders:
            collection.add(folder)
        crops = home / "crops"
        crops.mkdir(parents=True, exist_ok=True)
        for id in collection.ids()[: max(0, pictures - len(collection))]:
            try:
                picture = open_picture(collection.entry(int(id)).path.read_bytes(), 640)
            except ImageError:
                continue
            width, height = picture.size
            picture.crop((width // 4, height // 4, width, height)).save(crops / f"{id}.jpg", quality=90)
        collection.add(crops)
    return path


@contextlib.contextmanager
def serving(path: Path) -> Iterator[str]:
    """The address of `lookalike serve`, which runs until the end of the ``with`` statement."""
    command = [sys.executable, "-m", "lookalike", "serve", "--in", str(path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            url = next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
            # Read on: a server whose log nobody reads waits once the pipe is full.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield url
        finally:
            process.terminate()


def megapixel(turn: int) -> FilePayload:
    """A photograph of one megapixel; each turn another file, so that nothing is remembered."""
    photos = sorted((starter_folder() / "photos/windmill").iterdir())
    out = io.BytesIO()
    Image.open(photos[turn % len(photos)]).convert("RGB").resize(SIZE).save(out, "JPEG", quality=90, comment=str(turn))
    return FilePayload(name=f"{turn}.jpg", mimeType="image/jpeg", buffer=out.getvalue())


def first_page(chromium: Browser, url: str) -> float:
    """Milliseconds until a browser that was never here shows the first pictures."""
    with chromium.new_context() as context:
        page = context.new_page()
        begun = time.perf_counter()
        page.goto(url, wait_until="commit")
        page.wait_for_selector("#lk-results .lk-picture.is-loaded", state="attached")
        return (time.perf_counter() - begun) * 1e3


# Resolves with the page's measures of the next search; asks for no frames, which waiting in a loop would.
NEXT = """() => { window.next = new Promise((done) => new PerformanceObserver((list, observer) => {
  if (!list.getEntriesByName("lookalike: total").length) return;
  observer.disconnect();
  const of = (m) => [m.name.replace("lookalike: ", ""), m.duration];
  const found = Object.fromEntries(performance.getEntriesByType("measure").map(of));
  const began = performance.getEntriesByName("lookalike: total")[0].startTime;
  const request = performance.getEntriesByType("resource").findLast((each) => each.name.endsWith("/page/search"));
  done({...found, asked: request.startTime - began, answered: request.responseEnd - began});
}).observe({ type: "measure" })); }"""


def searches(page: Page, k: int) -> list[dict[str, float]]:
    """The page's own measures of some searches with uploads, the first left out."""
    page.locator("#lk-count input[type=number]").fill(str(k))
    page.locator("#lk-count input[type=number]").press("Enter")
    found = []
    for turn in range(TURNS + 1):
        page.evaluate("performance.clearMeasures(); performance.clearResourceTimings()")
        page.evaluate(NEXT)
        page.set_input_files("#lk-file", megapixel(1000 * k + turn))
        found.append(page.evaluate("() => window.next"))
        page.wait_for_timeout(REST)
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--home", type=Path, help="where the collection is kept; a temporary folder if not given")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = wanted.home or Path(temporary)
        os.environ["LOOKALIKE_HOME"] = str(home)
        path = build(home, wanted.folders, wanted.pictures)
        with serving(path) as url, browser() as chromium:
            with Collection.open(path) as collection:
                print(f"{len(collection):,} pictures, {collection.status()['spec']}, {os.cpu_count()} cores")
            first = [first_page(chromium, url) for _ in range(4)]
            print(f"first page  median {statistics.median(first[1:]):5.0f} ms, the very first {first[0]:.0f} ms")
            with chromium.new_context(viewport={"width": 1280, "height": 900}) as context:
                page = context.new_page()
                page.goto(url)
                page.wait_for_selector("#lk-results .lk-tile")
                for k in (12, 50, 200):
                    report(k, searches(page, k))


def report(k: int, found: list[dict[str, float]]) -> None:
    """Least, median and worst of each measure."""
    for name in ("embed", "search", "asked", "answered", "total"):
        values = [each[name] for each in found]
        print(
            f"k={k:<3} {name:8} min {min(values):4.0f}, median {statistics.median(values):4.0f}, worst {max(values):4.0f} ms"
        )


if __name__ == "__main__":
    main()
