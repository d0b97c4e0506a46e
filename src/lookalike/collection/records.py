"""What a collection gives back: plain frozen records, and how it tells how far a piece of work is."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lookalike.data.walk import Skipped

__all__ = ["AddReport", "Entry", "Hit", "Pace", "Phase", "Progress", "Skipped", "TextAnswer", "printable"]

_FEW_LABELS = 5  # named in an explanation
_WINDOW = 30.0  # seconds that a rate is of
_INTERVAL = 0.1  # seconds between two calls

Phase: TypeAlias = Literal[
    "scanning",
    "embedding",
    "indexing",
    "comparing",
    "ranking",
    "spoiling",
    "adapting",
    "storing",
    "extracting",
    "looking",
    "learning",
]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an `add`, `evaluate` or fine-tuning is.

    Attributes
    ----------
    done : int
        Files (or, while indexing or ranking, vectors) dealt with in this phase.
    total : int
        Of how many; 0 while that is not known.
    phase : {"scanning", "embedding", "indexing", "comparing", "ranking", "spoiling", "adapting", "looking", "learning"}
    rate : float
        Per second, over the last half minute; 0 while that is not known.
    seconds_left : float or None
        None while that is not known.
    skipped : int
        Files passed over so far.
    """

    done: int
    total: int
    phase: Phase
    rate: float = 0.0
    seconds_left: float | None = None
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class AddReport:
    """What an `add` found and did.

    Every file met is counted once: ``new + changed + unchanged + moved + len(skipped)`` is their number.

    Attributes
    ----------
    new : int
        Files indexed for the first time.
    changed : int
        Files whose contents are not what they were.
    unchanged : int
        Files that were indexed already, including those that were touched, or that were missing and came back.
    moved : int
        Files recognised under a new path; they keep their ids.
    missing : int
        Pictures whose files cannot be found now, kept and hidden until they return.
    removed : int
        Pictures dropped, because their files were deleted or can no longer be decoded.
    skipped : tuple of Skipped
        Files passed over, each with its reason; also those that an earlier `add` found unreadable.
    seconds : float
    interrupted : bool
        Stopped by Ctrl-C; everything that was done is kept, and the next `add` goes on.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    moved: int = 0
    missing: int = 0
    removed: int = 0
    skipped: tuple[Skipped, ...] = ()
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def indexed(self) -> int:
        """Files met that can be searched now."""
        return self.new + self.changed + self.unchanged + self.moved


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a collection.

    Attributes
    ----------
    id : int
        Never used again after the entry is removed.
    path : Path
        Absolute.
    root : Path
        The folder that was indexed; for a file that was given by itself, the folder it lies in.
    relative : str
        `path` from `root`, with forward slashes.
    label : str
        The folder from `root`, with forward slashes; empty directly in it.
    size, mtime_ns : int or None
        Of the file when it was read; None for vectors without a file.
    width, height : int or None
        In pixels.
    format : str or None
        For example ``"JPEG"``.
    missing : bool
        The file could not be found at the last `add`; hidden from results.
    device, inode : int or None
        Of the file, when it was last examined: entries that have both in common, and the same contents, are links of one file.
        None for vectors without a file, where the file system does not say, and until the next `add` of an older collection.
    """

    id: int
    path: Path
    root: Path
    relative: str
    label: str
    size: int | None = None
    mtime_ns: int | None = None
    width: int | None = None
    height: int | None = None
    format: str | None = None
    missing: bool = False
    device: int | None = None
    inode: int | None = None

    @property
    def is_link(self) -> bool:
        """Whether the path leads through a symbolic link: its own, or a folder's below `root`. Looked up on disk."""
        depth = len(self.root.parts)
        parts = [self.path, *self.path.parents][: max(1, len(self.path.parts) - depth)]
        return any(os.path.islink(part) for part in parts)  # noqa: PTH114 (Path raises where a disk is gone)


