"""What learning needs besides lookalike: PyTorch, timm, memory; and what to say where it is missing."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator
from typing import Any

from lookalike.errors import InputError, MissingExtraError, TrainingError

__all__ = ["choose_device", "enough_memory", "require"]

_NEEDED = {"torch": "PyTorch", "timm": "timm", "onnx": "onnx", "onnxscript": "onnxscript"}
_MEMORY = ("out of memory", "can't allocate memory", "cannot allocate memory", "not enough memory", "alloc_failed")


def require(what: str) -> None:
    """Refuse to begin without the libraries.

    Raises
    ------
    MissingExtraError
        With the command that installs them.
    """
    for module, title in _NEEDED.items():
        try:
            importlib.import_module(module)
        except ImportError as error:
            why = "" if getattr(error, "name", module) == module else f" ({error})"
            raise MissingExtraError(f'{what} needs {title}{why}: pip install "lookalike[train]"') from None


def choose_device(wanted: str) -> Any:
    """The device to compute on: ``"auto"`` is a graphics card where there is one.

    Raises
    ------
    InputError
        If there is no such device.
    """
    import torch

    if wanted not in {"auto", "cpu", "cuda"}:
        raise InputError(f"device: expected auto, cpu or cuda, got {wanted!r}")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "device: PyTorch finds no graphics card that it can use here; say --device cpu, or leave it out"
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


@contextlib.contextmanager
def enough_memory(batch: int | None = None) -> Iterator[None]:
    """Say which batch would fit when one did not.

    Raises
    ------
    TrainingError
        When memory ran out.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch has no common class for the processor's and the card's
        if not isinstance(error, MemoryError) and not any(text in str(error).lower() for text in _MEMORY):
            raise
        if batch is None:
            advice = "close other programs, or take a smaller model"
        elif batch > 1:
            advice = f"try --batch {batch // 2}"
        else:
            advice = "take a smaller model, or learn less of it: --train head"
        raise TrainingError(f"there is not enough memory for batches of {batch}; {advice}" if batch else
                            f"there is not enough memory; {advice}") from None  # fmt: skip
