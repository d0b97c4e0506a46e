"""The REST API: what `docs/app.md` describes, as one FastAPI application to mount under ``/api``."""

from __future__ import annotations

import base64
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, File, Form, Path, Request, Response, UploadFile
from fastapi import Query as Parameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import lookalike
from lookalike.app.guard import error_body
from lookalike.app.service import MAX_K, Picture, Query, Service
from lookalike.collection.records import Hit, printable
from lookalike.errors import (
    CollectionNotFoundError,
    FetchError,
    IdError,
    ImageError,
    InputError,
    LookalikeError,
)
from lookalike.features.images import thumbnail

__all__ = ["create_api"]

# The first class that fits decides. What is not listed is no fault of the request.
STATUS: Final = (
    (ImageError, 400),
    (FetchError, 400),
    (CollectionNotFoundError, 404),
    (IdError, 404),
    (InputError, 422),
    (LookalikeError, 503),
)
HTTP_TYPES: Final = {404: "NotFound", 405: "MethodNotAllowed", 413: "PayloadTooLarge", 415: "UnsupportedMediaType"}
FORMS: Final = ("multipart/form-data", "application/x-www-form-urlencoded")
# A picture is inert data: nothing in it may run, should somebody open its address by itself.
PICTURE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-cache",
}
ID_LIMIT: Final = 2**63 - 1


class Result(BaseModel):
    """One picture found. `path` is relative to the folder that was indexed."""

    path: str
    similarity: float
    cosine: float
    distance: float
    id: int


class Timing(BaseModel):
    """Milliseconds."""

    embed: float
    search: float


class SearchResponse(BaseModel):
    """Results, best first."""

    results: list[Result]
    timing_ms: Timing


class ErrorDetail(BaseModel):
    """What went wrong, in one line for a person."""

    type: str
    message: str


class ErrorResponse(BaseModel):
    """The shape of every error."""

    error: ErrorDetail


In = Annotated[str | None, Parameter(alias="in", max_length=200, description="Name of a collection, never a path.")]
Id = Annotated[int, Path(ge=0, le=ID_LIMIT)]


def create_api(service: Service) -> FastAPI:
    """The API over a service; it neither opens nor closes it."""
    codes = (400, 401, 403, 404, 413, 415, 421, 422, 503)
    api = FastAPI(
        title="lookalike",
        version=lookalike.__version__,
        description='Search pictures by picture. Every error is `{"error": {"type", "message"}}`.',
        docs_url=None,  # the pages of FastAPI load their scripts from another machine
        redoc_url=None,
        responses={code: {"model": ErrorResponse} for code in codes},
    )
    _handle_errors(api)
    _add_search(api, service)
    _add_pictures(api, service)
    _add_collections(api, service)
    return api


def asked(
    image: Annotated[UploadFile | None, File(description="A picture file.")] = None,
    url: Annotated[str | None, Form(description="Public http(s) address of a picture.")] = None,
    id: Annotated[int | None, Form(ge=0, le=ID_LIMIT, description="A picture of the collection.")] = None,
    text: Annotated[str | None, Form(max_length=1000, description="Words, where the model can.")] = None,
    source: Annotated[
        str | None, Form(alias="from", max_length=200, description="Collection of `id`, if it is not `in`.")
    ] = None,
) -> Query:
    """The query of a form: exactly one of `image`, `url`, `id` and `text`."""
    uploaded = None if image is None else image.file.read()
    return Query(uploaded, url or None, id, text or None, source or None)


Asked = Annotated[Query, Depends(asked)]
Count = Annotated[int, Form(ge=1, le=MAX_K, description="How many results.")]
FormIn = Annotated[str | None, Form(alias="in", max_length=200, description="Name of a collection, never a path.")]


