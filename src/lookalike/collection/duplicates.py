"""Groups of the same picture: copies byte for byte, and other sizes, formats and slight edits of it."""

from __future__ import annotations

import json
import math
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from lookalike._typing import FloatArray, IdArray
from lookalike.collection import entries as listing
from lookalike.collection.catalog import get_meta, set_meta, transaction
from lookalike.collection.pace import Pace
from lookalike.collection.records import Entry, Progress
from lookalike.errors import CollectionError, InputError

if TYPE_CHECKING:
    from lookalike.collection.snapshot import Snapshot
    from lookalike.features.models import ModelCard

__all__ = [
    "SAME",
    "Copy",
    "Decision",
    "Group",
    "Marks",
    "find_groups",
    "least_cosine",
    "marked",
    "read_marks",
    "set_marks",
]

Decision: TypeAlias = Literal["keep", "ignore", "reset"]

SAME: Final = 90.0
"""The similarity from which on the word is "same picture"."""

BLOCK: Final = 2048  # pictures that are compared at once
LEADERS: Final = 8192  # with so many at once: 64 MiB of scores
REMEMBERED: Final = 4  # similarities of a snapshot
_META: Final = "duplicates"


@dataclass(frozen=True, slots=True)
class Copy:
    """A picture of a group.

    Attributes
    ----------
    entry : Entry
    similarity : float
        To the group's first picture, 0 to 100.
    kept : bool
        Marked as the one to keep.
    """

    entry: Entry
    similarity: float
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that are the same, at least as far as the first and each of the others go.

    Attributes
    ----------
    copies : tuple of Copy
        Two or more: first the one with the most pixels, then by similarity to it.
    ignored : bool
        Somebody said that these are to be left alone.
    """

    copies: tuple[Copy, ...]
    ignored: bool = False

    @property
    def spare_bytes(self) -> int:
        """What all but the largest file take."""
        sizes = [copy.entry.size or 0 for copy in self.copies]
        return sum(sizes) - max(sizes)


@dataclass(frozen=True, slots=True)
class Marks:
    """What somebody decided: ids to keep, and sets of ids that are no duplicates of each other."""

    kept: frozenset[int] = frozenset()
    ignored: tuple[frozenset[int], ...] = ()

    def ignores(self, ids: Iterable[int]) -> bool:
        """Whether a group holds nothing that was not ignored together; a new copy brings it back."""
        group = set(ids)
        return any(group <= known for known in self.ignored)


def find_groups(
    connection: sqlite3.Connection,
    snapshot: Snapshot,
    similarity: float = SAME,
    progress: Callable[[Progress], None] | None = None,
) -> list[Group]:
    """Groups of pictures that are at least `similarity` like the first of their group.

    Parameters
    ----------
    connection, snapshot
        Of the same instant.
    similarity : float
        0 to 100.
    progress : callable, optional
        Called with a `Progress` a few times per second.

    Returns
    -------
    groups : list of Group
        The largest first.

    Notes
    -----
    Each picture joins the earliest picture that it is like enough and that joined no other. So every member was compared
    with its group's first one: no chain leads from a sunset to a harbour by small steps. O(n² · d) time in matrix
    products, 2 seconds for 8,000 pictures on two cores.
    """
    if not 0 < similarity <= 100:
        raise InputError(f"similarity: expected more than 0 and at most 100, got {similarity}")
    marks = read_marks(connection)
    found = _remembered(snapshot, similarity)
    if found is None:
        found = _found(connection, snapshot, similarity, Pace(progress))
        _remember(snapshot, similarity, found)
    return [_marked(group, marks) for group in found]


_SEEN: WeakKeyDictionary[Snapshot, dict[float, list[Group]]] = WeakKeyDictionary()
_guard = threading.Lock()


def _remembered(snapshot: Snapshot, similarity: float) -> list[Group] | None:
    """What comparing all gave before: a page of groups follows another, and decisions change no group."""
    with _guard:
        return _SEEN.get(snapshot, {}).get(similarity)


def _remember(snapshot: Snapshot, similarity: float, groups: list[Group]) -> None:
    with _guard:
        seen = _SEEN.setdefault(snapshot, {})
        seen[similarity] = groups
        for old in list(seen)[:-REMEMBERED]:
            del seen[old]


def _marked(group: Group, marks: Marks) -> Group:
    copies = tuple(replace(copy, kept=copy.entry.id in marks.kept) for copy in group.copies)
    return Group(copies, marks.ignores(copy.entry.id for copy in copies))


def _found(connection: sqlite3.Connection, snapshot: Snapshot, similarity: float, pace: Pace) -> list[Group]:
    # Equal pictures have a cosine of 1 less the rounding of float16.
    store, least = snapshot.store, min(least_cosine(snapshot.card, similarity), 1 - 1e-5)
    leader = _leaders(lambda rows: store[snapshot.features[rows]], len(snapshot.features), least, pace)
    feature_of = np.repeat(np.arange(len(leader)), snapshot.counts)  # the row of each entry's feature
    leader_of = leader[feature_of]
    order = np.argsort(leader_of, kind="stable")
    _, starts, counts = np.unique(leader_of[order], return_index=True, return_counts=True)
    groups = []
    for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
        if count > 1:
            members = order[start : start + count]
            vectors = store[snapshot.features[feature_of[members]]]
            found = [listing.one(connection, int(id)) for id in snapshot.entries[members]]
            groups.append(_group(found, vectors, snapshot.card))
    return sorted(groups, key=lambda group: (-len(group.copies), group.copies[0].entry.id))


def _leaders(rows_of: Callable[[IdArray], FloatArray], n: int, least: float, pace: Pace) -> IdArray:
    """For each row the row that leads its group: itself, or the first leader before it with at least that cosine."""
    leader = np.arange(n)
    for first in range(0, n, BLOCK):
        rows = np.arange(first, min(n, first + BLOCK))
        block = rows_of(rows)
        leaders = np.flatnonzero(leader[:first] == np.arange(first))
        for start in range(0, len(leaders), LEADERS):
            free = np.flatnonzero(leader[rows] == rows)
            near = block[free] @ rows_of(leaders[start : start + LEADERS]).T >= least
            found = near.any(axis=1)
            leader[rows[free[found]]] = leaders[start + near[found].argmax(axis=1)]
        leads = leader[rows] == rows
        near = block @ block.T >= least
        for i in np.flatnonzero(leads):
            before = np.flatnonzero(near[i, :i] & leads[:i])
            if len(before):
                leads[i], leader[first + i] = False, first + before[0]
        pace.tell("comparing", first + len(rows), n, last=rows[-1] == n - 1)
    return leader


def least_cosine(card: ModelCard, similarity: float) -> float:
    """The smallest cosine, as a float32, that the model's calibration maps to `similarity`; infinity if it maps none."""
    low, high = np.float32(-1), np.float32(1)
    if card.similarity(float(high)) < similarity - 1e-9:
        return math.inf
    while low < (middle := (low + high) / 2) < high:
        if card.similarity(float(middle)) >= similarity - 1e-9:
            high = middle
        else:
            low = middle
    return float(high)


def _group(found: list[Entry], vectors: FloatArray, card: ModelCard) -> Group:
    """The copies of one group, the one with the most pixels first."""
    best = min(
        range(len(found)),
        key=lambda i: (-(found[i].width or 0) * (found[i].height or 0), -(found[i].size or 0), found[i].id),
    )
    similarities = np.asarray(card.similarity(vectors @ vectors[best])).tolist()
    copies = [
        Copy(entry, 100.0 if at == best else value)
        for at, (entry, value) in enumerate(zip(found, similarities, strict=True))
    ]
    first = copies.pop(best)
    copies.sort(key=lambda copy: (-copy.similarity, copy.entry.id))
    return Group((first, *copies))


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
