"""A query as plain data, and its forms: Python, JSON, form or address, command line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias, get_args
from urllib.parse import parse_qsl, urlencode

from lookalike._validate import check_count
from lookalike.collection.catalog.filters import Filter
from lookalike.errors import InputError
from lookalike.search.parts import FIELDS, Part, Pictures, in_fractions, parse_regions, parts_of, regions_of

if TYPE_CHECKING:
    from lookalike._typing import ArrayLike, FloatArray
    from lookalike.collection.stored import StoredCollection
    from lookalike.search.run import Answer

__all__ = ["MAX_PICTURES", "SORTS", "Query", "Sort"]

MAX_PICTURES: Final = 1000  # of each role

Sort: TypeAlias = Literal["similarity", "name", "newest", "oldest", "largest"]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)

_PAGE: Final = {"k": "12", "fold": "true"}  # what the page takes where its address says nothing
_PART: Final = {"image": "image", "query": "kept", "url": "url"}
_FILTERS: Final = ("after", "before", "min_side", "max_side", "shape")
_WHOLE: Final = ("id", "like", "dislike", "min_side", "max_side", "k")
_FLAG_OF: Final = {"min_side": "--min-side", "max_side": "--max-side", "shape": "--shape"}


@dataclass(frozen=True, slots=True, init=False)
class Query:
    """A query: what to search for, among which pictures, and how to show the results.

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
        for name, side in (("min_side", min_side), ("max_side", max_side)):
            keep(**{name: None if side is None else check_count(side, name, 0)})
        keep(shape=shape, at_least=_number("at_least", at_least), k=check_count(k, "k"), sort=sort)
        keep(exact=_truth("exact", exact), fold=_truth("fold", fold))
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
        self, collection: StoredCollection, k: int | None = None, *, exact: bool = False, allow: ArrayLike | None = None
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

    def vector(self, collection: StoredCollection) -> FloatArray:
        """The unit vector that a collection is searched with, float32, shape (d,), as `Collection.search` and `explain` take it.

        Raises
        ------
        ImageError, FetchError, IdError, InputError, ModelError, CollectionError
            As `Collection.search` does; also of words, where the model only knows labels.
        """
        from lookalike.search.resolve import Reader

        return Reader().vector(self, collection)

    # --- JSON --------------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Any]:
        """As plain values, without those that are the defaults.

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
        pictures = sorted(self.parts, key=lambda part: FIELDS.index(part.to_field()[0]))
        is_elsewhere = any(part.source is not None for part in pictures)
        found: list[tuple[str, str | bytes]] = [] if name is None else [("in", name)]
        for part in pictures:
            found.append(part.to_field())
            if part.id is not None and is_elsewhere:
                found.append(("from", part.source or name or ""))
        found += [("text", self.words)] if self.words else []
        found += [("region", str(in_fractions(region) or "")) for region in regions_of(pictures)]
        found += [(role, part.to_mark()) for role in ("like", "dislike") for part in getattr(self, role)]
        found += [("label", label) for label in self.labels]
        found += [(each, str(getattr(self, each))) for each in _FILTERS if getattr(self, each) is not None]
        found.append(("k", str(self.k)))
        found += [("threshold", str(self.at_least).removesuffix(".0"))] if self.at_least else []
        found += [("sort", self.sort)] if self.sort != "similarity" else []
        found.append(("fold", str(self.fold).lower()))
        return [*found, ("exact", "true")] if self.exact else found

    @classmethod
    def from_fields(cls, given: Iterable[tuple[str, Any]]) -> Self:
        """From the fields of a form, in the order that they have there; empty and unknown ones are ignored.

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
        pictures = [{_PART[kind]: value} for kind in FIELDS[:-1] for value in fields.get(kind, ())]
        pictures += [{"id": id, "source": source} for id, source in zip(ids, sources, strict=True)]
        regions = map(in_fractions, parse_regions(fields.get("region", []), len(pictures)))
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
            exact=last("exact", False),
            fold=last("fold", False),
        )

    def to_address(self, name: str) -> str:
        """The part after the ``?`` in the address of the app's page that shows this search.

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
        """From the address of the app's page, or from the part after its ``?``."""
        before, mark, after = address.partition("#")[0].partition("?")
        query = before + mark + after if "=" in before else after or before  # a value may hold a question mark
        return cls.from_fields([*_PAGE.items(), *parse_qsl(query, keep_blank_values=True)])

    # --- the command line --------------------------------------------------------------------------------------------

    def to_arguments(self) -> list[str]:
        """As arguments of ``lookalike search``.

        Raises
        ------
        InputError
            If a command line cannot express it: bytes, and what only a server knows.
        """
        if any(part.region for part in (*self.like, *self.dislike)):
            raise InputError("like, dislike: a command line takes whole pictures here")
        found = [part.to_argument() for part in self.parts]

        def add(flag: str, *values: str) -> None:
            found.extend(word for value in values for word in (flag, value))

        add("--region", *(str(region or "") for region in regions_of(self.parts)))
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


def _plain(value: Part | str) -> Any:
    return value.to_json() if isinstance(value, Part) else value


def _sources(given: list[str], n: int) -> list[str | None]:
    """The collection of each of n ids; None where it is the one that is searched."""
    if len(given) > 1 and len(given) != n:
        raise InputError(f"from: expected one for all of {n} ids, or one for each, got {len(given)}")
    return [name or None for name in (given if len(given) == n else [*given, ""][:1] * n)]


def _whole(name: str, value: Any) -> int:
    try:
        return int(value)
    except ValueError:
        raise InputError(f"{name}: expected a whole number, got {str(value)[:40]!r}") from None


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name}: expected a number, got {str(value)[:40]!r}") from None


def _truth(name: str, value: Any) -> bool:
    if value not in (True, False, "true", "false"):
        raise InputError(f"{name}: expected true or false, got {str(value)[:40]!r}")
    return value in (True, "true")


_USUAL: Final = {field.name: getattr(Query(words="x"), field.name) for field in fields(Query)} | {"words": None}
