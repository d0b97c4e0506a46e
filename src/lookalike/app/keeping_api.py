"""The routes that change something: collections, jobs, duplicates.

Folders, indexing and deleting are for the server's own machine only, and for those who have the server's secret.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Path, Request
from fastapi import Query as Parameter
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lookalike.app import keeping
from lookalike.app.capacity import Capacity
from lookalike.app.comparing import Comparing, Comparisons, StoppedComparing
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
from lookalike.app.secret import HEADER, has_powers
from lookalike.app.service import Service

__all__ = ["add_keeping"]

In = Annotated[str | None, Parameter(alias="in", max_length=200, description="Name of a collection, never a path.")]
Name = Annotated[str, Path(max_length=200)]

ELSEWHERE: Final = "folders are indexed and collections deleted on the server's own machine only"
NO_SECRET: Final = (
    "this needs the server's secret: open the address that `lookalike serve` printed, the one with ?token= in it; "
    f"programs send the token as {HEADER}"
)


def add_keeping(api: FastAPI, service: Service, capacity: Capacity) -> None:
    """Add them to the API."""
    comparisons = service.comparisons = Comparisons(capacity.comparisons)

    def on_this_machine(request: Request) -> None:
        if not service.local:
            raise HTTPException(403, ELSEWHERE)
        may_change(request)

    def may_change(request: Request) -> None:
        """Where other machines get in, everybody who does has a password or a token already."""
        if service.local and not has_powers(request.scope):
            raise HTTPException(403, NO_SECRET)

    local = APIRouter(dependencies=[Depends(on_this_machine)], tags=["collections"], route_class=capacity.route_class())

    @local.get("/folders", response_model=Folders)
    def folders(path: Annotated[str, Parameter(max_length=4096)] = "") -> dict[str, Any]:
        """The folders in a folder of this machine; in your home without `path`."""
        return keeping.folders_in(path)

    @local.post("/collections", status_code=202, response_model=JobState)
    def create(new: NewCollection) -> dict[str, Any]:
        """Index a folder of this machine; the answer is a job to watch."""
        return service.told_job(keeping.create(service, new.folder, new.name or None, join=new.join))

    @local.post("/collections/{name}/update", status_code=202, response_model=JobState)
    def update(name: Name) -> dict[str, Any]:
        """Look again at a collection's folders; the answer is a job to watch."""
        return service.told_job(keeping.update(service, name))

    @local.delete("/collections/{name}", response_model=Deleted)
    def delete(name: Name) -> dict[str, Any]:
        """Delete a collection; its pictures stay."""
        keeping.delete(service, name)
        return {"deleted": name}

    @local.delete("/jobs/{id}", response_model=JobState)
    def stop(id: Annotated[int, Path(ge=0, le=ID_LIMIT)]) -> dict[str, Any]:
        """Stop a job; what it has done is kept."""
        return service.told_job(service.jobs.stop(id))

    api.include_router(local)

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
        return {"collections": keeping.listed(service, details, folders=service.local and has_powers(request.scope))}

    @api.get("/skipped", tags=["collections"], response_model=SkippedFiles)
    def skipped(name: In = None) -> dict[str, Any]:
        """The files of a collection's folders that were passed over, by the reason."""
        return keeping.skipped(service, name)

    @api.get(
        "/duplicates",
        tags=["collections"],
        response_model=Duplicates,
        responses={202: {"model": Comparing, "description": "Not done yet: ask again."}},
    )
    async def duplicates(
        name: In = None,
        similarity: Annotated[
            float, Parameter(ge=1, le=100, description="How like another one a picture has to be.")
        ] = 90.0,
        offset: Annotated[int, Parameter(ge=0, le=ID_LIMIT)] = 0,
        limit: Annotated[int, Parameter(ge=1, le=200)] = 20,
        ignored: Annotated[bool, Parameter(description="Groups that were ignored, too.")] = True,
    ) -> Any:
        """A page of the groups of the same picture, largest first; 202 and how far it is while that takes long."""
        collection = await capacity.lookups.run(service.collection, name)
        groups = await comparisons.groups(collection, similarity)
        if isinstance(groups, Comparing):
            return JSONResponse(groups.model_dump(), 202, headers={"Retry-After": "1"})
        return await capacity.lookups.run(keeping.duplicate_groups, groups, offset, limit, ignored)

    @api.delete("/duplicates", tags=["collections"], response_model=StoppedComparing)
    async def stop_comparing(
        name: In = None,
        similarity: Annotated[float | None, Parameter(ge=1, le=100, description="Only the comparison with it.")] = None,
    ) -> StoppedComparing:
        """Stop comparing the pictures of a collection, for all who wait for it; nothing is lost."""
        return StoppedComparing(stopped=comparisons.stop(name or service.default, similarity))

    @api.post("/duplicates", tags=["collections"], response_model=Marked, dependencies=[Depends(may_change)])
    async def decide(decided: Decided, name: In = None) -> dict[str, Any]:
        """Remember what was decided about pictures of a group."""
        await capacity.lookups.run(keeping.mark, service, name, decided.ids, decided.decision)
        comparisons.forget_done(name or service.default)
        return {"marked": len(decided.ids)}
