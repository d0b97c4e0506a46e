"""Reading features that somebody brings: vectors, which picture each is of, and its labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._files import read_bytes
from lookalike._typing import Array, PathLike
from lookalike.data.labels import read_labels_file
from lookalike.data.vectors import SUFFIXES, read_vectors
from lookalike.errors import FormatError, InputError
from lookalike.features.vectorfile import Facts, companions, read_facts

__all__ = ["Brought", "read_features"]

_MAX_LIST = 1 << 30
_FOLDERS = "folders"


@dataclass(frozen=True, slots=True, eq=False)
class Brought:
    """Vectors and what they are of.

    Attributes
    ----------
    x : ndarray, shape (n, d)
        May be a read-only map of the file.
    paths : tuple of str
    labels : tuple of tuple of str, or None
    facts : Facts or None
        What made them, where `features extract` did.
    """

    x: Array
    paths: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...] | None = None
    facts: Facts | None = None


def read_features(file: PathLike, paths: PathLike | None = None, labels: PathLike | None = None) -> Brought:
    """Vectors from a file, with the list of their pictures.

    Parameters
    ----------
    file : str or path
        ``.npy``, ``.fvecs``, ``.bvecs``, ``.ivecs`` or ``.safetensors``.
    paths : str or path, optional
        A text file, a path a line, in the order of the vectors. What `features extract` wrote brings its own.
    labels : str or path, optional
        ``"folders"``: the name of the folder that each picture is in. A text file: a label a line, in the order of the vectors,
        or paths and labels as in ``labels.tsv``.

    Raises
    ------
    InputError
        If the lists do not fit the vectors, or one is needed.
    FormatError
        If a file is damaged, or of another kind.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> vectors, listed = Path(folder.name, "x.npy"), Path(folder.name, "list.txt")
    >>> np.save(vectors, np.eye(2)); _ = listed.write_text("cats/a.jpg\\ndogs/b.jpg\\n")
    >>> brought = read_features(vectors, listed, "folders")
    >>> brought.paths, brought.labels
    (('cats/a.jpg', 'dogs/b.jpg'), (('cats',), ('dogs',)))
    >>> folder.cleanup()
    """
    file = Path(file)
    if file.suffix.lower() not in (*SUFFIXES, ".safetensors"):
        raise InputError(f"{file}: expected a file of vectors ({', '.join(SUFFIXES)}, .safetensors)")
    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    facts = read_facts(file)
    texts: Mapping[str, bytes] = {}
    if file.suffix.lower() == ".safetensors":
        x, texts = _safetensors(file)
    else:
        x = read_vectors(file, mmap=True)
        if facts is not None:
            listed, labelled, _ = companions(file)
            texts = {
                n: read_bytes(path, _MAX_LIST)
                for n, path in (("paths", listed), ("labels", labelled))
                if path.is_file()
            }
    if facts is not None and (facts.n, facts.d) != x.shape:
        raise FormatError(
            f"{file}: expected {facts.n:,} vectors with d={facts.d}, as was written with them, got {x.shape[0]:,} with "
            f"d={x.shape[1]}"
        )
    if paths is None and "paths" not in texts:
        raise InputError(
            f"{file}: say --paths LIST.txt: which picture each vector is of, a path a line, in the order of the vectors"
        )
    names = _lines(
        texts["paths"] if paths is None else read_bytes(paths, _MAX_LIST), f"{file if paths is None else paths}"
    )
    if len(names) != len(x):
        raise InputError(f"paths: expected {len(x):,} lines, one for each vector, got {len(names):,}")
    return Brought(x, names, _labels(labels, names, texts if paths is None else {}), facts)


def _lines(data: bytes, where: str) -> tuple[str, ...]:
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not lines[-1]:
        lines.pop()
    lines = [line.removesuffix(b"\r") for line in lines]
    for number, line in enumerate(lines, 1):
        if not line or b"\0" in line:
            raise FormatError(f"{where}: line {number}: expected text, got {line[:80]!r}")
    return tuple(map(os.fsdecode, lines))


def _labels(
    labels: PathLike | None, names: Sequence[str], texts: Mapping[str, bytes]
) -> tuple[tuple[str, ...], ...] | None:
    if labels is None:
        lines = _lines(texts["labels"], "labels") if "labels" in texts else ()
        if len(lines) != len(names) + 1:
            return None
        return tuple(tuple(filter(None, line.rpartition("\t")[2].split(";"))) for line in lines[1:])
    if os.fspath(labels) == _FOLDERS:
        return tuple((folder,) if (folder := Path(name).parent.name) else () for name in names)
    if not Path(labels).is_file():
        raise InputError(f"labels: expected 'folders' or a file, there is no file {os.fspath(labels)}")
    data = read_bytes(labels, _MAX_LIST)
    if b"\t" in data:
        given = read_labels_file(Path(labels))
        found = tuple(_look_up(given, name) for name in names)
        if not any(found):
            raise InputError(f"labels: none of the {len(names):,} pictures is named in {os.fspath(labels)}")
        return found
    each = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff").removesuffix("\n").split("\n")
    if len(each) != len(names):
        raise InputError(f"labels: expected {len(names):,} lines, one for each vector, got {len(each):,}")
    return tuple((label,) if (label := line.strip()) else () for line in each)


def _look_up(given: Mapping[str, tuple[str, ...]], name: str) -> tuple[str, ...]:
    """By the path, or the longest end of it that is named."""
    parts = Path(name).as_posix().split("/")
    return next((given[end] for i in range(len(parts)) if (end := "/".join(parts[i:])) in given), ())


def _safetensors(file: Path) -> tuple[Array, dict[str, bytes]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as tensors:
            held = set(tensors.keys())
            name = "features" if "features" in held else next(iter(held)) if len(held) == 1 else ""
            if not name:
                raise FormatError(
                    f"{file}: expected one tensor, or one named 'features', got {', '.join(sorted(held)) or 'none'}"
                )
            x: Array = tensors.get_tensor(name)
            texts = {n: _bytes(tensors.get_tensor(n), file) for n in ("paths", "labels") if n in held and n != name}
    except (SafetensorError, TypeError, OSError) as error:  # TypeError: bfloat16, which numpy lacks
        raise FormatError(f"{file}: no safetensors file that can be read here: {error}") from None
    if x.ndim != 2 or not x.size or x.dtype.kind not in "fiu":
        raise FormatError(f"{file}: expected vectors of shape (n, d), got {x.dtype} {x.shape}")
    return x, texts


def _bytes(tensor: Any, file: Path) -> bytes:
    if tensor.dtype != np.uint8 or tensor.ndim != 1:
        raise FormatError(f"{file}: expected text as bytes, got {tensor.dtype} {tensor.shape}")
    return bytes(tensor)
