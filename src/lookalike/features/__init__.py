"""From pictures to vectors."""

from __future__ import annotations

from lookalike.features.models import DEFAULT_MODEL, MODELS, Calibration, ModelCard, get_model, word

__all__ = ["DEFAULT_MODEL", "MODELS", "Calibration", "ModelCard", "get_model", "word"]
