"""The old place of `lookalike.features.imported`, kept for those who import from here."""

from __future__ import annotations

from lookalike._lazy import moved

__getattr__ = moved(__name__, {name: f"lookalike.features.imported.{name}" for name in ("Brought", "read_features")})
