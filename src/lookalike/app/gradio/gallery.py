"""Results and examples as gradio's galleries take them: thumbnails that it sends by path, each with a caption."""

from __future__ import annotations

import io
from typing import Final

from lookalike.app.gradio.uploads import Uploads
from lookalike.app.service import Service
from lookalike.errors import IdError, ImageError
from lookalike.search import Query

__all__ = ["Tile", "examples", "results"]

SIDE: Final = 320
SHOWN_SECONDS: Final = 60.0  # in which a browser asks for the pictures of an answer

Tile = tuple[str, str]
"""The path of a thumbnail, and its caption."""


def results(service: Service, uploads: Uploads, query: Query, collection: str) -> list[Tile]:
    """What a query finds, most alike first."""
    found = service.search(query, collection or None).found
    captions = [f"{each.hit.similarity:.0f}% {each.entry.path.name}" for each in found]
    return [
        _tile(service, uploads, each.hit.id, caption, collection) for each, caption in zip(found, captions, strict=True)
    ]


def examples(service: Service, uploads: Uploads, collection: str, n: int) -> tuple[list[Tile], list[int]]:
    """Some pictures of a collection, and their ids."""
    ids = [int(each["id"]) for each in service.examples(n, name=collection or None)]
    return [_tile(service, uploads, id, "", collection) for id in ids], ids


def _tile(service: Service, uploads: Uploads, id: int, caption: str, collection: str) -> Tile:
    try:
        body = service.thumbnail(id, SIDE, collection or None).body
    except (IdError, ImageError) as error:  # one file that is gone must not cost the others
        body, caption = _grey_tile(), f"{caption}: {service.told(error)}".removeprefix(": ")
    return uploads.keep("result.jpg", body, SHOWN_SECONDS), caption


def _grey_tile() -> bytes:
    """A JPEG that stands for a picture that cannot be shown."""
    from PIL import Image

    with io.BytesIO() as out:
        Image.new("RGB", (SIDE, SIDE), (224, 224, 224)).save(out, "JPEG")
        return out.getvalue()
