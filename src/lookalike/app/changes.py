"""Collections listed, made, brought up to date and deleted from the app."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lookalike.app import jobs
from lookalike.app.folders import chosen_folder
from lookalike.app.jobs import Job
from lookalike.app.service import Service
from lookalike.collection import AddReport, Collection, Progress, home
from lookalike.collection.records import Skipped, printable
from lookalike.data.paths import absolute
from lookalike.errors import (
    CollectionError,
    CollectionLockedError,
    CollectionNotFoundError,
    InputError,
    LookalikeError,
)

__all__ = ["create", "delete", "listed", "skipped", "update"]


def listed(service: Service, details: bool = False, *, folders: bool = False) -> list[dict[str, Any]]:
    """The collections by name, the default first; with `details`, what each holds, and with `folders`, where they are from."""
    names = [{"name": name, "default": name == service.default} for name in service.names()]
    return [{**item, **_details(service, str(item["name"]), folders)} for item in names] if details else names


def _details(service: Service, name: str, folders: bool) -> dict[str, Any]:
    try:
        status = service.peek(name)
    except LookalikeError as error:
        return {"pictures": None, "problem": service.told(error)}
    found: dict[str, Any] = {key: status[key] for key in ("pictures", "missing", "labels", "bytes")}
    found["skipped"] = len(status["skipped"])
    if folders:
        found["folders"] = [{**root, "path": printable(root["path"])} for root in status["roots"]]
    return found


def skipped(service: Service, name: str | None) -> dict[str, Any]:
    """The files of a collection that were passed over, by their reason."""
    status = service.collection(name).status()
    roots = [Path(root["path"]) for root in status["roots"]]
    # They come sorted, what never was meant to be a picture last.
    first = len(status["skipped"]) - sum(status["skipped_kinds"].get(kind, 0) for kind in jobs.OF_NO_INTEREST)
    items = [
        Skipped(Path(item["path"]), item["reason"], "file" if at < first else "other")
        for at, item in enumerate(status["skipped"])
    ]
    reasons = [{**each, "reason": service.told_text(each["reason"])} for each in jobs.reasons(items, roots)]
    return {"total": len(items), "reasons": reasons}


def create(service: Service, folder: str, name: str | None = None, *, join: bool = False) -> Job:
    """Index a folder of this machine into a collection, made where there is none of that name.

    Parameters
    ----------
    service : Service
    folder : str
        Its full path.
    name : str, optional
        The folder's own, if not given.
    join : bool
        Add the folder to a collection that was made from others.

    Raises
    ------
    InputError
        If it is no folder, the name no name, or that of a collection of other folders.
    CollectionLockedError
        While something is being indexed already.
    """
    path = chosen_folder(folder)
    chosen = name or home.name_for_folder(path)
    if any(separator in chosen for separator in ("/", os.sep)):
        raise InputError(f"name: expected one without a slash, got {printable(chosen)[:100]!r}")
    target = home.resolve(chosen)
    chosen = service.spelled(chosen)
    service.jobs.check_idle()
    is_new = chosen not in service.names()
    if not (is_new or join or _holds(service.collection(chosen), path)):
        raise InputError(
            f"name: there is a collection called {printable(chosen)!r} of other folders; choose another name, "
            "or join the two"
        )

    def work(progress: Callable[[Progress], None]) -> AddReport:
        if is_new:
            Collection.create(target).close()
        try:
            return service.collection(chosen).add(path, progress=progress)
        finally:
            if is_new and not len(service.collection(chosen)):  # nothing to search: not worth a collection
                service.forget(chosen)
                home.delete_collection(target)

    return service.jobs.start(chosen, work, [path])


def _holds(collection: Collection, folder: Path) -> bool:
    """Whether a collection was made from a folder, or from one that it lies in."""
    roots = [Path(root["path"]) for root in collection.status()["roots"]]
    return any(absolute(folder).is_relative_to(root) for root in roots)


def update(service: Service, name: str) -> Job:
    """Look again at the folders of a collection."""
    collection = service.collection(name)
    roots = [Path(root["path"]) for root in collection.status()["roots"]]
    if not roots:
        raise InputError(f"{collection.name} has no folders to look at; `lookalike index FOLDER` adds one")
    return service.jobs.start(name, lambda progress: collection.add(progress=progress), roots)


def delete(service: Service, name: str) -> None:
    """Delete a collection; its pictures stay.

    Raises
    ------
    CollectionError
        If it is the one that the server was started with, or is being indexed.
    CollectionNotFoundError
        If there is none of that name.
    """
    name = service.spelled(name)
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
