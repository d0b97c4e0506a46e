"""Small pictures, and an embedder that is fast, counts what it decodes, and still looks at the pixels."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lookalike.errors import ImageError
from lookalike.features import images
from lookalike.features.embedder import Embedded
from lookalike.features.models import MODELS

CARD = MODELS["efficientnet-lite0"]


class FakeEmbedder:
    """Does what `Embedder` does, with the pixels themselves as features."""

    def __init__(self, delay: float = 0.0) -> None:
        self.model_card = CARD
        self.decoded: list[Path] = []
        self.delay = delay

    def _one(self, picture: Any) -> Embedded:
        if self.delay:
            time.sleep(self.delay)
        read = images.read(picture, 16)
        vector = np.zeros(CARD.d)
        vector[: read.pixels.size] = read.pixels.ravel() - 127.3
        norm = float(np.linalg.norm(vector))
        return Embedded((vector / norm).astype(np.float32), norm, read.width, read.height, read.format)

    def embed(self, pictures: Sequence[Any]) -> Any:
        return np.stack([self._one(picture).vector for picture in pictures])

    def stream(self, paths: Iterable[Any]) -> Iterator[tuple[Path, Embedded | ImageError]]:
        for item in paths:
            path, source = item if isinstance(item, tuple) else (item, item)
            self.decoded.append(path)
            try:
                yield path, self._one(source)
            except ImageError as error:
                yield path, error


def picture(path: str | os.PathLike[str], seed: int) -> Path:
    """A small JPEG; the same seed gives the same bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize((24, 24), Image.Resampling.NEAREST).save(path, "JPEG", quality=90)
    return path


def pictures(folder: Path, count: int, first: int = 0) -> list[Path]:
    """Different small JPEGs in a folder."""
    return [picture(folder / f"{seed:04d}.jpg", seed) for seed in range(first, first + count)]
