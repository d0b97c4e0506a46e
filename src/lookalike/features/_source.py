"""Opening a picture from outside: what it may be, how large, and what is said when it cannot be used.

Pillow's own `Image.open` is not used. It would ask every plugin that it has (one starts Ghostscript, others have
no magic number and take any file), and its guard against decompression bombs is a global that warns. Here the first
bytes choose one decoder from a short list, and the caps are lookalike's own.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import stat
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeAlias, TypeGuard

from PIL import Image

from lookalike._files import open_at_once
from lookalike.errors import ImageError, UnreadableNowError
from lookalike.features._formats import identify, unsupported
from lookalike.features._prepared import Prepared

if TYPE_CHECKING:
    from lookalike._typing import Array

__all__ = [
    "DECODER_ERRORS",
    "MAX_FILE_BYTES",
    "MAX_PIXELS",
    "Handle",
    "Opened",
    "Source",
    "TooLittleMemoryError",
    "contents",
    "is_file",
    "open_file",
    "opened",
    "orientation",
]

Source: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | Image.Image | Array"

MAX_PIXELS = 256_000_000
"""More are refused before anything is decoded: the largest cameras give 200 million, bombs claim billions."""

MAX_FILE_BYTES = 512 << 20
"""Larger files are refused before they are opened."""

_ORIENTATION = 0x0112

# What damaged bytes make a decoder ask of the system, such as a seek to a place before the beginning. Every other number is
# the system's own failure: a disk that is gone, a network that is down, no descriptor or memory left.
_ASKED_FOR = frozenset({errno.EINVAL, errno.EDOM, errno.ERANGE, errno.EOVERFLOW})

# What Pillow is known to raise on damaged and hostile bytes, beyond the OSError that it documents. Warning: a caller
# may have turned warnings into errors.
DECODER_ERRORS = (
    OSError, ValueError, SyntaxError, TypeError, LookupError, ArithmeticError, AttributeError, RuntimeError,
    AssertionError, BufferError, EOFError, MemoryError, struct.error, zlib.error, Warning,
)  # fmt: skip


class TooLittleMemoryError(UnreadableNowError):
    """The system gave no memory. Where a limit was set for one picture, it is the picture's fault."""


class Opened(NamedTuple):
    """A picture whose header is read.

    Attributes
    ----------
    picture : PIL.Image.Image
    turned : int
        EXIF's orientation.
    profile : bytes
        ICC profile; empty if there is none.
    is_own : bool
        Made here, so that it may be changed; else it is the caller's.
    prepared : Prepared or None
        What the decoder was given; None of a picture that did not come from a file.
    """

    picture: Image.Image
    turned: int
    profile: bytes
    is_own: bool
    prepared: Prepared | None


@contextlib.contextmanager
def opened(source: Source) -> Iterator[Opened]:
    """A picture whose header is read and whose size is checked, but which is not decoded yet.

    Raises
    ------
    ImageError
        If it cannot be used, here or while it is decoded inside the ``with``.
    UnreadableNowError
        If it was the system that failed, so that nothing is known about the picture.
    """
    data = b""
    try:
        with _quiet:
            if isinstance(source, Image.Image):
                _check_size(source.size)
                profile = source.info.get("icc_profile")
                yield Opened(source, orientation(source), profile if isinstance(profile, bytes) else b"", False, None)
                return
            if not is_file(source):
                yield Opened(_from_array(source), 1, b"", True, None)
                return
            data = _read(source)
            picture, prepared = identify(data)
            _check_size(picture.size)
            yield Opened(picture, prepared.turned or 1, prepared.profile or b"", True, prepared)
    except (*DECODER_ERRORS, Image.DecompressionBombError) as error:
        raise _meant(error, data) from error


def orientation(picture: Image.Image) -> int:
    """EXIF's orientation of a picture that Pillow has opened, 1 to 8; 1 where there is none, or where it is damaged."""
    try:
        value = picture.getexif().get(_ORIENTATION, 1)
    except DECODER_ERRORS:
        return 1  # a picture is not refused for its metadata
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def is_file(source: Any) -> bool:
    """Whether a source is a path, bytes or an open file: something that is decoded."""
    if isinstance(source, str | os.PathLike | bytes | bytearray | memoryview):
        return True
    return not isinstance(source, Image.Image) and not hasattr(source, "__array__")


@contextlib.contextmanager
def contents(source: Source) -> Iterator[tuple[bytes | Handle, int]]:
    """The bytes of a source, or an open file of them, and how many they are.

    Raises
    ------
    ImageError, UnreadableNowError
        If there are none, or too many, or they cannot be read, here or inside the ``with``.
    """
    try:
        with contextlib.ExitStack() as stack:
            yield _stream(source, stack)
    except OSError as error:
        raise _meant(error, b"") from error


def _meant(error: BaseException, data: bytes) -> ImageError:
    """What a decoder's or the system's error means; `data` is what the decoder was given."""
    if isinstance(error, MemoryError):
        return TooLittleMemoryError("there is not enough memory to decode the picture")
    if isinstance(error, Image.DecompressionBombError):
        return ImageError("the picture is too large: parts of it claim to be larger than the whole")
    if _is_system_failure(error):
        return UnreadableNowError(f"the file cannot be read: {error.strerror}")
    return ImageError(_reason(error, data))


