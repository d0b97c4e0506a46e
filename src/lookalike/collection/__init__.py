"""Pictures on disk that can be searched: a catalogue, their features, and an index over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike._lazy import lazy

if TYPE_CHECKING:
    from lookalike._collection import Collection as Collection
    from lookalike.collection.records import AddReport as AddReport
    from lookalike.collection.records import Entry as Entry
    from lookalike.collection.records import Hit as Hit
    from lookalike.collection.records import Progress as Progress
    from lookalike.collection.records import Skipped as Skipped
    from lookalike.collection.records import printable as printable

# `Collection` stands above this folder: it also searches, explains and measures. Its name here is for those who know it here.
_HOME = {
    "Collection": "lookalike._collection",
    **dict.fromkeys(["AddReport", "Entry", "Hit", "Progress", "Skipped", "printable"], "lookalike.collection.records"),
}

__all__ = ["AddReport", "Collection", "Entry", "Hit", "Progress", "Skipped", "printable"]

__getattr__, __dir__ = lazy(__name__, _HOME)
