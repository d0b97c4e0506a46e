"""Collections: which there are, what they hold, and making, updating and deleting them on the server's own machine."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path, Request
from fastapi import Query as Parameter

from lookalike.app import changes
from lookalike.app.api.forms import ID_LIMIT, In, Name
from lookalike.app.api.powers import on_this_machine
from lookalike.app.api.schemas import (
    Collections,
    Deleted,
    Examples,
    Folders,
    Jobs,
    JobState,
    Labels,
    NewCollection,
    SkippedFiles,
)
from lookalike.app.capacity import Capacity
from lookalike.app.folders import folders_in
from lookalike.app.guard.secret import has_powers
from lookalike.app.service import Service

__all__ = ["add_changes", "add_collections"]


def add_collections(api: FastAPI, service: Service) -> None:
    """Add what can be read of collections."""

    @api.get("/status", tags=["collections"])
    def status(name: In = None) -> dict[str, Any]:
        """What `lookalike status --json` prints, with paths of skipped files relative to nothing outside."""
        return service.status(name)

    @api.get("/labels", tags=["collections"], response_model=Labels)
    def labels(name: In = None) -> dict[str, Any]:
        """The folders of a collection, with the pictures in and below each."""
        return {"labels": service.labels(name)}

    @api.get("/examples", tags=["collections"], response_model=Examples)
    def examples(
        name: In = None,
        n: Annotated[int, Parameter(ge=1, le=60)] = 12,
        page: Annotated[int, Parameter(ge=0, le=1_000_000)] = 0,
    ) -> dict[str, Any]:
        """Pictures to start from; each page has others."""
        return {"examples": service.examples(n, page, name)}

    @api.get("/jobs", tags=["collections"], response_model=Jobs)
    def jobs(request: Request) -> dict[str, Any]:
        """What is being indexed and what was, the latest first."""
        may = service.local and has_powers(request.scope)
        return {
            "jobs": [service.told_job(job) for job in service.jobs.all()],
            "local": may,
            "needs_token": service.local and not may,
        }

    @api.get("/collections", tags=["collections"], response_model=Collections, response_model_exclude_unset=True)
    def collections(request: Request, details: bool = False) -> dict[str, Any]:
        """The collections that can be searched, the default first; with `details`, what each holds."""
        return {"collections": changes.listed(service, details, folders=service.local and has_powers(request.scope))}

    @api.get("/skipped", tags=["collections"], response_model=SkippedFiles)
    def skipped(name: In = None) -> dict[str, Any]:
        """The files of a collection's folders that were passed over, by the reason."""
        return changes.skipped(service, name)


def add_changes(api: FastAPI, service: Service, capacity: Capacity) -> None:
    """Add what changes collections, for the server's own machine and those who have its secret."""
    local = APIRouter(
        dependencies=[Depends(on_this_machine(service))], tags=["collections"], route_class=capacity.route_class()
    )

    @local.get("/folders", response_model=Folders)
    def folders(path: Annotated[str, Parameter(max_length=4096)] = "") -> dict[str, Any]:
        """The folders in a folder of this machine; in your home without `path`."""
        return folders_in(path)

    @local.post("/collections", status_code=202, response_model=JobState)
    def create(new: NewCollection) -> dict[str, Any]:
        """Index a folder of this machine; the answer is a job to watch."""
        return service.told_job(changes.create(service, new.folder, new.name or None, join=new.join))

    @local.post("/collections/{name}/update", status_code=202, response_model=JobState)
    def update(name: Name) -> dict[str, Any]:
        """Look again at a collection's folders; the answer is a job to watch."""
        return service.told_job(changes.update(service, name))

    @local.delete("/collections/{name}", response_model=Deleted)
    def delete(name: Name) -> dict[str, Any]:
        """Delete a collection; its pictures stay."""
        changes.delete(service, name)
        return {"deleted": name}

    @local.delete("/jobs/{id}", response_model=JobState)
    def stop(id: Annotated[int, Path(ge=0, le=ID_LIMIT)]) -> dict[str, Any]:
        """Stop a job; what it has done is kept."""
        return service.told_job(service.jobs.stop(id))

    api.include_router(local)
