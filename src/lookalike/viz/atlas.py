"""Thumbnails of many pictures in a few sheets, small enough to travel inside one HTML file."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import TypeVar

import numpy as np

from lookalike._threads import cores
from lookalike._typing import IdArray
from lookalike.errors import ImageError

__all__ = ["Atlas", "make_atlas", "side_for"]

SIDES = {96: 2600, 64: 1400, 48: 900, 32: 480, 24: 320}  # pixels, and bytes that one takes, measured on photos
SHEET = 2048  # pixels; browsers draw any larger sheet slowly, phones not at all
QUALITY = 68
T = TypeVar("T")
AHEAD = 64  # pictures decoded before they are needed


@dataclass(frozen=True)
class Atlas:
    """Square thumbnails side by side.

    Attributes
    ----------
    side, columns : int
        Pixels of a thumbnail; thumbnails in a row of a sheet.
    sheets : tuple of str
        ``data:`` URIs, each of ``columns²`` thumbnails.
    slots : ndarray of int64, shape (n,)
        Of each picture its place, counted over all sheets; −1 where it has none.
    unreadable : int
        Pictures that could not be read now.
    """

    side: int
    columns: int
    sheets: tuple[str, ...]
    slots: IdArray
    unreadable: int = 0


def side_for(count: int, budget: int) -> tuple[int, int]:
    """The side in which `count` thumbnails fit into `budget` bytes, and how many do."""
    for side, size in SIDES.items():
        if count * size <= budget:
            return side, count
    side, size = list(SIDES.items())[-1]
    return side, budget // size


def make_atlas(
    paths: Sequence[Path | None],
    budget: int = 6_500_000,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Atlas:
    """Thumbnails of pictures, in sheets of together about `budget` bytes at most.

    Parameters
    ----------
    paths : sequence of path or None
        None has no picture.
    budget : int
        Bytes; more and larger thumbnails than fit are not made, and which pictures have none is left to chance.
    progress : callable, optional
        Given the number of pictures that are done and of all.
    """
    wanted = np.array([number for number, path in enumerate(paths) if path is not None], np.int64)
    side, fits = side_for(len(wanted), budget)
    if fits < len(wanted):
        wanted = np.sort(np.random.default_rng(seed).choice(wanted, fits, replace=False))
    columns = max(1, min(SHEET // side, int(np.ceil(np.sqrt(max(1, len(wanted)))))))
    slots = np.full(len(paths), -1, np.int64)
    sheets: list[str] = []
    used = spent = missing = done = 0
    chosen = [paths[number] for number in wanted]
    with ThreadPoolExecutor(min(8, cores())) as pool:
        squares = _in_order(pool, chosen, side)
        for group in _runs(wanted.tolist(), columns * columns):
            cells: list[bytes] = []
            for number, square in zip(group, islice(squares, len(group)), strict=True):
                done += 1
                if square is None:
                    missing += 1
                else:
                    slots[number] = used + len(cells)
                    cells.append(square)
                if progress is not None:
                    progress(done, len(wanted))
            data = _sheet(cells, side, columns)
            if cells and spent + len(data) > budget * 1.25:  # pictures that are harder to compress than photos
                slots[group] = -1
                break
            if cells:
                sheets.append("data:image/webp;base64," + base64.b64encode(data).decode())
                used, spent = len(sheets) * columns * columns, spent + len(data)
    return Atlas(side, columns, tuple(sheets), slots, missing)


def _runs(items: Sequence[T], length: int) -> Iterator[Sequence[T]]:
    return (items[start : start + length] for start in range(0, len(items), length))


def _in_order(pool: ThreadPoolExecutor, paths: Sequence[Path | None], side: int) -> Iterator[bytes | None]:
    for some in _runs(paths, AHEAD):
        yield from pool.map(_square, some, repeat(side))


def _square(path: Path | None, side: int) -> bytes | None:
    """The middle of a picture as RGB bytes; None if there is none to be had."""
    from PIL import Image, ImageOps

    from lookalike.features.images import open_picture

    try:
        picture = open_picture(path, max_side=max(128, 2 * side))  # type: ignore[arg-type]
    except (ImageError, OSError):
        return None
    return ImageOps.fit(picture.convert("RGB"), (side, side), Image.Resampling.BICUBIC).tobytes()


def _sheet(cells: Sequence[bytes], side: int, columns: int) -> bytes:
    """One WebP of thumbnails in rows."""
    from PIL import Image

    rows = -(-len(cells) // columns)
    sheet = Image.new("RGB", (columns * side, max(1, rows) * side), "#888")
    for place, cell in enumerate(cells):
        at = (place % columns * side, place // columns * side)
        sheet.paste(Image.frombytes("RGB", (side, side), cell), at)
    out = io.BytesIO()
    sheet.save(out, "WEBP", quality=QUALITY, method=3)
    return out.getvalue()
