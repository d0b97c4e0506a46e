"""The page of gradio's own components: Blocks with every way of asking, and a gallery.

It does what the app of the project that this one grew out of did, and shows how such a page is wired. Our own page (`page.py`)
does more.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

from lookalike.app import gallery
from lookalike.app.capacity import Capacity
from lookalike.app.limits import MAX_K, check_limits
from lookalike.app.remote import AT_ONCE, add_remote_search
from lookalike.app.service import Service
from lookalike.app.uploads import Uploads
from lookalike.errors import InputError, LookalikeError
from lookalike.features import images
from lookalike.search import Part, Query, Region

if TYPE_CHECKING:
    from gradio import Blocks

__all__ = ["create_blocks"]

EXAMPLES: Final = 12
MIRRORED_SIDE: Final = 1024  # pixels, of which a model sees a fifth


def create_blocks(service: Service, uploads: Uploads, capacity: Capacity) -> Blocks:
    """A picture from a file, the clipboard, the webcam, a URL or the examples, cropped and mirrored as wanted; results below."""
    import gradio

    async def search(
        picture: bytes | None, url: str, edges: list[float], mirrored: bool, collection: str, k: float
    ) -> list[gallery.Tile]:
        if picture is None and not url.strip():
            raise gradio.Error("Give a picture or a URL first.", print_exception=False)
        try:
            return await ask(Part(image=picture) if picture else Part(url=url.strip()), edges, mirrored, collection, k)
        except LookalikeError as error:
            raise gradio.Error(service.told(error), print_exception=False) from None

    async def ask(part: Part, edges: list[float], mirrored: bool, collection: str, k: float) -> list[gallery.Tile]:
        query = check_limits(Query([part], k=int(k)))
        if part.url:
            query = await capacity.addresses.run(service.fetched, query)
        (part,) = query.parts
        if mirrored and part.image:
            part = Part(image=await capacity.searches.run(mirror_image, part.image))
        part = Part(image=part.image, id=part.id, region=region_of(*edges, mirrored=mirrored))
        query = Query([part], k=int(k))
        return await capacity.searches.run(gallery.results, service, uploads, query, collection)

    async def from_form(
        picture: bytes | None, url: str, left: float, top: float, right: float, bottom: float, *rest: Any
    ) -> list[gallery.Tile]:
        return await search(picture, url, [left, top, right, bottom], *rest)

    async def from_example(ids: list[int], collection: str, k: float, chosen: Any) -> list[gallery.Tile]:
        try:
            return await ask(Part(id=ids[chosen.index]), [0, 0, 100, 100], False, collection, k)
        except (LookalikeError, IndexError) as error:
            raise gradio.Error(service.told(error), print_exception=False) from None

    from_example.__annotations__["chosen"] = gradio.SelectData  # by which gradio knows that it wants to be told

    async def show_examples(collection: str) -> tuple[list[gallery.Tile], list[int]]:
        try:
            return await capacity.searches.run(gallery.examples, service, uploads, collection, EXAMPLES)
        except LookalikeError as error:
            raise gradio.Error(service.told(error), print_exception=False) from None

    with gradio.Blocks(title="lookalike", analytics_enabled=False) as page:
        gradio.Markdown("# lookalike\nSearch your pictures with a picture. Nothing leaves this machine.")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                picture = gradio.Image(
                    type="filepath", sources=["upload", "webcam", "clipboard"], label="Picture",
                    webcam_options=gradio.WebcamOptions(mirror=True),
                )  # fmt: skip
                url = gradio.Textbox(label="or its URL", placeholder="https://", max_lines=1)
                with gradio.Accordion("Crop and mirror", open=False):
                    names = {"Left": 0, "Top": 0, "Right": 100, "Bottom": 100}
                    edges = [gradio.Slider(0, 100, value=at, step=1, label=f"{name}, %") for name, at in names.items()]
                    mirrored = gradio.Checkbox(label="Mirror it")
                collection = gradio.Dropdown(service.names(), value=service.default, label="Collection")
                k = gradio.Slider(1, min(100, MAX_K), value=12, step=1, label="Number of results")
                button = gradio.Button("Search", variant="primary")
            with gradio.Column(scale=3):
                found = gradio.Gallery(label="Most alike first", columns=4, height=700, format="jpeg")
                shown = gradio.Gallery(label="Examples", columns=6, height=360, format="jpeg", allow_preview=False)
                ids = gradio.State([])
        form = [picture, url, *edges, mirrored, collection, k]
        for event in (button.click, url.submit):
            event(from_form, form, found, concurrency_limit=AT_ONCE, api_visibility="private")
        shown.select(from_example, [ids, collection, k], found, concurrency_limit=AT_ONCE, api_visibility="private")
        for event in (page.load, collection.change):
            event(show_examples, collection, [shown, ids], api_visibility="private")
        add_remote_search(service, capacity)
    return page


def region_of(left: float, top: float, right: float, bottom: float, *, mirrored: bool = False) -> Region | None:
    """A region from the edges of a crop, in percent of the picture as it was given; None for the whole picture.

    Raises
    ------
    InputError
        If nothing lies between the edges.
    """
    if not (left < right and top < bottom):
        raise InputError(f"crop: nothing lies from {left:g} to {right:g} % across and {top:g} to {bottom:g} % down")
    if mirrored:
        left, right = 100 - right, 100 - left
    if (left, top, right, bottom) == (0, 0, 100, 100):
        return None
    return Region(left / 100, top / 100, (right - left) / 100, (bottom - top) / 100)


def mirror_image(picture: bytes) -> bytes:
    """A picture with left and right exchanged, as JPEG; decoded where decoders cannot harm the server.

    Raises
    ------
    ImageError
        If it cannot be decoded.
    """
    from PIL import Image, ImageOps

    with (
        Image.open(io.BytesIO(images.thumbnail(picture, MIRRORED_SIDE)), formats=["JPEG"]) as upright,
        io.BytesIO() as out,
    ):
        ImageOps.mirror(upright).save(out, "JPEG", quality=95)
        return out.getvalue()
