"""A request's body, counted and timed on its way to the app."""

from __future__ import annotations

import asyncio
import time

from starlette.exceptions import HTTPException

from lookalike.app.guard.asgi import Message, Receive

__all__ = ["PATIENCE", "Body", "RefusedError"]

PATIENCE = 20.0  # seconds that the next piece of a body may take
LEAST_RATE = 10_000  # bytes of a body a second, after that


class Body:
    """A request's body on its way to the app, counted and timed."""

    def __init__(self, receive: Receive, limit: int, patience: float) -> None:
        self._receive, self.limit, self._patience = receive, limit, patience
        self._seen, self._is_complete, self._begun = 0, False, time.monotonic()
        self.refused: int | None = None

    async def receive(self) -> Message:
        if self._is_complete:  # from here on it only tells that the client went away
            return await self._receive()
        try:
            async with asyncio.timeout(self._patience):
                message = await self._receive()
        except TimeoutError:
            raise self._refuse(408) from None
        self._seen += len(message.get("body", b""))
        self._is_complete = not message.get("more_body", False)
        if self._seen > self.limit:
            raise self._refuse(413)
        if not self._is_complete and time.monotonic() - self._begun > self._patience + self._seen / LEAST_RATE:
            raise self._refuse(408)
        return message

    def _refuse(self, status: int) -> RefusedError:
        self.refused = status
        return RefusedError(status)


class RefusedError(HTTPException):
    """Raised out of `receive`; FastAPI passes HTTP exceptions on while it reads a form, and hides others."""
