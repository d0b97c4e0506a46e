"""One search from question to answer: mix, search, leave out, fold, sort, and say what an index would have missed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from lookalike._typing import FloatArray
from lookalike._validate import unit_rows
from lookalike.app.memory import Bounded, QueryPictures
from lookalike.app.pictures import read_file
from lookalike.app.queries import Part, Query, Region
from lookalike.collection import Collection
from lookalike.collection.finding import FOLD_FACTOR, SHOWN, Found, Wanted
from lookalike.errors import IdError, InputError
from lookalike.features.images import open_picture, probe

__all__ = ["LIKE", "UNLIKE", "Answer", "Searcher", "cut", "mixed"]

# Rocchio (1971), with the weights of pictures instead of words; docs/app.md.
LIKE: Final = 0.75
UNLIKE: Final = 0.5

DETAIL: Final = 512  # pixels of a region's longer side that are enough for every model


@dataclass(frozen=True, slots=True)
class Answer:
    """What a search found.

    Attributes
    ----------
    found : list of Found
        In the order that was asked for.
    timing_ms : dict
        ``"embed"`` and ``"search"``.
    vector : ndarray of float32, shape (d,), or None
        What was searched with; None of a label search.
    missed : list of int or None
        After an exact search: ids that the index would not have brought; None where it would not be asked.
    words : str or None
        How words were read, of a label search.
    always_exact : bool
        A search like this one compares with every picture, told to or not.
    """

    found: list[Found]
    timing_ms: dict[str, float]
    vector: FloatArray | None
    missed: list[int] | None = None
    words: str | None = None
    always_exact: bool = False


def mixed(asked: FloatArray, like: FloatArray, unlike: FloatArray) -> FloatArray:
    """One unit vector out of what is asked for, liked and not liked, each of shape (n, d), n = 0 included.

    ``q = mean(asked) + 0.75 · mean(like) − 0.5 · mean(unlike)``, where each mean is of unit length.
    """
    parts = ((asked, 1.0), (like, LIKE), (unlike, -UNLIKE))
    means = [weight * unit_rows(x.mean(axis=0, keepdims=True))[0] for x, weight in parts if len(x)]
    q: FloatArray = unit_rows(np.stack(means).sum(axis=0, keepdims=True, dtype=np.float32))[0]
    if not q.any():
        raise InputError("what is liked and what is not cancel each other out; take one of them away")
    return q


@dataclass
class Searcher:
    """Answers queries; remembers the vectors of pictures it has seen."""

    named: Callable[[str | None], Collection]
    pictures: QueryPictures
    _vectors: Bounded[FloatArray] = field(default_factory=lambda: Bounded(2000))

    def search(self, query: Query, collection: Collection) -> Answer:
        """The pictures most like what is asked for, that pass its filter."""
        text = next((part.text for part in query.parts if part.text is not None), None)
        if text is not None and not collection.model.text:
            return _search_labels(text, query, collection)
        begun = time.perf_counter()
        asked = self.vectors_of(query.parts, collection)
        q = mixed(asked, self._of_ids(query.like, collection), self._of_ids(query.dislike, collection))
        embedded = time.perf_counter()
        allow = collection.matching(query.wanted) if query.wanted else None
        left_out = {
            *query.dislike,
            *(part.id for part in query.parts if part.id is not None and _is_own(part, collection)),
        }
        wanted = Wanted(query.k, query.threshold, query.fold, query.exact, sorted(left_out))
        found, missed, always = collection.results(q, wanted, allow=allow)
        done = time.perf_counter()
        timing = {"embed": (embedded - begun) * 1e3, "search": (done - embedded) * 1e3}
        return Answer(_sorted(found, query.sort), timing, q, missed, always_exact=always)

    def vectors_of(self, parts: Sequence[Part], collection: Collection) -> FloatArray:
        """A unit vector for each part, shape (n, d); only what was not seen before is embedded."""
        card = collection.model
        keys = [_key(part, self.pictures, card.fingerprint) for part in parts]
        known = [None if key is None else self._vectors.get(key) for key in keys]
        missing = [at for at, vector in enumerate(known) if vector is None]
        if missing:
            made = collection.vectors([self._source(parts[at], collection) for at in missing])
            for at, vector in zip(missing, made, strict=True):
                known[at] = vector
                key = keys[at]
                if key is not None:
                    self._vectors.put(key, vector)
        rows = [vector for vector in known if vector is not None]
        return np.stack(rows) if rows else np.empty((0, card.d), np.float32)

    def _of_ids(self, ids: Sequence[int], collection: Collection) -> FloatArray:
        return collection.vectors(list(ids)) if ids else np.empty((0, collection.model.d), np.float32)

    def _source(self, part: Part, collection: Collection) -> Any:
        """What `Collection.vectors` takes for a part."""
        if part.text is not None:
            return collection.text_vector(part.text)
        if part.id is not None:
            own = _is_own(part, collection)
            if own and part.region is None:
                return part.id
            entry = (collection if own else self.named(part.source)).entry(part.id)
            if entry.missing:
                raise IdError(f"picture {entry.id}: its file is gone")
            return cut(read_file(entry)[0], part.region) if part.region else entry.path
        data = self.contents(part)
        return cut(data, part.region) if part.region else data

    def contents(self, part: Part) -> bytes:
        """The file of a picture that was uploaded or fetched, now or earlier."""
        return part.image if part.image is not None else self.pictures.get(part.kept or "")


def _search_labels(text: str, query: Query, collection: Collection) -> Answer:
    """Words to a model that cannot read but knows labels: every picture's probability of them."""
    if len(query.parts) > 1 or query.like or query.dislike:
        raise InputError(
            "this collection's model matches words to labels, which do not mix with pictures; search with words alone, "
            "or with pictures alone"
        )
    allow = collection.matching(query.wanted) if query.wanted else None
    count = query.k * (FOLD_FACTOR if query.fold else 1)
    while True:
        answer = collection.search_text(text, count, allow=allow)
        hits = [hit for hit in answer.hits if hit.similarity >= query.threshold]
        groups = [[at] for at in range(len(hits))]
        if query.fold:
            groups = collection.folded([hit.id for hit in hits], query.k)
        if len(groups) >= query.k or len(hits) < count:
            break
        count *= FOLD_FACTOR**2  # each time all pictures are ranked anew: in few steps
    groups = [group[: 1 + SHOWN] for group in groups]
    known = collection.several([hit.id for hit in hits])
    each = [Found(hit, entry) for hit, entry in zip(hits, known, strict=True)]
    found = [replace(each[first], same=tuple(each[at] for at in same)) for first, *same in groups[: query.k]]
    return Answer(_sorted(found, query.sort), dict(answer.timing_ms), None, None, answer.explain())


