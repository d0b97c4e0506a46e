"""The plain page: one gradio Interface, a form and a gallery. For those who want to read all of an app's source."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from lookalike.app.capacity import Capacity
from lookalike.app.limits import MAX_K, check_limits
from lookalike.app.remote import AT_ONCE
from lookalike.app.service import Service
from lookalike.app.uploads import Uploads
from lookalike.collection.finding import Found
from lookalike.errors import IdError, ImageError, LookalikeError
from lookalike.search import Query

if TYPE_CHECKING:
    from gradio import Interface

__all__ = ["create_simple"]


SHOWN_SECONDS: Final = 60.0  # in which a browser asks for the pictures of an answer


def create_simple(service: Service, uploads: Uploads, capacity: Capacity) -> Interface:
    """A picture, a collection and a number go in; the pictures that look most alike come out."""
    import gradio

    async def search(picture: bytes | None, collection: str, k: float) -> list[tuple[str, str]]:
        if picture is None:
            raise gradio.Error("Give a picture first.", print_exception=False)
        try:
            return await capacity.searches.run(found, check_limits(Query(picture, k=int(k))), collection)
        except LookalikeError as error:
            raise gradio.Error(service.told(error), print_exception=False) from None

    def found(query: Query, collection: str) -> list[tuple[str, str]]:
        answer = service.search(query, collection)
        return [shown(each, collection) for each in answer.found]

    def shown(each: Found, collection: str) -> tuple[str, str]:
        caption = f"{each.hit.similarity:.0f}% {each.entry.path.name}"
        try:
            body = service.thumbnail(each.hit.id, 320, collection).body
        except (IdError, ImageError) as error:  # one file that is gone must not cost the other results
            body, caption = _grey_tile(), f"{caption}: {service.told(error)}"
        return uploads.keep("result.jpg", body, SHOWN_SECONDS), caption

    picture = gradio.Image(type="filepath", sources=["upload", "webcam", "clipboard"], label="Picture")
    interface: Any = gradio.Interface(
        search,
        inputs=[
            picture,
            gradio.Dropdown(service.names(), value=service.default, label="Collection"),
            gradio.Slider(1, min(100, MAX_K), value=12, step=1, label="Number of results"),
        ],
        outputs=gradio.Gallery(label="Most alike first", columns=4, format="jpeg"),
        title="lookalike",
        analytics_enabled=False,
        flagging_mode="never",
        concurrency_limit=AT_ONCE,
    )
    return interface


def _grey_tile() -> bytes:
    """A JPEG that stands for a picture that cannot be shown."""
    from PIL import Image

    with io.BytesIO() as out:
        Image.new("RGB", (320, 320), (224, 224, 224)).save(out, "JPEG")
        return out.getvalue()
