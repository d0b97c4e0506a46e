"""Every error as one shape of answer: ``{"error": {"type", "message"}}``, with the status that fits."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lookalike.app.capacity import ServerBusyError
from lookalike.app.guard.answers import error_body
from lookalike.app.guard.secret import has_powers
from lookalike.app.service import Service
from lookalike.errors import (
    CollectionLockedError,
    CollectionNotFoundError,
    FetchError,
    IdError,
    ImageError,
    InputError,
    LookalikeError,
)

__all__ = ["PAGE_HEADER", "handle_errors"]

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
