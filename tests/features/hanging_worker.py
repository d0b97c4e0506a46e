"""A worker whose decoder does what the request's size says, in place of decoding. Run by tests/features/test_workers.py."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from lookalike.features import _worker, images
from lookalike.features._messages import Answer
from lookalike.features._source import TooLittleMemoryError

_really = _worker._done


def _done(request: dict[str, Any], data: bytes) -> Answer:
    match data:
        case b"spin":
            while True:
                pass
        case b"sleep":
            time.sleep(1000)
        case b"memory":
            try:
                return Answer({"size": len(bytearray(3 << 30))}, b"")
            except MemoryError:
                raise TooLittleMemoryError("none left") from None
        case b"crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        case b"defect":
            raise ZeroDivisionError("a defect")
        case b"print":
            os.write(1, b"noise")
            os.write(2, b"noise")
            return Answer({"facts": os.read(0, 1).hex()}, b"")
    return _really(request, data)


def main(given: dict[str, Any]) -> None:
    _worker._done = _done
    _worker.main(given)


__all__ = ["images", "main"]
