"""Pictures on disk that can be searched: a catalogue, their features, and an index over them."""

from __future__ import annotations

from lookalike.collection.collection import Collection
from lookalike.collection.records import AddReport, Entry, Hit, Progress, Skipped, printable

__all__ = ["AddReport", "Collection", "Entry", "Hit", "Progress", "Skipped", "printable"]
