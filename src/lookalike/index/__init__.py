"""Indexes that share one API: train, add, search, remove, reconstruct, save."""

from lookalike.index.flat import FlatIndex
from lookalike.index.ivfflat import IVFFlatIndex
from lookalike.index.ivfpq import IVFPQIndex
from lookalike.index.pq import PQIndex
from lookalike.index.rerank import Reranked
from lookalike.index.storage import load_index

__all__ = ["FlatIndex", "IVFFlatIndex", "IVFPQIndex", "PQIndex", "Reranked", "load_index"]
