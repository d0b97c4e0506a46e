"""What gradio takes for files in a request: checked here, on every route, before gradio sees any of it.

In gradio's protocol a file is ``{"path": ..., "meta": {"_type": "gradio.FileData"}}``, anywhere in the JSON of a request, and
gradio opens that path, in whatever field it stands. Here the body is read first. A file that was not uploaded in this run becomes
one that never exists, and nothing else of such an object but its names is passed on: no address to fetch, no stream. What
gradio gets is written anew from what was checked, so that the two cannot read one body in two ways.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias

from lookalike.app.capacity import busy_body
from lookalike.app.gradio.uploads import NOT_UPLOADED, Uploads
from lookalike.app.guard.answers import error_body
from lookalike.app.guard.connections import check_parts
from lookalike.app.guard.guard import MAX_TEXT
from lookalike.app.limits import MAX_PARTS
from lookalike.errors import InputError

__all__ = ["CheckedFiles", "add_files", "checked", "guard_components"]

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

READING: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OURS: Final = ("/api/", "/lookalike/")  # no gradio behind them
UPLOAD: Final = "/gradio_api/upload"
MAX_DEPTH: Final = 40

# What a browser may show. Anything else is a download.
SHOWN: Final = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "bmp": "image/bmp",
    "avif": "image/avif",
}
FILE_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; sandbox", "Cache-Control": "private, no-cache"}


class CheckedFiles:
    """ASGI middleware in front of gradio."""

    def __init__(self, app: Any, uploads: Uploads) -> None:
        self._app, self._uploads = app, uploads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or scope["method"] in READING or path.startswith(OURS) or path == UPLOAD:
            await self._app(scope, receive, send)
            return
        body = await _whole(receive)
        if body is None:
            return
        try:
            if len(body) > MAX_TEXT:
                raise ValueError
            new = json.dumps(checked(json.loads(body), self._uploads)).encode() if body else b""
        except (ValueError, RecursionError):
            from fastapi.responses import JSONResponse

            refusal = JSONResponse(
                error_body("BadRequest", "the body: expected JSON, as gradio's clients send it"), 400
            )
            await refusal(scope, receive, send)
            return
        length = str(len(new)).encode()
        headers = [
            item for item in scope["headers"] if item[0].lower() not in (b"content-length", b"transfer-encoding")
        ]
        replaced = dict(scope) | {"headers": [*headers, (b"content-length", length)]}
        await self._app(replaced, _again(new, receive), _in_our_form(send))


def _in_our_form(send: Send) -> Send:
    """gradio's word for a full queue, as all that is busy here says it."""
    is_busy = False

    async def said(message: MutableMapping[str, Any]) -> None:
        nonlocal is_busy
        if message["type"] == "http.response.start" and message["status"] == 503:
            is_busy = True
            body = busy_body("the server is busy: gradio's queue is full; try again soon")
            headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            await send({**message, "headers": [*headers, (b"retry-after", b"2")]})
            await send({"type": "http.response.body", "body": body})
        elif not is_busy:
            await send(message)

    return said


async def _whole(receive: Receive) -> bytes | None:
    """A body; None if its sender went away. The guard has limited its size and time already."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        size += len(message.get("body", b""))
        if size <= MAX_TEXT + 1:
            pieces.append(message.get("body", b""))
        else:
            pieces = [bytes(MAX_TEXT + 1)]  # too much, whatever it is
        if not message.get("more_body", False):
            return b"".join(pieces)


def _again(body: bytes, receive: Receive) -> Receive:
    is_sent = False

    async def replay() -> MutableMapping[str, Any]:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def checked(value: Any, uploads: Uploads) -> Any:
    """The same JSON, with files in it that were uploaded, and others replaced by one that never exists.

    Raises
    ------
    ValueError
        If it is nested deeper than any client of gradio's does it.
    """

    def walk(value: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError
        if isinstance(value, list):
            return [walk(item, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        if _names_a_file(value):
            return _file(value, uploads)
        return {key: walk(item, depth + 1) for key, item in value.items()}

    return walk(value, 0)


def _names_a_file(value: dict[str, Any]) -> bool:
    meta = value.get("meta")
    return "path" in value or "url" in value or (isinstance(meta, dict) and meta.get("_type") == "gradio.FileData")


def _file(value: dict[str, Any], uploads: Uploads) -> dict[str, Any]:
    path = value.get("path")
    names = {key: value[key] for key in ("orig_name", "mime_type") if isinstance(value.get(key), str)}
    return {
        "path": path if uploads.knows(path) else uploads.refused,
        **names,
        "meta": {"_type": "gradio.FileData"},
    }


def guard_components(page: Any, uploads: Uploads) -> None:
    """Let no component of a page open, copy or fetch anything by itself.

    gradio would copy any file that is named in any field, fetch addresses, and open pictures with every decoder that Pillow has.
    An Image or a File passes on the bytes of an upload.
    """
    import gradio

    async def move(path: Any) -> str:
        if not uploads.knows(str(path)):
            raise gradio.Error(NOT_UPLOADED, print_exception=False)
        return str(path)

    def contents(payload: Any) -> bytes | None:
        if payload is None:
            return None
        try:
            return uploads.read(getattr(payload, "path", None))
        except InputError as error:
            raise gradio.Error(str(error), print_exception=False) from None

    for component in page.blocks.values():
        check_parts(component, ["async_move_resource_to_block_cache"], "gradio")  # else it would open any path
        component.async_move_resource_to_block_cache = move
        if isinstance(component, (gradio.File, gradio.Image)):
            component.preprocess = contents


def add_files(app: Any, uploads: Uploads) -> None:
    """Add the routes by which gradio's clients give and take files, in place of its own."""
    import anyio.to_thread
    from starlette.datastructures import UploadFile
    from starlette.exceptions import HTTPException
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response

    async def upload(request: Request) -> JSONResponse:
        if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
            raise HTTPException(415, "expected multipart/form-data")
        kept: list[str] = []
        async with request.form(max_files=MAX_PARTS, max_fields=MAX_PARTS) as form:
            try:
                for file in form.getlist("files"):
                    if isinstance(file, UploadFile):
                        data = await file.read()
                        kept.append(await anyio.to_thread.run_sync(uploads.keep, file.filename or "", data))
            except BaseException:
                uploads.forget(kept)
                raise
        return JSONResponse(kept)

    def file(request: Request) -> Response:
        path: str = request.path_params["path"]
        try:
            data = uploads.read(path)
        except InputError as error:
            return JSONResponse(error_body("Forbidden", str(error)), 403)
        kind = SHOWN.get(path.rpartition(".")[2].lower())
        disposition = {} if kind else {"Content-Disposition": "attachment"}
        return Response(data, media_type=kind or "application/octet-stream", headers=FILE_HEADERS | disposition)

    app.add_route(UPLOAD, upload, methods=["POST"], include_in_schema=False)
    for prefix in ("/gradio_api/file=", "/gradio_api/file/"):
        app.add_route(prefix + "{path:path}", file, methods=["GET", "HEAD"], include_in_schema=False)
