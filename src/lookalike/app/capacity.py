"""How much the server does at once, and how much may wait: each kind of work has places of its own.

Searches never wait for anything but searches. What comes when all places of its kind are taken is told so at once, with the seconds
after which to try again: a line that only grows helps nobody, and its requests hold memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from lookalike._threads import cores
from lookalike.app.memory import return_memory
from lookalike.errors import LookalikeError

if TYPE_CHECKING:
    from anyio import CapacityLimiter
    from fastapi.routing import APIRoute

__all__ = ["Capacity", "Held", "Pool", "ServerBusyError", "busy_body"]

T = TypeVar("T")
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]

HELD_BYTES: Final = 512_000_000
DRAIN_BYTES: Final = 30_000_000
DRAIN_SECONDS: Final = 5.0
QUIET_SECONDS: Final = 2.0


class ServerBusyError(LookalikeError):
    """There is more to do than the server takes on; `retry_after` seconds later it may be less."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Pool:
    """Threads for one kind of work, and a line before them in which the first that came is the first to go.

    Parameters
    ----------
    what : str
        The work, for people.
    at_once, in_line : int
        How many are at work, and how many more may wait.
    retry_after : int
        Seconds after which who was sent away may try again.
    """

    def __init__(self, what: str, at_once: int, in_line: int, retry_after: int = 1) -> None:
        self.what, self.at_once, self.in_line, self.retry_after = what, at_once, in_line, retry_after
        self.inside = 0
        self._made: CapacityLimiter | None = None
        self.done: Callable[[], None] = lambda: None
        """Called after each piece of work."""

    def check(self) -> None:
        """See that there is a place.

        Raises
        ------
        ServerBusyError
            If there is none.
        """
        if self.inside >= self.at_once + self.in_line:
            raise ServerBusyError(
                f"the server is busy: {self.in_line} {self.what} are waiting already; try again soon", self.retry_after
            )

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place, for what is done before and after the work."""
        self.check()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1
            self.done()

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do a piece of work in a thread, after what came before it.

        Raises
        ------
        ServerBusyError
            If too many are waiting already.
        """
        async with self.place():
            return await self.run_in_place(work, *arguments)

    async def run_in_place(self, work: Callable[..., T], *arguments: Any) -> T:
        """The same for somebody who holds a place."""
        import anyio.to_thread
        from anyio import CapacityLimiter

        if self._made is None:  # it belongs to the event loop
            self._made = CapacityLimiter(self.at_once)
        return await anyio.to_thread.run_sync(work, *arguments, limiter=self._made)


class Capacity:
    """The places of one server.

    Attributes
    ----------
    searches : Pool
        As many at work as there are cores.
    addresses : Pool
        Searches whose pictures come from an address, while they are read.
    reports, reasons : Pool
        Step-by-step reports of searches, which take seconds; and reasons of single results, which take about two searches.
    comparisons : Pool
        All pictures compared with each other.
    pictures : Pool
        Pictures and thumbnails.
    lookups : Pool
        All that only reads the catalogue, and jobs.
    checks : Pool
        Whether the server is well.
    """

    def __init__(self) -> None:
        self.searches = Pool("searches", cores(), 100)
        self.addresses = Pool("searches by address", 8, 100, 5)
        self.reports = Pool("reports", 1, 8, 10)
        self.reasons = Pool("explanations", max(1, cores() // 2), 32, 5)
        self.comparisons = Pool("comparisons", 1, 8, 10)
        self.pictures = Pool("pictures", max(2, cores()), 300)
        self.lookups = Pool("requests", 4, 100)
        self.checks = Pool("checks", 1, 32)
        self.held = Held()
        self._pools = [each for each in vars(self).values() if isinstance(each, Pool)]
        self._returning: asyncio.TimerHandle | None = None
        for pool in self._pools:
            pool.done = self._later

    def _later(self) -> None:
        """When nothing was done for some seconds, return the memory of what was done before."""
        if self._returning is not None:
            self._returning.cancel()
        self._returning = asyncio.get_running_loop().call_later(QUIET_SECONDS, self._return)

    def _return(self) -> None:
        self._returning = None
        if not any(pool.inside for pool in self._pools):
            threading.Thread(target=return_memory, name="lookalike-memory", daemon=True).start()

    def route_class(self) -> type[APIRoute]:
        """A class of routes whose plain functions run in the pool of their kind, not in one that all share."""
        from lookalike.app.api.forms import FilledRoute

        pools = {
            "/images/{id}": self.pictures,
            "/thumbnails/{id}": self.pictures,
            "/queries/{tag}": self.pictures,
            "/health": self.checks,
        }

        class PooledRoute(FilledRoute):
            def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
                pool = pools.get(path, default)
                super().__init__(path, _in_pool(endpoint, pool), **options)

        default = self.lookups
        return PooledRoute


def _in_pool(function: Callable[..., Any], pool: Pool) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(function):
        return function

    @functools.wraps(function)
    async def pooled(*arguments: Any, **named: Any) -> Any:
        return await pool.run(functools.partial(function, *arguments, **named))

    pooled.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return pooled


def busy_body(message: str) -> bytes:
    """The body of a 503, in the one shape of errors."""
    return json.dumps({"error": {"type": ServerBusyError.__name__, "message": message}}).encode()


class Held:
    """The bytes of requests that are not answered yet, all together; one that would be too much is told to come again."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = HELD_BYTES if limit is None else limit
        self.bytes = 0

    def around(self, app: Any) -> Any:
        """The app, with the bodies of its requests counted."""

        async def counted(scope: Any, receive: Receive, send: Send) -> None:
            if scope["type"] == "http":
                await self._counted(app, scope, receive, send)
            else:
                await app(scope, receive, send)

        return counted

    async def _counted(self, app: Any, scope: Any, receive: Receive, send: Send) -> None:
        from starlette.exceptions import HTTPException

        mine, is_refused, is_started = 0, False, False

        async def count() -> Message:
            nonlocal mine, is_refused
            message = await receive()
            size = len(message.get("body", b""))
            mine += size
            self.bytes += size
            if size and self.bytes > self.limit:
                is_refused = True
                raise HTTPException(503)  # FastAPI passes these on while it reads a form
            return message

        async def answer(message: Message) -> None:
            nonlocal is_started
            if not is_refused or is_started:
                is_started = True
                await send(message)

        try:
            try:
                await app(scope, count, answer)
            except HTTPException:
                if not is_refused:
                    raise
        finally:
            self.bytes -= mine
        if is_refused and not is_started:
            await _refuse(send, receive)


async def _refuse(send: Send, receive: Receive) -> None:
    """503, and then the rest of the body for a while: some clients read only when all is sent."""
    body = busy_body("the server is busy: it holds too many pictures of requests that wait; try again soon")
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"2"),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    seen, ends = 0, time.monotonic() + DRAIN_SECONDS
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while seen < DRAIN_BYTES and time.monotonic() < ends:
                message = await receive()
                seen += len(message.get("body", b""))
                if not message.get("more_body", False):
                    break
    await send({"type": "http.response.body", "body": b""})
