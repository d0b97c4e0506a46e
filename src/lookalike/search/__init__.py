"""The question, once: what Python, the command line, the REST API and the page's address all spell; and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike._lazy import lazy

if TYPE_CHECKING:
    from lookalike.search.parts import Part as Part
    from lookalike.search.parts import Region as Region
    from lookalike.search.query import Query as Query
    from lookalike.search.query import Sort as Sort
    from lookalike.search.resolve import Reader as Reader
    from lookalike.search.run import Answer as Answer
    from lookalike.search.run import search as search

_HOME = {
    "Answer": "lookalike.search.run",
    "Part": "lookalike.search.parts",
    "Query": "lookalike.search.query",
    "Reader": "lookalike.search.resolve",
    "Region": "lookalike.search.parts",
    "Sort": "lookalike.search.query",
    "search": "lookalike.search.run",
}

__all__ = ["Answer", "Part", "Query", "Reader", "Region", "Sort", "search"]

__getattr__, __dir__ = lazy(__name__, _HOME)
