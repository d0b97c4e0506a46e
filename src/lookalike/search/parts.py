"""One picture to search with, or a part of it."""

from __future__ import annotations

import base64
import binascii
import math
import numbers
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, Self, TypeAlias

from lookalike._hostname import is_url
from lookalike.errors import InputError

__all__ = [
    "FIELDS",
    "Part",
    "Picture",
    "Pictures",
    "Region",
    "in_fractions",
    "is_words",
    "parse_regions",
    "parts_of",
    "regions_of",
]

FIELDS: Final = (
    "image",
    "query",
    "url",
    "id",
)  # of pictures in a form, in the order in which regions are given to them

Picture: TypeAlias = "Part | int | str | os.PathLike[str] | bytes | bytearray | memoryview"
Pictures: TypeAlias = "Picture | Iterable[Picture]"

_ID: Final = re.compile(r"id:(\d{1,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture: its upper left corner, width and height, in fractions of the picture or in pixels.

    Numbers that are all 1 or less are fractions. The picture is upright, as people see it.

    Examples
    --------
    >>> Region(0.5, 0, 0.5, 1).is_pixels, Region(10, 10, 200, 150).is_pixels
    (False, True)
    """

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        sides = (self.x, self.y, self.width, self.height)
        if not (all(map(math.isfinite, sides)) and min(self.x, self.y) >= 0 and min(self.width, self.height) > 0):
            raise InputError(f"region: expected x,y,width,height inside the picture, got {self}")
        if not (self.is_pixels or self._is_inside(1.001, 1.001)):
            raise InputError(f"region: expected x,y,width,height as fractions inside the picture, got {self}")

    def __str__(self) -> str:
        return ",".join(str(side).removesuffix(".0") for side in (self.x, self.y, self.width, self.height))

    @property
    def is_pixels(self) -> bool:
        """Whether these are pixels."""
        return max(self.x, self.y, self.width, self.height) > 1

    @classmethod
    def parse(cls, text: str) -> Region | None:
        """From ``"x,y,width,height"``; None for the whole picture, which is empty text too.

        Examples
        --------
        >>> Region.parse("0.5,0,0.5,1")
        Region(x=0.5, y=0.0, width=0.5, height=1.0)
        """
        if not text:
            return None
        try:
            x, y, width, height = map(float, text.split(","))
        except ValueError:
            raise InputError(f"region: expected x,y,width,height as in 0.25,0,0.5,1, got {text[:60]!r}") from None
        region = cls(x, y, width, height)
        return None if region == WHOLE else region

    def within(self, size: tuple[int, int]) -> Region:
        """The region in fractions of a picture of that width and height.

        Raises
        ------
        InputError
            If it reaches beyond the picture.
        """
        if not self.is_pixels:
            return self
        width, height = size
        if not self._is_inside(width, height):
            raise InputError(f"region: {self} reaches beyond the picture, which has {width} × {height} pixels")
        return Region(self.x / width, self.y / height, self.width / width, self.height / height)

    def box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, upper, right and lower pixel in a picture of that size; at least one pixel."""
        width, height = size
        region = self.within(size)
        left, upper = min(int(region.x * width), width - 1), min(int(region.y * height), height - 1)
        right = min(max(round((region.x + region.width) * width), left + 1), width)
        return left, upper, right, min(max(round((region.y + region.height) * height), upper + 1), height)

    def _is_inside(self, width: float, height: float) -> bool:
        return self.x + self.width <= width and self.y + self.height <= height


WHOLE: Final = Region(0, 0, 1, 1)


@dataclass(frozen=True, slots=True)
class Part:
    """One picture to search with: exactly one of the first five, but for a picture's bytes with their tag.

    Attributes
    ----------
    image : bytes or None
        A picture file's contents.
    kept : str or None
        The tag of a picture that a server has seen; once a search has begun, its bytes are in `image` too.
    url : str or None
        A public http(s) address.
    id : int or None
        A picture of the collection, or of the one named `source`.
    path : str or None
        A file of this machine.
    source : str or None
        Name of the collection that `id` belongs to; None for the one that is searched. Servers only.
    region : Region or None
        Only this part of the picture.

    Raises
    ------
    InputError
        If it is no picture, or several.
    """

    image: bytes | None = None
    kept: str | None = None
    url: str | None = None
    id: int | None = None
    path: str | None = None
    source: str | None = None
    region: Region | None = None

    def __post_init__(self) -> None:
        contents = self.image if self.kept is None else self.kept
        if sum(each is not None for each in (contents, self.url, self.id, self.path)) != 1:
            raise InputError("expected one of image, kept, url, id and path for each picture")
        if self.path is not None and is_url(self.path):
            raise InputError(f"path: expected a file, got the address {self.path[:200]}; give it as a url")
        if self.source is not None and self.id is None:
            raise InputError("source: only an id is of a collection")
        if self.region == WHOLE:
            object.__setattr__(self, "region", None)

    @classmethod
    def of(cls, given: Picture, region: Region | str | None = None) -> Part:
        """A picture as people give it: an entry's id, a path, a URL, a file's bytes.

        Parameters
        ----------
        given
            A Part stays as it is.
        region : Region or str, optional
            A part of it; as text ``"x,y,width,height"``.

        Examples
        --------
        >>> Part.of("a.jpg", "10,10,200,150").region
        Region(x=10.0, y=10.0, width=200.0, height=150.0)
        """
        where = Region.parse(region) if isinstance(region, str) else region
        if isinstance(given, Part):
            return given
        if isinstance(given, numbers.Integral) and not isinstance(given, bool):
            return cls(id=int(given), region=where)
        if isinstance(given, bytes | bytearray | memoryview):
            return cls(image=bytes(given), region=where)
        if isinstance(given, str) and is_url(given):
            return cls(url=given, region=where)
        if isinstance(given, str | os.PathLike):
            return cls(path=os.fsdecode(given), region=where)
        raise InputError(f"query: expected a path, a URL, an id or the bytes of a picture, got {type(given).__name__}")

    def to_json(self) -> dict[str, Any]:
        """As plain values, without what is not given; bytes in base64."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.image is not None:
            known["image"] = base64.b64encode(self.image).decode()
        if self.region is not None:
            known["region"] = [self.region.x, self.region.y, self.region.width, self.region.height]
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """From the values of `to_json`."""
        try:
            known = dict(value)
            if "image" in known:
                known["image"] = base64.b64decode(known["image"], validate=True)
            if "region" in known:
                known["region"] = Region(*known["region"])
            return cls(**known)
        except (TypeError, ValueError, AttributeError, binascii.Error):
            raise InputError(f"expected a picture as plain values, got {str(value)[:100]}") from None

    def to_field(self) -> tuple[str, str | bytes]:
        """Name and value of its field in a form.

        Raises
        ------
        InputError
            If it is a file of this machine.
        """
        if self.path is not None:
            raise InputError("path: a form or an address names no files of a machine; send the picture itself")
        known = {"query": self.kept, "image": self.image, "url": self.url, "id": self.id}
        name, value = next((name, value) for name, value in known.items() if value is not None)
        return name, value if isinstance(value, bytes) else str(value)

    def to_mark(self) -> str:
        """What a form has of a picture that is liked, or not.

        Raises
        ------
        InputError
            If it is not a whole picture of the collection.
        """
        if self.id is None or self.source is not None or self.region is not None:
            raise InputError("like, dislike: a form or an address takes ids of the collection here")
        return str(self.id)

    def to_argument(self) -> str:
        """As one word of a command line: a path, a URL, or ``id:12``.

        Raises
        ------
        InputError
            If a command line cannot express it.
        """
        if self.url is not None:
            return self.url
        if self.id is not None and self.source is None:
            return f"id:{self.id}"
        if self.path is None:
            raise InputError(
                "a command line names pictures by path, URL or id, and holds no bytes, tags or collections"
            )
        is_plain = not (self.path.startswith("-") or _ID.fullmatch(self.path) or is_words(self.path))
        return self.path if is_plain else os.path.join(os.curdir, self.path)  # noqa: PTH118 (Path takes the dot away)

    @classmethod
    def from_argument(cls, text: str, region: Region | None = None) -> Part:
        """From one word of a command line. A file that is called ``id:12`` is ``./id:12``."""
        by_id = _ID.fullmatch(text)
        return cls.of(int(by_id[1]) if by_id else text, region)


def is_words(text: str) -> bool:
    """Whether a query that names no file is meant as words, and is not a mistyped file name.

    Examples
    --------
    >>> is_words("red bicycle"), is_words("holiday.jpg"), is_words("./x"), is_words("https://a.b/c")
    (True, False, False, False)
    """
    is_path = re.search(r"[/\\\0\ud800-\udfff]|^[.~]|^[A-Za-z]:|\.\w{1,5}$|^id:\d+$", text) is not None
    return not is_path and re.search(r"\w", text) is not None


def parts_of(given: Pictures) -> tuple[Part, ...]:
    """One picture or several, each as `Part.of` takes it."""
    if isinstance(given, Iterable) and not isinstance(given, str | bytes | bytearray | memoryview | os.PathLike):
        return tuple(map(Part.of, given))
    return (Part.of(given),)


def in_fractions(region: Region | None) -> Region | None:
    """A region that a form can hold."""
    if region is not None and region.is_pixels:
        raise InputError(f"region: expected x,y,width,height as fractions inside the picture, got {region}")
    return region


def regions_of(parts: Sequence[Part]) -> list[Region | None]:
    """The region of each picture, as far as the last that has one."""
    regions = [part.region for part in parts]
    while regions and regions[-1] is None:
        regions.pop()
    return regions


def parse_regions(given: Sequence[str], n: int) -> list[Region | None]:
    """The region of each of n pictures, the first of the first; an empty one, or none, is the whole picture."""
    while len(given) > n and not given[-1]:
        given = given[:-1]
    if len(given) > n:
        raise InputError(f"region: expected at most one for each of {n} pictures, got {len(given)}")
    return [*map(Region.parse, given), *[None] * (n - len(given))]
