"""The pictures that the README's screenshot shows are credited below it."""

from __future__ import annotations

from pathlib import Path

from lookalike import Collection
from lookalike.data.datasets import starter_attribution

README = Path(__file__).parents[2] / "README.md"
SHOWN = "photos/windmill/windmill-12.jpg"  # what the screenshot's search asks with


def test_every_picture_of_the_screenshot_is_credited(starter_collection: Collection, starter: Path) -> None:
    text = README.read_text("utf-8").replace("\n", " ").replace("%28", "(").replace("%29", ")")
    for hit in starter_collection.search(starter / SHOWN, k=12):
        credit = starter_attribution()[hit.relative]
        assert credit.author in text
        assert f"({credit.source})" in text
        assert f"({credit.licence_url})" in text
