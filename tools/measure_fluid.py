"""Frames a second of the views: ``python tools/measure_fluid.py [--points N] [--seconds N]``.

A headless browser opens each page and moves in it: the map is zoomed and panned, searches are scrubbed, a step at each frame.
Frames are the browser's own (`requestAnimationFrame`); the figure is frames by time, and the longest pause between two of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page as Tab

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.browser import browser  # noqa: E402

from lookalike import Collection  # noqa: E402
from lookalike.viz.explain import explanation_page  # noqa: E402
from lookalike.viz.map import group, points_page  # noqa: E402
from lookalike.viz.report import Page  # noqa: E402

CLUSTERS = 60
COUNT = """() => {
  const times = window.frames_ = [];
  const tick = (now) => { times.push(now); window.ticking_ = requestAnimationFrame(tick); };
  requestAnimationFrame(tick); }"""
STOP = "() => { cancelAnimationFrame(window.ticking_); return window.frames_; }"


def clustered(count: int, d: int, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    middles = rng.standard_normal((CLUSTERS, d))
    which = rng.integers(0, CLUSTERS, count)
    return middles[which] + 0.35 * rng.standard_normal((count, d)), which


def map_of(count: int) -> Page:
    """Made-up points: drawing does not ask what they are of."""
    x, which = clustered(count, 2)
    x = (x - x.min(axis=0)) / np.ptp(x, axis=0)
    names = [f"{n}.jpg" for n in range(count)]
    return points_page(x, np.arange(count), names, group([f"folder {n}" for n in which]), title="a map")


def search_of(count: int, scratch: Path) -> Page:
    """A search in an IVFPQ index of made-up vectors, half of whose cells are visited."""
    x, _ = clustered(count, 64)
    with Collection.create(scratch / "made-up.lookalike") as collection:
        collection.add_vectors(x, paths=[f"/nowhere/{n}.jpg" for n in range(count)], model="made-up")
        told = collection.explain(np.asarray(x[0], np.float32), 10, nprobe=64)
    return explanation_page(told, name="a vector")


def frames(tab: Tab, act: Callable[[Tab], None]) -> tuple[float, float]:
    """Frames a second, and the longest pause in milliseconds, while something goes on."""
    tab.evaluate(COUNT)
    act(tab)
    times = np.array(tab.evaluate(STOP))
    pauses = np.diff(times)
    return float(len(pauses) / (times[-1] - times[0]) * 1e3), float(pauses.max())


def zoom_and_pan(seconds: float) -> Callable[[Tab], None]:
    def act(tab: Tab) -> None:
        # As fast as frames come, each frame one turn of the wheel or one move: what a hand does at most.
        tab.evaluate(
            """(seconds) => new Promise((done) => {
              const canvas = document.querySelector("#map canvas"), box = canvas.getBoundingClientRect();
              const end = performance.now() + seconds * 1000;
              let turn = 0;
              const step = () => {
                if (performance.now() > end) return done();
                const at = { clientX: box.left + box.width * 0.45, clientY: box.top + box.height * 0.5, cancelable: true };
                const deltaY = turn % 120 < 60 ? -60 : 60;
                if (turn % 60 < 30) canvas.dispatchEvent(new WheelEvent("wheel", { ...at, deltaY }));
                else canvas.map.pan(turn % 60 < 45 ? 12 : -12, 5);
                turn++;
                requestAnimationFrame(step);
              };
              requestAnimationFrame(step);
            })""",
            seconds,
        )

    return act


def scrub(view: str, seconds: float) -> Callable[[Tab], None]:
    def act(tab: Tab) -> None:
        tab.evaluate(
            """([view, seconds]) => new Promise((done) => {
              const range = document.querySelector(`#${view} input[type=range]`);
              const end = performance.now() + seconds * 1000;
              let at = 0;
              const step = () => {
                if (performance.now() > end) return done();
                range.value = at++ % (Number(range.max) + 1);
                range.dispatchEvent(new Event("input", { bubbles: true }));
                requestAnimationFrame(step);
              };
              requestAnimationFrame(step);
            })""",
            [view, seconds],
        )

    return act


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=50_000)
    parser.add_argument("--seconds", type=float, default=3.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        scratch = Path(folder)
        map_of(asked.points).save(scratch / "map.html")
        search_of(asked.points, scratch).save(scratch / "why.html")
        for page, acts in (
            ("map", [("map, zoomed and panned", zoom_and_pan(asked.seconds))]),
            ("why", [(f"{view}, scrubbed", scrub(view, asked.seconds)) for view in ("cells", "rings", "projection")]),
            ("why", [("whatif, its sliders", scrub("whatif", asked.seconds))]),
        ):
            tab = chromium.new_page(viewport={"width": 1200, "height": 900})
            tab.goto((scratch / f"{page}.html").as_uri())
            tab.wait_for_selector("html[data-ready=true]")
            for name, act in acts:
                tab.evaluate(
                    "(id) => document.getElementById(id).scrollIntoView({ behavior: 'instant' })", name.split(",")[0]
                )
                found = [frames(tab, act) for _ in range(3)]
                rates, pauses = zip(*found, strict=True)
                print(f"{name:26} {np.median(rates):5.1f} frames a second, longest pause {min(pauses):4.0f} ms")
            tab.close()


if __name__ == "__main__":
    main()
