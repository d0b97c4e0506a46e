"""Search for programs that speak gradio's own protocol: ``gradio_client``'s ``predict(..., api_name="/search")``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lookalike.app.queries import Part, Query
from lookalike.app.service import Service
from lookalike.collection.records import printable
from lookalike.errors import LookalikeError

__all__ = ["add_remote_search", "take_as_it_is"]


def add_remote_search(service: Service) -> None:
    """Add the endpoint to the Blocks that is being made; nothing of it is seen."""
    import gradio

    def search(image: str | None, url: str, k: float, collection: str) -> dict[str, Any]:
        parts = [Part(image=Path(image).read_bytes())] if image else []
        try:
            answer = service.search(Query((*parts, *([Part(url=url)] if url else [])), k=int(k)), collection or None)
        except LookalikeError as error:
            raise gradio.Error(service.told(error), print_exception=False) from None
        # Not "path": gradio's clients take what has one for a file to download.
        results = [_without_path(found.hit.to_json(), printable(found.hit.relative)) for found in answer.found]
        return {"results": results, "timing_ms": answer.timing_ms}

    with gradio.Row(visible=False):
        image = gradio.File(label="image")
        take_as_it_is(image)
        url = gradio.Textbox(label="url")
        k = gradio.Number(10, label="k", precision=0)
        collection = gradio.Textbox(label="collection")
        button, answer = gradio.Button(), gradio.JSON(label="answer")
    button.click(search, [image, url, k, collection], answer, api_name="search", concurrency_limit=2)


def _without_path(hit: dict[str, Any], file: str) -> dict[str, Any]:
    return {"file": file, **{key: value for key, value in hit.items() if key != "path"}}


def take_as_it_is(component: Any) -> None:
    """Keep gradio's hands off what is sent to an Image or a File: its path is passed on, and nothing else happens.

    gradio would fetch a URL that is sent in place of a file, and open a picture with every decoder that Pillow has.
    Both are done here by `lookalike._fetch` and `lookalike.features.images`, with their limits.
    """
    move = component.async_move_resource_to_block_cache

    async def move_files_only(path: Any) -> Any:
        if str(path).lower().startswith(("http:", "https:")):
            import gradio

            raise gradio.Error("expected a file; give an address as `url`", print_exception=False)
        return await move(path)

    component.async_move_resource_to_block_cache = move_files_only
    component.preprocess = lambda payload: None if payload is None else payload.path
