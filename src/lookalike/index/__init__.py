"""Indexes that share one API: train, add, search, remove, reconstruct, save."""

from lookalike.index.flat import FlatIndex

__all__ = ["FlatIndex"]
