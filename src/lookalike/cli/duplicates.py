"""`lookalike duplicates`: groups of the same picture, and what was decided about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lookalike.cli.console import count, emit, emit_json, say, table
from lookalike.cli.progress import ProgressDisplay
from lookalike.errors import InputError

if TYPE_CHECKING:
    from lookalike.collection import Collection
    from lookalike.curate.groups import Copy, Group
    from lookalike.curate.marks import Decision

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
        emit(f"{number}. {_title(group)}")
        table(_rows(group))
    spare = sum(group.spare_bytes for group in groups)
    if not groups:
        say(f"there are no duplicates in {collection.name}" + (", except ignored groups" if found else ""))
    else:
        say(
            f"{count(len(groups), 'group')} of the same picture in {collection.name}, {_size(spare)} in the copies; "
            "nothing is deleted"
        )
        say("--keep PATH marks the picture to keep, --ignore PATH ignores its group, --reset PATH undoes both")
    if hidden := len(found) - len(groups):
        say(f"{count(hidden, 'ignored group')} not shown; --all shows them")


def mark(collection: Collection, paths: list[str], decision: Decision, similarity: float) -> None:
    """Keep the pictures at these paths, or ignore the groups that they are in, or forget what was decided on these."""
    ids = [_id_of(collection, path) for path in paths]
    if decision == "keep":
        collection.mark_duplicates(ids, "keep")
        say(f"{count(len(ids), 'picture')} marked to be kept")
        return
    done = False
    for group in collection.duplicates(similarity):
        members = [copy.entry.id for copy in group.copies]
        if set(members) & set(ids):
            done = True
            collection.mark_duplicates(members, decision)
            what = "is ignored" if decision == "ignore" else "is reset"
            say(f"the group of {count(len(members), 'picture')} with {group.copies[0].entry.path.name} {what}")
    if not done:
        raise InputError(
            f"{paths[0]} is in no group with a similarity of {similarity:g} or more; a lower --similarity may find one"
        )


def _id_of(collection: Collection, path: str) -> int:
    number = collection.find(path)
    if number is None:
        raise InputError(f"{path} is not in {collection.name}; give a path as `lookalike duplicates` prints it")
    return number


def _title(group: Group) -> str:
    parts = [count(len(group.copies) - group.links, "picture")]
    if group.links:
        parts.append(count(group.links, "link"))
    parts.append(f"{_size(group.spare_bytes)} in the copies")
    chain = f"; a chain, whose ends are {group.least:.1f} alike" if group.is_chain else ""
    return ", ".join(parts) + chain + (" (ignored)" if group.ignored else "")


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
            "part": copy.part,
            "is_link": copy.is_link,
            "link_of": copy.link_of,
        }
        for copy in group.copies
    ]
    return {
        "pictures": pictures,
        "spare_bytes": group.spare_bytes,
        "ignored": group.ignored,
        "least_similarity": group.least,
        "is_chain": group.is_chain,
    }


def _rows(group: Group) -> list[tuple[str, ...]]:
    """Each picture with how like the first of its part it is."""
    firsts = {copy.part: copy for copy in reversed(group.copies)}
    return [_row(copy, "first" if copy is firsts[copy.part] else f"{copy.similarity:.1f}") for copy in group.copies]


def _row(copy: Copy, alike: str) -> tuple[str, ...]:
    entry = copy.entry
    size = _pixels(entry.width, entry.height), _size(entry.size or 0) if copy.takes_space else "link"
    return (f"  {alike:>5}", *size, "keep" if copy.kept else "", str(entry.path))


def _pixels(width: int | None, height: int | None) -> str:
    return f"{width} × {height}" if width and height else ""


def _size(size: int) -> str:
    return f"{size / 1e6:,.1f} MB" if size >= 100_000 else f"{size / 1e3:,.1f} kB"
