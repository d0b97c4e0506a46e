"""Collections made, brought up to date, tidied and deleted from the app; most of it for this machine only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lookalike.app.jobs import Job
from lookalike.app.service import Service, describe
from lookalike.collection import AddReport, Collection, Progress, home
from lookalike.collection.duplicates import SAME, Decision
from lookalike.collection.records import printable
from lookalike.errors import CollectionError, CollectionLockedError, CollectionNotFoundError, InputError

__all__ = ["create", "delete", "duplicate_groups", "folders_in", "mark", "update"]

MAX_FOLDERS = 2000
MAX_GROUPS = 200


def create(service: Service, folder: str, name: str | None = None) -> Job:
    """Index a folder of this machine into a collection, made where there is none of that name.

    Raises
    ------
    InputError
        If it is no folder, or the name no name.
    CollectionLockedError
        While something is being indexed already.
    """
    path = _folder(folder)
    chosen = name or home.name_for_folder(path)
    if any(separator in chosen for separator in ("/", os.sep)):
        raise InputError(f"name: expected one without a slash, got {printable(chosen)[:100]!r}")
    target = home.resolve(chosen)

    def work(progress: Callable[[Progress], None]) -> AddReport:
        is_new = not home.is_collection(target)
        if is_new:
            Collection.create(target).close()
        report = service.collection(chosen).add(path, progress=progress)
        if is_new and not report.indexed:  # nothing to search: not worth a collection
            service.forget(chosen)
            home.delete_collection(target)
        return report

    return service.jobs.start(chosen, work)


def update(service: Service, name: str) -> Job:
    """Look again at the folders of a collection."""
    collection = service.collection(name)
    if not collection.status()["roots"]:
        raise InputError(f"{collection.name} has no folders to look at; `lookalike index FOLDER` adds one")
    return service.jobs.start(collection.name, lambda progress: collection.add(progress=progress))


def delete(service: Service, name: str) -> None:
    """Delete a collection; its pictures stay.

    Raises
    ------
    CollectionError
        If it is the one that the server was started with, or is being indexed.
    CollectionNotFoundError
        If there is none of that name.
    """
    if name == service.default:
        raise CollectionError(
            f"the server was started with {name}; stop it, then `lookalike collections delete {name}`"
        )
    if any(job.collection == name and job.state == "running" for job in service.jobs.all()):
        raise CollectionLockedError(f"{name} is being indexed; stop that first")
    if name not in service.names():
        raise CollectionNotFoundError(f"there is no collection called {printable(name)[:100]!r}")
    service.forget(name)
    home.delete_collection(home.resolve(name))


def folders_in(folder: str) -> dict[str, Any]:
    """The folders in a folder of this machine, for somebody who chooses one."""
    path = _folder(folder or "~")
    try:
        found = sorted(
            (item.name for item in os.scandir(path) if not item.name.startswith(".") and item.is_dir()),
            key=str.casefold,
        )
    except OSError as error:
        raise InputError(f"folder: {printable(path)} cannot be read: {error.strerror or error}") from None
    shown = [name for name in found if printable(name) == name][:MAX_FOLDERS]
    return {"path": printable(path), "parent": printable(path.parent), "folders": shown}


def _folder(text: str) -> Path:
    path = Path(text).expanduser()
    if "\0" in text or not path.is_absolute() or not path.is_dir():
        raise InputError(f"folder: expected the full path of a folder on this machine, got {text[:200]!r}")
    return path


def duplicate_groups(service: Service, name: str | None, similarity: float = SAME) -> dict[str, Any]:
    """Groups of the same picture, largest first."""
    groups = service.collection(name).duplicates(similarity)
    return {
        "total": len(groups),
        "groups": [
            {
                "ignored": group.ignored,
                "spare_bytes": group.spare_bytes,
                "pictures": [
                    describe(copy.entry) | {"similarity": copy.similarity, "kept": copy.kept} for copy in group.copies
                ],
            }
            for group in groups[:MAX_GROUPS]
        ],
    }


def mark(service: Service, name: str | None, ids: list[int], decision: Decision) -> None:
    """Remember what was decided about pictures of a group."""
    service.collection(name).mark_duplicates(ids, decision)
