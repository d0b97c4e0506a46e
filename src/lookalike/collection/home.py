"""Where collections live when they are called by name, and which one was used last."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from lookalike._files import atomic_write, one_spelling, spellings
from lookalike._home import home
from lookalike._typing import PathLike
from lookalike.collection.catalog.file import CATALOG, check_folder
from lookalike.collection.index.generation import INDEX_FOLDER
from lookalike.collection.lock import LOCK, WriterLock
from lookalike.collection.segments import FOLDER as SEGMENT_FOLDER
from lookalike.collection.upkeep.merge import OUR_FILES
from lookalike.data.paths import absolute
from lookalike.errors import (
    CollectionError,
    CollectionLockedError,
    CollectionNotFoundError,
    CollectionUnavailableError,
    InputError,
    LookalikeError,
    VersionError,
)

__all__ = [
    "check_deletable",
    "delete_collection",
    "home",
    "is_collection",
    "last_used",
    "list_collections",
    "name_for_folder",
    "remember",
    "resolve",
]

LAST_USED = "last-used"
MAX_NAME = 200  # bytes


def _collections() -> Path:
    return home() / "collections"


def resolve(name_or_path: PathLike) -> Path:
    """Where a collection is or would be: a path if there is a separator in it, else a name in `home`.

    Raises
    ------
    InputError
        If it is neither.
    """
    text = os.fspath(name_or_path)
    separators = {"/", os.sep, os.altsep or "/"}
    if not isinstance(name_or_path, str) or any(separator in text for separator in separators):
        return absolute(text)
    is_plain = text.isprintable() or not text.isascii()
    if not text or text.startswith(".") or not is_plain or "\0" in text or len(os.fsencode(text)) > MAX_NAME:
        raise InputError(f"collection: expected a name or a path with a separator, got {text!r}")
    return _collections() / _spelled(text)


def _spelled(name: str) -> str:
    """A name as the collection there has it, however Unicode spells é; composed if there is none."""
    if name.isascii():
        return name
    there = (form for form in spellings(name) if (_collections() / form).exists())
    return next(there, one_spelling(name))


def name_for_folder(folder: PathLike) -> str:
    """The name of the collection for a folder: the folder's own."""
    name = one_spelling(os.fsencode(absolute(folder).name).decode("utf-8", "replace"))
    name = "".join(character if character.isprintable() else "_" for character in name).strip().lstrip(".-")
    while len(name.encode()) > MAX_NAME:
        name = name[:-1]
    return name or "pictures"


def remember(path: PathLike) -> None:
    """Note which collection was used last, where that can be written down; nothing but convenience hangs on it."""
    folder = home()
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / LAST_USED) as file:
            file.write(os.fsencode(absolute(path)))


def last_used() -> Path:
    """The collection used last.

    Raises
    ------
    CollectionNotFoundError
        If there is none, or it is gone.
    CollectionUnavailableError
        If that cannot be read now.
    """
    note, path = home() / LAST_USED, None
    try:
        with note.open("rb") as file:
            path = Path(os.fsdecode(file.read(10_000)))
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise CollectionUnavailableError(
            f"{note}, which says what collection was used last, cannot be read now: {error.strerror or error}; use --in"
        ) from None
    if path is None or not path.name:
        raise CollectionNotFoundError(
            "no collection was used yet; make one with `lookalike index FOLDER`, or say which with --in"
        )
    if not is_collection(path):
        raise CollectionNotFoundError(f"the collection used last, {path}, is gone; say which one with --in")
    return path


def is_collection(path: PathLike) -> bool:
    """Whether there is a collection that could be opened, as far as a glance shows."""
    try:
        check_folder(absolute(path))
    except (CollectionUnavailableError, CollectionLockedError):
        return True
    except LookalikeError:
        return False
    return True


def list_collections() -> list[Path]:
    """The collections in `home`, by name; `Path.name` is the name of each.

    Raises
    ------
    CollectionUnavailableError
        If the folder cannot be read now.
    """
    folder = _collections()
    try:
        return sorted(path for path in folder.iterdir() if is_collection(path))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise CollectionUnavailableError(f"{folder} cannot be read now: {error.strerror or error}") from None


def delete_collection(path: PathLike) -> None:
    """Delete a collection. Pictures, and whatever else somebody put in its folder, stay.

    Raises
    ------
    CollectionNotFoundError
        If it is not a collection; nothing is deleted.
    CollectionLockedError
        If somebody is writing to it.
    """
    folder = absolute(path)
    lock = WriterLock(folder / LOCK)
    try:
        check_deletable(folder)
        with lock.held():
            for name in (SEGMENT_FOLDER, INDEX_FOLDER):
                _delete_files(folder / name)
            # The catalogue goes last: until then, what is left can be deleted by trying again.
            for name in (f"{CATALOG}-wal", f"{CATALOG}-shm", CATALOG):
                (folder / name).unlink(missing_ok=True)
            for leftover in folder.glob(f".{CATALOG}.*.part*"):
                leftover.unlink(missing_ok=True)
        is_empty = all(item.name == LOCK for item in folder.iterdir())
        lock.path.unlink(missing_ok=True)
    except OSError as error:
        raise CollectionError(f"{folder} cannot be deleted: {error.strerror or error}; try again") from None
    if is_empty:
        with contextlib.suppress(OSError):  # by now it is an empty folder like any other
            folder.rmdir()


def check_deletable(folder: Path) -> None:
    """Refuse what is not a collection, nor what is left of one; raises as `delete_collection` does."""
    try:
        check_folder(folder)
    except (CollectionLockedError, CollectionUnavailableError, VersionError):
        raise
    except CollectionNotFoundError:
        if not _is_remainder(folder):
            raise
    except CollectionError:
        # A collection whose catalogue is damaged should go too, if everything else is there, or nothing else.
        if not _has_all_parts(folder) and not _is_remainder(folder):
            raise


def _has_all_parts(folder: Path) -> bool:
    """Whether everything but the catalogue is what a collection has."""
    return all((folder / name).is_dir() for name in (SEGMENT_FOLDER, INDEX_FOLDER)) and (folder / LOCK).is_file()


def _is_remainder(folder: Path) -> bool:
    """Whether there is nothing but what is left where deleting or making a collection failed."""
    ours = {LOCK, SEGMENT_FOLDER, INDEX_FOLDER, CATALOG, f"{CATALOG}-wal", f"{CATALOG}-shm"}
    try:
        names = {item.name for item in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return False
    return LOCK in names and all(name in ours or name.startswith(f".{CATALOG}.") for name in names)


def _delete_files(folder: Path) -> None:
    """Delete the files that lookalike makes in one of its folders, and the folder if that was all."""
    try:
        mode = folder.lstat().st_mode  # what cannot be looked at now is not passed over
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(mode):
        return
    for file in folder.iterdir():
        if OUR_FILES.fullmatch(file.name):
            file.unlink()
    if not any(folder.iterdir()):  # nothing of somebody else's
        folder.rmdir()
