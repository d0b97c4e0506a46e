"""The index of a collection, to look at, with the entries and files that its vectors are of."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import FloatArray, IdArray
from lookalike.collection.catalog import entries as entries_of
from lookalike.collection.index.choose import choose_spec
from lookalike.collection.records import printable
from lookalike.errors import InputError, LookalikeWarning

if TYPE_CHECKING:
    from pathlib import Path

    from lookalike.collection.snapshot import Snapshot
    from lookalike.index.kinds import IVFPQIndex

__all__ = ["Inside", "first_entries", "look_inside", "named_paths", "sampled", "spec_of", "temporary_index", "unwarned"]

SAMPLE = 10_000  # features that a temporary index holds at most: it is to be looked at within seconds
_filters = threading.Lock()


@dataclass(frozen=True)
class Inside:
    """The index of a collection, to look at.

    Attributes
    ----------
    index : Index
    spec : str
    temporary : bool
        Made for the occasion, because the collection has none; of a sample of the features where they are many.
    entry_of : dict of int to int
        From the ids that the index holds (of features) to those of entries.
    """

    index: Any
    spec: str
    temporary: bool
    entry_of: dict[int, int]


def look_inside(snapshot: Snapshot, name: str) -> Inside:
    """See `Collection.inside`."""
    if not len(snapshot):
        raise InputError(f"{name} holds no pictures, so it has no index to show; index a folder first")
    index: Any = None if snapshot.loaded is None else snapshot.loaded.get()
    entries = first_entries(snapshot)(snapshot.features)
    entry_of = dict(zip(snapshot.features.tolist(), entries.tolist(), strict=True))
    if snapshot.loaded is not None and index is not None:
        return Inside(index, snapshot.loaded.generation.spec, False, entry_of)
    features = sampled(snapshot.features)
    index = temporary_index(snapshot.store[features], features)
    return Inside(index, spec_of(index), True, entry_of)


def sampled(features: IdArray) -> IdArray:
    """All features, or an even choice of `SAMPLE` of them, the same each time; ascending as they are."""
    if len(features) <= SAMPLE:
        return features
    return features[np.sort(np.random.default_rng(0).choice(len(features), SAMPLE, replace=False))]


def temporary_index(x: FloatArray, ids: IdArray) -> IVFPQIndex:
    """An IVFPQ index over few vectors, unit rows of shape (n, d), for looking at; it is not kept."""
    from lookalike.index.kinds import IVFPQIndex

    spec = choose_spec(*x.shape)
    nlist = max(1, min(spec.nlist, len(x) // 2))
    index = IVFPQIndex(nlist=nlist, m=spec.m, nbits=spec.nbits, metric="cosine")
    with unwarned():  # there are as many as there are
        index.train(x if len(x) >= index.ksub else np.resize(x, (index.ksub, x.shape[1])))
    return index.add(x, ids=ids)


@contextlib.contextmanager
def unwarned() -> Iterator[None]:
    """Leave out our warnings; one thread at a time, as the filters are those of the process."""
    with _filters, warnings.catch_warnings():
        warnings.simplefilter("ignore", LookalikeWarning)
        yield


def spec_of(index: IVFPQIndex) -> str:
    return f"IVF{index.nlist},PQ{index.m}{'' if index.nbits == 8 else f'x{index.nbits}'}"


def first_entries(snapshot: Snapshot) -> Callable[[IdArray], IdArray]:
    return lambda features: snapshot.entries[snapshot._starts[np.searchsorted(snapshot.features, features)]]


def named_paths(connection: sqlite3.Connection, ids: set[int]) -> dict[int, tuple[str, Path]]:
    """A name to show and the file of each entry."""
    return {entry.id: (printable(entry.relative), entry.path) for entry in entries_of.several(connection, sorted(ids))}
