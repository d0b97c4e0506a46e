"""Pictures by their ids: the file, a small one, and what is known of it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import FastAPI, Path, Request, Response
from fastapi import Query as Parameter

from lookalike.app.api.forms import ID_LIMIT, In
from lookalike.app.api.schemas import (
    Page,
)
from lookalike.app.api.schemas import Picture as PictureFacts
from lookalike.app.pictures import Picture
from lookalike.app.service import Service
from lookalike.collection.catalog.filters import Filter, Shape

__all__ = ["FOR_A_MINUTE", "PICTURE_HEADERS", "add_pictures"]

# A picture is inert data: nothing in it may run, should somebody open its address by itself.
PICTURE_HEADERS: Final = {"Content-Security-Policy": "default-src 'none'; sandbox"}
ALWAYS_ASK: Final = "private, no-cache"
# While somebody goes back and forth between results, the browser need not ask for each thumbnail again.
FOR_A_MINUTE: Final = "private, max-age=60, stale-while-revalidate=3600"


Id = Annotated[int, Path(ge=0, le=ID_LIMIT)]
Pixels = Annotated[int | None, Parameter(ge=0, le=2**31 - 1, description="Pixels of the longer side.")]


def add_pictures(api: FastAPI, service: Service) -> None:
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
