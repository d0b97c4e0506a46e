"""The REST API: what `docs/app.md` describes, as one FastAPI application to mount under ``/api``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple

import anyio.to_thread
from anyio import CapacityLimiter
from fastapi import APIRouter, FastAPI, Form, Path, Request, Response
from fastapi import Query as Parameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

import lookalike
from lookalike._threads import cores
from lookalike.app.forms import ID_LIMIT, Asked, FormIn, FormRoute
from lookalike.app.guard import error_body
from lookalike.app.keeping_api import add_keeping
from lookalike.app.metrics import CONTENT_TYPE, Counting, Metrics
from lookalike.app.pictures import Picture
from lookalike.app.schemas import (
    ErrorResponse,
    Examples,
    FoldedResult,
    Health,
    Labels,
    Page,
    Result,
    SearchResponse,
    Timing,
    Why,
)
from lookalike.app.schemas import Picture as PictureFacts
from lookalike.app.searching import Answer
from lookalike.app.service import Query, Service, describe
from lookalike.collection.filters import Filter, Shape
from lookalike.collection.finding import Found
from lookalike.collection.records import printable
from lookalike.errors import (
    CollectionLockedError,
    CollectionNotFoundError,
    FetchError,
    IdError,
    ImageError,
    InputError,
    LookalikeError,
)
from lookalike.features.images import thumbnail
from lookalike.viz.report import Page as ReportPage

__all__ = ["create_api"]

# With it a refusal is an answer: browsers report a failed request as an error of the page.
PAGE_HEADER: Final = "x-lookalike-page"

FETCHES: Final = 8  # addresses that are read at once
REPORTS: Final = 1  # searches that are taken apart at once

# The first class that fits decides. What is not listed is no fault of the request.
STATUS: Final = (
    (ImageError, 400),
    (FetchError, 400),
    (CollectionNotFoundError, 404),
    (CollectionLockedError, 409),
    (IdError, 404),
    (InputError, 422),
    (LookalikeError, 503),
)
HTTP_TYPES: Final = {
    400: "BadRequest",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    413: "PayloadTooLarge",
    415: "UnsupportedMediaType",
}
# A picture is inert data: nothing in it may run, should somebody open its address by itself.
PICTURE_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; sandbox"}
# A report's own policy names its scripts; this one keeps it away from the page's origin, and from every other machine.
REPORT_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; sandbox allow-scripts",
    "Cache-Control": "no-store",
}
ALWAYS_ASK: Final = "private, no-cache"
# While somebody goes back and forth between results, the browser need not ask for each thumbnail again.
FOR_A_MINUTE: Final = "private, max-age=60, stale-while-revalidate=3600"

In = Annotated[str | None, Parameter(alias="in", max_length=200, description="Name of a collection, never a path.")]
Id = Annotated[int, Path(ge=0, le=ID_LIMIT)]
Pixels = Annotated[int | None, Parameter(ge=0, le=2**31 - 1, description="Pixels of the longer side.")]


def create_api(service: Service) -> FastAPI:
    """The API over a service; it neither opens nor closes it."""
    codes = (400, 401, 403, 404, 408, 409, 413, 415, 421, 422, 503)
    api = FastAPI(
        title="lookalike",
        version=lookalike.__version__,
        description='Search pictures by picture. Every error is `{"error": {"type", "message"}}`.',
        docs_url=None,  # the pages of FastAPI load their scripts from another machine
        redoc_url=None,
        responses={code: {"model": ErrorResponse} for code in codes},
    )
    metrics = Metrics(service)
    api.add_middleware(Counting, metrics=metrics)
    _handle_errors(api)
    _add_search(api, service, metrics)
    _add_pictures(api, service)
    _add_collections(api, service, metrics)
    add_keeping(api, service)
    return api


class _Limits(NamedTuple):
    """How many are at work at once; made in the event loop that they belong to."""

    searches: CapacityLimiter
    addresses: CapacityLimiter
    reports: CapacityLimiter


class _Line:
    """Searches wait in the order in which they came, as many at work as there are cores; pictures go past them.

    Reports take seconds, so they wait for each other and no search waits for them.
    """

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service, self._metrics = service, metrics
        self._made: _Limits | None = None

    async def search(self, query: Query, name: str | None) -> tuple[Answer, Query]:
        """The answer, and the query with tags in place of its pictures."""
        query = await self._fetched(query)
        answer: Answer = await self._wait(self._limits.searches, self._service.search, query, name)
        self._metrics.count_search(answer)
        return answer, query

    async def why(self, query: Query, result: int, name: str | None) -> dict[str, Any]:
        """The reasons, which take about two searches."""
        query = await self._fetched(query)
        found: dict[str, Any] = await self._wait(self._limits.searches, self._service.why, query, result, name)
        return found

    async def explain(self, query: Query, name: str | None) -> str:
        """The page of a search, which takes some seconds."""
        query = await self._fetched(query)
        page: ReportPage = await self._wait(self._limits.reports, self._service.explain, query, name)
        return page.html

    async def _fetched(self, query: Query) -> Query:
        """Slow addresses wait for each other; nobody else waits for them."""
        limiter = self._limits.addresses if any(part.url is not None for part in query.parts) else None
        return await anyio.to_thread.run_sync(self._service.fetched, query, limiter=limiter)

    async def _wait(self, limiter: CapacityLimiter, work: Callable[..., Any], *arguments: Any) -> Any:
        with self._metrics.waiting.track_inprogress():
            return await anyio.to_thread.run_sync(work, *arguments, limiter=limiter)

    @property
    def _limits(self) -> _Limits:
        if self._made is None:
            self._made = _Limits(CapacityLimiter(cores()), CapacityLimiter(FETCHES), CapacityLimiter(REPORTS))
        return self._made


def _add_search(api: FastAPI, service: Service, metrics: Metrics) -> None:
    forms = APIRouter(route_class=FormRoute)
    line = _Line(service, metrics)

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
            return JSONResponse(error_body(type(error).__name__, str(error)))
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


def _add_pictures(api: FastAPI, service: Service) -> None:
    @api.get("/images/{id}", response_class=Response, tags=["pictures"])
    def image(request: Request, id: Id, name: In = None) -> Response:
        """A picture itself, or as JPEG where browsers cannot draw its format."""
        return _picture(request, service.picture(id, name), ALWAYS_ASK)

    @api.get("/thumbnails/{id}", response_class=Response, tags=["pictures"])
    def small(
        request: Request, id: Id, name: In = None, side: Annotated[int, Parameter(ge=1, le=640)] = 320
    ) -> Response:
        """A small JPEG of a picture."""
        return _picture(request, service.thumbnail(id, side, name), FOR_A_MINUTE)

    @api.get("/pictures/{id}", tags=["pictures"], response_model=PictureFacts)
    def picture(id: Id, name: In = None) -> dict[str, Any]:
        """Name, folder, size, and for starter pictures the author and licence."""
        return service.details(id, name)

    @api.get("/pictures", tags=["pictures"], response_model=Page)
    def pictures(
        name: In = None,
        offset: Annotated[int, Parameter(ge=0, le=ID_LIMIT)] = 0,
        limit: Annotated[int, Parameter(ge=1, le=200)] = 48,
        label: Annotated[list[str] | None, Parameter(description="Only in these folders, and below them.")] = None,
        after: Annotated[str | None, Parameter(description="A day, as in 2024-12-31, inclusive.")] = None,
        before: str | None = None,
        min_side: Pixels = None,
        max_side: Pixels = None,
        shape: Shape | None = None,
    ) -> dict[str, Any]:
        """A page of the collection's pictures, and how many there are; filters are those of a search."""
        wanted = Filter(tuple(label or ()), after or None, before or None, min_side, max_side, shape)
        return service.page(offset, limit, wanted, name)


