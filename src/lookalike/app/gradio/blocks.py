"""The page of gradio's own components: Blocks with every way of asking, and a gallery.

It does what the app of the project that this one grew out of did, and shows how such a page is wired. Our own page (`page.py`)
does more.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from lookalike.app.capacity import Capacity
from lookalike.app.gradio import gallery
from lookalike.app.gradio.remote import AT_ONCE, add_remote_search
from lookalike.app.gradio.uploads import Uploads
from lookalike.app.limits import MAX_K, check_limits
from lookalike.app.page.document import DEFAULT_K
from lookalike.app.service import Service
from lookalike.errors import InputError, LookalikeError
from lookalike.search import Part, Query, Region
from lookalike.search.parts import WHOLE
from lookalike.search.resolve import cut

if TYPE_CHECKING:
    from gradio import Blocks

__all__ = ["create_blocks"]

EXAMPLES: Final = 12


class Form:
    """What the page's controls do."""

    def __init__(self, service: Service, uploads: Uploads, capacity: Capacity) -> None:
        self._service, self._uploads, self._capacity = service, uploads, capacity

    async def from_picture(
        self,
        picture: bytes | None,
        left: float | None,
        top: float | None,
        right: float | None,
        bottom: float | None,
        mirrored: bool,
        collection: str,
        k: float | None,
    ) -> list[gallery.Tile]:
        """Search with the picture that was given, or with a part of it, mirrored or not."""
        with self._telling():
            if picture is None:
                raise InputError("Give a picture first.")
            region = region_of(left, top, right, bottom)
            if mirrored:
                picture, region = await self._capacity.searches.run(mirrored_part, picture, region), None
            return await self._ask(Part(image=picture, region=region), collection, k)

    async def from_url(self, url: str | None, collection: str, k: float | None) -> list[gallery.Tile]:
        """Search with the picture at a URL."""
        with self._telling():
            if not (url or "").strip():
                raise InputError("Give a URL first.")
            return await self._ask(Part(url=str(url).strip()), collection, k)

    async def from_example(
        self, shown: tuple[str, list[int]] | None, k: float | None, index: Any
    ) -> list[gallery.Tile]:
        """Search with an example; `shown` is the collection that it is of, and the ids of all that are shown."""
        with self._telling():
            collection, ids = shown or ("", [])
            if not (isinstance(index, int) and 0 <= index < len(ids)):
                raise InputError("These examples are no longer known; load the page again.")
            return await self._ask(Part(id=ids[index]), collection, k)

    async def show_examples(
        self, collection: str
    ) -> tuple[list[gallery.Tile], tuple[str, list[int]], list[gallery.Tile]]:
        """The examples, what `from_example` has to know of them, and no results: those were of another collection."""
        run = self._capacity.searches.run
        try:
            tiles, ids = await run(gallery.examples, self._service, self._uploads, collection, EXAMPLES)
        except LookalikeError as error:
            import gradio

            gradio.Warning(self._service.told(error))
            return [], (collection, []), []
        return tiles, (collection, ids), []

    async def _ask(self, part: Part, collection: str, k: float | None) -> list[gallery.Tile]:
        query = check_limits(Query([part], k=int(k or DEFAULT_K)))
        if part.url:
            query = await self._capacity.addresses.run(self._service.fetched, query)
        run = self._capacity.searches.run
        return await run(gallery.results, self._service, self._uploads, query, collection)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Errors of ours become what gradio shows."""
        import gradio

        try:
            yield
        except LookalikeError as error:
            raise gradio.Error(self._service.told(error), print_exception=False) from None


def create_blocks(service: Service, uploads: Uploads, capacity: Capacity) -> Blocks:
    """A picture from a file, the clipboard, the webcam, a URL or the examples, cropped and mirrored; results beside it."""
    import gradio

    form = Form(service, uploads, capacity)

    async def from_example(shown: Any, k: float | None, chosen: Any) -> list[gallery.Tile]:
        return await form.from_example(shown, k, chosen.index)

    from_example.__annotations__["chosen"] = gradio.SelectData  # by which gradio knows that it wants to be told

    with gradio.Blocks(title="lookalike", analytics_enabled=False) as page:
        gradio.Markdown("# lookalike\nSearch your pictures with a picture. Nothing leaves this machine.")
        with gradio.Row():
            with gradio.Column(scale=1, min_width=280):
                picture = gradio.Image(
                    type="filepath",
                    sources=["upload", "webcam", "clipboard"],
                    label="Picture",
                    webcam_options=gradio.WebcamOptions(mirror=True),
                )
                with gradio.Accordion("Crop and mirror", open=False):
                    names = {"Left": 0, "Top": 0, "Right": 100, "Bottom": 100}
                    edges = [gradio.Slider(0, 100, value=at, step=1, label=f"{name}, %") for name, at in names.items()]
                    mirrored = gradio.Checkbox(label="Mirror it")
                button = gradio.Button("Search", variant="primary")
                url = gradio.Textbox(label="Or the URL of a picture", placeholder="https://…  (Enter)", max_lines=1)
                collection = gradio.Dropdown(
                    service.names(), value=service.default, label="Collection", allow_custom_value=True
                )  # those that are made later are chosen too
                k = gradio.Slider(1, min(100, MAX_K), value=DEFAULT_K, step=1, label="Number of results")
            with gradio.Column(scale=3):
                found = gradio.Gallery(label="Most alike first", columns=4, height=700, format="jpeg")
                shown = gradio.Gallery(label="Examples", columns=6, height=360, format="jpeg", allow_preview=False)
                ids = gradio.State(None)
        quiet: dict[str, Any] = {"concurrency_limit": AT_ONCE, "api_visibility": "private"}
        button.click(form.from_picture, [picture, *edges, mirrored, collection, k], found, **quiet)
        url.submit(form.from_url, [url, collection, k], found, **quiet)
        shown.select(from_example, [ids, k], found, **quiet)
        collection.change(form.show_examples, collection, [shown, ids, found], **quiet)
        page.load(form.show_examples, collection, [shown, ids, found], **quiet)
        page.load(lambda: gradio.Dropdown(choices=service.names()), None, collection, **quiet)
        add_remote_search(service, capacity)
    return page


def region_of(left: float | None, top: float | None, right: float | None, bottom: float | None) -> Region | None:
    """A region from the edges of a crop, in percent of the picture; None for the whole picture.

    Raises
    ------
    InputError
        If nothing lies between the edges, or one is missing.
    """
    if left is None or top is None or right is None or bottom is None:
        raise InputError("crop: expected four numbers from 0 to 100")
    if not (left < right and top < bottom):
        raise InputError(f"crop: nothing lies from {left:g} to {right:g} % across and {top:g} to {bottom:g} % down")
    if (left, top, right, bottom) == (0, 0, 100, 100):
        return None
    return Region(left / 100, top / 100, (right - left) / 100, (bottom - top) / 100)


def mirrored_part(picture: bytes, region: Region | None) -> bytes:
    """A region of a picture, or all of it, with left and right exchanged, as JPEG; decoded where decoders cannot harm the server.

    Raises
    ------
    ImageError
        If it cannot be decoded.
    """
    from PIL import ImageOps

    with io.BytesIO() as out:
        ImageOps.mirror(cut(picture, region or WHOLE)).convert("RGB").save(out, "JPEG", quality=95)
        return out.getvalue()
