"""What can be asked: pictures, parts of them and words, mixed with what is liked and what is not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias, get_args

from lookalike.collection.filters import Filter
from lookalike.errors import InputError

__all__ = ["MAX_K", "MAX_PARTS", "Part", "Query", "Region", "Sort"]

MAX_K: Final = 200
MAX_PARTS: Final = 50
MAX_MARKS: Final = 500

Sort: TypeAlias = Literal["similarity", "name", "newest", "oldest", "largest"]


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a picture, as fractions of its width and height; (0, 0) is the upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        sides = (self.x, self.y, self.width, self.height)
        inside = self.x >= 0 and self.y >= 0 and self.x + self.width <= 1.001 and self.y + self.height <= 1.001
        if not (all(map(math.isfinite, sides)) and inside and min(self.width, self.height) > 0):
            raise InputError(f"region: expected x,y,width,height as fractions inside the picture, got {self}")

    def __str__(self) -> str:
        return ",".join(f"{side:.4g}" for side in (self.x, self.y, self.width, self.height))

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
        return None if (x, y, width, height) == (0, 0, 1, 1) else region

    def box(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Left, upper, right and lower pixel in a picture of that size; at least one pixel."""
        width, height = size
        left, upper = min(int(self.x * width), width - 1), min(int(self.y * height), height - 1)
        right = min(max(round((self.x + self.width) * width), left + 1), width)
        return left, upper, right, min(max(round((self.y + self.height) * height), upper + 1), height)


@dataclass(frozen=True, slots=True)
class Part:
    """One thing to search with: exactly one of the first five, but for a picture with its tag.

    Attributes
    ----------
    image : bytes or None
        A picture file's contents.
    kept : str or None
        The tag of a picture that the server has seen; once a search has begun, its bytes are in `image` too.
    url : str or None
    id : int or None
        A picture of the collection, or of the one named `source`.
    text : str or None
        Words.
    source : str or None
        Name of the collection that `id` belongs to; None for the one that is searched.
    region : Region or None
        Only this part of the picture.
    """

    image: bytes | None = None
    kept: str | None = None
    url: str | None = None
    id: int | None = None
    text: str | None = None
    source: str | None = None
    region: Region | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A whole question: what to look for, where, and how to show it.

    Attributes
    ----------
    parts : tuple of Part
        Their mean is looked for.
    like, dislike : tuple of int
        Pictures of the collection: more like these, less like those.
    wanted : Filter
        Only these can be results.
    k : int
        1 to 200.
    threshold : float
        Least similarity, 0 to 100.
    sort : {"similarity", "name", "newest", "oldest", "largest"}
        Order of the k most similar.
    exact : bool
        Compare with every picture, and say what the index would have missed.
    fold : bool
        Put near-identical results under the first of them.

    Raises
    ------
    InputError
        If there is nothing to look for, or a number is out of range.
    """

    parts: tuple[Part, ...] = ()
    like: tuple[int, ...] = ()
    dislike: tuple[int, ...] = ()
    wanted: Filter = field(default_factory=Filter)
    k: int = 10
    threshold: float = 0.0
    sort: Sort = "similarity"
    exact: bool = False
    fold: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.k <= MAX_K:
            raise InputError(f"k: expected 1 to {MAX_K}, got {self.k}")
        if not self.parts and not self.like:
            hint = "; pictures to be unlike need one to be like" if self.dislike else ""
            raise InputError(f"expected at least one of image, url, id, text and like, got none{hint}")
        if len(self.parts) > MAX_PARTS or max(len(self.like), len(self.dislike)) > MAX_MARKS:
            raise InputError(f"expected at most {MAX_PARTS} pictures, and {MAX_MARKS} to be like or unlike")
        if not 0 <= self.threshold <= 100:
            raise InputError(f"threshold: expected a similarity from 0 to 100, got {self.threshold}")
        if self.sort not in get_args(Sort):
            raise InputError(f"sort: expected one of {', '.join(get_args(Sort))}, got {self.sort!r}")