def _is_own(part: Part, collection: Collection) -> bool:
    return part.source is None or part.source == collection.name


def _key(part: Part, pictures: QueryPictures, model: str) -> str | None:
    """What a vector depends on; None where the collection has it already."""
    if part.id is not None or part.text is not None:
        return None
    tag = part.kept if part.kept is not None else pictures.keep(part.image or b"")
    return f"{model} {tag} {part.region or ''}"


def cut(data: bytes, region: Region) -> Any:
    """The region, upright as people see the picture, with enough pixels for the model and not many more."""
    width, height, _ = probe(data)
    need = DETAIL / max(region.width * width, region.height * height)
    picture = open_picture(data, max_side=None if need >= 1 else max(1, round(max(width, height) * need)))
    return picture.crop(region.box(picture.size))


def _sorted(found: list[Found], order: str) -> list[Found]:
    if order == "name":
        return sorted(found, key=lambda each: (each.entry.path.name.casefold(), each.hit.id))
    if order in ("newest", "oldest"):
        sign = -1 if order == "newest" else 1
        return sorted(found, key=lambda each: (each.entry.mtime_ns is None, sign * (each.entry.mtime_ns or 0)))
    if order == "largest":
        return sorted(found, key=lambda each: -(each.entry.width or 0) * (each.entry.height or 0))
    return found
