"""What the app does, without a web framework: find a collection by name, search it, show its pictures by id."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from lookalike import _fetch
from lookalike._files import one_spelling
from lookalike.app.jobs import Job, Jobs
from lookalike.app.memory import Bounded, QueryPictures
from lookalike.app.messages import public_error, public_text
from lookalike.app.pictures import Picture, Thumbnails, cache_folder, original
from lookalike.collection import Collection, home
from lookalike.collection.catalog.filters import Filter
from lookalike.collection.records import Entry, printable
from lookalike.data.datasets import Attribution, starter_attribution, starter_folder
from lookalike.errors import CollectionNotFoundError, InputError, LookalikeError
from lookalike.features import workers
from lookalike.search import Answer, Part, Query, Reader, search

if TYPE_CHECKING:
    from lookalike.app.api.comparing import Comparisons
    from lookalike.viz.report import Page

__all__ = ["Answer", "Picture", "Query", "Service", "describe"]


class Service:
    """The collections that one server shows, opened when they are first asked for.

    Parameters
    ----------
    default : path
        The collection that is searched when no other is named.
    fetch : callable, optional
        ``fetch(url)`` -> bytes; tests replace it.
    local : bool
        Whether only this machine can ask: then folders of it may be listed and indexed, and collections deleted.
    """

    def __init__(
        self, default: str | os.PathLike[str], *, fetch: Callable[[str], bytes] = _fetch.fetch, local: bool = False
    ) -> None:
        self._fetch = fetch
        self.local = local
        self._decoding = contextlib.ExitStack()
        self._guard = threading.Lock()
        self._opening = [threading.Lock() for _ in range(8)]
        self.comparisons: Comparisons | None = None
        collection = Collection.open(Path(default))
        self.default = collection.name
        self._open: dict[str, Collection] = {self.default: collection}
        self.query_pictures = QueryPictures()
        self.thumbnails = Thumbnails(cache_folder())
        self.jobs = Jobs()
        self.reader = Reader(self.collection, self.query_pictures.get, Bounded(2000))
        self._decoding.enter_context(workers.held())

    def close(self) -> None:
        """Stop what runs in the background and close every collection that was opened."""
        if self.comparisons is not None:
            self.comparisons.close()
        self._decoding.close()
        self.jobs.close()
        with self._guard:
            for collection in self._open.values():
                collection.close()
            self._open.clear()

    def warm(self) -> None:
        """Load the model, the index and the vectors before the first search needs them."""
        picture = io.BytesIO()
        Image.new("RGB", (8, 8)).save(picture, "PNG")
        with contextlib.suppress(LookalikeError):  # the first search will say what is wrong
            collection = self.collection()
            for _ in range(2):  # an index does its first search without the kernels
                collection.search(picture.getvalue(), 1)
            if collection.is_cached():  # else an exact search reads everything from disk each time, and warms nothing
                collection.search(picture.getvalue(), 1, exact=True)

    # --- collections -------------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Names of the collections that can be asked for, the default first."""
        others = sorted((path.name for path in home.list_collections()), key=str.casefold)
        return [self.default, *(name for name in others if name != self.default)]

    def opened(self) -> dict[str, Collection]:
        """Those that are open now."""
        with self._guard:
            return dict(self._open)

    def collection(self, name: str | None = None) -> Collection:
        """The open collection of that name.

        Raises
        ------
        CollectionNotFoundError
            If there is none; a path is never a name.
        """
        name = self.spelled(name or self.default)
        known = self._known(name)
        if known is not None:
            return known
        with self._opening_of(name):  # who asks for others, or for an open one, does not wait for this
            known = self._known(name)
            if known is None:
                known = self._opened(name)
                with self._guard:
                    self._open[name] = known
            return known

    def _known(self, name: str) -> Collection | None:
        with self._guard:
            return self._open.get(name)

    def _opening_of(self, name: str) -> threading.Lock:
        return self._opening[hash(name) % len(self._opening)]

    def spelled(self, name: str) -> str:
        """A collection's name as it is on disk: é may be one character there, or two."""
        if name.isascii():
            return name
        if one_spelling(name) == one_spelling(self.default):
            return self.default
        try:
            path = home.resolve(name)
        except InputError:
            return name
        return path.name if one_spelling(path.name) == one_spelling(name) else name

    def peek(self, name: str) -> dict[str, Any]:
        """The status of a collection, which is not kept open for that."""
        known = self.opened().get(name)
        if known is not None:
            return known.status()
        with self._opened(name) as collection:
            return collection.status()

    def forget(self, name: str) -> None:
        """Close a collection, so that it can be deleted."""
        with self._opening_of(name), self._guard:
            collection = self._open.pop(name, None)
        if collection is not None:
            collection.close()

    @staticmethod
    def _opened(name: str) -> Collection:
        """Open a collection in the user's data folder, its own damage included in what can be wrong."""
        missing = CollectionNotFoundError(f"there is no collection called {printable(name)[:100]!r}")
        try:
            path = home.resolve(name)
        except InputError:
            raise missing from None
        if (path.parent, path.name) != (home.resolve("x").parent, name) or not path.is_dir():
            raise missing
        return Collection.open(path)

    # --- what is told over the network ---------------------------------------------------------------------------------

    def told(self, error: BaseException) -> str:
        """An error's message for somebody who need not know where things lie on this machine."""
        return public_error(error, self._places())

    def told_text(self, text: str) -> str:
        """Any other text for them."""
        return public_text(text, self._places())

    def told_job(self, job: Job) -> dict[str, Any]:
        """A job for them."""
        shown = job.to_json()
        places = self._places()
        if shown["error"] is not None:
            shown["error"] = public_text(shown["error"], places)
        for item in [*shown["report"]["skipped"], *shown["report"]["reasons"]] if shown["report"] else ():
            item["reason"] = public_text(item["reason"], places)
        return shown

    def _places(self) -> dict[str, str]:
        """The folders that messages name most, and what they are called over the network."""
        known = {str(collection.path): name for name, collection in self.opened().items()}
        return known | {str(home.resolve("x").parent): ""}

    # --- search ------------------------------------------------------------------------------------------------------

    def fetched(self, query: Query) -> Query:
        """The query with pictures in place of their addresses, and every picture remembered by its tag.

        The query holds the bytes of its pictures from here on: what is remembered may be forgotten while it waits.
        """

        def known(part: Part) -> Part:
            if part.kept is not None:
                return replace(part, image=part.image or self.query_pictures.find(part.kept))
            image = part.image if part.url is None else self._fetch(part.url)
            if image is None:
                return part
            return replace(part, url=None, image=image, kept=self.query_pictures.keep(image))

        return replace(query, parts=tuple(known(part) for part in query.parts))

    def search(self, query: Query, name: str | None = None) -> Answer:
        """The pictures of a collection that look most like the query.

        Raises
        ------
        ImageError, FetchError, IdError, InputError, CollectionError
            With a message for the person who asked.
        """
        return search(self.fetched(query), self.collection(name), self.reader)

    def why(self, query: Query, id: int, name: str | None = None) -> dict[str, Any]:
        """Why a picture is, or is not, among the results: how like it is to each part, and where the index placed it."""
        from lookalike.explain.reasons import reasons

        return reasons(self.reader, self.fetched(query), id, self.collection(name))

    def explain(self, query: Query, name: str | None = None) -> Page:
        """A search step by step, as one page that needs nothing else."""
        from lookalike.viz.explain import query_page

        return query_page(self.fetched(query), self.collection(name), self.reader)

    # --- contents ----------------------------------------------------------------------------------------------------

    def status(self, name: str | None = None) -> dict[str, Any]:
        """What a collection holds and how exact its search is; files by their names, without the folders above."""
        collection = self.collection(name)
        status = {key: value for key, value in collection.status().items() if key not in ("path", "roots")}
        places = self._places()
        status["skipped"] = [
            {**file, "path": printable(Path(file["path"]).name), "reason": public_text(file["reason"], places)}
            for file in status.get("skipped", [])
        ]
        return status | {"model_title": collection.model.title}

    def details(self, id: int, name: str | None = None) -> dict[str, Any]:
        """What is known about one picture, for a person to read; no absolute path."""
        return describe(self.collection(name).entry(id))

    def labels(self, name: str | None = None) -> list[dict[str, Any]]:
        """The folders of a collection, with the pictures in and below each."""
        counts: dict[str, int] = {}
        for label, number in self.collection(name).labels().items():
            parts = label.split("/")
            for depth in range(1, len(parts) + 1):
                folder = "/".join(parts[:depth])
                counts[folder] = counts.get(folder, 0) + number
        return [
            {"label": label, "name": printable(label), "pictures": number}
            for label, number in sorted(counts.items())
            if label and label == printable(label)
        ]

    def page(self, offset: int, limit: int, wanted: Filter | None = None, name: str | None = None) -> dict[str, Any]:
        """Some of the pictures that pass a filter, by id, and how many there are."""
        collection = self.collection(name)
        ids = collection.matching(wanted or Filter())
        return {
            "total": len(ids),
            "pictures": list(map(describe, collection.several(ids[offset : offset + limit]))),
        }

    def examples(self, n: int = 12, page: int = 0, name: str | None = None) -> list[dict[str, Any]]:
        """Pictures to start from, spread over the collection's folders; each page has others, as far as there are."""
        collection = self.collection(name)
        ids = collection.ids()
        step = max(1, len(ids) // n)
        first = step // 2 + page * max(1, step // 7 | 1)
        chosen = ids[[(first + at * step) % len(ids) for at in range(min(n, len(ids)))]] if len(ids) else ids
        return list(map(describe, collection.several(np.sort(chosen))))

    def picture(self, id: int, name: str | None = None) -> Picture:
        """The picture itself; as JPEG where browsers cannot draw its format."""
        return original(self.collection(name).entry(id))

    def thumbnail(self, id: int, side: int = 320, name: str | None = None) -> Picture:
        """A small JPEG of a picture, at most `side` pixels (rounded up to one of a few sizes) wide and high."""
        return self.thumbnails.get(self.collection(name).entry(id), side)


def describe(entry: Entry) -> dict[str, Any]:
    """A picture in words, for the page."""
    credit = credit_of(entry)
    return {
        "id": entry.id,
        "path": printable(entry.relative),
        "name": printable(entry.path.name),
        "label": printable(entry.label),
        "width": entry.width,
        "height": entry.height,
        "format": entry.format,
        "bytes": entry.size,
        "modified": None if entry.mtime_ns is None else entry.mtime_ns // 1_000_000,
        "credit": credit
        and {
            "author": credit.author,
            "licence": credit.licence,
            "licence_url": credit.licence_url,
            "source": credit.source,
            "changes": credit.changes,
        },
    }


def credit_of(entry: Entry) -> Attribution | None:
    """Who made a starter picture, wherever its folder was copied to; None for other pictures."""
    credit = starter_attribution().get(entry.relative)
    if credit is None or entry.size != _starter_sizes().get(entry.relative):
        return None
    return credit


@functools.cache
def _starter_sizes() -> dict[str, int]:
    folder = starter_folder()
    return {name: (folder / name).stat().st_size for name in starter_attribution() if (folder / name).is_file()}
