"""`lookalike duplicates`: groups of the same picture, and what was decided about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lookalike.cli.console import count, emit, emit_json, say, table
from lookalike.cli.progress import ProgressDisplay
from lookalike.errors import InputError

if TYPE_CHECKING:
    from lookalike.collection import Collection
    from lookalike.collection.duplicates import Copy, Decision, Group

__all__ = ["mark", "show"]


def show(collection: Collection, similarity: float, json: bool, include_ignored: bool) -> None:
    """Print the groups; ignored ones only when asked for."""
    with ProgressDisplay() as display:
        found = collection.duplicates(similarity, display)
    groups = [group for group in found if include_ignored or not group.ignored]
    if json:
        emit_json([_plain(group) for group in groups])
        return
    for number, group in enumerate(groups, 1):
        note = " (ignored)" if group.ignored else ""
        emit(f"{number}. {count(len(group.copies), 'picture')}, {_size(group.spare_bytes)} to spare{note}")
        table([_row(copy) for copy in group.copies])
    spare = sum(group.spare_bytes for group in groups)
    say(f"{count(len(groups), 'group')} of the same picture in {collection.name}, {_size(spare)} to spare")
    if hidden := len(found) - len(groups):
        say(f"{count(hidden, 'ignored group')} not shown; --all shows them")


def mark(collection: Collection, paths: list[str], decision: Decision, similarity: float) -> None:
    """Keep the pictures at these paths, or ignore the groups that they are in."""
    ids = [_id_of(collection, path) for path in paths]
    if decision == "keep":
        collection.mark_duplicates(ids, "keep")
        say(f"{count(len(ids), 'picture')} marked to be kept")
        return
    for group in collection.duplicates(similarity):
        members = [copy.entry.id for copy in group.copies]
        if set(members) & set(ids):
            collection.mark_duplicates(members, decision)
            say(f"the group of {count(len(members), 'picture')} with {group.copies[0].entry.path.name} is ignored")


def _id_of(collection: Collection, path: str) -> int:
    number = collection.find(path)
    if number is None:
        raise InputError(f"{path} is not in {collection.name}; give a path as `lookalike duplicates` prints it")
    return number


def _plain(group: Group) -> dict[str, Any]:
    pictures = [
        {
            "path": str(copy.entry.path),
            "id": copy.entry.id,
            "similarity": copy.similarity,
            "bytes": copy.entry.size,
            "width": copy.entry.width,
            "height": copy.entry.height,
            "keep": copy.kept,
        }
        for copy in group.copies
    ]
    return {"pictures": pictures, "spare_bytes": group.spare_bytes, "ignored": group.ignored}


def _row(copy: Copy) -> tuple[str, ...]:
    entry = copy.entry
    size = _pixels(entry.width, entry.height), _size(entry.size or 0)
    return (f"  {copy.similarity:5.1f}", *size, "keep" if copy.kept else "", str(entry.path))


def _pixels(width: int | None, height: int | None) -> str:
    return f"{width} × {height}" if width and height else ""


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"
