"""What is made of a file before Pillow sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lookalike.errors import ImageError

__all__ = ["Prepared", "too_many"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file without what its decoder would be slow at or trip over, and what was said in the parts that are gone.

    Attributes
    ----------
    data : bytes
    turned : int or None
        EXIF's orientation; None if the decoder is to be asked.
    profile : bytes or None
        ICC profile; None if the decoder is to be asked.
    facts : dict
        What a format tells that Pillow does not: ``transparency`` on Pillow's scale, ``lacks_end``, ``bits``, ``signed``,
        ``nodata``, ``inverted``.
    """

    data: bytes
    turned: int | None = None
    profile: bytes | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def too_many(what: str, limit: int) -> ImageError:
    return ImageError(f"the file has more than {limit:,} {what}, which no picture needs: not read")
