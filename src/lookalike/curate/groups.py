"""Groups of the same picture: copies byte for byte, and other sizes, formats and slight edits of it."""

from __future__ import annotations

import itertools
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

import numpy as np

from lookalike._typing import FloatArray, IdArray
from lookalike.collection.catalog import entries as listing
from lookalike.collection.records import Entry, Pace, Progress
from lookalike.curate.alike import connected
from lookalike.curate.links import names
from lookalike.curate.marks import Marks, read_marks
from lookalike.curate.spread import spread
from lookalike.errors import InputError
from lookalike.features.models import SAME, least_cosine

if TYPE_CHECKING:
    from lookalike.collection.snapshot import Snapshot

__all__ = ["Copy", "Group", "find_groups"]

REMEMBERED: Final = 4  # similarities of a snapshot


@dataclass(frozen=True, slots=True)
class Copy:
    """A picture of a group.

    Attributes
    ----------
    entry : Entry
    similarity : float
        To the first picture of its part, 0 to 100.
    kept : bool
        Marked as the one to keep.
    part : int
        Which part of the group it is in, from 0.
    is_link : bool
        Its path is a symbolic link.
    link_of : int or None
        The id of the entry that stands for its file, if it is another name of a file that is here already: a symbolic link,
        a hard link, or the same folder reached in another way.
    """

    entry: Entry
    similarity: float
    kept: bool = False
    part: int = 0
    is_link: bool = False
    link_of: int | None = None

    @property
    def takes_space(self) -> bool:
        """Whether it is a file of its own, so that without it there would be more room on the disk."""
        return not self.is_link and self.link_of is None


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures that are connected: each is like another one of them, and like none outside.

    A group is cut into parts. All pictures of a part are like its first one, which is a file and no link, if there is one, and
    has at least as many pixels as every other file of the part. So keeping the first of each part loses no picture and no
    pixels. Nearly every group is one part. In a chain (a is like b and b is like c, but a is not like c) there can be more.

    Attributes
    ----------
    copies : tuple of Copy
        Two or more, of two files or more: part after part, in each the first one and then the others, the most alike first.
    ignored : bool
        Somebody said that these are to be left alone.
    least : float
        The similarity of the two that are least alike.
    is_chain : bool
        Whether these two are less alike than was asked for.
    """

    copies: tuple[Copy, ...]
    ignored: bool = False
    least: float = 100.0
    is_chain: bool = False

    @property
    def links(self) -> int:
        """How many of them are links, or second names of a file."""
        return sum(not copy.takes_space for copy in self.copies)

    @property
    def spare_bytes(self) -> int:
        """What all but the largest file of each part take; links take nothing."""
        sizes: dict[int, list[int]] = {}
        for copy in self.copies:
            if copy.takes_space:
                sizes.setdefault(copy.part, []).append(copy.entry.size or 0)
        return sum(sum(of_part) - max(of_part) for of_part in sizes.values())


def find_groups(
    connection: sqlite3.Connection,
    snapshot: Snapshot,
    similarity: float = SAME,
    progress: Callable[[Progress], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> list[Group]:
    """All pictures that are at least `similarity` like another one, in connected groups.

    Parameters
    ----------
    connection, snapshot
        Of the same instant.
    similarity : float
        0 to 100.
    progress : callable, optional
        Called with a `Progress` a few times per second; what it raises ends the work.
    cancelled : callable, optional
        Asked a few times per second; once it says True, the work ends with KeyboardInterrupt, as Ctrl-C would end it.

    Returns
    -------
    groups : list of Group
        The largest first.

    Notes
    -----
    Every two pictures that are at least `similarity` alike are in one group: no pair is missed, whatever index there is; see
    `lookalike.curate.alike` for how most are ruled out. Names of one file alone are no group.
    """
    if not 0 < similarity <= 100:
        raise InputError(f"similarity: expected more than 0 and at most 100, got {similarity}")
    marks = read_marks(connection)
    found = _remembered(snapshot, similarity)
    if found is None:
        found = _Finding(connection, snapshot, similarity, Pace(progress), cancelled).groups()
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
    return replace(group, copies=copies, ignored=marks.ignores(copy.entry.id for copy in copies))


class _Finding:
    """One comparison of all with all."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        snapshot: Snapshot,
        similarity: float,
        pace: Pace,
        cancelled: Callable[[], bool] | None,
    ) -> None:
        self._connection = connection
        self._snapshot = snapshot
        self._pace = pace
        self._cancelled = cancelled
        # Equal pictures have a cosine of 1 less the rounding of float16.
        self._least = min(least_cosine(snapshot.card, similarity), 1 - 1e-5)

    def groups(self) -> list[Group]:
        """What was found."""
        snapshot, n = self._snapshot, len(self._snapshot.features)
        label = connected(self._rows, n, self._least, self._tell)
        feature_of = np.repeat(np.arange(n), snapshot.counts)  # the row of each entry's feature
        label_of = label[feature_of]
        order = np.argsort(label_of, kind="stable")
        _, starts, counts = np.unique(label_of[order], return_index=True, return_counts=True)
        groups = []
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
            if count > 1:
                members = order[start : start + count]
                found = listing.several(self._connection, snapshot.entries[members].tolist())
                if (group := self._group(found, feature_of[members])) is not None:
                    groups.append(group)
        self._pace.tell("comparing", n, n, last=True)
        return sorted(groups, key=lambda group: (-len(group.copies), group.copies[0].entry.id))

    def _rows(self, places: IdArray) -> FloatArray:
        return self._snapshot.store[self._snapshot.features[places]]

    def _tell(self, share: float) -> None:
        if self._cancelled is not None and self._cancelled():
            raise KeyboardInterrupt
        n = len(self._snapshot.features)
        self._pace.tell("comparing", int(share * n), n)

    def _group(self, found: list[Entry], features: IdArray) -> Group | None:
        """A group of these entries, whose features are in these rows; None if they are one file."""
        called = names(found)
        if sum(name.link_of is None for name in called) == 1:
            return None
        best = sorted(range(len(found)), key=lambda at: (not called[at].is_file, *_best_first(found[at])))
        rows = list(dict.fromkeys(features[best].tolist()))  # equal pictures share one
        place = {row: at for at, row in enumerate(rows)}
        array = np.array(rows)
        how = spread(lambda places: self._rows(array[places]), len(rows), self._least, lambda: self._tell(1.0))
        part_of = {int(leader): part for part, leader in enumerate(np.unique(how.leader))}
        similar = np.asarray(self._snapshot.card.similarity(how.cosine)).tolist()
        copies: list[list[Copy]] = [[] for _ in part_of]
        for at in best:
            row = place[int(features[at])]
            part = part_of[int(how.leader[row])]
            alike = similar[row] if copies[part] else 100.0
            name = called[at]
            copies[part].append(Copy(found[at], alike, False, part, name.is_link, name.link_of))
        for each in copies:
            each[1:] = sorted(each[1:], key=lambda copy: (-copy.similarity, not copy.takes_space, copy.entry.id))
        least = float(self._snapshot.card.similarity(how.least))
        return Group(tuple(itertools.chain(*copies)), False, least, how.least < self._least)


def _best_first(entry: Entry) -> tuple[int, int, int]:
    return -(entry.width or 0) * (entry.height or 0), -(entry.size or 0), entry.id
