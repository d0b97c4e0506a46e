"""Which pictures may be results: by folder label, date, size and shape, asked of the catalogue."""

from __future__ import annotations

import datetime
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from lookalike._files import one_spelling
from lookalike._typing import IdArray
from lookalike.collection.catalog.entries import AT_ONCE, encode_label, stored_labels
from lookalike.errors import InputError

__all__ = ["SHAPES", "Filter", "Shape", "matching_ids"]

Shape: TypeAlias = Literal["landscape", "portrait", "square"]
SHAPES: Final[tuple[Shape, ...]] = ("landscape", "portrait", "square")

# Up to so much longer than wide is still a square to the eye.
SQUARE: Final = 1.05

FEW: Final = 50  # folders that are asked for as ranges; SQLite takes expressions of depth 1,000

LATEST: Final = 2**63 - 1  # nanoseconds: in the year 2262

_DATE: Final = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", re.ASCII)
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
        A day ``"YYYY-MM-DD"`` in local time, or a whole month or year, both inclusive: the date of the file's last change.
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
    found = []
    for inside, labels in _labels(connection, wanted.labels):
        rows = connection.execute(
            "SELECT e.id FROM entries e JOIN features f ON f.id = e.feature"
            f" WHERE e.missing = 0{inside}{where} ORDER BY e.id",
            (*labels, *values),
        )
        found.append(np.fromiter((row[0] for row in rows), np.int64))
    if len(found) == 1:
        return found[0]
    return np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)


def _labels(connection: sqlite3.Connection, wanted: tuple[str, ...]) -> Iterator[tuple[str, list[bytes]]]:
    """SQL for the folders wanted, with its values: in as many parts as SQLite needs, which share no entry."""
    if not wanted:
        yield "", []
        return
    folders = [label.strip("/") for label in wanted]
    encoded = [encode_label(folder) for folder in folders]
    if len(folders) <= FEW and all(map(str.isascii, folders)):
        # From "a/" up to, and without, "a0": the byte after the slash.
        each = "e.label = ? OR (e.label >= ? AND e.label < ?)"
        bounds = [part for folder in encoded for part in (folder, folder + b"/", folder + b"0")]
        yield f" AND ({' OR '.join([each] * len(encoded))})", bounds
        return
    names = frozenset(map(one_spelling, folders))
    inside = stored_labels(connection, lambda label: not names.isdisjoint(_folders_of(label)))
    for first in range(0, len(inside), AT_ONCE):
        part = inside[first : first + AT_ONCE]
        yield f" AND e.label IN ({', '.join('?' * len(part))})", part


def _folders_of(label: str) -> list[str]:
    """A folder, and those that it lies in.

    Examples
    --------
    >>> _folders_of("a/b/c")
    ['a/b/c', 'a/b', 'a']
    """
    parts = label.split("/")
    return ["/".join(parts[:depth]) for depth in range(len(parts), 0, -1)]


def _where(wanted: Filter) -> tuple[str, list[Any]]:
    terms: list[str] = []
    values: list[Any] = []

    def add(term: str, *given: Any) -> None:
        terms.append(term)
        values.extend(given)

    if wanted.after is not None:
        add("e.mtime_ns >= ?", _day(wanted.after, "after"))
    if wanted.before is not None:
        add("e.mtime_ns < ?", _day(wanted.before, "before", is_end=True))
    if wanted.min_side is not None:
        add("max(f.width, f.height) >= ?", wanted.min_side)
    if wanted.max_side is not None:
        add("max(f.width, f.height) <= ?", wanted.max_side)
    if wanted.shape is not None:
        add(_SHAPE_SQL[wanted.shape])
    return "".join(f" AND {term}" for term in terms), values


def _day(date: str | None, name: str, *, is_end: bool = False) -> int | None:
    """Nanoseconds since 1970 of the midnight, local time, at which a day, month or year begins, or has ended."""
    if date is None:
        return None
    try:
        found = _DATE.fullmatch(date)
        if found is None:
            raise ValueError(date)
        year, month, day = (int(part or 0) for part in found.groups())
        first = datetime.date(year, month or 1, day or 1)
        if is_end:
            days = 1 if day else 31 if month else 366
            first += datetime.timedelta(days=days)
            first = first if day else first.replace(day=1) if month else first.replace(month=1, day=1)
        midnight = int(datetime.datetime(first.year, first.month, first.day).timestamp()) * 1_000_000_000
        return max(-LATEST, min(midnight, LATEST))
    except (TypeError, ValueError, OverflowError, OSError):
        raise InputError(f"{name}: expected a date as in 2024-12-31, got {str(date)[:40]!r}") from None
