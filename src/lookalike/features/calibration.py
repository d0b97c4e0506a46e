"""From a model's cosines to similarity: measured on pictures, so that the words mean the same whatever the model.

Measured are the cosine of every two pictures from different folders, which show different things (random pairs), and the cosine of
pictures and lightly changed copies of them. `docs/models.md` says what follows from that.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lookalike.data.datasets import starter_folder
from lookalike.data.walk import label_of
from lookalike.errors import ModelError
from lookalike.features.cards import WORDS, Calibration
from lookalike.features.embedder import Embedder
from lookalike.features.images import open_picture
from lookalike.features.spoil import SPOILERS, Spoiler

__all__ = ["LIGHT", "calibrate", "knots", "pairs_of_different_folders", "tail_quantile"]

Floats = NDArray[np.float64]

_SAME_BY_ROUNDING = 0.9995
_SHARES = {"related": 1e-2, "very alike": 1e-4}  # of random pairs
_COPIED = 6  # of this many pictures, one is copied and changed


LIGHT = ("JPEG, quality 75", "JPEG, quality 30", "crop to 90 %", "mirrored")
"""Names of `SPOILERS`: light changes, after which a picture should still be called the same."""


def pairs_of_different_folders(vectors: Floats, labels: Sequence[str]) -> tuple[Floats, Floats]:
    """Cosines of the pairs from different folders, and of those from the same, each sorted."""
    number = np.unique(labels, return_inverse=True)[1]
    rows, columns = np.triu_indices(len(vectors), k=1)
    cosines = (vectors @ vectors.T)[rows, columns]
    same = number[rows] == number[columns]
    return np.sort(cosines[~same]), np.sort(cosines[same])


def tail_quantile(cosines: Floats, share: float) -> float:
    """The cosine that `share` of the pairs reach; extrapolated where fewer than ten pairs would."""
    if share * len(cosines) >= 10:
        return float(np.quantile(cosines, 1 - share))
    top = cosines[-min(len(cosines), max(len(cosines) // 1000, 50)) :]
    shares = np.arange(len(top), 0, -1) / len(cosines)
    slope, offset = np.polyfit(top, np.log(shares), 1)
    return float((np.log(share) - offset) / slope)


def knots(random_pairs: Floats, light_copies: Floats) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The map from cosine to similarity, whose words begin where `WORDS` says."""
    cosines = {
        **{word: tail_quantile(random_pairs, share) for word, share in _SHARES.items()},
        "same picture": float(np.quantile(light_copies, 0.05)),
    }
    points = [(float(np.quantile(random_pairs, 0.25)), 0.0)]
    points += sorted((cosines[word], similarity) for similarity, word in WORDS if word in cosines)
    points.append((_SAME_BY_ROUNDING, 100.0))
    return tuple(round(x, 3 if y < 100 else 4) for x, y in points), tuple(y for _, y in points)


def calibrate(embedder: Embedder) -> Calibration:
    """The map of a model, measured on the starter pictures.

    Parameters
    ----------
    embedder : Embedder

    Returns
    -------
    calibration : Calibration
        Of a model that cannot tell the pictures apart, such as one of random weights, the cosine itself.

    Notes
    -----
    About 580 pictures are embedded: some seconds for the model in the package, a minute or two for a large one.
    """
    folder = starter_folder()
    pictures = sorted(folder.rglob("*.jpg"))
    vectors = _embedded(embedder, [path.read_bytes() for path in pictures])
    labels = [label_of(path, folder) for path in pictures]
    random_pairs, _ = pairs_of_different_folders(vectors, labels)
    copies = [_changed(path, SPOILERS[name]) for name in LIGHT for path in pictures[::_COPIED]]
    originals = np.tile(vectors[::_COPIED], (len(LIGHT), 1))
    light = np.einsum("ij,ij->i", _embedded(embedder, copies), originals)
    try:
        x, y = knots(random_pairs, light)
        return Calibration(x, y, "random pairs and lightly changed copies of the starter pictures")
    except ModelError:  # the knots do not ascend
        plain = Calibration.plain()
        return Calibration(
            plain.cosines, plain.similarities, "the cosine itself: light changes weigh as much as other pictures"
        )


def _changed(path: Path, spoil: Spoiler) -> bytes:
    data = io.BytesIO()
    spoil(open_picture(path)).save(data, "PNG")
    return data.getvalue()


def _embedded(embedder: Embedder, pictures: Sequence[bytes]) -> Floats:
    return embedder.embed(pictures).astype(np.float64)
