"""Indexes that share one API: train, add, search, remove, reconstruct, save."""

from lookalike.index.factory import index_factory
from lookalike.index.faiss import read_faiss, write_faiss
from lookalike.index.flat import FlatIndex
from lookalike.index.ivfflat import IVFFlatIndex
from lookalike.index.ivfpq import IVFPQIndex
from lookalike.index.pq import PQIndex
from lookalike.index.refined import RefinedIndex
from lookalike.index.rerank import Reranked
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
