"""Reverse image search you can read, measure and trust.

Public names are loaded when they are first used (PEP 562), so that ``import lookalike`` stays fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike._lazy import lazy

if TYPE_CHECKING:  # what type checkers see; at run time `__getattr__` loads each name
    from lookalike._collection import Collection as Collection
    from lookalike._typing import RangeResult as RangeResult
    from lookalike._typing import SearchResult as SearchResult
    from lookalike.collection.catalog.filters import Filter as Filter
    from lookalike.errors import CollectionError as CollectionError
    from lookalike.errors import CollectionLockedError as CollectionLockedError
    from lookalike.errors import CollectionNotFoundError as CollectionNotFoundError
    from lookalike.errors import CollectionUnavailableError as CollectionUnavailableError
    from lookalike.errors import DatasetError as DatasetError
    from lookalike.errors import DimensionError as DimensionError
    from lookalike.errors import DTypeError as DTypeError
    from lookalike.errors import FetchError as FetchError
    from lookalike.errors import FormatError as FormatError
    from lookalike.errors import IdError as IdError
    from lookalike.errors import ImageError as ImageError
    from lookalike.errors import InputError as InputError
    from lookalike.errors import LookalikeError as LookalikeError
    from lookalike.errors import LookalikeWarning as LookalikeWarning
    from lookalike.errors import MissingExtraError as MissingExtraError
    from lookalike.errors import ModelError as ModelError
    from lookalike.errors import NotTrainedError as NotTrainedError
    from lookalike.errors import ReadOnlyError as ReadOnlyError
    from lookalike.errors import TrainingError as TrainingError
    from lookalike.errors import UnreadableNowError as UnreadableNowError
    from lookalike.errors import VersionError as VersionError
    from lookalike.index import FlatIndex as FlatIndex
    from lookalike.index import IVFFlatIndex as IVFFlatIndex
    from lookalike.index import IVFPQIndex as IVFPQIndex
    from lookalike.index import IVFSignsIndex as IVFSignsIndex
    from lookalike.index import PQIndex as PQIndex
    from lookalike.index import RefinedIndex as RefinedIndex
    from lookalike.index import Reranked as Reranked
    from lookalike.index import index_factory as index_factory
    from lookalike.index import load_index as load_index
    from lookalike.index import read_faiss as read_faiss
    from lookalike.index import write_faiss as write_faiss
    from lookalike.index.neighbors import IVFPQNeighbors as IVFPQNeighbors
    from lookalike.search import Part as Part
    from lookalike.search import Query as Query
    from lookalike.search import Region as Region

__version__ = "0.1.0"

_HOME = {
    "Collection": "lookalike._collection",
    "Filter": "lookalike.collection.catalog.filters",
    "FlatIndex": "lookalike.index",
    "IVFFlatIndex": "lookalike.index",
    "IVFPQIndex": "lookalike.index",
    "IVFPQNeighbors": "lookalike.index.neighbors",
    "IVFSignsIndex": "lookalike.index",
    "PQIndex": "lookalike.index",
    "Part": "lookalike.search",
    "Query": "lookalike.search",
    "Region": "lookalike.search",
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
            "CollectionUnavailableError",
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
            "UnreadableNowError",
            "VersionError",
        ],
        "lookalike.errors",
    ),
}

__all__ = ["__version__", *sorted(_HOME.keys() - {"IVFPQNeighbors"})]  # noqa: PLE0604  # a star must not need scikit-learn


__getattr__, __dir__ = lazy(__name__, _HOME)
