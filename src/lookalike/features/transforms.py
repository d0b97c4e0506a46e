"""Transforms of features: fitted once, saved, and applied to stored vectors and queries alike.

A transform takes unit rows x to unit rows ``l2((pre(x) − mean) @ projection)``, where ``pre`` is the square root of each
component with its sign (features of a network are sums of many small and a few huge activations; the root evens them
out) and scaling to length 1, or nothing. What is stored of a picture stays as the model put it out, so that a transform can be
taken off again.

A file is safetensors: ``mean`` (d) and ``projection`` (d, d_out), float16 or float32, and all else as JSON in its metadata.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._files import atomic_write
from lookalike._typing import Array, FloatArray, PathLike
from lookalike._validate import unit_rows
from lookalike.errors import DimensionError, FormatError, ModelError, VersionError
from lookalike.features.models import Calibration, ModelCard, get_model

__all__ = ["Transform", "load_transform", "read_transform", "refit", "rooted", "save_transform", "shipped_transform"]

SHIPPED = {
    "efficientnet-lite0": (
        "efficientnet-lite0-whitening.safetensors",
        "292d5c2791822a1745faa289e419313298f4d8d626405afac1664f1d71e045bf",
    )
}
"""For each model the file of its whitening, and the file's SHA-256."""

FORMAT, VERSION = "lookalike-transform", 1
MAX_BYTES = 512 << 20
BLOCK = 4096
FEW_PAIRS = 10  # so many pairs have to show a quantile


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """A fitted change of vectors.

    Attributes
    ----------
    kind : str
        What it is, in words for a person: ``"within-class whitening"``, ``"PCA to 256"`` …
    model : str
        Fingerprint of the model whose vectors it is for.
    mean : ndarray of float32, shape (d,)
    projection : ndarray of float32, shape (d, d_out)
    roots : bool
        Whether square roots are taken first.
    calibration : Calibration
        From the cosine of transformed vectors to similarity.
    about : dict
        Plain values: what it was fitted to, and what it gained.
    """

    kind: str
    model: str
    mean: FloatArray
    projection: FloatArray
    calibration: Calibration
    roots: bool = True
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def d(self) -> int:
        """Dimension of what goes in."""
        return len(self.projection)

    @property
    def d_out(self) -> int:
        """Dimension of what comes out."""
        return int(self.projection.shape[1])

    def apply(self, x: FloatArray) -> FloatArray:
        """Transform unit rows.

        Parameters
        ----------
        x : ndarray of float32, shape (n, d)

        Returns
        -------
        y : ndarray of float32, shape (n, d_out)
            Rows of length 1. A row of zeros, which is like nothing, stays zero.
        """
        y = np.empty((len(x), self.d_out), np.float32)
        for first in range(0, len(x), BLOCK):
            part = x[first : first + BLOCK]
            z = rooted(part) if self.roots else part
            y[first : first + BLOCK] = (z - self.mean) @ self.projection
            y[first : first + BLOCK][~part.any(axis=1)] = 0
        return unit_rows(y)


def shipped_transform(card: ModelCard) -> Transform:
    """The whitening that comes with a model, fitted to pictures and their spoilt copies by ``tools/fit_whitening.py``.

    Raises
    ------
    ModelError
        If none comes with this model.
    """
    if card.name not in SHIPPED or get_model(card.name).fingerprint != card.fingerprint:
        have = ", ".join(SHIPPED)
        raise ModelError(
            f"no whitening comes with {card.name!r}, only with {have}; learn one from labels or with --pca"
        )
    file, sha256 = SHIPPED[card.name]
    return load_transform(Path(str(resources.files("lookalike.features"))) / "weights" / file, sha256)


def rooted(x: FloatArray) -> FloatArray:
    """Square roots of all components, with their signs, then rows of length 1."""
    roots: FloatArray = np.sign(x) * np.sqrt(np.abs(x))
    return unit_rows(roots)


