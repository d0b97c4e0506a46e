"""A whole question as plain data, and its four spellings: Python, JSON, form or address, command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias, get_args
from urllib.parse import parse_qsl, urlencode

from lookalike._validate import check_count
from lookalike.collection.filters import Filter
from lookalike.errors import InputError
from lookalike.search.parts import Part, Pictures, Region, parse_regions, parts_of

if TYPE_CHECKING:
    from lookalike._typing import ArrayLike, FloatArray
    from lookalike.collection import Collection
    from lookalike.search.run import Answer

__all__ = ["MAX_PICTURES", "SORTS", "Query", "Sort"]

MAX_PICTURES: Final = 1000  # of each role

Sort: TypeAlias = Literal["similarity", "name", "newest", "oldest", "largest"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)

_PAGE: Final = {"k": "12", "fold": "true"}  # what the page takes where its address says nothing
_FIELD_OF: Final = {"image": "image", "kept": "query", "url": "url", "id": "id"}  # in which order regions are given
_FILTERS: Final = ("after", "before", "min_side", "max_side", "shape")
_WHOLE: Final = ("id", "like", "dislike", "min_side", "max_side", "k")
_FLAG_OF: Final = {"min_side": "--min-side", "max_side": "--max-side", "shape": "--shape"}


@dataclass(frozen=True, slots=True, init=False)
class Query:
    """A whole question: what to look for, among which pictures, and how to show it.

    Parameters
    ----------
    parts : picture or several of them
        What to look for: the mean of them, and of `words`. A picture is a path, a URL, an entry's id, the bytes of a file, or
        a `Part`, which may be a region of one.
    words : str, optional
        Words to look for. Where the model only knows labels, they do not mix with pictures.
    like, dislike : picture or several of them
        More like these, less like those.
    labels : str or several
        Only pictures in these folders, and below them.
    after, before : str, optional
        A day, a month or a year (``"2024-12-31"``, ``"2024-12"``, ``"2024"``), inclusive: when the file was last changed.
    min_side, max_side : int, optional
        Pixels of the longer side.
    shape : {"landscape", "portrait", "square"}, optional
    at_least : float
        Least similarity, 0 to 100.
    k : int
        Number of results.
    sort : {"similarity", "name", "newest", "oldest", "largest"}
        Order of the k most similar.
    exact : bool
        Compare with every picture, and say what the index would have missed.
    fold : bool
        Put near-identical results under the first of them.

    Raises
    ------
    InputError
        If there is nothing to look for, or a value is not possible.

    Examples
    --------
    >>> Query("a.jpg", like=[7], labels="2024", k=20).to_arguments()
    ['a.jpg', '--like', 'id:7', '--folder', '2024', '-k', '20']
    """

    parts: tuple[Part, ...]
    words: str | None
    like: tuple[Part, ...]
    dislike: tuple[Part, ...]
    labels: tuple[str, ...]
    after: str | None
    before: str | None
    min_side: int | None
    max_side: int | None
    shape: str | None
    at_least: float
    k: int
    sort: Sort
    exact: bool
    fold: bool

    def __init__(
        self,
        parts: Pictures = (),
        *,
        words: str | None = None,
        like: Pictures = (),
        dislike: Pictures = (),
        labels: str | Iterable[str] = (),
        after: str | None = None,
        before: str | None = None,
        min_side: int | None = None,
        max_side: int | None = None,
        shape: str | None = None,
        at_least: float = 0.0,
        k: int = 10,
        sort: Sort = "similarity",
        exact: bool = False,
        fold: bool = False,
    ) -> None:
        def keep(**given: Any) -> None:  # more is taken than is kept, so the dataclass cannot write this
            for name, value in given.items():
                object.__setattr__(self, name, value)

        keep(parts=parts_of(parts), words=words or None, like=parts_of(like), dislike=parts_of(dislike))
        keep(labels=(labels,) if isinstance(labels, str) else tuple(labels), after=after, before=before)
        keep(min_side=min_side, max_side=max_side, shape=shape)
        keep(at_least=at_least, k=check_count(k, "k"), sort=sort, exact=exact, fold=fold)
        self._check()

    def _check(self) -> None:
        if not (self.parts or self.words or self.like):
            hint = "; pictures to be unlike need one to be like" if self.dislike else ""
            raise InputError(f"expected at least one of image, url, id, text and like, got none{hint}")
        if max(len(self.parts), len(self.like), len(self.dislike)) > MAX_PICTURES:
            raise InputError(f"query: expected at most {MAX_PICTURES:,} pictures, and as many to be like or unlike")
        if not 0 <= self.at_least <= 100:
            raise InputError(f"at_least: expected a similarity from 0 to 100, got {self.at_least}")
        if self.sort not in SORTS:
            raise InputError(f"sort: expected one of {', '.join(SORTS)}, got {self.sort!r}")
        _ = self.filter  # which looks at its values

    @property
    def filter(self) -> Filter:
        """Which pictures can be results."""
        return Filter(self.labels, self.after, self.before, self.min_side, self.max_side, self.shape)

    def ask(
        self, collection: Collection, k: int | None = None, *, exact: bool = False, allow: ArrayLike | None = None
    ) -> Answer:
        """Search a collection. `Collection.search` gives the `hits` of the answer, which also says what an index missed.

        Parameters
        ----------
        collection : Collection
        k : int, optional
            In place of the query's own.
        exact : bool
            Be exact, even if the query is not.
        allow : ids or boolean mask indexed by id, optional
            Of the pictures that pass the filter, only these.

        Raises
        ------
        ImageError, FetchError, IdError, InputError, ModelError, CollectionError
            As `Collection.search` does.
        """
        from lookalike.search.run import search

        query = replace(self, k=self.k if k is None else k, exact=self.exact or exact)
        return search(query, collection, allow=allow)

    def vector(self, collection: Collection) -> FloatArray:
        """What a collection is searched with, a unit vector of float32, shape (d,), as `Collection.search` and `explain` take it.

        Raises
        ------
        ImageError, FetchError, IdError, InputError, ModelError, CollectionError
            As `Collection.search` does; also of words, where the model only knows labels.
        """
        from lookalike.search.resolve import Reader

        return Reader().vector(self, collection)

    # --- JSON --------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """As plain values, without what is as it would be anyway.

        Examples
        --------
        >>> Query("a.jpg", words="at night", fold=True).to_json()
        {'parts': [{'path': 'a.jpg'}], 'words': 'at night', 'fold': True}
        """
        known: dict[str, Any] = {}
        for field in fields(self):
            value, usual = getattr(self, field.name), _USUAL[field.name]
            if value != usual:
                known[field.name] = [_plain(each) for each in value] if isinstance(value, tuple) else value
        return known

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From the values of `to_json`."""
        try:
            known = dict(value)
            for name in ("parts", "like", "dislike"):
                known[name] = [Part.from_json(each) for each in known.get(name, ())]
            return cls(**known)
        except (TypeError, ValueError, AttributeError):
            raise InputError(f"expected a query as plain values, got {str(value)[:100]}") from None

    # --- the form of the REST API, and the page's address ------------------------------------------------------------

    def to_fields(self, name: str | None = None) -> list[tuple[str, str | bytes]]:
        """As fields of the form that ``POST /api/search`` takes.

        Parameters
        ----------
        name : str, optional
            The collection that is searched.

        Raises
        ------
        InputError
            If a form cannot say it: it names no files, holds regions as fractions, and marks by id.
        """
        pictures = sorted(self.parts, key=lambda part: list(_FIELD_OF.values()).index(_field_of(part)))
        is_elsewhere = any(part.source is not None for part in pictures)
        found: list[tuple[str, str | bytes]] = [] if name is None else [("in", name)]
        for part in pictures:
            found.append(_as_field(part))
            if part.id is not None and is_elsewhere:
                found.append(("from", part.source or name or ""))
        found += [("text", self.words)] if self.words else []
        found += [("region", str(_in_fractions(region) or "")) for region in _regions_of(pictures)]
        found += [("like", _own_id(part)) for part in self.like] + [("dislike", _own_id(part)) for part in self.dislike]
        found += [("label", label) for label in self.labels]
        found += [(each, str(getattr(self, each))) for each in _FILTERS if getattr(self, each) is not None]
        found.append(("k", str(self.k)))
        found += [("threshold", str(self.at_least).removesuffix(".0"))] if self.at_least else []
        found += [("sort", self.sort)] if self.sort != "similarity" else []
        found.append(("fold", str(self.fold).lower()))
        return [*found, ("exact", "true")] if self.exact else found

    @classmethod
    def from_fields(cls, given: Iterable[tuple[str, Any]]) -> Self:
        """From the fields of a form, in the order that they have there; empty ones, and others, are as if they were absent.

        Raises
        ------
        InputError
            In the words of the form.
        """
        fields: dict[str, list[Any]] = {}
        for name, value in given:
            if value not in ("", None) or name in ("region", "from"):
                fields.setdefault(name, []).append(_whole(name, value) if name in _WHOLE else value)

        def last(name: str, otherwise: Any = None) -> Any:
            return fields.get(name, [otherwise])[-1]

        ids, own = fields.get("id", []), last("in")
        sources = [None if name == own else name for name in _sources(fields.get("from", []), len(ids))]
        pictures = [
            {field: value} for field, kind in _FIELD_OF.items() for value in fields.get(kind, ()) if kind != "id"
        ]
        pictures += [{"id": id, "source": source} for id, source in zip(ids, sources, strict=True)]
        regions = map(_in_fractions, parse_regions(fields.get("region", []), len(pictures)))
        return cls(
            [Part(**part, region=region) for part, region in zip(pictures, regions, strict=True)],
            words=last("text"),
            like=fields.get("like", ()),
            dislike=fields.get("dislike", ()),
            labels=fields.get("label", ()),
            **{name: last(name) for name in _FILTERS},
            at_least=_number("threshold", last("threshold", 0.0)),
            k=last("k", 10),
            sort=last("sort", "similarity"),
            exact=_truth("exact", last("exact", False)),
            fold=_truth("fold", last("fold", False)),
        )

    def to_address(self, name: str) -> str:
        """What stands after the ``?`` in the address of the app's page that shows this search.

        Parameters
        ----------
        name : str
            The collection that is searched.

        Raises
        ------
        InputError
            If an address cannot say it: it holds no files and no bytes.

        Examples
        --------
        >>> Query(7, dislike=9, k=12).to_address("holiday")
        'in=holiday&id=7&dislike=9&fold=false'
        """
        found = [(field, value) for field, value in self.to_fields(name) if _PAGE.get(field) != value]
        if any(field == "image" for field, _ in found):
            raise InputError("image: an address holds no bytes of a picture")
        return urlencode(found)

    @classmethod
    def from_address(cls, address: str) -> Self:
        """From the address of the app's page, or what stands in it after the ``?``."""
        query = address.rpartition("?")[2].partition("#")[0]
        return cls.from_fields([*_PAGE.items(), *parse_qsl(query, keep_blank_values=True)])

    # --- the command line --------------------------------------------------------------------------------------------

    def to_arguments(self) -> list[str]:
        """As arguments of ``lookalike search``.

        Raises
        ------
        InputError
            If a command line cannot say it: it holds no bytes, and nothing of a server.
        """
        found = [part.to_argument() for part in self.parts]

        def add(flag: str, *values: str) -> None:
            found.extend(word for value in values for word in (flag, value))

        add("--region", *(str(region or "") for region in _regions_of(self.parts)))
        add("--words", *([self.words] if self.words else []))
        add("--like", *(part.to_argument() for part in self.like))
        add("--less", *(part.to_argument() for part in self.dislike))
        add("--folder", *self.labels)
        if self.after or self.before:
            is_one = self.after == self.before
            add("--taken", str(self.after) if is_one else f"{self.after or ''}..{self.before or ''}")
        for name, flag in _FLAG_OF.items():
            add(flag, *([] if getattr(self, name) is None else [str(getattr(self, name))]))
        add("--at-least", *([str(self.at_least).removesuffix(".0")] if self.at_least else []))
        add("--sort", *([self.sort] if self.sort != "similarity" else []))
        add("-k", *([str(self.k)] if self.k != 10 else []))
        return found + ["--fold"] * self.fold + ["--exact"] * self.exact


