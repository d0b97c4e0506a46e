"""Closes slow connections: a client that sends nothing, or a byte now and then, must not hold up others."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from lookalike.app.capacity import busy_body
from lookalike.app.guard.answers import HEADERS, error_body
from lookalike.errors import MissingExtraError

__all__ = ["HEAD_SECONDS", "MAX_CONNECTIONS", "check_parts", "patient_protocol"]

HEAD_SECONDS = 15.0
"""The head of a request may take this long to arrive, counted from its first byte or from the connection."""

MAX_CONNECTIONS = 400
"""More are answered with 503; a page keeps about two open, and systems allow a process 1,024 files or fewer."""

PARTS = ("app", "connections", "cycle", "loop", "transport", "on_response_complete", "send_400_response")
"""Private parts of uvicorn's protocol; no other file uses them."""

SPARE_CONNECTIONS = 100
"""So many more are answered at all; what comes then is closed."""


async def _busy(scope: Any, receive: Any, send: Any) -> None:
    body = busy_body("the server is busy: it has as many connections as it takes; try again soon")
    headers = [*HEADERS.items(), (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(b"retry-after", b"2"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _lines() -> list[bytes]:
    headers = {**HEADERS, b"content-type": b"application/json", b"connection": b"close"}
    return [name + b": " + value for name, value in headers.items()]


def _send_at_once(transport: asyncio.BaseTransport) -> None:
    """Do not let the system hold back the last piece of an answer until the first is acknowledged, about 40 ms.

    asyncio does this only for sockets that were made with TCP as their protocol, and a listening socket is made with 0.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # gone already
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def check_parts(owner: object, names: Iterable[str], package: str) -> None:
    """Refuse to go on with a version of a package that lacks what is used of it: a limit that never applies is worse.

    Raises
    ------
    MissingExtraError
        Names what is missing, and the version.
    """
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        raise MissingExtraError(
            f"the app cannot use {package} {version(package)}, where {type(owner).__name__} has no {missing[0]}; "
            "pip install --upgrade 'lookalike[app]'"
        )


def patient_protocol(head_seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's HTTP/1.1 over h11, which takes heads of 64 KiB at most, with an end to waiting for them."""

    loop: Any = object()  # this one has no connection
    made = H11Protocol(Config(_busy), ServerState(), {}, loop)
    check_parts(made, PARTS, "uvicorn")
    most = MAX_CONNECTIONS

    class Patient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            _send_at_once(transport)
            if len(self.connections) > most:
                self.app = _busy
            if len(self.connections) > most + SPARE_CONNECTIONS:
                transport.abort()
                return
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def send_400_response(self, msg: str) -> None:
            """What is no HTTP gets an answer in our form too."""
            body = json.dumps(error_body("BadRequest", msg)).encode()
            head = [b"HTTP/1.1 400 Bad Request", b"content-length: %d" % len(body), *_lines(), b"", body]
            self.transport.write(b"\r\n".join(head))
            self.transport.close()

        def _is_waiting(self) -> bool:
            cycle: Any = self.cycle
            return cycle is None or cycle.response_complete

        def _watch(self) -> None:
            if not self._is_waiting():
                self._forget()
            elif self._timer is None:
                self._timer = self.loop.call_later(head_seconds, self._give_up)

        def _forget(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            self._timer = None
            if self._is_waiting() and not self.transport.is_closing():
                self.transport.close()

    return Patient
