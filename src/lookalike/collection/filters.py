"""The old place of `lookalike.Filter`, kept for those who import it from here."""

from __future__ import annotations

from lookalike._lazy import moved

_CATALOG = "lookalike.collection.catalog.filters"

__getattr__ = moved(
    __name__,
    {"Filter": "lookalike.Filter", **{name: f"{_CATALOG}.{name}" for name in ("SHAPES", "Shape", "matching_ids")}},
)
