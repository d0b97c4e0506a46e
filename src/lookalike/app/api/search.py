"""Searching: `POST /search`, its form for the page, reasons and reports."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Form, Response
from fastapi.responses import HTMLResponse, JSONResponse

from lookalike.app.api.forms import ID_LIMIT, Asked, FormIn, FormRoute
from lookalike.app.api.pictures import FOR_A_MINUTE, PICTURE_HEADERS
from lookalike.app.api.schemas import (
    FoldedResult,
    Result,
    SearchResponse,
    Timing,
    Why,
)
from lookalike.app.capacity import Capacity
from lookalike.app.guard.answers import error_body
from lookalike.app.metrics import Metrics
from lookalike.app.service import Answer, Query, Service, describe
from lookalike.collection.records import printable
from lookalike.errors import (
    FetchError,
    IdError,
    ImageError,
    InputError,
)
from lookalike.features.images import thumbnail
from lookalike.search.find import Found

__all__ = ["add_search"]

# A report's own policy names its scripts; this one keeps it away from the page's origin, and from every other machine.
REPORT_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts",
    "Cache-Control": "no-store",
}


class _Line:
    """Searches wait in the order in which they came, as many at work as there are cores; nothing else is in their way."""

    def __init__(self, service: Service, metrics: Metrics, capacity: Capacity) -> None:
        self._service, self._metrics, self._capacity = service, metrics, capacity

    async def search(self, query: Query, name: str | None) -> tuple[Answer, Query]:
        """The answer, and the query with tags beside its pictures."""
        searches = self._capacity.searches
        if not _is_far(query):  # hold the place from the beginning: what cannot be searched need not be read
            async with searches.place():
                return await self._searched(query, name)
        query = await self._capacity.addresses.run(self._service.fetched, query)
        async with searches.place():
            return await self._searched(query, name)

    async def _searched(self, query: Query, name: str | None) -> tuple[Answer, Query]:
        def work() -> tuple[Answer, Query]:
            known = self._service.fetched(query)
            return self._service.search(known, name), known

        with self._metrics.waiting.track_inprogress():
            answer, known = await self._capacity.searches.run_in_place(work)
        self._metrics.count_search(answer)
        return answer, known

    async def why(self, query: Query, result: int, name: str | None) -> dict[str, Any]:
        """The reasons, which take about two searches."""
        if _is_far(query):
            query = await self._capacity.addresses.run(self._service.fetched, query)
        return await self._capacity.reasons.run(self._service.why, query, result, name)

    async def explain(self, query: Query, name: str | None) -> str:
        """The page of a search, which takes some seconds."""
        if _is_far(query):
            query = await self._capacity.addresses.run(self._service.fetched, query)
        return (await self._capacity.reports.run(self._service.explain, query, name)).html


def _is_far(query: Query) -> bool:
    return any(part.url is not None for part in query.parts)


def add_search(api: FastAPI, service: Service, metrics: Metrics, capacity: Capacity) -> None:
    forms = APIRouter(route_class=FormRoute)
    line = _Line(service, metrics, capacity)

    @forms.post("/search", tags=["search"], response_model_exclude_none=True)
    async def search(query: Asked, name: FormIn = None) -> SearchResponse:
        """Search with any mix of pictures, parts of pictures, words, and pictures to be more or less like."""
        answer, query = await line.search(query, name or None)
        return SearchResponse(
            results=[_result(found, query.fold) for found in answer.found],
            timing_ms=Timing(**answer.timing_ms),
            missed=answer.missed,
            words=answer.words,
        )

    @forms.post("/page/search", include_in_schema=False)
    async def search_for_page(query: Asked, name: FormIn = None) -> JSONResponse:
        """The same with what the page shows beside each picture.

        That a picture is refused is an answer here: browsers report a failed request as an error of the page.
        """
        try:
            answer, query = await line.search(query, name or None)
        except (ImageError, FetchError, IdError, InputError) as error:
            return JSONResponse(error_body(type(error).__name__, service.told(error)))
        shown = {
            "results": [_shown(found) for found in answer.found],
            "timing_ms": answer.timing_ms,
            "missed": answer.missed,
            "exact": answer.always_exact,
            "words": answer.words,
            "queries": [part.kept for part in query.parts if part.kept is not None],
        }
        return JSONResponse(shown)  # as it is: of 200 results, FastAPI's own way would take longer than the search

    @forms.post("/why", tags=["search"], response_model=Why)
    async def why(query: Asked, result: Annotated[int, Form(ge=0, le=ID_LIMIT)], name: FormIn = None) -> dict[str, Any]:
        """Why a picture is, or is not, among the results of a search."""
        return await line.why(query, result, name or None)

    @forms.post("/explain", tags=["search"], response_class=Response, responses={200: {"content": {"text/html": {}}}})
    async def explain(query: Asked, name: FormIn = None) -> HTMLResponse:
        """A search step by step, as one HTML file that needs nothing from anywhere."""
        return HTMLResponse(await line.explain(query, name or None), headers=REPORT_HEADERS)

    api.include_router(forms)

    @api.get("/queries/{tag}", response_class=Response, tags=["search"])
    def asked_with(tag: str) -> Response:
        """A picture that was searched with, upright and small, as long as the server has it."""
        body = thumbnail(service.query_pictures.get(tag), 1024)
        return Response(body, media_type="image/jpeg", headers=PICTURE_HEADERS | {"Cache-Control": FOR_A_MINUTE})


def _result(found: Found, fold: bool) -> FoldedResult:
    def fields(each: Found) -> dict[str, Any]:
        return each.hit.to_json() | {"path": printable(each.hit.relative)}

    same = [Result(**fields(each)) for each in found.same] if fold else None
    return FoldedResult(**fields(found), same=same)


def _shown(found: Found) -> dict[str, Any]:
    hit = found.hit
    measures = {"similarity": hit.similarity, "cosine": hit.cosine, "distance": hit.distance, "word": hit.word}
    gone = {"missing": True} if hit.missing else {}
    return describe(found.entry) | measures | gone | {"same": [_shown(each) for each in found.same]}
