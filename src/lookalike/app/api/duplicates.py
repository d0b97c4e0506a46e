"""Groups of the same picture: comparing, a page of them, and what is decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi import Query as Parameter
from fastapi.responses import JSONResponse

from lookalike.app.api.comparing import Comparing, Comparisons, StoppedComparing
from lookalike.app.api.forms import ID_LIMIT, In
from lookalike.app.api.powers import may_change
from lookalike.app.api.schemas import (
    Decided,
    Duplicates,
    Marked,
)
from lookalike.app.capacity import Capacity
from lookalike.app.service import Service, describe
from lookalike.curate.groups import Copy, Group

__all__ = ["add_duplicates", "duplicate_groups"]

MAX_COPIES = 200  # of one group


def add_duplicates(api: FastAPI, service: Service, capacity: Capacity) -> None:
    """Add them to the API."""
    comparisons = service.comparisons = Comparisons(capacity.comparisons)

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
        return await capacity.lookups.run(duplicate_groups, groups, offset, limit, ignored)

    @api.delete("/duplicates", tags=["collections"], response_model=StoppedComparing)
    async def stop_comparing(
        name: In = None,
        similarity: Annotated[float | None, Parameter(ge=1, le=100, description="Only the comparison with it.")] = None,
    ) -> StoppedComparing:
        """Stop comparing the pictures of a collection, for all who wait for it; nothing is lost."""
        return StoppedComparing(stopped=comparisons.stop(name or service.default, similarity))

    @api.post("/duplicates", tags=["collections"], response_model=Marked, dependencies=[Depends(may_change(service))])
    async def decide(decided: Decided, name: In = None) -> dict[str, Any]:
        """Remember what was decided about pictures of a group."""
        await capacity.lookups.run(
            lambda: service.collection(name).mark_duplicates(
                decided.ids, decided.decision
            )  # which may have to be opened
        )
        comparisons.forget_done(name or service.default)
        return {"marked": len(decided.ids)}


def duplicate_groups(groups: Sequence[Group], offset: int = 0, limit: int = 20, ignored: bool = True) -> dict[str, Any]:
    """A page of the groups of the same picture, largest first; `ignored` ones only if they are asked for."""
    open_ones = [group for group in groups if not group.ignored]
    shown = groups if ignored else open_ones
    return {
        "total": len(shown),
        "ignored": len(groups) - len(open_ones),
        "pictures": sum(len(group.copies) for group in open_ones),
        "spare_bytes": sum(group.spare_bytes for group in open_ones),
        "groups": [
            {
                "ignored": group.ignored,
                "spare_bytes": group.spare_bytes,
                "least_similarity": group.least,
                "is_chain": group.is_chain,
                "links": group.links,
                "pictures": [_copy(copy) for copy in group.copies[:MAX_COPIES]],
                "count": len(group.copies),
            }
            for group in shown[offset : offset + limit]
        ],
    }


def _copy(copy: Copy) -> dict[str, Any]:
    about = {"similarity": copy.similarity, "kept": copy.kept, "part": copy.part}
    return describe(copy.entry) | about | {"is_link": copy.is_link, "link_of": copy.link_of}
