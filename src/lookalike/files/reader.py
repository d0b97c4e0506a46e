"""Untrusted binary files: every count is compared with the bytes that are left before anything is allocated."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np

from lookalike._typing import Array, FloatArray
from lookalike._validate import LARGEST_NORM
from lookalike.errors import FormatError

__all__ = ["Reader", "open_reader", "open_regular"]


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file; opening a pipe would wait for its writer."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a folder is an error of the system
        raise FormatError(f"{path}: expected a regular file, got a device, pipe or socket")
    return path.open("rb")


@contextlib.contextmanager
def open_reader(path: Path) -> Iterator[Reader]:
    """A `Reader` of a file that must have been read to its end when the block ends."""
    with open_regular(path) as file:
        reader = Reader(file, os.fstat(file.fileno()).st_size, str(path))
        yield reader
        if reader.left:
            reader.fail(f"expected its end, found {reader.left} bytes more; it is damaged")


class Reader:
    """Little-endian numbers and arrays from a file, and the number of bytes left in it.

    Every method raises `FormatError` for what the file does not hold; `what` names it in the message.
    """

    def __init__(self, file: BinaryIO, size: int, name: str) -> None:
        self.file, self.left, self.name = file, size, name

    def fail(self, message: str) -> NoReturn:
        raise FormatError(f"{self.name}: {message}")

    def number(self, kind: str, what: str) -> Any:
        """One number; `kind` is a letter of the struct module."""
        size = struct.calcsize("<" + kind)
        return struct.unpack("<" + kind, self._take(size, what))[0]

    def numbers(self, kinds: str, what: str) -> list[Any]:
        """A number of each kind, as `struct` names them; ``?`` is a flag."""
        return [self.flag(what) if kind == "?" else self.number(kind, what) for kind in kinds]

    def flag(self, what: str) -> bool:
        value = self._take(1, what)[0]
        if value > 1:
            self.fail(f"{what}: expected 0 or 1, got {value}; it is damaged")
        return value == 1

    def fourcc(self, what: str) -> str:
        code = self._take(4, what)
        return code.decode("ascii") if code.isalnum() else repr(code)

    def array(self, dtype: Any, count: int, what: str) -> Array:
        """`count` elements, in the byte order of this machine."""
        stored = np.dtype(dtype).newbyteorder("<")
        if count * stored.itemsize > self.left:
            self.fail(f"{what}: {count} elements of {stored.itemsize} bytes announced, {self.left} bytes left")
        array = np.empty(count, stored)
        if count and self.file.readinto(array.view(np.uint8).data) != array.nbytes:  # type: ignore[attr-defined]
            self.fail("the file changed while it was read; try again")
        self.left -= array.nbytes
        return array.astype(dtype, copy=False)

    def vector(self, dtype: Any, what: str, size: int | None = None) -> Array:
        """A count and that many elements; `size` is the count where it is known."""
        count = self.number("Q", what)
        if size is not None and count != size:
            self.fail(f"{what}: expected {size} elements, got {count}; it is damaged")
        return self.array(dtype, count, what)

    def floats(self, what: str, size: int, d: int) -> FloatArray:
        """A `vector` that holds the elements of vectors of dimension d."""
        return self.usable(self.vector(np.float32, what, size), what, d)

    def usable(self, values: FloatArray, what: str, d: int) -> FloatArray:
        """`values`, if none is NaN, infinite or so large that the squared norm of a vector could overflow."""
        largest = (LARGEST_NORM / d) ** 0.5
        if values.size and not (-largest < values.min() and values.max() < largest):
            self.fail(f"{what}: expected numbers below {largest:.1e}, got NaN, infinity or larger")
        return values

    def _take(self, size: int, what: str) -> bytes:
        if size > self.left:
            self.fail(f"{what}: {size} bytes expected, {self.left} left; it is truncated")
        taken = self.file.read(size)
        if len(taken) != size:
            self.fail("the file changed while it was read; try again")
        self.left -= size
        return taken
