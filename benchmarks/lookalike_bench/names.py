"""Names that are not there, and what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["meant"]


def meant(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """The end of a message: the closest of the known names; where none is close, `otherwise` with all of them."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; {otherwise} {', '.join(names) or 'none'}" if otherwise else ""
