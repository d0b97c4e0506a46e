"""Changing a collection: what `Collection` does while it holds the writer's lock."""

from __future__ import annotations

import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lookalike._typing import ArrayLike, PathLike
from lookalike._validate import check_vectors, unit_rows
from lookalike.collection.catalog.entries import encode_label
from lookalike.collection.catalog.file import bump, transaction
from lookalike.collection.catalog.proof import restore_rows
from lookalike.collection.catalog.schema import accept, wrong_rows
from lookalike.collection.index.build import refresh_index
from lookalike.collection.models import check_embeds, embedder_for, own_vectors, read_card, write_card
from lookalike.collection.records import AddReport, Pace, Progress, printable
from lookalike.collection.take_in.commit import Commits, Feature, append_features
from lookalike.collection.take_in.embedding import TakeIn
from lookalike.collection.take_in.scan import Scan
from lookalike.collection.take_in.scopes import below
from lookalike.collection.transforms import write_transform
from lookalike.collection.upkeep import merge as upkeep
from lookalike.collection.upkeep.repair import (
    beyond_proof,
    hurt_features,
    hurt_pictures,
    mend_rows,
    settle_features,
    unread,
)
from lookalike.data.paths import absolute
from lookalike.data.stamp import Stamp, stamp_of
from lookalike.errors import InputError, ModelError

if TYPE_CHECKING:
    from lookalike.features.transforms import Transform

__all__ = ["Writer"]

VECTOR_BATCH = 8192