_USUAL: Final = {field.name: getattr(Query(words="x"), field.name) for field in fields(Query)} | {"words": None}


def _plain(value: Part | str) -> Any:
    return value.to_json() if isinstance(value, Part) else value


def _field_of(part: Part) -> str:
    if part.path is not None:
        raise InputError("path: a form or an address names no files of a machine; send the picture itself")
    return next(field for kind, field in (("kept", "query"), *_FIELD_OF.items()) if getattr(part, kind) is not None)


def _as_field(part: Part) -> tuple[str, str | bytes]:
    name = _field_of(part)
    return name, str(part.id) if name == "id" else next(
        value for value in (part.kept, part.image, part.url) if value is not None
    )


def _own_id(part: Part) -> str:
    if part.id is None or part.source is not None or part.region is not None:
        raise InputError("like, dislike: a form or an address takes ids of the collection here")
    return str(part.id)


def _in_fractions(region: Region | None) -> Region | None:
    if region is not None and region.is_pixels:
        raise InputError(f"region: expected x,y,width,height as fractions inside the picture, got {region}")
    return region


def _sources(given: list[str], n: int) -> list[str | None]:
    """The collection of each of n ids; None where it is the one that is searched."""
    if len(given) > 1 and len(given) != n:
        raise InputError(f"from: expected one for all of {n} ids, or one for each, got {len(given)}")
    return [name or None for name in (given if len(given) == n else [*given, ""][:1] * n)]


def _regions_of(parts: Sequence[Part]) -> list[Region | None]:
    """The region of each picture, as far as the last that has one."""
    regions = [part.region for part in parts]
    while regions and regions[-1] is None:
        regions.pop()
    return regions


def _whole(name: str, value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise InputError(f"{name}: expected a whole number, got {str(value)[:40]!r}") from None


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except ValueError:
        raise InputError(f"{name}: expected a number, got {str(value)[:40]!r}") from None


def _truth(name: str, value: Any) -> bool:
    if value not in (True, False, "true", "false"):
        raise InputError(f"{name}: expected true or false, got {str(value)[:40]!r}")
    return value in (True, "true")
