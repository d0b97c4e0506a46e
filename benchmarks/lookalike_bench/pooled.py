"""Wide features of real pictures: the default model's last layer, pooled by average and by maximum, side by side.

The model in the package puts out the average only. Its graph is extended in memory by one output, the layer that is averaged, of
which the maximum is taken here. The file and the average stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike.errors import DatasetError, ImageError
from lookalike.features.embedder import default_threads
from lookalike.features.graph import exposing
from lookalike.features.images import decode, open_picture
from lookalike.features.models import DEFAULT_MODEL, get_model, load_model
from lookalike.features.pooling import pooled, with_pooling
from lookalike.features.runtime import onnx_runtime
from lookalike_bench.ahead import ahead

__all__ = ["CROPS", "MaxAndAverage", "pooled_features"]

# Left, top, right, bottom, as shares of the picture: the middle, the corners, then tighter ones.
CROPS = (
    (0.125, 0.125, 0.875, 0.875),
    (0.0, 0.0, 0.75, 0.75),
    (0.25, 0.25, 1.0, 1.0),
    (0.25, 0.0, 1.0, 0.75),
    (0.0, 0.25, 0.75, 1.0),
    (0.25, 0.25, 0.75, 0.75),
)
WHOLE = (0.0, 0.0, 1.0, 1.0)
_SIDE = 640  # pictures are decoded to this longer side before they are cropped


class MaxAndAverage:
    """Embeds pictures as (2 d,): d averages, then d maxima, as the model puts them out, not scaled."""

    def __init__(self) -> None:
        onnxruntime = onnx_runtime()
        card = get_model(DEFAULT_MODEL)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        data = exposing(load_model(card), card.positions)
        self._session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self._card = card
        self._size = card.input_size
        self.d = 2 * card.d

    def of(self, path: Path, crop: tuple[float, float, float, float]) -> FloatArray | None:
        """Features of a part of a picture; None where it cannot be decoded."""
        try:
            picture = open_picture(path, max_side=_SIDE)
            width, height = picture.size
            left, top, right, bottom = crop
            box = (int(left * width), int(top * height), max(int(right * width), 1), max(int(bottom * height), 1))
            pixels = decode(picture if crop == WHOLE else picture.crop(box), self._size)
        except (ImageError, OSError):
            return None
        average, last = self._session.run([self._card.output, self._card.positions], {self._card.input: pixels[None]})
        maximum = pooled(last, with_pooling(self._card, "max"))
        return np.concatenate([average[0], maximum[0]]).astype(np.float32)


def pooled_features(
    pictures: Sequence[Path], rows: int | None, queries: int, say: Callable[[str], None] = lambda _: None
) -> tuple[FloatArray, FloatArray]:
    """Base and query features, float32, shapes (rows, 2 d) and (queries, 2 d).

    Queries are whole pictures, evenly spaced in the order given; none of them is in the base. The base is all other pictures
    whole, then as many of `CROPS` of them, one kind after the other, as make up `rows`; no crops where that is None.

    Raises
    ------
    DatasetError
        If there are too few pictures for that.
    """
    model = MaxAndAverage()
    say(f"embedding {len(pictures):,} pictures")
    whole = _embed(model, [(path, WHOLE) for path in pictures])
    readable = [(path, x) for path, x in zip(pictures, whole, strict=True) if x is not None]
    step = max(len(readable) // queries, 1)
    asked = {number * step for number in range(queries)}
    others = [pair for number, pair in enumerate(readable) if number not in asked]
    most = len(others) * (1 + len(CROPS))
    rows = len(others) if rows is None else rows
    if len(readable) < 2 * queries or most < rows:
        raise DatasetError(
            f"{queries} queries and {rows:,} rows need more pictures: {len(readable):,} of {len(pictures):,} "
            f"could be read, which give {most:,} rows"
        )
    base = [x for _, x in others][:rows]
    crops = ((path, crop) for crop in CROPS for path, _ in others)
    if len(base) < rows:
        say(f"embedding {rows - len(base):,} crops")
        base += _first(_embed(model, crops), rows - len(base))
    if len(base) < rows:
        raise DatasetError(f"expected {rows:,} rows of features, the pictures gave {len(base):,}")
    return np.stack(base), np.stack([x for number, (_, x) in enumerate(readable) if number in asked])


def _embed(model: MaxAndAverage, parts: Any) -> Iterator[FloatArray | None]:
    return ahead(lambda part: model.of(*part), parts, default_threads())


def _first(features: Iterator[FloatArray | None], count: int) -> list[Array]:
    taken: list[Array] = []
    for x in features:
        if x is not None:
            taken.append(x)
            if len(taken) == count:
                break
    return taken
