"""Data sets, and from folders to files and labels."""

from __future__ import annotations

from lookalike.data.datasets import DATASETS, Attribution, DatasetCard, get_dataset, starter_attribution, starter_folder
from lookalike.data.labels import read_labels, write_labels
from lookalike.data.walk import Found, Skipped, label_of, walk

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
