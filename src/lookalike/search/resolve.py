"""From the parts of a query to one vector to search with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from lookalike._fetch import fetch
from lookalike._typing import FloatArray
from lookalike._validate import unit_rows
from lookalike.collection.catalog.entries import read_original
from lookalike.collection.stored import StoredCollection
from lookalike.data.paths import picture_at
from lookalike.errors import IdError, ImageError, InputError
from lookalike.features.images import open_picture, probe
from lookalike.search.lookup import vectors_of
from lookalike.search.parts import Part, Region
from lookalike.search.query import Query
from lookalike.search.words import embed_text

if TYPE_CHECKING:
    from PIL.Image import Image

    from lookalike.features._source import Source

__all__ = ["LIKE", "UNLIKE", "Known", "Reader", "cut", "is_own", "left_out", "mixed"]

# Rocchio (1971), with the weights of pictures instead of words; docs/search.md.
LIKE: Final = 0.75
UNLIKE: Final = 0.5

DETAIL: Final = 512  # pixels of a region's longer side that are enough for every model


def mixed(asked: FloatArray, like: FloatArray, unlike: FloatArray) -> FloatArray:
    """One unit vector out of what is asked for, liked and not liked, each of shape (n, d), n = 0 included.

    ``q = mean(asked) + 0.75 · mean(like) − 0.5 · mean(unlike)``, where each mean is of unit length.
    """
    parts = ((asked, 1.0), (like, LIKE), (unlike, -UNLIKE))
    means = [weight * unit_rows(x.mean(axis=0, keepdims=True))[0] for x, weight in parts if len(x)]
    q: FloatArray = unit_rows(np.stack(means).sum(axis=0, keepdims=True, dtype=np.float32))[0]
    if not q.any():
        raise InputError("liked and disliked pictures cancel each other out; remove one of them")
    return q


class Known(Protocol):
    """Vectors that were made before, by what they depend on."""

    def get(self, key: str) -> FloatArray | None: ...
    def put(self, key: str, value: FloatArray) -> None: ...


def _only_own(name: str | None) -> StoredCollection:
    raise InputError(
        f"id: only a server can look up pictures of another collection ({name!r}); give their paths instead"
    )


def _nothing_kept(tag: str) -> bytes:
    raise IdError(f"only the server that made it knows the picture of the tag {tag[:40]!r}")


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns the parts of a query into vectors. A server has more to read from.

    Parameters
    ----------
    named : callable
        ``named(name)`` -> the collection that a part's `source` names.
    kept : callable
        ``kept(tag)`` -> the bytes of a picture that was seen before.
    known : Known, optional
        Remembers the vectors of pictures that have a tag.
    """

    named: Callable[[str | None], StoredCollection] = _only_own
    kept: Callable[[str], bytes] = _nothing_kept
    known: Known | None = None

    def vector(self, query: Query, collection: StoredCollection) -> FloatArray:
        """What is searched with, a unit vector of shape (d,)."""
        asked = self.vectors(query.parts, collection)
        if query.words:
            asked = np.concatenate([asked, self.of_words(query.words, collection)[None, :]])
        return mixed(asked, self.vectors(query.like, collection), self.vectors(query.dislike, collection))

    def vectors(self, parts: Sequence[Part], collection: StoredCollection) -> FloatArray:
        """A unit vector for each part, shape (n, d); only what was not seen before is embedded."""
        card = collection.model
        keys = [_key(part, card.fingerprint) for part in parts]
        found = [None if key is None or self.known is None else self.known.get(key) for key in keys]
        missing = [at for at, vector in enumerate(found) if vector is None]
        if missing:
            made = vectors_of(collection, [self._source(parts[at], collection) for at in missing])
            for at, vector in zip(missing, made, strict=True):
                found[at] = vector
                key = keys[at]
                if key is not None and self.known is not None:
                    self.known.put(key, vector)
        rows = [vector for vector in found if vector is not None]
        return np.stack(rows) if rows else np.empty((0, card.d), np.float32)

    def of_words(self, words: str, collection: StoredCollection) -> FloatArray:
        """The unit vector of words, shape (d,), made by a model that reads them."""
        vector = embed_text(collection.model, words)
        if vector is None:
            raise InputError(f"this collection's model {collection.model.name!r} cannot search with words")
        return vector

    def contents(self, part: Part) -> bytes:
        """The file of a picture that was given, fetched or kept."""
        if part.image is not None:
            return part.image
        return fetch(part.url) if part.url is not None else self.kept(part.kept or "")

    def _source(self, part: Part, collection: StoredCollection) -> Any:
        """What `Collection.vectors` takes for a part."""
        if part.path is not None:
            return _part_of_file(part.path, part.region) if part.region else part.path
        if part.id is not None:
            own = is_own(part, collection)
            if own and part.region is None:
                return part.id
            entry = (collection if own else self.named(part.source)).entry(part.id)
            if entry.missing:
                raise IdError(f"picture {entry.id}: its file is gone")
            return cut(read_original(entry)[0], part.region) if part.region else entry.path
        data = self.contents(part)
        return cut(data, part.region) if part.region else data


def is_own(part: Part, collection: StoredCollection) -> bool:
    """Whether a picture by id is of the collection that is searched."""
    return part.source is None or part.source == collection.name


def left_out(query: Query, collection: StoredCollection) -> list[int]:
    """Ids that are no results: those that are asked with, and whatever of the collection is not liked, ascending."""
    asked = [part.id for part in query.parts if part.id is not None and is_own(part, collection)]
    unlike = [part.id for part in query.dislike if part.id is not None]
    files = [collection.find(part.path) for part in query.dislike if part.path is not None]
    return sorted({*asked, *unlike, *(id for id in files if id is not None)})


def cut(source: Source, region: Region) -> Image:
    """The region, upright as people see the picture, with enough pixels for the model and not many more."""
    width, height, _ = probe(source)
    region = region.within((width, height))
    need = DETAIL / max(region.width * width, region.height * height)
    picture = open_picture(source, max_side=None if need >= 1 else max(1, round(max(width, height) * need)))
    return picture.crop(region.box(picture.size))


def _part_of_file(path: str, region: Region) -> Image:
    try:
        return cut(picture_at(path), region)
    except ImageError as error:
        text = str(error)
        raise type(error)(text if text.startswith(path) else f"{path}: {text}") from None


def _key(part: Part, model: str) -> str | None:
    """What a vector depends on; None for what is not remembered."""
    return None if part.kept is None else f"{model} {part.kept} {part.region or ''}"
