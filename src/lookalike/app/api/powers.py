"""Who may look through folders and change collections: those who have the secret of this run of the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException

from lookalike.app.guard.secret import HEADER, has_powers
from lookalike.app.service import Service

__all__ = ["may_change", "on_this_machine"]

ELSEWHERE: Final = "folders are indexed and collections deleted on the server's own machine only"
NO_SECRET: Final = (
    "this needs the server's secret: open the address that `lookalike serve` printed, the one with ?token= in it; "
    f"programs send the token as {HEADER}"
)


def on_this_machine(service: Service) -> Callable[[Request], None]:
    """Lets a request through that comes from this machine and has the server's secret."""
    may = may_change(service)

    def check(request: Request) -> None:
        if not service.local:
            raise HTTPException(403, ELSEWHERE)
        may(request)

    return check


def may_change(service: Service) -> Callable[[Request], None]:
    """Lets a request through that has the secret; where other machines get in, all who do have a password or a token already."""

    def check(request: Request) -> None:
        if service.local and not has_powers(request.scope):
            raise HTTPException(403, NO_SECRET)

    return check
