"""The plain page: one gradio Interface, a form and a gallery. For those who want to read all of an app's source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lookalike.app.capacity import Capacity
from lookalike.app.queries import Part, Query
from lookalike.app.remote import AT_ONCE
from lookalike.app.service import MAX_K, Service
from lookalike.app.uploads import Uploads
from lookalike.errors import LookalikeError

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
            return await capacity.searches.run(found, Query((Part(image=picture),), k=int(k)), collection)
        except LookalikeError as error:
            raise gradio.Error(service.told(error), print_exception=False) from None

    def found(query: Query, collection: str) -> list[tuple[str, str]]:
        answer = service.search(query, collection)
        return [
            (
                uploads.keep("result.jpg", service.thumbnail(each.hit.id, 320, collection).body, SHOWN_SECONDS),
                f"{each.hit.similarity:.0f}% {each.entry.path.name}",
            )
            for each in answer.found
        ]

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