def _picture(request: Request, picture: Picture, caching: str) -> Response:
    etag = f'"{picture.etag}"'
    headers = PICTURE_HEADERS | {"ETag": etag, "Cache-Control": caching}
    asked = request.headers.get("if-none-match", "")
    if etag in [tag.strip().removeprefix("W/") for tag in asked.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(picture.body, media_type=picture.media_type, headers=headers)


def _add_collections(api: FastAPI, service: Service, metrics: Metrics) -> None:
    @api.get("/health", tags=["server"], response_model=Health)
    def health() -> dict[str, Any]:
        """Whether the server can search its collection."""
        return {"status": "ok", "version": lookalike.__version__, "pictures": len(service.collection())}

    @api.get("/metrics", tags=["server"], response_class=Response)
    def prometheus() -> Response:
        """Requests, latencies, pictures and recall, for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE)

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


def _handle_errors(api: FastAPI) -> None:
    @api.exception_handler(LookalikeError)
    def known(request: Request, error: LookalikeError) -> JSONResponse:
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        if PAGE_HEADER in request.headers:
            status = 200
        return _error(status, type(error).__name__, str(error))

    @api.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = next((str(part) for part in first["loc"][1:]), "request")
        return _error(200 if PAGE_HEADER in request.headers else 422, "InputError", f"{where}: {first['msg'].lower()}")

    @api.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, HTTP_TYPES.get(error.status_code, "HTTPError"), str(error.detail))

    @api.exception_handler(Exception)
    def unknown(request: Request, error: Exception) -> JSONResponse:
        return _error(500, "InternalError", "an error inside lookalike; its log has the details")


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse(error_body(kind, message), status)