@dataclass(frozen=True, slots=True)
class Hit:
    """One result of a search.

    Attributes
    ----------
    id : int
    path : Path
        Absolute.
    relative : str
        `path` from `root`, with forward slashes.
    root : Path
    similarity : float
        0 to 100, the model's monotone map of the cosine.
    cosine : float
    distance : float
        1 − cosine.
    word : str
        The similarity in words: same picture, very alike, related, weak.
    label : str
    missing : bool
        The picture had a file, and it cannot be found now.
    same : tuple of Hit
        Copies that were folded under this result; see `lookalike.Query`.
    """

    id: int
    path: Path
    relative: str
    root: Path
    similarity: float
    cosine: float
    distance: float
    word: str
    label: str
    missing: bool = False
    same: tuple[Hit, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The hit as ``lookalike search --json`` prints it; ``missing`` and ``same`` are there where there is something to say."""
        known = {
            "path": str(self.path),
            "similarity": self.similarity,
            "cosine": self.cosine,
            "distance": self.distance,
            "id": self.id,
        }
        missing: dict[str, Any] = {"missing": True} if self.missing else {}
        same = {"same": [copy.to_json() for copy in self.same]} if self.same else {}
        return known | missing | same


@dataclass(frozen=True, slots=True)
class TextAnswer:
    """What a search with words found, and how they were read.

    Attributes
    ----------
    hits : list of Hit
        Best first. Of a label search, `similarity` is the probability in percent, `cosine` the probability, `distance` 1 − it,
        and `word` says how sure that is.
    labels : tuple of str
        The labels that were searched for; empty where the model read the words themselves.
    matched, left_out : tuple of str
        The words that labels were found for, and those that were not used.
    timing_ms : dict
        ``"embed"`` and ``"search"``.
    """

    hits: list[Hit]
    labels: tuple[str, ...]
    matched: tuple[str, ...]
    left_out: tuple[str, ...]
    timing_ms: dict[str, float]

    def explain(self) -> str:
        """How the words were read, in one line; empty where the model read the words themselves."""
        if not self.labels:
            return ""
        few = ", ".join(self.labels[:_FEW_LABELS])
        more = f" and {len(self.labels) - _FEW_LABELS:,} more" if len(self.labels) > _FEW_LABELS else ""
        said = " and ".join(repr(words) for words in self.matched)
        unused = f"; not used, as no label has that name: {', '.join(self.left_out)}" if self.left_out else ""
        return (
            f"a label search, as this model knows 1,000 labels and no other words: {said} matches {few}{more}{unused}"
        )


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text that every terminal, file and web page can hold.

    A name that is not UTF-8 keeps its odd bytes as ``\\xNN``; such a text no longer opens the file.

    Examples
    --------
    >>> printable(os.fsdecode(b"caf\\xe9.jpg"))
    'caf\\\\xe9.jpg'
    """
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class Pace:
    """Calls back with a `Progress`, at most ten times per second and once at the end of each phase."""

    def __init__(self, callback: Callable[[Progress], None] | None) -> None:
        self._callback = callback
        self._phase: Phase | None = None
        self._last = 0.0
        self._marks: deque[tuple[float, int]] = deque()
        self.skipped = 0

    def tell(self, phase: Phase, done: int, total: int, *, last: bool = False) -> None:
        """So many of so many (0: not known) are done."""
        if self._callback is None:
            return
        now = time.monotonic()
        if phase != self._phase:
            self._phase = phase
            self._marks.clear()
            self._marks.append((now, 0))
        elif not last and now - self._last < _INTERVAL:
            return
        self._last = now
        rate = self._rate(now, done)
        left = (total - done) / rate if rate and total else None
        self._callback(Progress(done, total, phase, rate, left, self.skipped))

    def _rate(self, now: float, done: int) -> float:
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= _WINDOW:
            self._marks.popleft()
        then, before = self._marks[0]
        return (done - before) / (now - then) if now > then and done > before else 0.0
