"""What the REST API answers, as OpenAPI describes it."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from lookalike.collection.duplicates import Decision

__all__ = ["Decided", "ErrorResponse", "FoldedResult", "NewCollection", "Result", "SearchResponse", "Timing"]

Id = Annotated[int, Field(ge=0, le=2**63 - 1)]


class Result(BaseModel):
    """One picture found. `path` is relative to the folder that was indexed."""

    path: str
    similarity: float
    cosine: float
    distance: float
    id: int


class FoldedResult(Result):
    """The same, with near-identical pictures under it, if `fold` was asked for."""

    same: list[Result] | None = None


class Timing(BaseModel):
    """Milliseconds."""

    embed: float
    search: float


class SearchResponse(BaseModel):
    """Results, best first or in the order asked for; with `exact`, the ids that the index would have missed."""

    results: list[FoldedResult]
    timing_ms: Timing
    missed: list[int] | None = None


class ErrorDetail(BaseModel):
    """What went wrong, in one line for a person."""

    type: str
    message: str


class ErrorResponse(BaseModel):
    """The shape of every error."""

    error: ErrorDetail


class NewCollection(BaseModel):
    """A folder of this machine to index; `name` is the folder's own if not given."""

    folder: Annotated[str, Field(min_length=1, max_length=4096)]
    name: Annotated[str | None, Field(max_length=200)] = None


class Decided(BaseModel):
    """What somebody decided about pictures of a group: keep, ignore or reset."""

    ids: Annotated[list[Id], Field(max_length=10_000)]
    decision: Decision
