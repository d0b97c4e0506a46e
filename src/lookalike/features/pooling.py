"""One model, pooled in several ways: ``efficientnet-lite0+max`` is the default model with the maximum of its last layer.

A network's last layer is a map: d numbers at each of some positions. Pooling makes one vector of it: the mean over the positions,
the maximum, the generalised mean between the two (GeM), or, where a network has one, the token that sums up the picture (CLS).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from lookalike._typing import Array
from lookalike.errors import InputError, ModelError
from lookalike.features.cards import Calibration, ModelCard

__all__ = ["CHOICES", "GEM_P", "POOLINGS", "base_name", "check_pooling", "pooled", "with_pooling"]

GEM_P = 3.0

POOLINGS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "average": lambda x: x.mean(axis=1),
        "max": lambda x: x.max(axis=1),
        "gem": lambda x: np.cbrt((np.maximum(x, 1e-6) ** GEM_P).mean(axis=1)),  # Radenović et al. 2018
        "cls": lambda x: x[:, 0],
    }
)
"""What can be done with an output that still has positions; each takes (n, positions, d)."""

CHOICES: Mapping[str, str] = MappingProxyType(
    {"avg": "average", "average": "average", "max": "max", "gem": "gem", "cls": "cls", "model": ""}
)
"""What people say, and what cards say; ``model`` is whatever the model does."""

# Measured like those in `model_list`; of other variants nobody knows what their cosines mean.
_SIMILARITIES = (0.0, 50.0, 75.0, 90.0, 100.0)
_MEASURED: Mapping[str, tuple[float, ...]] = MappingProxyType(
    {
        "efficientnet-lite0+max": (0.342, 0.594, 0.693, 0.926, 0.9995),
        "efficientnet-lite0+gem": (0.288, 0.567, 0.699, 0.939, 0.9995),
        "fast+max": (0.350, 0.605, 0.698, 0.925, 0.9995),
        "fast+gem": (0.295, 0.576, 0.694, 0.934, 0.9995),
    }
)


def base_name(name: str) -> str:
    """The name of the model without its pooling: ``efficientnet-lite0`` of ``efficientnet-lite0+max``."""
    plain, plus, pooling = name.rpartition("+")
    return plain if plus and CHOICES.get(pooling) else name


def with_pooling(card: ModelCard, pooling: str) -> ModelCard:
    """The card of the same network, pooled in another way; it is another model, whose vectors do not mix with the first one's.

    Parameters
    ----------
    card : ModelCard
    pooling : str
        One of `CHOICES`.

    Raises
    ------
    InputError
        If there is no such pooling.
    ModelError
        If the model's file does not let one pool otherwise.

    Examples
    --------
    >>> from lookalike.features.models import get_model
    >>> with_pooling(get_model("fast"), "max").name
    'fast+max'
    """
    if pooling not in CHOICES:
        raise InputError(f"pooling: expected avg, max, gem, cls or model, got {pooling!r}")
    wanted = CHOICES[pooling] or card.pooling
    if wanted == card.pooling:
        return card
    if not card.positions:
        raise ModelError(
            f"model {card.name!r}: its file outputs vectors that are pooled already ({card.pooling or 'in an unknown way'}); "
            "the only --pooling is model"
        )
    name = f"{base_name(card.name)}+{'avg' if wanted == 'average' else wanted}"
    measured = _MEASURED.get(name)
    return replace(
        card,
        name=name,
        title=f"{card.title}, pooled by {wanted}",
        pooling=wanted,
        output=card.positions,
        calibration=Calibration.plain() if measured is None else Calibration(measured, _SIMILARITIES, _HOW),
        text=None,
        weights="",
    )


_HOW = "random pairs and lightly changed copies of the starter pictures"


def pooled(output: Array, card: ModelCard) -> Array:
    """(n, d) of an output: as it is where it has no positions, else pooled as the card says.

    Raises
    ------
    ModelError
        If the card's pooling is not one for an output of this shape.
    """
    if output.ndim == 2:
        return output
    check_pooling(card, output.shape)
    return POOLINGS[card.pooling](_positions(output, card))


def check_pooling(card: ModelCard, shape: Sequence[int | str | None]) -> None:
    """Refuse a pooling that is none for an output of this shape; only tokens have a first one.

    Raises
    ------
    ModelError
    """
    if card.pooling not in POOLINGS or (card.pooling == "cls" and len(shape) == 4):
        expected = ", ".join(name for name in POOLINGS if name != "cls" or len(shape) == 3)
        raise ModelError(
            f"model {card.name!r}: {card.output!r} has shape ({', '.join(map(str, shape))}); expected a pooling of "
            f"{expected}, got {card.pooling!r}"
        )


def _positions(output: Array, card: ModelCard) -> Array:
    """(n, positions, d). Only `cls` looks at the first token, which is of no position."""
    if output.ndim == 4:
        return output.reshape(*output.shape[:2], -1).transpose(0, 2, 1)
    return output if card.pooling == "cls" else output[:, 1:]
