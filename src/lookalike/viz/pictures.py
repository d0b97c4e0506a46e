"""Thumbnails for a page: the most important first, until they are large enough or have taken long enough."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lookalike.errors import ImageError

__all__ = ["picture_table", "thumbnail_uri"]

SIDE = 96
MOST_BYTES = 4_000_000  # of data URIs
MOST_SECONDS = 2.5
MOST_WORK = 1.2  # seconds of processor time, of the threads that make them
BATCH = 16


def thumbnail_uri(source: Any, side: int = SIDE) -> str | None:
    """A picture as a ``data:`` URI of a JPEG at most `side` pixels wide and high; None where there is none to be had."""
    from lookalike.features.images import thumbnail

    try:
        return "data:image/jpeg;base64," + base64.b64encode(thumbnail(source, side)).decode("ascii")
    except (ImageError, OSError):
        return None


def picture_table(
    paths: Mapping[int, tuple[str, Path]], wanted: Iterable[int], seconds: float = MOST_SECONDS
) -> tuple[dict[str, dict[str, str]], int]:
    """What a page knows of pictures: names of all, thumbnails of `wanted` in that order while there is room and time.

    Returns
    -------
    pictures : dict of id to {"name", "src"}
    left_out : int
        Thumbnails that were wanted and not made, for want of room or time.
    """
    table = {str(number): {"name": name} for number, (name, _) in paths.items()}
    order = [number for number in dict.fromkeys(int(number) for number in wanted) if number in paths]
    end, work, used, done = time.monotonic() + seconds, 0.0, 0, 0
    with ThreadPoolExecutor(4) as workers:
        for first in range(0, len(order), BATCH):
            is_late = time.monotonic() > end or work > MOST_WORK
            if first >= 4 * BATCH and (is_late or used > MOST_BYTES):  # those of the results are always there
                break
            part = order[first : first + BATCH]
            for number, (uri, took) in zip(part, workers.map(_timed, (paths[n][1] for n in part)), strict=True):
                done, work = done + 1, work + took
                if uri is not None:
                    used += len(uri)
                    table[str(number)]["src"] = uri
    return table, len(order) - done


def _timed(path: Path) -> tuple[str | None, float]:
    """A thumbnail, and the processor time that it took of this thread: what else the process does is not its work."""
    begun = time.thread_time()
    return thumbnail_uri(path), time.thread_time() - begun
