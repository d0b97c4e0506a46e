"""The secret of one run of the server: who has it may look through folders, index them and delete collections.

That a request comes from this machine proves little: so do those of a reverse proxy that speaks for the whole internet,
and those of every other account. So the address that `serve` prints holds a secret, as Jupyter's does. The first visit
exchanges it for a cookie and takes it out of the address bar; programs send it as a header.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Any, Final

from lookalike.app.guard.peer import is_foreign

__all__ = ["HEADER", "PARAMETER", "Secret", "has_powers", "split_token"]

HEADER: Final = "X-Lookalike-Token"
PARAMETER: Final = "token"
POWERS: Final = "lookalike.powers"  # of a request's scope


class Secret:
    """A new one for each server.

    Parameters
    ----------
    port : int
        Browsers send cookies to every port of a host: the cookie's name holds the port.

    Attributes
    ----------
    token : str
    ticket : str
        Exchanged once for the same cookie, and only by this account. It is what a browser is started with: everybody on a
        machine can read the command lines of others.
    """

    def __init__(self, port: int) -> None:
        self.token = secrets.token_urlsafe(24)
        self.ticket = secrets.token_urlsafe(24)
        self._is_ticket_valid = True
        self._name = f"lookalike-{port}"

    def is_token(self, given: str) -> bool:
        """Whether it is the secret; takes equally long for every answer."""
        return hmac.compare_digest(_digest(given), _digest(self.token))

    def is_exchanged(self, given: str, scope: Any) -> bool:
        """Whether the token of an address is good for a cookie; a ticket is so once."""
        if self.is_token(given):
            return True
        if not self._is_ticket_valid or not hmac.compare_digest(_digest(given), _digest(self.ticket)):
            return False
        self._is_ticket_valid = False
        return not is_foreign(scope)

    def is_in(self, tokens: Iterable[str], cookies: Iterable[str], site: str | None) -> bool:
        """Whether a request has it.

        Parameters
        ----------
        tokens : iterable of str
            Values of the header.
        cookies : iterable of str
            Values of the ``Cookie`` header.
        site : str or None
            What the browser says of the page that asks. The cookie counts for pages of this server alone: it is sent for
            pages of other ports too.
        """
        given = list(tokens)
        if site in (None, "same-origin", "none"):
            pairs = (part.strip().partition("=") for header in cookies for part in header.split(";"))
            given += [value for name, _, value in pairs if name == self._name]
        return any(self.is_token(each) for each in given)

    def cookie(self) -> str:
        """The value of ``Set-Cookie``; gone when the browser is closed."""
        return f"{self._name}={self.token}; Path=/; HttpOnly; SameSite=Strict"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def split_token(query: str) -> tuple[str | None, str]:
    """The token of an address's query, and the query without it.

    Examples
    --------
    >>> split_token("in=holiday&token=abc")
    ('abc', 'in=holiday')
    """
    parts = query.split("&") if query else []
    found = [part.partition("=")[2] for part in parts if part.partition("=")[0] == PARAMETER]
    rest = "&".join(part for part in parts if part.partition("=")[0] != PARAMETER)
    return (found[0] if found else None), rest


def has_powers(scope: Any) -> bool:
    """Whether a request that came through the guard may do what only this machine's user may."""
    return scope.get(POWERS) is True
