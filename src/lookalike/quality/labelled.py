"""Which pictures of a collection carry which labels, and where their vectors are: what measuring and learning start from."""

from __future__ import annotations

import os
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from lookalike._files import one_spelling, spellings
from lookalike._typing import Array, FloatArray, IdArray, PathLike
from lookalike.collection.catalog.entries import decode_label
from lookalike.collection.segments import FeatureStore
from lookalike.data.labels import LABELS_FILE, read_labels_file
from lookalike.errors import InputError
from lookalike.features.metrics import Groups, group

__all__ = ["Labelled", "Labels", "StoredRows", "labelled_pictures"]

Labels: TypeAlias = "str | PathLike | Mapping[str, Sequence[str]]"
_FOLDERS = "folders"


@dataclass(frozen=True, slots=True)
class StoredRows:
    """Rows of features by their place among some pictures: ``rows[places]`` is float32, of length 1."""

    store: FeatureStore
    features: IdArray

    def __getitem__(self, rows: IdArray, /) -> FloatArray:
        return self.store[self.features[rows]]

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """The pictures that take part, in the order of their ids.

    Attributes
    ----------
    ids, features : ndarray of int64, shape (n,)
    paths : tuple of Path
    norms : ndarray of float64, shape (n,)
        Lengths of the vectors before they were scaled to 1.
    groups : Groups
    left_out : int
        Pictures without a label, or whose labels too few share.
    """

    ids: IdArray
    features: IdArray
    paths: tuple[Path, ...]
    norms: Array
    groups: Groups
    left_out: int

    def __len__(self) -> int:
        return len(self.ids)


def labelled_pictures(
    connection: sqlite3.Connection, store: FeatureStore, labels: Labels = _FOLDERS, at_least: int = 2
) -> Labelled:
    """Pictures whose labels at least `at_least` share; labels that fewer have are forgotten.

    Raises
    ------
    InputError
        If no picture is labelled, all have the same label, or no label has enough pictures.
    """
    rows = connection.execute(
        "SELECT e.id, e.feature, e.path, r.path, e.label, f.norm FROM entries e JOIN features f ON f.id = e.feature"
        " LEFT JOIN roots r ON r.id = e.root WHERE e.missing = 0 ORDER BY e.id"
    ).fetchall()
    readable = store.holds(np.array([row[1] for row in rows], np.int64))
    rows = [row for row, is_readable in zip(rows, readable, strict=True) if is_readable]
    if not rows:
        raise InputError("the collection is empty; add pictures with lookalike index FOLDER")
    named = _labels_of([(row[2], row[3], row[4]) for row in rows], labels)
    _check_named(named, labels)
    counts = Counter(label for names in named for label in set(names))
    kept = [tuple(name for name in names if counts[name] >= at_least) for names in named]
    chosen = [at for at, names in enumerate(kept) if names]
    groups = group([kept[at] for at in chosen])
    if len(groups.names) < 2:
        few = f"{len(counts):,} labels, of which {len(groups.names):,} have {at_least} pictures or more"
        raise InputError(f"labels: expected two or more with at least {at_least} pictures each, got {few}")
    return Labelled(
        np.array([rows[at][0] for at in chosen], np.int64),
        np.array([rows[at][1] for at in chosen], np.int64),
        tuple(Path(os.fsdecode(rows[at][2])) for at in chosen),
        np.array([rows[at][5] for at in chosen], np.float64),
        groups,
        len(rows) - len(chosen),
    )


def _labels_of(rows: list[tuple[bytes, bytes | None, bytes]], labels: Labels) -> list[tuple[str, ...]]:
    """The labels of each (path, root, folder label)."""
    if isinstance(labels, str) and labels == _FOLDERS:
        files: dict[bytes | None, Mapping[str, Sequence[str]] | None] = {}
        for _, root, _ in rows:
            if root not in files:
                file = None if root is None else Path(os.fsdecode(root), LABELS_FILE)
                files[root] = read_labels_file(file) if file is not None and file.is_file() else None
        found = []
        for path, root, label in rows:
            given = files[root]
            found.append((decode_label(label),) if given is None else _look_up(given, path, root))
        return [tuple(name for name in names if name) for names in found]
    mapping = labels if isinstance(labels, Mapping) else _read(labels)
    return [_look_up(mapping, path, root) for path, root, _ in rows]


def _read(labels: PathLike) -> dict[str, tuple[str, ...]]:
    path = Path(labels)
    if not path.is_file():
        raise InputError(f"labels: expected 'folders' or a file of labels, there is no file {os.fspath(labels)}")
    return read_labels_file(path)


def _look_up(given: Mapping[str, Sequence[str]], path: bytes, root: bytes | None) -> tuple[str, ...]:
    """By the path from the folder that was indexed, else by the whole path, else by the name alone."""
    full = Path(os.fsdecode(path))
    names = [full.as_posix(), full.name]
    if root is not None and full.is_relative_to(os.fsdecode(root)):
        names.insert(0, full.relative_to(os.fsdecode(root)).as_posix())
    known = (form for name in names for form in spellings(name) if form in given)
    return tuple(one_spelling(label) for label in next((given[name] for name in known), ()))


def _check_named(named: list[tuple[str, ...]], labels: Labels) -> None:
    if any(named):
        return
    if isinstance(labels, str) and labels == _FOLDERS:
        raise InputError(
            "labels: all pictures lie directly in the folder that was indexed, so there are no folders to label them; "
            "index the folder above it, or give a file of labels"
        )
    raise InputError(
        f"labels: none of the collection's {len(named):,} pictures is named there; paths are relative to the folder "
        "that was indexed, with forward slashes"
    )