def save_transform(transform: Transform, target: PathLike, dtype: type[np.floating[Any]] = np.float32) -> str:
    """Write a transform; returns the file's SHA-256."""
    from safetensors.numpy import save

    rest = {
        "kind": transform.kind,
        "model": transform.model,
        "roots": transform.roots,
        "calibration": asdict(transform.calibration),
        "about": transform.about,
    }
    metadata = {"format": FORMAT, "version": str(VERSION), "transform": json.dumps(rest)}
    tensors = {"mean": transform.mean.astype(dtype), "projection": transform.projection.astype(dtype)}
    data = save({name: np.ascontiguousarray(x) for name, x in tensors.items()}, metadata)
    with atomic_write(target) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def load_transform(path: PathLike, sha256: str | None = None) -> Transform:
    """Read a transform, and compare the file with its SHA-256.

    Raises
    ------
    FormatError
        If it is not a transform, or not the one that was written.
    OSError
        If it cannot be read now, which says nothing about it.
    """
    name = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise FormatError(f"{name}: cannot be read: there is no such file") from None
    if len(data) > MAX_BYTES:
        raise FormatError(f"{name}: expected at most {MAX_BYTES >> 20} MB")
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise FormatError(f"{name}: the checksum is not the one recorded; the transform is damaged")
    return read_transform(data, name)


def read_transform(data: bytes, name: str = "transform") -> Transform:
    """A transform from the bytes of its file; every value is checked."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        tensors = load(data)
        length = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
        if metadata.get("format") != FORMAT:
            raise FormatError(f"{name}: not a transform of lookalike")
        if int(metadata["version"]) > VERSION:
            raise VersionError(f"{name}: written by a newer lookalike; upgrade it")
        rest = json.loads(metadata["transform"])
        knots = rest["calibration"]
        calibration = Calibration(tuple(knots["cosines"]), tuple(knots["similarities"]), str(knots["measured"]))
        mean, projection = (np.asarray(tensors[part], np.float32) for part in ("mean", "projection"))
        made = Transform(
            kind=str(rest["kind"]),
            model=str(rest["model"]),
            mean=mean,
            projection=projection,
            calibration=calibration,
            roots=bool(rest["roots"]),
            about=dict(rest["about"]),
        )
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise FormatError(f"{name}: not a transform of lookalike, or damaged ({type(error).__name__})") from None
    if mean.ndim != 1 or projection.ndim != 2 or len(mean) != len(projection) or 0 in projection.shape:
        raise DimensionError(
            f"{name}: expected mean (d) and projection (d, d_out), got {mean.shape}, {projection.shape}"
        )
    if not (np.isfinite(mean).all() and np.isfinite(projection).all()):
        raise FormatError(f"{name}: expected finite numbers, got NaN or infinity")
    return made


def refit(calibration: Calibration, before: Array, after: Array) -> Calibration:
    """The map from cosine to similarity that says of the same pairs, as a whole, what it said before a transform.

    The cosines where the words begin move so that as many pairs lie above each as did before. Where fewer than ten pairs
    do, the rest of the way to 1 is divided as it was.

    Parameters
    ----------
    calibration : Calibration
        Of the cosines before.
    before, after : ndarray of float, shape (pairs,)
        Cosines of the same pairs.
    """
    before, after = np.sort(before), np.sort(after)
    knots: list[float] = []
    last = (-1.0, -1.0)
    for cosine in calibration.cosines:
        above = len(before) - int(np.searchsorted(before, cosine, "left"))
        if FEW_PAIRS <= above <= len(before) - FEW_PAIRS:
            knot = float(after[len(after) - above])
        else:
            knot = last[1] + (cosine - last[0]) / (1 - last[0]) * (1 - last[1])
        knot = min(max(knot, last[1] + 1e-4), 1.0)
        last = (cosine, knot)
        knots.append(knot)
    # Knots have to ascend, also where everything is crowded below 1.
    for at in range(len(knots) - 1, 0, -1):
        knots[at - 1] = min(knots[at - 1], knots[at] - 1e-5)
    measured = (
        f"{calibration.measured}; moved so that as many of {len(before):,} pairs of the collection reach each word"
    )
    return Calibration(tuple(knots), calibration.similarities, measured)
