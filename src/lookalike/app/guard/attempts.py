"""Wrong passwords and tokens cost time: whose address sends them waits, and nobody else does."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from lookalike.app.guard.answers import HEADERS, error_body

__all__ = ["Attempts"]

Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

SECONDS: Final = 1.0  # that a wrong answer takes
LATER_SECONDS: Final = 4.0  # after so many from one address
MANY: Final = 5
AT_ONCE: Final = 8  # wrong answers of one address that wait; what comes then is not even compared
FORGIVEN: Final = 600.0  # seconds after the last one
ADDRESSES: Final = 4096  # that are remembered
LOGGED: Final = 60.0  # seconds between two lines of the log

log = logging.getLogger("lookalike.app")


@dataclass(slots=True)
class _Address:
    wrong: int = 0
    waiting: int = 0
    last: float = 0.0


class Attempts:
    """ASGI middleware in front of the guard, which decides what is wrong. No thread waits, only the answer.

    Parameters
    ----------
    app : ASGI app
        Answers 401 where a password or token is wrong.
    seconds : float
        How long the first wrong answers take.
    """

    def __init__(self, app: Any, seconds: float | None = None) -> None:
        self._app, self._seconds = app, SECONDS if seconds is None else seconds
        self._addresses: OrderedDict[str, _Address] = OrderedDict()
        self._logged, self._unlogged = 0.0, 0

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        # A request without a password is only a browser that does not know yet that there is one.
        if scope["type"] != "http" or not any(name == b"authorization" for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        address = _bucket(scope.get("client"))
        known = self._addresses.get(address)
        if known is not None and known.waiting >= AT_ONCE:
            self._note(address)
            await _refuse(send, round(LATER_SECONDS))
            return

        async def delayed(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start" and message["status"] == 401:
                await self._wait(address)
            await send(message)

        await self._app(scope, receive, delayed)

    async def _wait(self, address: str) -> None:
        known = self._addresses.pop(address, None) or _Address()
        self._addresses[address] = known  # the latest last
        now = time.monotonic()
        if now - known.last > FORGIVEN:
            known.wrong = 0
        known.wrong, known.last = known.wrong + 1, now
        self._note(address)
        for old in list(self._addresses)[:-ADDRESSES]:
            if not self._addresses[old].waiting:
                del self._addresses[old]
        known.waiting += 1
        try:
            await asyncio.sleep(self._seconds * (1 if known.wrong <= MANY else LATER_SECONDS / SECONDS))
        finally:
            known.waiting -= 1

    def _note(self, address: str) -> None:
        self._unlogged += 1
        now = time.monotonic()
        if not self._logged or now - self._logged > LOGGED:
            times = f"{self._unlogged} times, the last" if self._unlogged > 1 else "once,"
            log.warning("a wrong password or token was sent %s from %s", times, address)
            self._logged, self._unlogged = now, 0


def _bucket(client: Any) -> str:
    """The address, or the network of an IPv6 address, because one client usually has all addresses of its network."""
    try:
        address = ipaddress.ip_address(client[0].partition("%")[0])
    except (TypeError, ValueError, IndexError):
        return "an unknown address"
    if isinstance(address, ipaddress.IPv6Address) and not address.ipv4_mapped:
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(getattr(address, "ipv4_mapped", None) or address)


async def _refuse(send: Send, seconds: int) -> None:
    message = f"too many wrong passwords or tokens came from this address; try again in {seconds} seconds"
    body = json.dumps(error_body("TooManyAttempts", message)).encode()
    headers = [*HEADERS.items(), (b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers.append((b"retry-after", str(seconds).encode()))
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": body})
