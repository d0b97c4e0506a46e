"""From folders to files: every file is either found or skipped with a reason."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from lookalike._files import open_at_once
from lookalike.data.kinds import HEAD_BYTES, is_certain, unread_format
from lookalike.data.stamp import stamp_of
from lookalike.data.suffixes import OTHER, SUFFIXES, UNREAD, UNREAD_REASONS

if TYPE_CHECKING:
    from lookalike._typing import PathLike

__all__ = ["SUFFIXES", "Found", "Kind", "Skipped", "label_of", "walk"]

Kind: TypeAlias = Literal["missing", "folder", "file", "link", "special", "format", "other", "hidden"]

# Folders that systems and devices fill with things of their own; their names do not start with a dot.
_SYSTEM_FOLDERS = frozenset(
    {"@eadir", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "__macosx"}
)
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

_VAIN = 1000  # files of one kind of name in one folder that were looked into in vain, after which no more are
_REMOTE = 0x0040_0000 | 0x1000  # Windows: what is in a cloud would be fetched


@dataclass(frozen=True, slots=True)
class Found:
    """A file that may be a picture.

    Attributes
    ----------
    path : Path
        Below the folder that was given, not resolved. A name that is not UTF-8 is held with surrogate escapes,
        as `os.fsdecode` does, and opens as it is.
    size : int
        In bytes.
    mtime_ns : int
        Time of the last change, in nanoseconds, as `Stamp` has it.
    device, inode : int or None
        The same for two paths of one file; None where the file system does not say.
    """

    path: Path
    size: int
    mtime_ns: int
    device: int | None = field(default=None, compare=False)
    inode: int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that is passed over, and why.

    Attributes
    ----------
    path : Path
    reason : str
        In words for a person.
    kind : str
        | ``"missing"``: what was given does not exist.
        | ``"folder"``: a folder that could not be read, so nothing is known about the files in it.
        | ``"file"``: a file that could not be examined, or that vanished meanwhile.
        | ``"link"``: a link to nowhere, or to a folder that is walked at another path.
        | ``"special"``: a pipe, socket or device.
        | ``"format"``: a picture of a kind that is not read (camera raw, vector drawing, JPEG XL).
        | ``"other"``: not a picture. There can be many; count them rather than list them.
        | ``"hidden"``: a hidden file or folder, or a system's own, such as ``.git``, ``@eaDir``, ``Thumbs.db``.
    """

    path: Path
    reason: str
    kind: Kind = "file"


def walk(folder: PathLike, suffixes: Collection[str]) -> Iterator[Found | Skipped]:
    """Everything in a folder and the folders below it, sorted by name.

    Parameters
    ----------
    folder : str or path
        A file is given back as it is, whatever its name: who names a file means it.
    suffixes : collection of str
        Of pictures, in lower case with the dot.

    Yields
    ------
    Found or Skipped
        In the order of the path's parts, so that two walks of the same files agree.

    Notes
    -----
    A link to a folder outside is followed once. A link to a folder inside, or to one that contains the folder
    being walked, is skipped, because its files are found at their own path: so a loop ends, and no file comes twice.
    A file whose name says nothing is opened, and its first bytes tell what it is; one whose name says that it is no picture
    is not. Where 1,000 files of a folder with the same suffix, or without, were no pictures, the rest of them are not opened.
    Nothing is raised for what is found on disk; memory is bounded by the entries of the folders on one path.
    """
    root = Path(folder)
    try:
        status = root.stat()
    except FileNotFoundError:
        yield Skipped(root, "there is no such file or folder", "missing")
        return
    except (OSError, ValueError, OverflowError) as error:  # ValueError: a NUL in the name
        yield Skipped(root, f"cannot be examined: {_why(error)}", "folder")
        return
    if stat.S_ISDIR(status.st_mode):
        yield from _Walk(root, frozenset(suffixes)).run(status)
    else:
        yield _file(root, status)


def label_of(path: PathLike, root: PathLike) -> str:
    """The label of a picture: its folder, relative to the folder that was indexed, with forward slashes.

    Empty for a picture directly in `root`, or outside it.

    Examples
    --------
    >>> label_of("photos/cats/siamese/1.jpg", "photos")
    'cats/siamese'
    """
    try:
        relative = Path(path).parent.relative_to(root)
    except ValueError:
        return ""
    return "" if relative == Path() else relative.as_posix()


