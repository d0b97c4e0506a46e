"""The REST API: what `docs/app.md` describes, as one FastAPI application to mount under ``/api``."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, FastAPI, Form, Path, Request, Response
from fastapi import Query as Parameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

import lookalike
from lookalike.app.capacity import Capacity, ServerBusyError
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
from lookalike.app.secret import has_powers
from lookalike.app.service import Answer, Query, Service, describe
from lookalike.collection.catalog.filters import Filter, Shape
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
from lookalike.search.find import Found

__all__ = ["create_api", "handle_errors"]

# With it a refusal is an answer: browsers report a failed request as an error of the page.
PAGE_HEADER: Final = "x-lookalike-page"

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
    503: "ServerBusyError",
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


def create_api(service: Service, capacity: Capacity | None = None) -> FastAPI:
    """The API over a service; it neither opens nor closes it."""
    capacity = capacity or Capacity()
    codes = (400, 401, 403, 404, 408, 409, 413, 415, 421, 422, 429, 503)
    api = FastAPI(
        title="lookalike",
        version=lookalike.__version__,
        description='Search pictures by picture. Every error is `{"error": {"type", "message"}}`.',
        docs_url=None,  # the pages of FastAPI load their scripts from another machine
        redoc_url=None,
        responses={code: {"model": ErrorResponse} for code in codes},
    )
    api.router.route_class = capacity.route_class()
    metrics = Metrics(service)
    api.add_middleware(Counting, metrics=metrics)
    handle_errors(api, service)
    _add_search(api, service, metrics, capacity)
    _add_pictures(api, service)
    _add_collections(api, service, metrics)
    add_keeping(api, service, capacity)
    return api


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


def _add_search(api: FastAPI, service: Service, metrics: Metrics, capacity: Capacity) -> None:
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


def handle_errors(api: FastAPI, service: Service) -> None:
    """Answer what is raised in the one shape of errors."""

    @api.exception_handler(LookalikeError)
    def known(request: Request, error: LookalikeError) -> JSONResponse:
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        if PAGE_HEADER in request.headers:
            status = 200
        # Whoever may look through this machine's folders typed the path that is wrong.
        is_own = isinstance(error, InputError) and has_powers(request.scope)
        answer = _error(status, type(error).__name__, str(error) if is_own else service.told(error))
        if isinstance(error, ServerBusyError):
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer

    @api.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = next((str(part) for part in first["loc"][1:]), "request")
        return _error(200 if PAGE_HEADER in request.headers else 422, "InputError", f"{where}: {first['msg'].lower()}")

    @api.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        status = 200 if error.status_code == 403 and PAGE_HEADER in request.headers else error.status_code
        return _error(status, HTTP_TYPES.get(error.status_code, "HTTPError"), str(error.detail))

    @api.exception_handler(Exception)
    def unknown(request: Request, error: Exception) -> JSONResponse:
        return _error(500, "InternalError", "an error inside lookalike; its log has the details")


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse(error_body(kind, message), status)
