"""Connections that dawdle: whoever connects and says nothing, or a byte now and then, must not hold up everybody else."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

__all__ = ["HEAD_SECONDS", "MAX_CONNECTIONS", "patient_protocol"]

HEAD_SECONDS = 15.0
"""So long may the head of a request take to arrive, from the first byte or from the connection on."""

MAX_CONNECTIONS = 400
"""More are answered with 503; a page keeps about two open, and systems allow a process 1,024 files or fewer."""


def _send_at_once(transport: asyncio.BaseTransport) -> None:
    """Do not let the system hold back the last piece of an answer until the first is acknowledged, about 40 ms.

    asyncio does this only for sockets that were made with TCP as their protocol, and a listening socket is made with 0.
    """
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):  # gone already
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def patient_protocol(head_seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's HTTP/1.1 over h11, which takes heads of 64 KiB at most, with an end to waiting for them."""

    class Patient(H11Protocol):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            _send_at_once(transport)
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
