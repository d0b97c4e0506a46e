"""Reverse image search you can read, measure and trust.

Public names are loaded when they are first used (PEP 562), so that ``import lookalike`` stays fast.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Collection": "lookalike.collection",
    "FlatIndex": "lookalike.index",
    "IVFFlatIndex": "lookalike.index",
    "IVFPQIndex": "lookalike.index",
    "IVFPQNeighbors": "lookalike.index.neighbors",
    "PQIndex": "lookalike.index",
    "RefinedIndex": "lookalike.index",
    "Reranked": "lookalike.index",
    "RangeResult": "lookalike._typing",
    "SearchResult": "lookalike._typing",
    "index_factory": "lookalike.index",
    "load_index": "lookalike.index",
    "read_faiss": "lookalike.index",
    "write_faiss": "lookalike.index",
    **dict.fromkeys(
        [
            "CollectionError",
            "CollectionLockedError",
            "CollectionNotFoundError",
            "DTypeError",
            "DatasetError",
            "DimensionError",
            "FetchError",
            "FormatError",
            "IdError",
            "ImageError",
            "InputError",
            "LookalikeError",
            "LookalikeWarning",
            "MissingExtraError",
            "ModelError",
            "NotTrainedError",
            "ReadOnlyError",
            "TrainingError",
            "VersionError",
        ],
        "lookalike.errors",
    ),
}

__all__ = ["__version__", *sorted(_HOME.keys() - {"IVFPQNeighbors"})]  # noqa: PLE0604  # a star must not need scikit-learn


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'lookalike' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
