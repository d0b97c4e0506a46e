"""How much the server does at once, and how much may wait: each kind of work has places of its own."""

from __future__ import annotations

from lookalike.errors import LookalikeError

__all__ = ["ServerBusyError"]


class ServerBusyError(LookalikeError):
    """There is more to do than the server takes on; `retry_after` seconds later it may be less."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after
