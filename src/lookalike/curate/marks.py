"""What somebody decided about groups of copies: pictures to keep, and groups to leave alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from lookalike.collection.catalog.file import get_meta, set_meta, transaction
from lookalike.errors import CollectionError

__all__ = ["Decision", "Marks", "marked", "read_marks", "set_marks"]

Decision: TypeAlias = Literal["keep", "ignore", "reset"]

_META: Final = "duplicates"


@dataclass(frozen=True, slots=True)
class Marks:
    """What somebody decided: ids to keep, and sets of ids that are no duplicates of each other."""

    kept: frozenset[int] = frozenset()
    ignored: tuple[frozenset[int], ...] = ()

    def ignores(self, ids: Iterable[int]) -> bool:
        """Whether a group holds nothing that was not ignored together; a new copy brings it back."""
        group = set(ids)
        return any(group <= known for known in self.ignored)


def read_marks(connection: sqlite3.Connection) -> Marks:
    """What was decided so far."""
    text = get_meta(connection, _META)
    if text is None:
        return Marks()
    try:
        raw = json.loads(text)
        return Marks(frozenset(map(int, raw["kept"])), tuple(frozenset(map(int, ids)) for ids in raw["ignored"]))
    except (ValueError, TypeError, KeyError):
        raise CollectionError("the catalogue is damaged: its notes on duplicates cannot be read") from None


def set_marks(connection: sqlite3.Connection, marks: Marks) -> None:
    """Remember what was decided; the caller holds the writer's lock."""
    raw = {"kept": sorted(marks.kept), "ignored": sorted(sorted(ids) for ids in marks.ignored)}
    with transaction(connection):
        set_meta(connection, _META, json.dumps(raw))


def marked(marks: Marks, ids: Iterable[int], decision: Decision) -> Marks:
    """The marks after one more decision on some pictures.

    ``"keep"`` marks each as one to keep; ``"ignore"`` says that they are to be left alone together; ``"reset"`` forgets
    what was decided on any of them.
    """
    chosen = frozenset(ids)
    if decision == "keep":
        return Marks(marks.kept | chosen, marks.ignored)
    if decision == "ignore":
        return Marks(marks.kept, (*(known for known in marks.ignored if not known <= chosen), chosen))
    return Marks(marks.kept - chosen, tuple(known for known in marks.ignored if not known & chosen))