def _add_search(api: FastAPI, service: Service) -> None:
    forms = APIRouter(route_class=_FormRoute)

    @forms.post("/search", tags=["search"])
    def search(query: Asked, k: Count = 10, name: FormIn = None) -> SearchResponse:
        """Search with one picture: exactly one of `image`, `url`, `id` and `text`."""
        answer = service.search(query, k, name or None)
        results = [Result(**hit.to_json() | {"path": printable(hit.relative)}) for hit in answer.hits]
        return SearchResponse(results=results, timing_ms=Timing(**answer.timing_ms))

    @forms.post("/page/search", include_in_schema=False)
    def search_for_page(query: Asked, k: Count = 10, name: FormIn = None) -> dict[str, Any]:
        """The same with what the page shows beside each picture.

        That a picture is refused is an answer here: browsers report a failed request as an error of the page.
        """
        try:
            answer = service.search(query, k, name or None)
            return {
                "results": [service.details(hit.id, name or None) | _measures(hit) for hit in answer.hits],
                "timing_ms": answer.timing_ms,
                "thumbnail": _shown(answer.image),
            }
        except (ImageError, FetchError, IdError) as error:
            return error_body(type(error).__name__, str(error))

    api.include_router(forms)


def _measures(hit: Hit) -> dict[str, Any]:
    return {"similarity": hit.similarity, "cosine": hit.cosine, "word": hit.word}


def _shown(image: bytes | None) -> str | None:
    """A picture that came from outside as the model saw it: upright, and in a format that every browser draws."""
    if image is None:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(thumbnail(image, 640)).decode()


class _FormRoute(APIRoute):
    """Says that a body is of the wrong kind, where FastAPI would only miss its fields."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in FORMS:
                raise HTTPException(415, f"expected {' or '.join(FORMS)}, got {kind or 'no content type'}")
            return await handle(request)

        return handle_form


def _add_pictures(api: FastAPI, service: Service) -> None:
    @api.get("/images/{id}", response_class=Response, tags=["pictures"])
    def image(request: Request, id: Id, name: In = None) -> Response:
        """A picture itself, or as JPEG where browsers cannot draw its format."""
        return _picture(request, service.picture(id, name))

    @api.get("/thumbnails/{id}", response_class=Response, tags=["pictures"])
    def small(
        request: Request, id: Id, name: In = None, side: Annotated[int, Parameter(ge=1, le=640)] = 320
    ) -> Response:
        """A small JPEG of a picture."""
        return _picture(request, service.thumbnail(id, side, name))

    @api.get("/pictures/{id}", tags=["pictures"])
    def picture(id: Id, name: In = None) -> dict[str, Any]:
        """Name, folder, size, and for starter pictures the author and licence."""
        return service.details(id, name)


def _picture(request: Request, picture: Picture) -> Response:
    etag = f'"{picture.etag}"'
    headers = PICTURE_HEADERS | {"ETag": etag}
    asked = request.headers.get("if-none-match", "")
    if etag in [tag.strip().removeprefix("W/") for tag in asked.split(",")]:
        return Response(status_code=304, headers=headers)
    return Response(picture.body, media_type=picture.media_type, headers=headers)


def _add_collections(api: FastAPI, service: Service) -> None:
    @api.get("/health", tags=["server"])
    def health() -> dict[str, Any]:
        """Whether the server can search its collection."""
        return {"status": "ok", "version": lookalike.__version__, "pictures": len(service.collection())}

    @api.get("/status", tags=["collections"])
    def status(name: In = None) -> dict[str, Any]:
        """What `lookalike status --json` prints, with paths of skipped files relative to nothing outside."""
        return service.status(name)

    @api.get("/collections", tags=["collections"])
    def collections() -> dict[str, Any]:
        """Names of the collections that can be searched, the default first."""
        return {"collections": [{"name": name, "default": name == service.default} for name in service.names()]}

    @api.get("/examples", tags=["collections"])
    def examples(name: In = None, n: Annotated[int, Parameter(ge=1, le=60)] = 12) -> dict[str, Any]:
        """Pictures to start from."""
        return {"examples": service.examples(n, name)}


def _handle_errors(api: FastAPI) -> None:
    @api.exception_handler(LookalikeError)
    def known(request: Request, error: LookalikeError) -> JSONResponse:
        status = next(code for kind, code in STATUS if isinstance(error, kind))
        return _error(status, type(error).__name__, str(error))

    @api.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:]) or "request"
        return _error(422, "InputError", f"{where}: {first['msg'].lower()}")

    @api.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        return _error(error.status_code, HTTP_TYPES.get(error.status_code, "HTTPError"), str(error.detail))

    @api.exception_handler(Exception)
    def unknown(request: Request, error: Exception) -> JSONResponse:
        return _error(500, "InternalError", "an error inside lookalike; its log has the details")


def _error(status: int, kind: str, message: str) -> JSONResponse:
    return JSONResponse(error_body(kind, message), status)
