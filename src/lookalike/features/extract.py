"""Vectors of a folder of pictures, in a file: for people who want features and no collection.

The work goes into ``OUT.part`` (rows) and ``OUT.part.log`` (which picture each row is of), which only grow; what the log names is
whole. So after Ctrl-C, a kill or a power cut, the same call continues. The result replaces nothing until it is complete.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from lookalike._download import check_room
from lookalike._files import beside, try_lock
from lookalike._typing import PathLike
from lookalike.data.labels import LABELS_FILE, read_labels_file
from lookalike.data.walk import SUFFIXES, Found, Skipped, label_of, walk
from lookalike.errors import DatasetError, ImageError, InputError, UnreadableNowError
from lookalike.features import workers
from lookalike.features.embedder import Embedded, Embedder
from lookalike.features.models import DEFAULT_MODEL, ModelCard, get_model
from lookalike.features.pooling import with_pooling
from lookalike.features.reading import embed_files
from lookalike.features.vectorfile import KINDS, Facts, Row, companions, read_facts, write_features

__all__ = ["Extracted", "extract"]

_EVERY_ROWS, _EVERY_SECONDS = 256, 1.0  # what is lost at most, if the machine stops
_IN_NO_LIST = frozenset("\t\r\n")


@dataclass(frozen=True, slots=True)
class Extracted:
    """What came of it.

    Attributes
    ----------
    files : tuple of Path
        The vectors first; what belongs to them after.
    facts : Facts
    skipped : tuple of Skipped
        Every file that has no row, with the reason.
    reused : int
        Rows that an earlier call had made.
    was_there : bool
        Whether there was nothing to do.
    """

    files: tuple[Path, ...]
    facts: Facts
    skipped: tuple[Skipped, ...] = ()
    reused: int = 0
    was_there: bool = False


def extract(
    folder: PathLike,
    out: PathLike,
    model: str = DEFAULT_MODEL,
    pooling: str = "model",
    *,
    raw: bool = False,
    replacing: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Extracted:
    """Turn every picture of a folder into a vector, and write the vectors, their paths and their labels.

    Parameters
    ----------
    folder : str or path
    out : str or path
        ``X.npy``: float32 (n, d), beside it ``X.paths.txt``, ``X.labels.tsv`` and ``X.json``. ``X.safetensors``: all in one file.
    model : str
    pooling : str
        avg, max, gem, cls, or model for what the model does.
    raw : bool
        Leave the vectors as the model puts them out. Otherwise they have length 1.
    replacing : bool
        Whether something else that is there may be replaced.
    progress : callable
        Called with how many of how many pictures are done.

    Raises
    ------
    DatasetError
        If there is no such folder, or no picture in it can be read.
    InputError
        If something else is in the way, or another process is at it.
    ModelError
        If there is no such model, or it cannot be pooled so.
    """
    root, target = Path(os.path.abspath(folder)), Path(out)  # noqa: PTH100 (Path has no lexical `..`)
    if target.suffix.lower() not in KINDS:
        raise InputError(f"out: expected a name that ends in {' or '.join(KINDS)}, got {os.fspath(out)!r}")
    if not target.absolute().parent.is_dir():
        raise InputError(f"out: there is no folder {target.absolute().parent}")
    card = with_pooling(get_model(model), pooling)
    found, skipped = _look(root)
    facts = Facts(
        folder=str(root), model=card.name, fingerprint=card.fingerprint, pooling=card.pooling, d=card.d, raw=raw,
        pictures=_digest(found),
    )  # fmt: skip
    work = _Work(target, facts)
    if not work.begun() and target.exists() and not replacing:
        return _as_it_was(target, facts)
    check_room(target.absolute().parent, 2 * len(found) * card.d * 4, f"features of {len(found):,} pictures")
    with work.opened(replacing):
        rows = work.rows
        reused = len(rows)
        bad, found = _embed(card, work, found, progress)
        chosen = [(item.path, rows[stamp]) for item in found if (stamp := _stamp(root, item)) in rows]
        if not chosen:
            why = f"the first: {bad[0].path}: {bad[0].reason}" if bad else "it is empty"
            raise DatasetError(f"{root}: expected pictures, got none that can be read; {why}")
        listed = [Row(path, path.relative_to(root).as_posix(), *row) for path, row in chosen]
        skipped += bad
        facts = replace(facts, pictures=_digest(found))
        facts = write_features(target, facts, listed, _labels(root), work.part, card.d, skipped)
        work.done()
    return Extracted((target, *companions(target)), facts, tuple(skipped), reused)


def _look(root: Path) -> tuple[list[Found], list[Skipped]]:
    """The pictures of a folder, and what has no row."""
    if not root.is_dir():
        raise DatasetError(
            f"{root}: expected a folder of pictures, there is {'a file' if root.exists() else 'nothing'}"
        )
    found: list[Found] = []
    skipped: list[Skipped] = []
    for item in walk(root, SUFFIXES):
        if isinstance(item, Skipped):
            skipped.append(item)
        elif _IN_NO_LIST & set(str(item.path)):
            skipped.append(Skipped(item.path, "its name has a tab or line end, which no list of paths can hold"))
        else:
            found.append(item)
    if (root / LABELS_FILE).is_file():
        there = {item.path.relative_to(root).as_posix() for item in found}
        gone = [name for name in read_labels_file(root / LABELS_FILE) if name not in there]
        skipped += [Skipped(root / name, f"{LABELS_FILE} names it, but there is no such picture") for name in gone]
    if not found:
        raise DatasetError(f"{root}: expected pictures, got none")
    return found, skipped


def _labels(root: Path) -> Callable[[Path, str], tuple[str, ...]]:
    """What gives the labels of a picture, as `read_labels` does."""
    if (root / LABELS_FILE).is_file():
        given = read_labels_file(root / LABELS_FILE)
        return lambda path, name: tuple(given.get(name, ()))
    return lambda path, name: (label,) if (label := label_of(path, root)) else ()


def _stamp(root: Path, item: Found) -> tuple[str, int, int]:
    return item.path.relative_to(root).as_posix(), item.size, item.mtime_ns


def _digest(found: list[Found]) -> str:
    whole = hashlib.sha256()
    for item in found:
        whole.update(os.fsencode(item.path) + f"\0{item.size}\0{item.mtime_ns}\n".encode())
    return whole.hexdigest()


def _as_it_was(target: Path, facts: Facts) -> Extracted:
    """A result that is there already, if it is of the same pictures and model."""
    known = read_facts(target)
    if known is None or not known.same_work(facts):
        what = (
            "something else"
            if known is None
            else f"features of {known.n:,} pictures of {known.folder} by {known.model}"
        )
        raise InputError(f"{target} holds {what} already; choose another --out, or say --replace")
    return Extracted((target, *companions(target)), known, was_there=True)


def _embed(
    card: ModelCard, work: _Work, found: list[Found], progress: Callable[[int, int], None]
) -> tuple[list[Skipped], list[Found]]:
    """Put the missing pictures into the part; those that cannot be read, and all as they were when they were read.

    What could not be read this time is not among them: so the result is not taken for one of the same pictures next time.
    """
    root = Path(work.facts.folder)
    missing = [item.path for item in found if _stamp(root, item) not in work.rows]
    bad: list[Skipped] = []
    if not missing:
        return bad, found
    read: dict[Path, Found] = {}
    not_now: set[Path] = set()
    with contextlib.ExitStack() as stack:
        stack.enter_context(workers.held(soon=True))  # one starts while the model is loaded
        stack.callback(work.commit)
        results = stack.enter_context(contextlib.closing(embed_files(Embedder(card), missing)))
        for done, (path, stamp, result) in enumerate(results, 1):
            if isinstance(result, ImageError) or stamp is None:
                bad.append(Skipped(path, str(result)))
                if isinstance(result, UnreadableNowError):
                    not_now.add(path)
            else:
                read[path] = Found(path, *stamp)
                work.take(_stamp(root, read[path]), result)
            progress(done, len(missing))
    return bad, [read.get(item.path, item) for item in found if item.path not in not_now]


@dataclass(slots=True)
class _Work:
    """The part of a result: rows of float32, and a log with a line for each that is whole."""

    target: Path
    facts: Facts
    rows: dict[tuple[str, int, int], tuple[int, float]] = field(default_factory=dict)
    _waiting: list[tuple[tuple[str, int, int], Embedded]] = field(default_factory=list)
    _files: tuple[BinaryIO, BinaryIO] | None = None
    _last: float = 0.0

    @property
    def part(self) -> Path:
        return beside(self.target, ".part")

    @property
    def log(self) -> Path:
        return beside(self.target, ".part.log")

    def begun(self) -> bool:
        return self.log.exists()

    @contextlib.contextmanager
    def opened(self, replacing: bool) -> Iterator[None]:
        """Take up the rows that are there: where each is in the part, and how long the vector was."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self.log, flags, 0o666), "r+b") as log:
            if not try_lock(log.fileno()):
                raise InputError(f"{self.target}: another process is making it; wait until it is done")
            with os.fdopen(os.open(self.part, flags, 0o666), "r+b") as part:
                self._resume(part, log, replacing)
                self._files = part, log
                try:
                    yield
                finally:
                    self._files = None
                    if part.seek(0, os.SEEK_END) == 0:
                        self.done()

    def _resume(self, part: BinaryIO, log: BinaryIO, replacing: bool) -> None:
        lines = log.read().split(b"\n")
        head = json.dumps(self.facts.identity()).encode()
        if lines[0] != head and len(lines) > 1 and not replacing:
            raise InputError(
                f"{self.log}: work on other features was begun here; finish that first, choose another --out, or say --replace"
            )
        width, kept = 4 * self.facts.d, len(head) + 1
        whole = os.fstat(part.fileno()).st_size // width
        if lines[0] == head:
            for line in lines[1:-1]:  # the last has no line end: empty, or cut short
                try:
                    name, size, mtime_ns, norm = json.loads(line)
                    stamp, length = (str(name), int(size), int(mtime_ns)), float(norm)
                except (ValueError, TypeError):
                    break
                if len(self.rows) == whole or stamp in self.rows:
                    break
                self.rows[stamp] = len(self.rows), length
                kept += len(line) + 1
        else:
            log.seek(0)
            log.write(head + b"\n")
        log.truncate(kept)
        log.seek(kept)
        part.truncate(width * len(self.rows))
        part.seek(width * len(self.rows))
        self._last = time.monotonic()

    def take(self, stamp: tuple[str, int, int], result: Embedded) -> None:
        self._waiting.append((stamp, result))
        if len(self._waiting) >= _EVERY_ROWS or time.monotonic() - self._last >= _EVERY_SECONDS:
            self.commit()

    def commit(self) -> None:
        """Rows first, then the lines that say they are there."""
        if not self._waiting or self._files is None:
            return
        part, log = self._files
        waiting, self._waiting = self._waiting, []
        _append(part, b"".join(result.vector.astype("<f4").tobytes() for _, result in waiting))
        _append(log, b"".join(json.dumps([*stamp, result.norm]).encode() + b"\n" for stamp, result in waiting))
        for stamp, result in waiting:
            self.rows[stamp] = len(self.rows), result.norm
        self._last = time.monotonic()

    def done(self) -> None:
        self.log.unlink(missing_ok=True)
        self.part.unlink(missing_ok=True)


def _append(file: BinaryIO, data: bytes) -> None:
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