class Writer:
    """One piece of writing, from taking the lock to giving it back."""

    def __init__(self, connection: sqlite3.Connection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder
        upkeep.delete_orphans(connection, folder)

    def add(
        self, paths: list[Path], *, prune: bool = False, progress: Callable[[Progress], None] | None = None
    ) -> AddReport:
        """See `Collection.add`."""
        card = read_card(self.connection)
        check_embeds(card)
        if wrong_rows(self.connection, "segments"):
            restore_rows(self.connection, self.folder)  # what can be put back need not be read again
        return self._take_in(paths, upkeep.damaged_features(self.connection, self.folder, card.d), prune, progress)

    def repair(self, progress: Callable[[Progress], None] | None = None) -> list[str]:
        """See `Collection.repair`."""
        restore_rows(self.connection, self.folder)
        left = mend_rows(self.connection)
        if lost := beyond_proof(self.connection):  # which model and transform: the rest depends on it
            return left + lost
        ranges = hurt_features(self.connection)
        ranges += upkeep.damaged_features(self.connection, self.folder, read_card(self.connection).d)
        files, imported = hurt_pictures(self.connection, ranges)
        if files:
            check_embeds(read_card(self.connection))
            self._take_in(files, ranges, False, progress)
        else:
            d = read_card(self.connection).d
            upkeep.tidy(self.connection, self.folder, d)  # a damaged segment may be of no use
            refresh_index(self.connection, self.folder, Pace(progress))
        settle_features(self.connection)
        left += [
            f"{printable(path)}: its vector was imported and cannot be made again; add it again" for path in imported
        ]
        return left + [
            f"{printable(path)}: it is hidden until it can be read again; `lookalike index` with its folder looks for it"
            for path in unread(self.connection)
        ]

    def _take_in(
        self,
        paths: list[Path],
        damaged: list[tuple[int, int]],
        prune: bool,
        progress: Callable[[Progress], None] | None,
    ) -> AddReport:
        from lookalike.features import workers

        start = time.monotonic()
        card = read_card(self.connection)
        scan = Scan(self.connection, self.folder, damaged)
        scan.choose(paths)
        pace = Pace(progress)
        commits: Commits | None = None
        removed, interrupted = 0, False
        try:
            scan.run(pace)
            commits = Commits(self.connection, self.folder, scan)
            files = TakeIn(scan, commits, pace)
            try:
                with workers.held(soon=files.total > 0):  # one starts while the model is loaded
                    files.run(embedder_for(card) if files.total else None)
            finally:
                commits.flush()
            removed = scan.settle(prune)
            upkeep.tidy(self.connection, self.folder, card.d)
            refresh_index(self.connection, self.folder, pace)
        except KeyboardInterrupt:
            interrupted = True
        return AddReport(
            new=commits.new if commits else 0,
            changed=commits.changed if commits else 0,
            unchanged=scan.unchanged + (commits.unchanged if commits else 0),
            moved=commits.moved if commits else 0,
            missing=scan.count_missing(),
            removed=removed + (commits.removed if commits else 0),
            skipped=scan.skipped(),
            seconds=time.monotonic() - start,
            interrupted=interrupted,
        )

    def add_vectors(
        self,
        x: ArrayLike,
        paths: Sequence[PathLike],
        labels: Sequence[str] | None,
        model: str,
        progress: Callable[[Progress], None] | None = None,
    ) -> AddReport:
        """See `Collection.add_vectors`."""
        start, pace = time.monotonic(), Pace(progress)
        vectors = check_vectors(x, name="x", empty_ok=True)
        names = _names(paths, len(vectors))
        if labels is not None and (isinstance(labels, str) or len(labels) != len(names)):
            raise InputError(f"labels: expected {len(names)}, one for each vector, got {len(labels)}")
        marks = [encode_label(str(label)) for label in labels] if labels is not None else [b""] * len(names)
        counts = {"new": 0, "changed": 0}
        with transaction(self.connection):
            self._settle_model(model, vectors.shape[1])
            for first in range(0, len(vectors), VECTOR_BATCH):
                part = vectors[first : first + VECTOR_BATCH]
                norms = np.linalg.norm(part.astype(np.float64), axis=1)
                rows = unit_rows(part).astype(np.float16)
                features = [Feature(row, float(norm), None) for row, norm in zip(rows, norms, strict=True)]
                ids = append_features(self.connection, self.folder, features)
                for at, feature in enumerate(ids, first):
                    counts[self._place(names[at], marks[at], feature)] += 1
                pace.tell("storing", first + len(part), len(vectors))
            bump(self.connection)
        card = read_card(self.connection)
        upkeep.tidy(self.connection, self.folder, card.d)
        refresh_index(self.connection, self.folder, pace)
        return AddReport(new=counts["new"], changed=counts["changed"], seconds=time.monotonic() - start)

    def _settle_model(self, model: str, d: int) -> None:
        """The first vectors decide whose they are; later ones have to be of the same model."""
        card = read_card(self.connection)
        is_empty = self.connection.execute("SELECT 1 FROM entries LIMIT 1").fetchone() is None
        if model != card.name:
            if not is_empty:
                raise ModelError(
                    f"model: this collection holds vectors of {card.name!r}, got vectors of {model!r}; "
                    "a collection never mixes models: make another one"
                )
            card = own_vectors(model, d)
        elif is_empty and card.file is None and card.d != d:
            card = own_vectors(model, d)
        check_vectors(np.zeros((1, d), np.float32), card.d, "x")
        if is_empty:
            upkeep.forget_features(self.connection)
        write_card(self.connection, card)

    def _place(self, path: bytes, label: bytes, feature: int) -> str:
        execute = self.connection.execute
        stamp = _stamp(path)
        known = execute("SELECT id FROM entries WHERE path = ?", (path,)).fetchone()
        if known is None:
            execute(
                "INSERT INTO entries (path, label, feature, is_file, size, mtime_ns, device, inode)"
                " VALUES (?, ?, ?, 0, ?, ?, ?, ?)",
                (path, label, feature, *stamp),
            )
            return "new"
        execute(
            "UPDATE entries SET label = ?, feature = ?, is_file = 0, missing = 0,"
            " size = ?, mtime_ns = ?, device = ?, inode = ? WHERE id = ?",
            (label, feature, *stamp, known[0]),
        )
        if wrong_rows(self.connection, "entries", "id = ?", known):  # all of it has just been written but for this
            execute("UPDATE entries SET root = NULL WHERE id = ?", known)
            accept(self.connection, "entries", known[0])
        return "changed"

    def set_transform(self, transform: Transform | None) -> None:
        """See `Collection.set_transform`."""
        write_transform(self.connection, self.folder, transform)
        upkeep.delete_orphans(self.connection, self.folder)
        refresh_index(self.connection, self.folder, Pace(None), anew=True)

    def remove(self, paths: list[Path]) -> int:
        """See `Collection.remove`."""
        removed = 0
        with transaction(self.connection):
            for path in paths:
                name = os.fsencode(path)
                where, values = below(name)
                removed += self.connection.execute(f"DELETE FROM entries WHERE {where}", values).rowcount
                self.connection.execute(f"DELETE FROM skipped WHERE {where}", values)
                self.connection.execute(f"DELETE FROM roots WHERE {where}", values)
            bump(self.connection)
        upkeep.tidy(self.connection, self.folder, read_card(self.connection).d)
        refresh_index(self.connection, self.folder, Pace(None))
        return removed

    def compact(self) -> None:
        """See `Collection.compact`."""
        upkeep.compact(self.connection, self.folder, read_card(self.connection).d)
        refresh_index(self.connection, self.folder, Pace(None), anew=True)
        self.connection.execute("VACUUM")


def _names(paths: Sequence[PathLike], n: int) -> list[bytes]:
    if isinstance(paths, str | bytes | os.PathLike) or len(paths) != n:
        got = 1 if isinstance(paths, str | bytes | os.PathLike) else len(paths)
        raise InputError(f"paths: expected {n}, one for each vector, got {got}")
    names = [os.fsencode(absolute(path)) for path in paths]
    if len(set(names)) != n:
        (twice, _), *_ = Counter(names).most_common(1)
        raise InputError(f"paths: expected distinct paths, {os.fsdecode(twice)!r} is given more than once")
    return names


def _stamp(path: bytes) -> Stamp | tuple[None, None, None, None]:
    """What is known of a file, if there is one."""
    try:
        return stamp_of(os.stat(path))  # noqa: PTH116 (the name is bytes)
    except (OSError, OverflowError):
        return None, None, None, None
