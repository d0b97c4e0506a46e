"""Search for programs that speak gradio's own protocol: ``gradio_client``'s ``predict(..., api_name="/search")``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lookalike.app.capacity import Capacity
from lookalike.app.limits import check_limits
from lookalike.app.service import Service
from lookalike.collection.records import printable
from lookalike.errors import LookalikeError
from lookalike.search import Part, Query

if TYPE_CHECKING:
    from gradio import Blocks

__all__ = ["AT_ONCE", "add_remote_search", "create_remote"]

AT_ONCE: Final = 8  # that come out of gradio's queue and into the line of all searches


def create_remote(service: Service, capacity: Capacity) -> Blocks:
    """A Blocks with nothing in it but the endpoint."""
    import gradio

    with gradio.Blocks(title="lookalike", analytics_enabled=False) as blocks:
        add_remote_search(service, capacity)
    return blocks


def add_remote_search(service: Service, capacity: Capacity) -> None:
    """Add the endpoint to the Blocks that is being made; nothing of it is seen."""
    import gradio

    async def search(image: bytes | None, url: str, k: float, collection: str) -> dict[str, Any]:
        parts = [Part(image=image)] if image else []
        try:
            query = check_limits(Query([*parts, *([Part(url=url)] if url else [])], k=int(k)))
            if url:
                query = await capacity.addresses.run(service.fetched, query)
            answer = await capacity.searches.run(service.search, query, collection or None)
        except LookalikeError as error:
            raise gradio.Error(service.told(error), print_exception=False) from None
        # Not "path": gradio's clients take what has one for a file to download.
        results = [_without_path(found.hit.to_json(), printable(found.hit.relative)) for found in answer.found]
        return {"results": results, "timing_ms": answer.timing_ms}

    with gradio.Row(visible=False):
        image = gradio.File(label="image")
        url = gradio.Textbox(label="url")
        k = gradio.Number(10, label="k", precision=0)
        collection = gradio.Textbox(label="collection")
        button, answer = gradio.Button(), gradio.JSON(label="answer")
    button.click(search, [image, url, k, collection], answer, api_name="search", concurrency_limit=AT_ONCE)


def _without_path(hit: dict[str, Any], file: str) -> dict[str, Any]:
    return {"file": file, **{key: value for key, value in hit.items() if key != "path"}}
