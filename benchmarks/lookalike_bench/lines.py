"""Files of results: JSON, one line each, appended and never changed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from lookalike.errors import DatasetError, FormatError, VersionError

__all__ = ["append", "read"]

_MAX_BYTES = 256 << 20


def append(file: BinaryIO, value: Mapping[str, Any]) -> None:
    """Write one line; it is on disk when this returns."""
    file.write(json.dumps(value, ensure_ascii=False, allow_nan=False).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


def read(path: Path, schema: int) -> list[dict[str, Any]]:
    """The lines of a file of results, in order; a last line that was cut off is left out.

    Raises
    ------
    DatasetError
        If there is no such file.
    VersionError
        If an older or a newer version wrote it.
    FormatError
        If it is something else.
    """
    if not path.is_file():
        raise DatasetError(f"there are no results at {path}; `lookalike bench run SPEC --out FOLDER` makes them")
    if path.stat().st_size > _MAX_BYTES:
        raise FormatError(f"{path}: expected at most {_MAX_BYTES:,} bytes of results, got {path.stat().st_size:,}")
    return [_parsed(path, number, line, schema) for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1)]


def _parsed(path: Path, number: int, line: bytes, schema: int) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("schema"), int):
        raise FormatError(f"{path}: line {number} is not a result")
    if value["schema"] < schema:
        raise VersionError(
            f"{path}: line {number} is of an older version (schema {value['schema']}, this is {schema}); "
            "move the file away and measure again"
        )
    if value["schema"] > schema:
        raise VersionError(f"{path}: line {number} is of a newer lookalike (schema {value['schema']}, known {schema})")
    return value
