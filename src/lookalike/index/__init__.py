"""Indexes that share one API: train, add, search, remove, reconstruct, save."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike._lazy import lazy

if TYPE_CHECKING:
    from lookalike.index.factory import index_factory as index_factory
    from lookalike.index.faiss import read_faiss as read_faiss
    from lookalike.index.faiss import write_faiss as write_faiss
    from lookalike.index.kinds import FlatIndex as FlatIndex
    from lookalike.index.kinds import IVFFlatIndex as IVFFlatIndex
    from lookalike.index.kinds import IVFPQIndex as IVFPQIndex
    from lookalike.index.kinds import PQIndex as PQIndex
    from lookalike.index.refine import RefinedIndex as RefinedIndex
    from lookalike.index.refine import Reranked as Reranked
    from lookalike.index.signs import IVFSignsIndex as IVFSignsIndex
    from lookalike.index.storage import load_index as load_index

_HOME = {
    "index_factory": "lookalike.index.factory",
    **dict.fromkeys(["read_faiss", "write_faiss"], "lookalike.index.faiss"),
    **dict.fromkeys(["FlatIndex", "IVFFlatIndex", "IVFPQIndex", "PQIndex"], "lookalike.index.kinds"),
    **dict.fromkeys(["RefinedIndex", "Reranked"], "lookalike.index.refine"),
    "IVFSignsIndex": "lookalike.index.signs",
    "load_index": "lookalike.index.storage",
}

__all__ = [
    "FlatIndex",
    "IVFFlatIndex",
    "IVFPQIndex",
    "IVFSignsIndex",
    "PQIndex",
    "RefinedIndex",
    "Reranked",
    "index_factory",
    "load_index",
    "read_faiss",
    "write_faiss",
]

__getattr__, __dir__ = lazy(__name__, _HOME)
