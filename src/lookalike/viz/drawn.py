"""Which vectors of an explanation are drawn, how they are marked, and numbers on their way into JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import Array

if TYPE_CHECKING:
    from lookalike.explain.explanation import Explanation

__all__ = ["drawn", "marks", "numbers", "signed", "worst"]

POINTS = 1_600  # vectors drawn one by one


def numbers(x: Array, digits: int = 9) -> list[Any]:
    """Floats with so many digits (nine tell one float32 from another), in the shape of the array."""
    array = np.asarray(x)
    flat = [float(f"{value:.{digits}g}") if np.isfinite(value) else None for value in array.ravel().tolist()]
    for side in reversed(array.shape[1:]):
        flat = [flat[first : first + side] for first in range(0, len(flat), side)] if side else []  # type: ignore[misc]
    return flat


def drawn(told: Explanation) -> tuple[Array, str]:
    """Which of the scanned vectors are drawn, as a mask, and what to say of it."""
    distances = np.concatenate([cell.distances for cell in told.trace.probed])
    if len(distances) <= POINTS:
        return np.ones(len(distances), np.bool_), f"All {len(distances):,} vectors of the visited cells are drawn."
    ids = np.concatenate([cell.ids for cell in told.trace.probed])
    order = np.argsort(distances, kind="stable")
    chosen = np.isin(ids, np.concatenate([told.trace.ids, told.exact_ids, told.final_ids]))
    chosen[order[: POINTS // 2]] = True
    rest = order[POINTS // 2 :]
    chosen[rest[np.linspace(0, len(rest) - 1, POINTS // 2).astype(np.int64)]] = True
    text = (
        f"Of {len(distances):,} vectors in the visited cells {int(chosen.sum()):,} are drawn: the nearest, and "
        "a sample of the others."
    )
    return chosen, text


def marks(told: Explanation) -> dict[str, Any]:
    missed = [miss.id for miss in told.trace.missed]
    return {"kept": told.trace.ids.tolist(), "missed": missed, "final": told.final_ids.tolist(), "reranked": True}


def worst(told: Explanation) -> float | None:
    return float(told.trace.distances[-1]) if len(told.trace.distances) else None


def signed(x: float) -> str:
    return f"{x:+.4f}".replace("-", "−")
