"""The plain page: one gradio Interface, a form and a gallery. For those who want to read all of an app's source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lookalike.app.capacity import Capacity
from lookalike.app.gradio import gallery
from lookalike.app.gradio.remote import AT_ONCE
from lookalike.app.gradio.uploads import Uploads
from lookalike.app.limits import MAX_K, check_limits
from lookalike.app.service import Service
from lookalike.errors import LookalikeError
from lookalike.search import Query

if TYPE_CHECKING:
    from gradio import Interface

__all__ = ["create_simple"]


def create_simple(service: Service, uploads: Uploads, capacity: Capacity) -> Interface:
    """A picture, a collection and a number go in; the pictures that look most alike come out."""
    import gradio

    async def search(picture: bytes | None, collection: str, k: float) -> list[gallery.Tile]:
        if picture is None:
            raise gradio.Error("Give a picture first.", print_exception=False)
        try:
            query = check_limits(Query(picture, k=int(k)))
            return await capacity.searches.run(gallery.results, service, uploads, query, collection)
        except LookalikeError as error:
            raise gradio.Error(service.told(error), print_exception=False) from None

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
