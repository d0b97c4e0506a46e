"""Redraw the pictures of docs/visualize.md: ``python tools/screenshot_views.py [VIEW...]``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.browser import browser  # noqa: E402
from tools.docs_hooks import draw  # noqa: E402

OUT = ROOT / "docs/images/visualize"
WIDTH = 820
# The page, and the part of it, of each picture.
VIEWS = {
    "overview": ("index", "cells"),
    "cells": ("explain", "cells"),
    "hnsw": ("hnsw", "levels"),
    "map": ("map", "map"),
    **{name: ("explain", name) for name in ("story", "rings", "projection", "pieces", "codebooks")},
    **{name: ("explain", name) for name in ("table", "errors", "missed", "whatif")},
}


def main() -> None:
    wanted = sys.argv[1:] or list(VIEWS)
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        pages = Path(folder)
        draw(pages, pages)
        for name in wanted:
            page, view = VIEWS[name]
            tab = chromium.new_page(viewport={"width": WIDTH, "height": 1000})
            tab.goto((pages / f"{page}.html").as_uri())
            tab.wait_for_selector("html[data-ready=true]")
            shot = pages / f"{name}.png"
            tab.locator(f"#{view}").screenshot(path=shot)
            tab.close()
            with Image.open(shot) as picture:
                few = picture.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
                few.save(OUT / f"{name}.png", optimize=True)
            print(f"{name}.png: {(OUT / f'{name}.png').stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
