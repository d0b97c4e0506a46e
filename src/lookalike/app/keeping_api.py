"""The routes that change something: collections, jobs, duplicates. Folders and deleting are for this machine only."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Path
from fastapi import Query as Parameter
from starlette.exceptions import HTTPException

from lookalike.app import keeping
from lookalike.app.forms import ID_LIMIT
from lookalike.app.schemas import (
    Collections,
    Decided,
    Deleted,
    Duplicates,
    Folders,
    Jobs,
    JobState,
    Marked,
    NewCollection,
    SkippedFiles,
)
from lookalike.app.service import Service

__all__ = ["add_keeping"]

In = Annotated[str | None, Parameter(alias="in", max_length=200, description="Name of a collection, never a path.")]
Name = Annotated[str, Path(max_length=200)]


def add_keeping(api: FastAPI, service: Service) -> None:
    """Add them to the API."""

    def on_this_machine() -> None:
        if not service.local:
            raise HTTPException(403, "folders are indexed and collections deleted on the server's own machine only")

    local = APIRouter(dependencies=[Depends(on_this_machine)], tags=["collections"])

    @local.get("/folders", response_model=Folders)
    def folders(path: Annotated[str, Parameter(max_length=4096)] = "") -> dict[str, Any]:
        """The folders in a folder of this machine; in your home without `path`."""
        return keeping.folders_in(path)

    @local.post("/collections", status_code=202, response_model=JobState)
    def create(new: NewCollection) -> dict[str, Any]:
        """Index a folder of this machine; the answer is a job to watch."""
        return keeping.create(service, new.folder, new.name or None, join=new.join).to_json()

    @local.post("/collections/{name}/update", status_code=202, response_model=JobState)
    def update(name: Name) -> dict[str, Any]:
        """Look again at a collection's folders; the answer is a job to watch."""
        return keeping.update(service, name).to_json()

    @local.delete("/collections/{name}", response_model=Deleted)
    def delete(name: Name) -> dict[str, Any]:
        """Delete a collection; its pictures stay."""
        keeping.delete(service, name)
        return {"deleted": name}

    @local.delete("/jobs/{id}", response_model=JobState)
    def stop(id: Annotated[int, Path(ge=0, le=ID_LIMIT)]) -> dict[str, Any]:
        """Stop a job; what it has done is kept."""
        return service.jobs.stop(id).to_json()

    api.include_router(local)

    @api.get("/jobs", tags=["collections"], response_model=Jobs)
    def jobs() -> dict[str, Any]:
        """What is being indexed and what was, the latest first."""
        return {"jobs": [job.to_json() for job in service.jobs.all()], "local": service.local}

    @api.get("/collections", tags=["collections"], response_model=Collections, response_model_exclude_unset=True)
    def collections(details: bool = False) -> dict[str, Any]:
        """The collections that can be searched, the default first; with `details`, what each holds."""
        return {"collections": keeping.listed(service, details)}

    @api.get("/skipped", tags=["collections"], response_model=SkippedFiles)
    def skipped(name: In = None) -> dict[str, Any]:
        """The files of a collection's folders that were passed over, by the reason."""
        return keeping.skipped(service, name)

    @api.get("/duplicates", tags=["collections"], response_model=Duplicates)
    def duplicates(
        name: In = None,
        similarity: Annotated[
            float, Parameter(ge=1, le=100, description="How like another one a picture has to be.")
        ] = 90.0,
        offset: Annotated[int, Parameter(ge=0, le=ID_LIMIT)] = 0,
        limit: Annotated[int, Parameter(ge=1, le=200)] = 20,
        ignored: Annotated[bool, Parameter(description="Groups that were ignored, too.")] = True,
    ) -> dict[str, Any]:
        """A page of the groups of the same picture, largest first."""
        return keeping.duplicate_groups(service, name, similarity, offset, limit, ignored)

    @api.post("/duplicates", tags=["collections"], response_model=Marked)
    def decide(decided: Decided, name: In = None) -> dict[str, Any]:
        """Remember what was decided about pictures of a group."""
        keeping.mark(service, name, decided.ids, decided.decision)
        return {"marked": len(decided.ids)}
