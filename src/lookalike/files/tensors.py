"""Named arrays in one safetensors file that can be mapped.

The header and every tensor are padded to 64 bytes, so that tensors are aligned when they are mapped. Tensors are stored flat; their
shapes and checksums are in the metadata. Any safetensors reader opens the file.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lookalike._files import atomic_write
from lookalike._typing import Array, PathLike
from lookalike.errors import FormatError, InputError
from lookalike.files.reader import open_regular
from lookalike.kernels.layout import aligned_empty

__all__ = ["MappedFile", "Source", "read_tensors", "source_name", "tensor_bytes", "write_tensors"]

ALIGNMENT = 64
MAX_HEADER = 1 << 20
PIECE = 1 << 24  # bytes read at a time from a stream, whose length only its header gives
DTYPES = {"F32": np.float32, "U8": np.uint8, "U16": np.uint16, "I32": np.int32, "I64": np.int64, "F16": np.float16}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}

Source = PathLike | BinaryIO
"""A path, or a binary file, which is read from its position to the end of what was written there."""


# --- writing ---------------------------------------------------------------------------------------------------------


def write_tensors(target: Source, metadata: dict[str, Any], tensors: dict[str, Array]) -> None:
    """Write named arrays and metadata, every tensor 64-byte aligned; atomically, if `target` is a path."""
    parts = _parts(metadata, tensors)
    if isinstance(target, str | os.PathLike):
        with atomic_write(target) as file:
            for part in parts:
                file.write(part)
        return
    if not callable(getattr(target, "write", None)):
        raise InputError(f"save: expected a path or a binary file, got {type(target).__name__}")
    for part in parts:
        _write_all(target, part)


def tensor_bytes(metadata: dict[str, Any], tensors: dict[str, Array]) -> bytes:
    """The bytes that `write_tensors` writes."""
    return b"".join(_parts(metadata, tensors))


def _write_all(file: BinaryIO, part: bytes | memoryview) -> None:
    """Write all of `part`: an unbuffered file may take only some of it, or none; other files may not say how much they took."""
    left = memoryview(part)
    while left:
        try:
            written = file.write(left)
        except TypeError:
            raise InputError("save: expected a file that is open in binary mode, got one of text") from None
        if written is None and isinstance(file, io.RawIOBase):
            raise BlockingIOError("save: the file takes nothing now")
        left = left[len(left) if written is None else written :]


def _parts(metadata: dict[str, Any], tensors: dict[str, Array]) -> Iterator[bytes | memoryview]:
    """The bytes of a file, piece by piece."""
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    header: dict[str, Any] = {"__metadata__": {key: json.dumps(value) for key, value in metadata.items()}}
    header["__metadata__"]["shapes"] = json.dumps({name: list(array.shape) for name, array in arrays.items()})
    header["__metadata__"]["sha256"] = json.dumps({name: _checksum(array) for name, array in arrays.items()})
    at = 0
    for name, array in arrays.items():
        length = -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": [length // array.itemsize],
            "data_offsets": [at, at + length],
        }
        at += length
    header["__metadata__"]["header_sha256"] = _header_checksum(header)
    text = _compact(header)
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    yield len(text).to_bytes(8, "little") + text
    for array in arrays.values():
        yield array.reshape(-1).view(np.uint8).data
        yield b"\0" * (-array.nbytes % ALIGNMENT)


def _compact(header: dict[str, Any]) -> bytes:
    return json.dumps(header, separators=(",", ":"), sort_keys=True).encode()


def _header_checksum(header: dict[str, Any]) -> str:
    """The checksum of everything in a header but the checksum itself."""
    metadata = {key: value for key, value in header["__metadata__"].items() if key != "header_sha256"}
    return hashlib.sha256(_compact({**header, "__metadata__": metadata})).hexdigest()


def _checksum(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


# --- reading ---------------------------------------------------------------------------------------------------------


def read_tensors(
    source: Source | bytes | bytearray | memoryview, mmap: bool = False, unread: frozenset[str] = frozenset()
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Metadata and arrays of what `write_tensors` wrote.

    Parameters
    ----------
    source : path, binary file or bytes
    mmap : bool
        Map the file at a path read-only instead of reading it.
    unread : set of str
        Tensors that are not read if they are mapped: their checksums are not compared.

    Raises
    ------
    FormatError
        If it is truncated, damaged or of another kind. An `OSError` means that it cannot be read now.
    """
    name = source_name(source)
    if isinstance(source, str | os.PathLike):
        with open_regular(Path(source)) as file:  # opened once: another file may take the name at any time
            header, start = _read_header(file.read, name)
            size = os.fstat(file.fileno()).st_size
            memory = np.memmap(file, np.uint8, "r") if mmap else _read_all(file, size, name)
    else:
        if mmap:
            raise InputError(f"mmap: expected a path to map, got {type(source).__name__}; open it with mmap=False")
        memory, header, start = _read_stream(source, name)
    metadata, arrays, checksums = _arrays(header, start, memory, name)
    for key, array in arrays.items():
        if not (mmap and key in unread) and _checksum(array) != checksums.get(key):
            raise FormatError(f"{name}: the checksum of {key!r} differs; the file is damaged")
    return metadata, arrays


