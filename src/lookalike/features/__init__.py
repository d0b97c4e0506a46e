"""From pictures to vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lookalike._lazy import lazy

if TYPE_CHECKING:
    from lookalike.features.models import DEFAULT_MODEL, MODELS, Calibration, ModelCard, get_model, word

__all__ = ["DEFAULT_MODEL", "MODELS", "Calibration", "ModelCard", "get_model", "word"]

# A process that only decodes needs none of them.
__getattr__, __dir__ = lazy(__name__, dict.fromkeys(__all__, "lookalike.features.models"))