class _Walk:
    """One walk: the folders already visited, and where the root really is."""

    def __init__(self, root: Path, suffixes: frozenset[str]) -> None:
        self.root = root
        self.suffixes = suffixes
        self.real_root = os.path.realpath(root)
        self.visited: set[tuple[int, int]] = set()
        self.vain: dict[tuple[Path, str], int] = {}

    def run(self, status: os.stat_result) -> Iterator[Found | Skipped]:
        self.visited.add((status.st_dev, status.st_ino))
        # A stack of iterators, not recursion: folders can be nested deeper than Python can call.
        stack: list[Iterator[os.DirEntry[str] | Skipped]] = [_entries(self.root)]
        while stack:
            entry = next(stack[-1], None)
            if entry is None:
                stack.pop()
            elif isinstance(entry, Skipped):
                yield entry
            else:
                found = self.classify(entry)
                if found is None:
                    stack.append(_entries(Path(entry.path)))
                else:
                    yield found

    def classify(self, entry: os.DirEntry[str]) -> Found | Skipped | None:
        """What to yield for an entry; None for a folder to enter."""
        path = Path(entry.path)
        try:
            status = entry.stat()
        except (OSError, ValueError, OverflowError) as error:  # a number that Python cannot hold costs this file
            return _unexamined(path, error)
        is_folder = stat.S_ISDIR(status.st_mode)
        if _is_hidden(entry.name, is_folder):
            return Skipped(path, "a hidden folder" if is_folder else "a hidden file", "hidden")
        if is_folder:
            return self.enter(entry, path, status)
        found = _file(path, status)
        if isinstance(found, Found):
            return self.judged(found, status)
        return found

    def judged(self, found: Found, status: os.stat_result) -> Found | Skipped:
        """A file, or why it is passed over: by its name, and where that says nothing by its first bytes."""
        suffix = _suffix(found.path)
        if suffix in self.suffixes:
            return found
        for kinds, reason in UNREAD_REASONS:
            if suffix in kinds:
                return Skipped(found.path, reason.format(suffix), "format")
        if suffix not in OTHER and found.size and not getattr(status, "st_file_attributes", 0) & _REMOTE:
            seen = self.looked_into(found, suffix)
            if seen is not None:
                return seen
        if suffix in UNREAD:
            return _unread(found.path, f"{UNREAD[suffix]} ({suffix})")
        reason = f"not a picture ({suffix})" if suffix else "not a picture (its name has no suffix)"
        return Skipped(found.path, reason, "other")

    def looked_into(self, found: Found, suffix: str) -> Found | Skipped | None:
        """What the first bytes of a file say; None if they do not say that it is a picture."""
        where = (found.path.parent, suffix)
        if self.vain.get(where, 0) >= _VAIN:
            return None
        try:
            head = _first_bytes(found.path)
        except OSError as error:
            return Skipped(found.path, f"cannot be read: {_why(error)}", "file")
        if head is not None and is_certain(head):
            self.vain.pop(where, None)
            name = unread_format(head)
            return found if name is None else _unread(found.path, name)
        if len(self.vain) >= _VAIN and where not in self.vain:  # folders that are done with
            self.vain = {each: count for each, count in self.vain.items() if each[0] in where[0].parents}
        self.vain[where] = self.vain.get(where, 0) + 1
        return None

    def enter(self, entry: os.DirEntry[str], path: Path, status: os.stat_result) -> Skipped | None:
        """Mark a folder as visited; a `Skipped` if it was visited before, or is walked at another path."""
        if _is_link(entry):
            target = os.path.realpath(path)
            if _contains(target, self.real_root):
                return Skipped(path, "a link to a folder that contains it", "link")
            if _contains(self.real_root, target) and not self.is_passed_over(target):
                return Skipped(path, f"a link to a folder that is read at its own path ({target})", "link")
        place = (status.st_dev, status.st_ino)
        if place[1] and place in self.visited:  # some file systems give every folder the inode 0
            return Skipped(path, "a folder that was already read under another name", "link")
        self.visited.add(place)
        return None

    def is_passed_over(self, target: str) -> bool:
        """Whether the walk does not reach a folder inside the root, because it lies in a hidden one."""
        return any(_is_hidden(part, True) for part in Path(target).relative_to(self.real_root).parts)


def _entries(folder: Path) -> Iterator[os.DirEntry[str] | Skipped]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield Skipped(folder, f"the folder cannot be read: {_why(error)}", "folder")
        return
    yield from entries


def _file(path: Path, status: os.stat_result) -> Found | Skipped:
    if not stat.S_ISREG(status.st_mode):
        return Skipped(path, "not a file but a pipe, a socket or a device", "special")
    return Found(path, *stamp_of(status))


def _unexamined(path: Path, error: OSError | ValueError | OverflowError) -> Skipped:
    """For an entry that was listed but has no status: a link to nowhere or to itself, or a file that just vanished."""
    if path.is_symlink():
        return Skipped(path, f"a link that leads nowhere: {_why(error)}", "link")
    if isinstance(error, FileNotFoundError):
        return Skipped(path, "vanished while the folder was being read", "file")
    return Skipped(path, f"cannot be examined: {_why(error)}", "file")


def _unread(path: Path, name: str) -> Skipped:
    return Skipped(path, f"{name}: not read; save it as JPEG or PNG to have it searched", "format")


def _suffix(path: Path) -> str:
    """The end of a name that says what it is, in lower case; spaces and dots behind it are somebody's slip."""
    return Path(path.name.rstrip(" .")).suffix.lower()


def _first_bytes(path: Path) -> bytes | None:
    """Enough to tell what a file is; None if it is no file any more."""
    descriptor = open_at_once(path)
    try:
        return os.read(descriptor, HEAD_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    finally:
        os.close(descriptor)


def _is_hidden(name: str, is_folder: bool) -> bool:
    known = _SYSTEM_FOLDERS if is_folder else _SYSTEM_FILES
    return name.startswith(".") or name.lower() in known


def _is_link(entry: os.DirEntry[str]) -> bool:
    is_junction = getattr(entry, "is_junction", None)  # Windows, Python 3.12 and later
    return entry.is_symlink() or bool(is_junction and is_junction())


def _contains(folder: str, path: str) -> bool:
    """Whether `path` is `folder` or lies below it; both are real paths."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def _why(error: OSError | ValueError | OverflowError) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    return reason[:1].lower() + reason[1:]
