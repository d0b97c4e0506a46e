"""How much one question to the server may hold."""

from __future__ import annotations

from typing import Final

from lookalike.errors import InputError
from lookalike.search import Query

__all__ = ["MAX_K", "MAX_PARTS", "check_limits"]

MAX_K: Final = 200
MAX_PARTS: Final = 50
MAX_MARKS: Final = 500


def check_limits(query: Query) -> Query:
    """The query, if it is one that a server answers.

    Raises
    ------
    InputError
        If it asks for too many results, or with too many pictures.
    """
    if query.k > MAX_K:
        raise InputError(f"k: expected 1 to {MAX_K}, got {query.k}")
    if len(query.parts) > MAX_PARTS or max(len(query.like), len(query.dislike)) > MAX_MARKS:
        raise InputError(f"expected at most {MAX_PARTS} pictures, and {MAX_MARKS} to be like or unlike")
    return query
