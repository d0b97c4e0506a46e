"""From the fields of a form to a query; what is wrong with them is said in the words of the form."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Final

from fastapi import Depends, File, Form, Path, Request, Response, UploadFile
from fastapi import Query as Parameter
from fastapi.routing import APIRoute
from pydantic import StringConstraints
from starlette.datastructures import FormData
from starlette.datastructures import UploadFile as Upload
from starlette.exceptions import HTTPException

from lookalike.app.limits import MAX_K, check_limits
from lookalike.collection.catalog.filters import Shape
from lookalike.search import Query, Sort

__all__ = ["ID_LIMIT", "Asked", "FilledRoute", "FormIn", "FormRoute", "In", "Name"]

FORMS: Final = ("multipart/form-data", "application/x-www-form-urlencoded")
ID_LIMIT: Final = 2**63 - 1
MAX_FIELDS: Final = 20_000  # a filter may have thousands of labels
BY_PLACE: Final = ("region", "from")  # an empty one stands for its picture

FormName = Annotated[str, StringConstraints(max_length=200)]
FormId = Annotated[int, Form(ge=0, le=ID_LIMIT)]
FormIn = Annotated[str | None, Form(alias="in", max_length=200, description="Name of a collection, never a path.")]
In = Annotated[str | None, Parameter(alias="in", max_length=200, description="Name of a collection, never a path.")]
Name = Annotated[str, Path(max_length=200)]
Date = Annotated[str | None, Form(description="A day, as in 2024-12-31, inclusive.", examples=["2024-12-31"])]
Pixels = Annotated[int | None, Form(ge=0, le=2**31 - 1, description="Pixels of the longer side.")]


async def asked(
    image: Annotated[list[UploadFile] | None, File(description="Picture files.")] = None,
    query: Annotated[list[str] | None, Form(description="Tags of pictures that the server still has.")] = None,
    url: Annotated[list[str] | None, Form(description="Public http(s) addresses of pictures.")] = None,
    id: Annotated[list[FormId] | None, Form(description="Pictures of the collection.")] = None,
    source: Annotated[
        list[FormName] | None,
        Form(alias="from", description="Collection of every `id`, or one for each, if it is not `in`."),
    ] = None,
    text: Annotated[str | None, Form(max_length=1000, description="Words, where the model can.")] = None,
    region: Annotated[
        list[str] | None,
        Form(
            description="Parts of the pictures, x,y,width,height as fractions: the first is of the first picture in the "
            "order image, query, url, id, and so on; empty for a whole one."
        ),
    ] = None,
    like: Annotated[list[FormId] | None, Form(description="More like these pictures of the collection.")] = None,
    dislike: Annotated[list[FormId] | None, Form(description="Less like these.")] = None,
    label: Annotated[list[str] | None, Form(description="Only in these folders, and below them.")] = None,
    after: Date = None,
    before: Date = None,
    min_side: Pixels = None,
    max_side: Pixels = None,
    shape: Annotated[Shape | None, Form(description="Only pictures of this shape.")] = None,
    k: Annotated[int, Form(ge=1, le=MAX_K, description="How many results.")] = 10,
    threshold: Annotated[float, Form(ge=0, le=100, description="Minimum similarity.")] = 0.0,
    sort: Annotated[Sort, Form(description="Order of the k most similar.")] = "similarity",
    exact: Annotated[bool, Form(description="Compare with every picture, and say what the index would miss.")] = False,
    fold: Annotated[bool, Form(description="Put near-identical results under the first of them.")] = False,
) -> Query:
    """The query of a form."""
    fields: list[tuple[str, Any]] = [("image", await each.read()) for each in image or ()]
    several = {"query": query, "url": url, "id": id, "from": source, "region": region, "label": label}
    for name, values in (several | {"like": like, "dislike": dislike}).items():
        fields += [(name, value) for value in values or ()]
    single: dict[str, Any] = {
        "text": text,
        "after": after,
        "before": before,
        "min_side": min_side,
        "max_side": max_side,
    }
    single |= {"shape": shape, "k": k, "threshold": threshold, "sort": sort, "exact": exact, "fold": fold}
    return check_limits(Query.from_fields([*fields, *single.items()]))


Asked = Annotated[Query, Depends(asked)]


class FilledRoute(APIRoute):
    """Takes what is empty in an address as if it were not there: forms send every field."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_filled(request: Request) -> Response:
            query = request.scope["query_string"]
            filled = b"&".join(part for part in query.split(b"&") if part.partition(b"=")[2])
            return await handle(Request({**request.scope, "query_string": filled}, request.receive))

        return handle_filled


class FormRoute(APIRoute):
    """Says that a body is of the wrong kind, where FastAPI would only miss its fields; leaves out empty fields."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_form(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in FORMS:
                raise HTTPException(415, f"expected {' or '.join(FORMS)}, got {kind or 'no content type'}")
            return await handle(_FilledForm(request.scope, request.receive))

        return handle_form


class _FilledForm(Request):
    """A request whose form has no empty fields: an HTML form sends those that nobody filled in, too."""

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]  # FastAPI awaits it, and no more
        form = await super().form(**{**limits, "max_fields": MAX_FIELDS})
        for _, value in form.multi_items():
            if isinstance(value, Upload) and _is_empty(value):
                await value.close()
        return _filled(form)


def _filled(form: FormData) -> FormData:
    """Without the empty fields; the collection of an empty `id` goes with it."""
    fields = form.multi_items()
    ids, sources = form.getlist("id"), form.getlist("from")
    if len(ids) == len(sources):
        sources = [source for source, id in zip(sources, ids, strict=True) if id != ""]
    if not any(sources):
        sources = []
    kept = [(name, value) for name, value in fields if name != "from" and (name in BY_PLACE or not _is_empty(value))]
    return FormData([*kept, *(("from", source) for source in sources)])


def _is_empty(value: str | Upload) -> bool:
    """Text that is none, or what a browser sends for a file that nobody chose."""
    return value == "" if isinstance(value, str) else not value.filename and not value.size
