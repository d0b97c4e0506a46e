"""Learning: networks of PyTorch and timm as models of lookalike, and models that fit the user's own pictures.

All that is done here needs ``pip install "lookalike[train]"``.
"""

from __future__ import annotations

from lookalike.training.exporting import export_model
from lookalike.training.finetuning import Finetuned, Settings, finetune

__all__ = ["Finetuned", "Settings", "export_model", "finetune"]
