"""A model in 8 bits, made of the one whose weights it rounds.

The two differ in little beside the rounding, so the package holds only that (`difference`): the file without its 8-bit weights,
where they stand, and the few that come out otherwise, since the larger model keeps its weights in float16. That makes the wheel
2.6 MB smaller.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from lookalike._typing import Array
from lookalike.errors import FormatError
from lookalike.files.tensors import read_tensors, write_tensors

__all__ = ["Weights", "difference", "read_rounded", "rounded", "write_difference"]

LARGEST = 64  # weights have 7 bits: pairs of 8-bit products overflow 16 bits on processors without VNNI


class Weights(NamedTuple):
    """Where one tensor of weights stands: in bytes from the start of each file, and its shape."""

    at: int  # int8, in the rounded model
    scale_at: int  # float32, one for each row, in the rounded model
    source_at: int  # float16, in the model whose weights these are
    rows: int  # output channels
    columns: int


def difference(whole: bytes, source: bytes, weights: list[Weights]) -> dict[str, Array]:
    """What `rounded` needs to make `whole` of `source`: named arrays."""
    file, rest, others = np.frombuffer(whole, np.uint8), np.ones(len(whole), np.bool_), []
    for part in weights:
        stored = slice(part.at, part.at + part.rows * part.columns)
        rest[stored] = False
        others.append(file[stored] - _rounded(file, source, part))  # modulo 256
    by = np.concatenate(others)
    at = np.flatnonzero(by)
    return {"weights": np.array(weights, np.int64), "rest": file[rest], "others": at.astype(np.int32), "by": by[at]}


def rounded(parts: dict[str, Array], source: bytes) -> bytes:
    """The file of a model in 8 bits, from its `difference` to another model's file.

    Raises
    ------
    ValueError, IndexError, KeyError
        If the two do not belong together. Whether the result is right is for a checksum to say.
    """
    weights = [Weights(*row) for row in parts["weights"].tolist()]
    counts = [part.rows * part.columns for part in weights]
    if min(min(part) for part in weights) < 0 or 2 * sum(counts) > len(source):
        raise ValueError("weights that are not there")
    file = np.empty(len(parts["rest"]) + sum(counts), np.uint8)
    is_rest = np.ones(len(file), np.bool_)
    for part, count in zip(weights, counts, strict=True):
        is_rest[part.at : part.at + count] = False
    file[is_rest] = parts["rest"]
    by = np.zeros(sum(counts), np.uint8)
    by[parts["others"]] = parts["by"]
    for part, count, last in zip(weights, counts, np.cumsum(counts).tolist(), strict=True):
        file[part.at : part.at + count] = _rounded(file, source, part) + by[last - count : last]
    return file.tobytes()


def write_difference(path: Path, whole: bytes, source: bytes, weights: list[Weights]) -> None:
    """Write `difference` to a file."""
    write_tensors(path, {"format": "lookalike rounded model"}, difference(whole, source, weights))


def read_rounded(path: Path, source: bytes) -> bytes:
    """The file of a model in 8 bits, from what `write_difference` wrote.

    Raises
    ------
    OSError
        If it cannot be read.
    FormatError
        If it is damaged, or of another model.
    """
    _, parts = read_tensors(path)
    try:
        return rounded(parts, source)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise FormatError(f"{path}: it does not belong to the model that it rounds: {error}") from None


def _rounded(file: Array, source: bytes, part: Weights) -> Array:
    """One tensor in 8 bits, as bytes: float16 weights divided by the scale of their row."""
    scales = file[part.scale_at : part.scale_at + 4 * part.rows].copy().view(np.float32)
    exact = np.frombuffer(source, np.float16, part.rows * part.columns, part.source_at)
    steps = np.rint(exact.reshape(part.rows, part.columns).astype(np.float32) / scales[:, None])
    weights: Array = np.clip(steps, -LARGEST, LARGEST).astype(np.int8).view(np.uint8).ravel()
    return weights
