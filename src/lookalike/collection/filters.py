"""Which pictures may be results: by folder label, date, size and shape, asked of the catalogue."""

from __future__ import annotations

import datetime
import re
import sqlite3
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from lookalike._typing import IdArray
from lookalike.collection.entries import encode_label
from lookalike.errors import InputError

__all__ = ["SHAPES", "Filter", "Shape", "matching_ids"]

Shape: TypeAlias = Literal["landscape", "portrait", "square"]
SHAPES: Final[tuple[Shape, ...]] = ("landscape", "portrait", "square")

# Up to so much longer than wide is still a square to the eye.
SQUARE: Final = 1.05

LATEST: Final = 2**63 - 1  # nanoseconds: in the year 2262

_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_SHAPE_SQL: Final = {
    "landscape": f"f.width > f.height * {SQUARE}",
    "portrait": f"f.height > f.width * {SQUARE}",
    "square": f"(f.width <= f.height * {SQUARE} AND f.height <= f.width * {SQUARE})",
}


@dataclass(frozen=True, slots=True)
class Filter:
    """Which pictures may be results; what is not given lets everything pass.

    Attributes
    ----------
    labels : tuple of str
        Folders; what lies below them counts too. Several: any of them.
    after, before : str or None
        ``"YYYY-MM-DD"`` in local time, both inclusive: the date of the file's last change.
    min_side, max_side : int or None
        Pixels of the longer side.
    shape : {"landscape", "portrait", "square"} or None
        A square is up to 5 % longer than wide. Vectors without a picture have no shape, date or size.

    Raises
    ------
    InputError
        If a date is none, or a number or a shape is not possible.

    Examples
    --------
    >>> bool(Filter()), bool(Filter(labels=("beach",)))
    (False, True)
    """

    labels: tuple[str, ...] = ()
    after: str | None = None
    before: str | None = None
    min_side: int | None = None
    max_side: int | None = None
    shape: str | None = None

    def __post_init__(self) -> None:
        for name in ("after", "before"):
            _day(getattr(self, name), name)
        for name in ("min_side", "max_side"):
            side = getattr(self, name)
            if side is not None and not 0 <= side < 2**31:
                raise InputError(f"{name}: expected pixels, 0 or more, got {side}")
        if self.shape is not None and self.shape not in SHAPES:
            raise InputError(f"shape: expected {', '.join(SHAPES[:-1])} or {SHAPES[-1]}, got {self.shape!r}")

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) not in ((), None) for field in fields(self))


def matching_ids(connection: sqlite3.Connection, wanted: Filter) -> IdArray:
    """Ids of the entries that can be found and pass, int64, ascending."""
    where, values = _where(wanted)
    rows = connection.execute(
        f"SELECT e.id FROM entries e JOIN features f ON f.id = e.feature WHERE e.missing = 0{where} ORDER BY e.id",
        values,
    )
    return np.fromiter((row[0] for row in rows), np.int64)


def _where(wanted: Filter) -> tuple[str, list[Any]]:
    terms: list[str] = []
    values: list[Any] = []

    def add(term: str, *given: Any) -> None:
        terms.append(term)
        values.extend(given)

    if wanted.labels:
        folders = [encode_label(label.strip("/")) for label in wanted.labels]
        # From "a/" up to, and without, "a0": the byte after the slash.
        add(
            "(" + " OR ".join(["e.label = ? OR (e.label >= ? AND e.label < ?)"] * len(folders)) + ")",
            *(part for folder in folders for part in (folder, folder + b"/", folder + b"0")),
        )
    if wanted.after is not None:
        add("e.mtime_ns >= ?", _day(wanted.after, "after"))
    if wanted.before is not None:
        add("e.mtime_ns < ?", _day(wanted.before, "before", 1))
    if wanted.min_side is not None:
        add("max(f.width, f.height) >= ?", wanted.min_side)
    if wanted.max_side is not None:
        add("max(f.width, f.height) <= ?", wanted.max_side)
    if wanted.shape is not None:
        add(_SHAPE_SQL[wanted.shape])
    return "".join(f" AND {term}" for term in terms), values


def _day(date: str | None, name: str, later: int = 0) -> int | None:
    """Nanoseconds since 1970 of the midnight, local time, at which a day begins (`later` days on)."""
    if date is None:
        return None
    try:
        if not _DATE.fullmatch(date):
            raise ValueError(date)
        day = datetime.date.fromisoformat(date) + datetime.timedelta(days=later)
        midnight = int(datetime.datetime(day.year, day.month, day.day).timestamp()) * 1_000_000_000
        return max(-LATEST, min(midnight, LATEST))
    except (ValueError, OverflowError, OSError):
        raise InputError(f"{name}: expected a date as in 2024-12-31, got {date[:40]!r}") from None
