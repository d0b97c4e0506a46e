"""Files of features: what `features extract` writes, and what `features import` reads.

``X.npy`` holds float32 (n, d); beside it lie ``X.paths.txt`` (a path a line), ``X.labels.tsv`` (as in data sets) and
``X.json`` (what made them). ``X.safetensors`` holds all in one: ``features`` and ``lengths``, and as bytes ``paths`` and
``labels``, the texts of those files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from lookalike._files import atomic_write
from lookalike._typing import FloatArray
from lookalike.data.labels import HEADER
from lookalike.data.walk import Skipped

__all__ = ["KINDS", "Facts", "Row", "companions", "read_facts", "write_features"]

KINDS = (".npy", ".safetensors")
FORMAT, VERSION = "lookalike-features", 1
_MAX_FACTS = 64 << 20
_CHUNK = 4096  # rows


@dataclass(frozen=True, slots=True)
class Facts:
    """What made a file of features, and of which pictures.

    Attributes
    ----------
    folder, model, fingerprint, pooling : str
    d, n : int
    raw : bool
        Whether the vectors are as the model put them out; else they have length 1.
    pictures : str
        SHA-256 over path, size and time of each picture that was looked at.
    skipped : tuple of (path, reason)
    """

    folder: str
    model: str
    fingerprint: str
    pooling: str
    d: int
    raw: bool = False
    pictures: str = ""
    n: int = 0
    skipped: tuple[tuple[str, str], ...] = ()

    def identity(self) -> list[Any]:
        """Equal for work that can be gone on with."""
        return [FORMAT, VERSION, self.folder, self.fingerprint, self.d]

    def same_work(self, other: Facts) -> bool:
        """Whether it is the result that `other` would make."""
        mine, its = ((*facts.identity(), facts.raw, facts.pictures) for facts in (self, other))
        return mine == its


class Row(NamedTuple):
    """A picture: its path, its name seen from the folder, its row in the part, and its vector's length."""

    path: Path
    name: str
    at: int
    length: float


def companions(target: Path) -> tuple[Path, ...]:
    """The files that belong to one of vectors: paths, labels, facts."""
    if target.suffix.lower() != ".npy":
        return ()
    return tuple(target.with_suffix(end) for end in (".paths.txt", ".labels.tsv", ".json"))


def read_facts(target: Path) -> Facts | None:
    """What is known about a file that `write_features` wrote; None of any other."""
    try:
        if target.suffix.lower() == ".npy":
            with target.with_suffix(".json").open("rb") as file:
                values = json.loads(file.read(_MAX_FACTS))
        else:
            with target.open("rb") as file:
                length = int.from_bytes(file.read(8), "little")
                values = json.loads(json.loads(file.read(min(length, _MAX_FACTS)))["__metadata__"]["facts"])
        if values.pop("format") != FORMAT or values.pop("version") != VERSION:
            return None
        values["skipped"] = tuple((str(path), str(reason)) for path, reason in values["skipped"])
        return Facts(**{item.name: values[item.name] for item in fields(Facts)})
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def write_features(
    target: Path,
    facts: Facts,
    rows: Sequence[Row],
    labels: Callable[[Path, str], tuple[str, ...]],
    part: Path,
    d: int,
    skipped: Sequence[Skipped],
) -> Facts:
    """Write the result from the rows of a part, in the order of `rows`; the vectors come last, so that they are never alone."""
    facts = replace(facts, n=len(rows), skipped=tuple((str(item.path), item.reason) for item in skipped))
    described = json.dumps({"format": FORMAT, "version": VERSION} | asdict(facts), indent=2).encode()
    names = b"".join(os.fsencode(row.path) + b"\n" for row in rows)
    lines = [
        HEADER,
        *(f"{row.name}\t{';'.join(name.replace(';', ',') for name in labels(row.path, row.name))}" for row in rows),
    ]
    labelled = ("\n".join(lines) + "\n").encode("utf-8", "surrogateescape")
    stored = np.memmap(part, "<f4", "r").reshape(-1, d)
    if target.suffix.lower() == ".npy":
        for path, data in zip(companions(target), (names, labelled, described + b"\n"), strict=True):
            with atomic_write(path) as file:
                file.write(data)
        with atomic_write(target) as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (len(rows), d)}
            np.lib.format.write_array_header_2_0(file, header)
            _write_rows(file, stored, rows, facts.raw)
        return facts
    lengths = np.array([row.length for row in rows], "<f4").tobytes()
    with atomic_write(target) as file:
        sizes = {"features": 4 * len(rows) * d, "lengths": len(lengths), "paths": len(names), "labels": len(labelled)}
        file.write(_safetensors_header(sizes, len(rows), d, described.decode()))
        _write_rows(file, stored, rows, facts.raw)
        file.write(lengths + names + labelled)
    return facts


def _write_rows(file: BinaryIO, stored: FloatArray, rows: Sequence[Row], raw: bool) -> None:
    for chunk in _chunks(rows):
        part = np.ascontiguousarray(stored[[row.at for row in chunk]])
        if raw:
            part *= np.array([row.length for row in chunk], np.float32)[:, None]
        file.write(part.tobytes())


def _chunks(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for first in range(0, len(rows), _CHUNK):
        yield rows[first : first + _CHUNK]


def _safetensors_header(sizes: dict[str, int], n: int, d: int, facts: str) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": FORMAT, "facts": facts}}
    at = 0
    for name, size in sizes.items():
        shape = {"features": [n, d], "lengths": [n]}.get(name, [size])
        kind = "U8" if name in {"paths", "labels"} else "F32"
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 64 + 56)  # so that the rows begin at a multiple of 64
    return len(text).to_bytes(8, "little") + text
