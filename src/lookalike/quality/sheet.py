"""A contact sheet: one row of small pictures for each query, framed by whether they are right."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps

from lookalike._files import atomic_write
from lookalike.collection.records import printable
from lookalike.errors import ImageError
from lookalike.features.images import open_picture
from lookalike.quality.evaluate import Worst

__all__ = ["write_contact_sheet"]

SIDE, GAP, FRAME, TEXT = 128, 10, 4, 18
_PAPER, _INK, _FAINT = "#ffffff", "#1a1a1a", "#8a8a8a"
_QUERY, _RIGHT, _WRONG = "#4a6fa5", "#2e7d32", "#c62828"
_NARROW = 19  # characters below a picture


def write_contact_sheet(worst: Sequence[Worst], target: Path) -> None:
    """Draw queries, each followed by what came first, and write a PNG.

    The query is framed in blue, a result that shares a label with it in green with a tick, others in red with a cross; below each
    stands its folder. A picture that cannot be read now is left grey.
    """
    width = 1 + max((len(query.nearest) for query in worst), default=0)
    cell, height = SIDE + GAP, SIDE + TEXT + GAP
    sheet = Image.new("RGB", (GAP + width * cell, GAP + len(worst) * height), _PAPER)
    for row, query in enumerate(worst):
        top = GAP + row * height
        _draw(sheet, (GAP, top), query.path, _QUERY, f"AP {query.ap:.2f}")
        for column, (path, is_right) in enumerate(query.nearest, 1):
            _draw(sheet, (GAP + column * cell, top), path, _RIGHT if is_right else _WRONG)
            _mark(ImageDraw.Draw(sheet), (GAP + column * cell, top + SIDE + 6), is_right)
    data = io.BytesIO()
    sheet.save(data, "PNG")
    with atomic_write(target) as file:
        file.write(data.getvalue())


def _draw(sheet: Image.Image, at: tuple[int, int], path: Path, colour: str, text: str = "   ") -> None:
    left, top = at
    draw = ImageDraw.Draw(sheet)
    draw.rectangle((left, top, left + SIDE - 1, top + SIDE - 1), outline=colour, width=FRAME)
    inner = SIDE - 2 * FRAME
    try:
        small = ImageOps.contain(open_picture(path, max_side=2 * inner), (inner, inner))
        sheet.paste(small, (left + (SIDE - small.width) // 2, top + (SIDE - small.height) // 2))
    except (ImageError, OSError):
        draw.rectangle((left + FRAME, top + FRAME, left + SIDE - FRAME - 1, top + SIDE - FRAME - 1), fill=_FAINT)
    text = f"{text}  {printable(path.parent.name)}"
    text = text if len(text) <= _NARROW else text[: _NARROW - 1] + "…"
    draw.text((left, top + SIDE + 2), text, fill=_INK, font_size=12)


def _mark(draw: ImageDraw.ImageDraw, at: tuple[int, int], is_right: bool) -> None:
    """A tick or a cross, so that nobody needs to tell red from green."""
    x, y = at
    if is_right:
        draw.line([(x, y + 4), (x + 3, y + 8), (x + 9, y)], fill=_RIGHT, width=2)
    else:
        draw.line([(x, y), (x + 8, y + 8)], fill=_WRONG, width=2)
        draw.line([(x, y + 8), (x + 8, y)], fill=_WRONG, width=2)
