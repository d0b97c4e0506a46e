"""Indexes that share one API: train, add, search, remove, reconstruct, save."""

from lookalike.index.factory import index_factory
from lookalike.index.faiss import read_faiss, write_faiss
from lookalike.index.kinds import FlatIndex, IVFFlatIndex, IVFPQIndex, PQIndex
from lookalike.index.refine import RefinedIndex, Reranked
from lookalike.index.storage import load_index

__all__ = [
    "FlatIndex",
    "IVFFlatIndex",
    "IVFPQIndex",
    "PQIndex",
    "RefinedIndex",
    "Reranked",
    "index_factory",
    "load_index",
    "read_faiss",
    "write_faiss",
]
