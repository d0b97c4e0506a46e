"""What a network finds among held-out pictures, and what the closed form of `models adapt` would have found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike._validate import unit_rows
from lookalike.errors import InputError
from lookalike.features.adapt import BASIS, DIRECTIONS, all_together, within_scatter
from lookalike.features.metrics import CUTS, score_queries
from lookalike.features.transforms import rooted
from lookalike.quality.adaptation import Gain
from lookalike.training.labelled import Split
from lookalike.training.pictures import Pictures

if TYPE_CHECKING:
    from lookalike.training.modules import Extractor

__all__ = ["Found", "closed_form", "embedded", "found", "gain"]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """mAP and P@1 of each picture that asks: those that are watched, and those that are checked with.

    Attributes
    ----------
    watched, checked : ndarray of float64, shape (q, 2)
    """

    watched: Array
    checked: Array

    def watched_means(self) -> tuple[float, float]:
        """mAP and P@1 by which the best epoch is chosen."""
        rows = self.watched if len(self.watched) else self.checked
        return float(rows[:, 0].mean()), float(rows[:, 1].mean())


def embedded(
    network: Extractor,
    pictures: Pictures,
    names: Sequence[str],
    batch: int,
    device: Any,
    step: Callable[[int], None] = lambda done: None,
) -> tuple[list[str], FloatArray, dict[str, str]]:
    """Vectors of length 1 of the pictures that can be read, and why the others cannot."""
    import torch

    good: list[str] = []
    parts: list[FloatArray] = []
    bad: dict[str, str] = {}
    network.eval()
    with torch.inference_mode():
        for some, squares, unreadable in pictures.plain(names, batch):
            good += some
            bad |= unreadable
            if some:
                parts.append(network(torch.from_numpy(squares).to(device)).float().cpu().numpy())
            step(len(good) + len(bad))
    return good, unit_rows(np.concatenate(parts)) if parts else np.empty((0, 0), np.float32), bad


def found(vectors: FloatArray, split: Split) -> Found:
    """What held-out pictures find among each other.

    Parameters
    ----------
    vectors : ndarray of float32, shape (len(split.held), d)
        Of length 1.
    """
    queries = np.sort(np.concatenate([split.watched, split.checked]))
    scores = score_queries(np.ascontiguousarray(vectors), split.held_groups, queries)["cosine"]
    table = np.column_stack([scores.ap, scores.precision[:, CUTS.index(1)]])
    return Found(table[np.isin(queries, split.watched)], table[np.isin(queries, split.checked)])


def closed_form(vectors: FloatArray, split: Split) -> Found | None:
    """The same with within-class whitening learnt from the other pictures; None where there is nothing to learn.

    Parameters
    ----------
    vectors : ndarray of float32, shape (n, d)
        Of all pictures, as the network made them before it learnt.
    """
    try:
        overall = within_scatter(vectors, all_together(len(vectors)), split.learnt)
        basis = overall.rotation(min(BASIS, len(overall.mean)))
        fitted = within_scatter(vectors, split.groups, split.learnt, basis)
    except InputError:
        return None
    z = rooted(vectors[split.held]) @ basis - fitted.mean.astype(np.float32)
    return found(unit_rows((z @ fitted.whitening(d=DIRECTIONS)).astype(np.float32)), split)


def gain(before: Array, after: Array) -> Gain:
    """From before to after, over the same queries."""
    error = float(np.std(after[:, 0] - before[:, 0]) / np.sqrt(len(before)))
    (a, b), (c, d) = before.mean(axis=0).tolist(), after.mean(axis=0).tolist()
    return Gain(len(before), a, c, b, d, error)
