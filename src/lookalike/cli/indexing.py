"""From `lookalike index` to `Collection.add`, and its report in words."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lookalike.cli.console import count, duration, emit, grouped, say
from lookalike.cli.progress import ProgressDisplay
from lookalike.errors import CollectionError

if TYPE_CHECKING:
    from lookalike.collection import AddReport, Collection, Skipped
    from lookalike.data.walk import Skipped as Passed

__all__ = ["add", "opened_or_created", "print_report", "print_skipped", "run"]

_NAMED = 10  # skipped files that are named at once; `status` names all
_NEVER_PICTURES = frozenset({"other", "hidden"})


def run(folders: list[Path], into: str | None, model: str | None = None, prune: bool = False) -> bool:
    """Index `folders`, print what was found, and tell whether there is something to search now."""
    from lookalike.collection import home

    path = home.resolve(home.name_for_folder(folders[0]) if into is None else into)
    with opened_or_created(path, model) as collection:
        report = add(collection, folders, prune)
        print_report(collection, report)
        if len(collection):
            home.remember(path)
        elif not (report.missing or report.removed or report.interrupted):
            say(f"no pictures were found in {', '.join(str(folder) for folder in folders)}")
        return not report.interrupted and (len(collection) > 0 or report.removed > 0)


@contextlib.contextmanager
def opened_or_created(path: Path, model: str | None) -> Iterator[Collection]:
    """The collection at `path`, made where there is none; a new one goes again if nothing can be put into it."""
    from lookalike.collection import Collection, home
    from lookalike.errors import CollectionNotFoundError, InputError

    try:
        collection, is_new = Collection.open(path), False
    except CollectionNotFoundError:
        collection, is_new = Collection.create(path, **({} if model is None else {"model": model})), True
    with collection:
        if model is not None and model != collection.model.name:
            raise CollectionError(
                f"{collection.name} was made with {collection.model.name}; vectors of {model} need another --in"
            )
        try:
            yield collection
        except InputError:
            if not is_new:
                raise
            collection.close()
            home.delete_collection(path)
            raise


def add(collection: Collection, folders: list[Path], prune: bool = False) -> AddReport:
    """Index `folders` with progress on stderr."""
    with ProgressDisplay() as display:
        return collection.add(*folders, prune=prune, progress=display)


def print_report(collection: Collection, report: AddReport) -> None:
    """What was found and done, on stdout; skipped files and advice on stderr."""
    done = [
        (report.new, "new"),
        (report.changed, "changed"),
        (report.moved, "moved"),
        (report.unchanged, "unchanged"),
        (report.missing, "missing"),
        (report.removed, "removed"),
        (len(report.skipped), "skipped"),
    ]
    facts = ", ".join(f"{n:,} {what}" for n, what in done if n) or "nothing to do"
    emit(f"{collection.name}: {count(len(collection), 'picture')} ({facts}) in {duration(report.seconds)}")
    print_skipped(report.skipped)
    if report.missing:
        say(
            f"{count(report.missing, 'picture')} cannot be found now and are hidden until they are back; --prune removes them"
        )
    if report.interrupted:
        say(f"stopped; {count(len(collection), 'picture')} are kept, run the same command to go on")


def print_skipped(skipped: Sequence[Skipped | Passed], where: str = "`lookalike status` names") -> None:
    """Name pictures that could not be read; only count files that never were pictures."""
    pictures = [item for item in skipped if item.kind not in _NEVER_PICTURES]
    rows = grouped((str(item.path), item.reason) for item in pictures)
    for path, reason in rows[:_NAMED]:
        say(f"skipped {path}: {reason}")
    if rest := len(rows) - min(len(rows), _NAMED):
        say(f"skipped {rest:,} more; {where} each with its reason")
    if others := len(skipped) - len(pictures):
        say(f"skipped {count(others, 'file')} that {'is' if others == 1 else 'are'} hidden or not a picture")