class MappedFile:
    """A file that arrays are mapped from, for as long as they are used."""

    def __init__(self, arrays: Iterable[Array], name: str) -> None:
        """`arrays` are those of `read_tensors`, of the file `name`; if all are empty, nothing is mapped."""
        mappings = (getattr(array, "_mmap", None) for array in arrays)
        self._mapping: Any = next((mapping for mapping in mappings if mapping is not None), b"")
        self._name, self._size = name, len(self._mapping)

    def check(self) -> None:
        """Refuse to go on after the file was cut short: reading a page that is gone would end the process (SIGBUS).

        Raises
        ------
        FormatError
            With both sizes.
        """
        if not self._size:
            return
        size = self._mapping.size()  # of the file that is mapped, whatever its name is now
        if size < self._size:
            raise FormatError(
                f"{self._name}: the file was cut to {size:,} bytes while it was mapped; expected {self._size:,}: write it again"
            )


def source_name(source: Any) -> str:
    """The name of a source in messages."""
    if isinstance(source, str | os.PathLike):
        return str(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return f"{memoryview(source).nbytes} bytes"
    return str(getattr(source, "name", type(source).__name__))


def _arrays(
    header: dict[str, Any], start: int, memory: Array, name: str
) -> tuple[dict[str, Any], dict[str, Array], dict[str, Any]]:
    """Metadata, arrays, and the checksum that each array should have."""
    size = len(memory)
    try:
        if header["__metadata__"].pop("header_sha256") != _header_checksum(header):
            raise FormatError(f"{name}: the checksum of its header differs; the file is damaged")
        metadata = {key: json.loads(value) for key, value in header.pop("__metadata__").items()}
        shapes, checksums = metadata["shapes"], dict(metadata["sha256"])
        arrays, end = {}, start
        # sorted by both offsets, since an empty tensor begins where the next one does
        for key, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            first, last = (start + int(offset) for offset in entry["data_offsets"])
            dtype, shape = np.dtype(DTYPES[entry["dtype"]]), tuple(int(side) for side in shapes[key])
            length = math.prod(shape) * dtype.itemsize
            if first != end or last > size or min(shape, default=0) < 0 or first + length > last or first % ALIGNMENT:
                raise FormatError(f"{name}: tensor {key!r} does not fit the file; it is truncated or damaged")
            arrays[key], end = memory[first : first + length].view(dtype).reshape(shape), last
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise FormatError(f"{name}: not a lookalike index, or damaged ({error!r})") from None
    if end != size:
        raise FormatError(f"{name}: expected {end} bytes, got {size}; the file is truncated or damaged")
    return metadata, arrays, checksums


def _read_header(read: Callable[[int], bytes], name: str) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(read(8), "little")
    if not 2 <= length <= MAX_HEADER:
        raise FormatError(f"{name}: not a lookalike index (its first bytes are not a header)")
    text = read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or len(text) < length:
        raise FormatError(f"{name}: not a lookalike index (its header cannot be read)")
    return header, 8 + length


def _read_all(file: BinaryIO, size: int, name: str) -> Array:
    """The whole file, in 64-byte aligned memory."""
    memory = aligned_empty((size,), np.uint8)
    file.seek(0)
    if file.readinto(memory.data) != size:  # type: ignore[attr-defined]
        raise FormatError(f"{name}: the file changed while it was read; try again")
    return memory


def _read_stream(source: Any, name: str) -> tuple[Array, dict[str, Any], int]:
    """Memory, header and its length, of bytes or of a file from its position on; memory is allocated for bytes that were read."""
    if isinstance(source, bytes | bytearray | memoryview):
        given = np.frombuffer(source, np.uint8)
        memory = aligned_empty((len(given),), np.uint8)
        memory[:] = given
        return memory, *_read_header(io.BytesIO(memory[: 8 + MAX_HEADER].data).read, name)
    if not callable(getattr(source, "read", None)):
        raise InputError(f"load_index: expected a path, a binary file or bytes, got {type(source).__name__}")
    header, start = _read_header(lambda count: b"".join(_pieces(source, count)), name)
    body = b"".join(_pieces(source, _announced(header)))
    memory = aligned_empty((start + len(body),), np.uint8)
    memory[start:] = np.frombuffer(body, np.uint8)
    return memory, header, start


def _announced(header: dict[str, Any]) -> int:
    """Bytes of all tensors according to the header, which is checked once they are read; 0 if it does not say."""
    try:
        ends = [int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__"]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return 0
    return max(ends, default=0)


def _pieces(file: BinaryIO, count: int) -> Iterator[bytes]:
    """`count` bytes, or all that there are, in pieces."""
    while count > 0:
        piece = file.read(min(count, PIECE))
        if isinstance(piece, str):
            raise InputError("load_index: expected a file that is open in binary mode, got one of text")
        if piece is None:
            raise BlockingIOError("load_index: the file gives nothing now")
        if not piece:
            return
        count -= len(piece)
        yield piece
