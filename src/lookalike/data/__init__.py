"""Data sets, and from folders to files and labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike._lazy import lazy
from lookalike.data.walk import Found, Skipped, label_of, walk

if TYPE_CHECKING:
    from lookalike.data.datasets import (
        DATASETS,
        Attribution,
        DatasetCard,
        get_dataset,
        starter_attribution,
        starter_folder,
    )
    from lookalike.data.labels import read_labels, write_labels

_DATASETS = ["DATASETS", "Attribution", "DatasetCard", "get_dataset", "starter_attribution", "starter_folder"]
_LABELS = ["read_labels", "write_labels"]

__all__ = [
    "DATASETS",
    "Attribution",
    "DatasetCard",
    "Found",
    "Skipped",
    "get_dataset",
    "label_of",
    "read_labels",
    "starter_attribution",
    "starter_folder",
    "walk",
    "write_labels",
]

# A process that only decodes needs none of them.
__getattr__, __dir__ = lazy(
    __name__,
    {**dict.fromkeys(_DATASETS, "lookalike.data.datasets"), **dict.fromkeys(_LABELS, "lookalike.data.labels")},
)
