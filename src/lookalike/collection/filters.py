"""The old place of `lookalike.Filter`, kept for those who import it from here."""

from __future__ import annotations

import warnings
from typing import Any

from lookalike.collection.catalog import filters


def __getattr__(name: str) -> Any:
    if name not in filters.__all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(f"lookalike.collection.filters has moved: use lookalike.{name}", DeprecationWarning, stacklevel=2)
    return getattr(filters, name)