def _read(source: Any) -> bytes:
    """All bytes of a source: what is decoded later cannot have changed meanwhile."""
    with contextlib.ExitStack() as stack:
        body, size = _stream(source, stack)
        if isinstance(body, bytes):
            return body
        data = body.read()
        if len(data) < size:
            raise UnreadableNowError("the file became shorter while it was read")
        return data


def _check_size(size: tuple[int, int]) -> None:
    """Refuse a picture that has no pixels, or too many."""
    width, height = size
    if width < 1 or height < 1:
        raise ImageError(f"the picture is {width} × {height} pixels: there is nothing in it")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"the picture is too large: {width} × {height} is {width * height / 1e6:,.0f} megapixels, "
            f"at most {MAX_PIXELS / 1e6:,.0f} are decoded; save a smaller copy"
        )


class _Quiet:
    """Silences warnings while any thread is decoding.

    `warnings.catch_warnings` changes the whole process and must not overlap with itself in several threads; so the
    first thread in enters it and the last one out leaves it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"(PIL|pillow_heif)(\.|$)")
            self._inside += 1

    def __exit__(self, *_exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._caught is not None:
                self._caught.__exit__(None, None, None)
                self._caught = None


_quiet = _Quiet()


def _is_system_failure(error: BaseException) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno is not None and error.errno not in _ASKED_FOR


class _Raw(io.FileIO):
    """A file without a buffer."""


class Handle(io.BufferedReader):
    """An open file that hides its descriptor, and never reads more than it holds.

    Nothing can map it into memory then: a disk that is unplugged gives an error, not SIGBUS. And a file that grows meanwhile
    is not followed.
    """

    raw: _Raw

    def __init__(self, raw: _Raw, size: int) -> None:
        super().__init__(raw, 1 << 16)
        self._descriptor = raw.fileno()
        self._size = size

    def status(self) -> os.stat_result:
        """Of the file that is open, whatever its path names by now."""
        return os.fstat(self._descriptor)

    def fileno(self) -> int:
        raise io.UnsupportedOperation("the descriptor is not for decoders")

    @property
    def size(self) -> int:
        """Bytes that it had when it was opened."""
        return self._size

    def read(self, n: int | None = -1, /) -> bytes:
        left = max(self._size - self.tell(), 0)
        return super().read(left if n is None or n < 0 else min(n, left))


def _stream(source: Any, stack: contextlib.ExitStack) -> tuple[bytes | Handle, int]:
    """The bytes of a source, or an open file at its beginning, and how many they are."""
    if isinstance(source, str | os.PathLike):
        source = stack.enter_context(open_file(source))
    if isinstance(source, Handle):
        _check_length(source.size)
        source.seek(0)
        return source, source.size
    if isinstance(source, bytes | bytearray | memoryview):
        data = bytes(source)
    elif hasattr(source, "read"):
        data = source.read(MAX_FILE_BYTES + 1)
        if not isinstance(data, bytes):
            raise ImageError(f"expected a file opened in binary mode, got one that gives {type(data).__name__}")
    else:
        raise ImageError(f"expected a path, bytes, an open file, an array or a picture, got {type(source).__name__}")
    _check_length(len(data))
    return data, len(data)


def open_file(path: str | os.PathLike[str]) -> Handle:
    """Open a regular file for reading; the caller closes it.

    Raises
    ------
    UnreadableNowError
        If the system does not open it.
    ImageError
        If it is no regular file.
    """
    try:
        # Looked at before it is opened, as opening a device can do something; without blocking, as a pipe may have
        # taken the file's place since; and looked at again.
        _check_regular(Path(path).stat())
        raw = _Raw(path, "rb", opener=open_at_once)
        try:
            status = os.fstat(raw.fileno())
            _check_regular(status)
            return Handle(raw, status.st_size)
        except BaseException:
            raw.close()
            raise
    except FileNotFoundError:
        raise UnreadableNowError("there is no such file") from None
    except PermissionError:
        raise UnreadableNowError("the file may not be read: permission denied") from None
    except OSError as error:
        raise UnreadableNowError(f"the file cannot be opened: {error.strerror or error}") from None
    except ValueError:
        raise ImageError("the file name holds a character that no file name can hold") from None


def _check_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ImageError("a folder, not a picture")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("a pipe, a socket or a device, not a picture")


def _check_length(length: int) -> None:
    if length == 0:
        raise ImageError("the file is empty")
    if length > MAX_FILE_BYTES:
        raise ImageError(f"the file is too large: more than {MAX_FILE_BYTES >> 20} MB; save a smaller copy")


def _from_array(source: Any) -> Image.Image:
    import numpy as np

    array = np.asarray(source)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3, 4)):
        raise ImageError(
            f"expected an array of uint8, (height, width) or (height, width, 3 or 4), got {array.dtype}, {array.shape}"
        )
    _check_size((array.shape[1], array.shape[0]))
    return Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)


def _reason(error: BaseException, data: bytes) -> str:
    """What a decoder's error means to a person."""
    detail = "".join(c if c.isprintable() else " " for c in str(error))[:100].strip()
    lowered = detail.lower()
    if isinstance(error, EOFError) or "truncated" in lowered or "unexpected end" in lowered:
        return "the picture is cut short: only a part of the file is there"
    return unsupported(data, detail) or f"the picture is damaged ({detail})" if detail else "the picture is damaged"
