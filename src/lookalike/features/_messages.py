"""Messages between this process and those that decode.

A message is the length of its head (4 bytes), the length of its body (8 bytes), the head as JSON, and the body as bytes.
"""

from __future__ import annotations

import json
import struct
from typing import IO, Any, Final, NamedTuple

__all__ = ["Answer", "receive", "receive_writable", "send", "send_head"]

_LENGTHS: Final = struct.Struct("!IQ")
_MAX_HEAD: Final = 1 << 16
_MAX_BODY: Final = 1 << 30


class Answer(NamedTuple):
    """A message: a few facts, and pixels or a file."""

    head: dict[str, Any]
    body: bytes | bytearray


def send(pipe: IO[bytes], head: dict[str, Any], body: bytes | bytearray = b"") -> None:
    """Write a message."""
    send_head(pipe, head, len(body))
    pipe.write(body)
    pipe.flush()


def receive(pipe: IO[bytes]) -> Answer:
    """Read a message; EOFError if the other end is gone, or says what makes no sense."""
    head_length, body_length = _LENGTHS.unpack(_exactly(pipe, _LENGTHS.size))
    if head_length > _MAX_HEAD or body_length > _MAX_BODY:
        raise EOFError
    head = json.loads(_exactly(pipe, head_length))
    return Answer(head, _exactly(pipe, body_length))


def receive_writable(pipe: IO[bytes]) -> Answer:
    """Read a message whose body can become an array without being copied."""
    head_length, body_length = _LENGTHS.unpack(_exactly(pipe, _LENGTHS.size))
    if head_length > _MAX_HEAD or body_length > _MAX_BODY:
        raise EOFError
    head = json.loads(_exactly(pipe, head_length))
    body = bytearray(body_length)
    with memoryview(body) as view:
        at = 0
        while at < body_length:
            count = pipe.readinto(view[at:])  # type: ignore[attr-defined]
            if not count:
                raise EOFError
            at += count
    return Answer(head, body)


def send_head(pipe: IO[bytes], head: dict[str, Any], body_length: int) -> None:
    """Write a message up to its body."""
    data = json.dumps(head).encode()
    pipe.write(_LENGTHS.pack(len(data), body_length) + data)


def _exactly(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data
