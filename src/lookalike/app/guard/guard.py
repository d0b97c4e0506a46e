"""Checks in front of every route, gradio's included: host, origin, password, size, headers.

A server on loopback is not private by itself. Any web page can send requests to it, and with DNS rebinding read the
answers. So the Host header has to be a name of this server, requests with a foreign Origin may only read (and the browser hides the
answer from the page that sent them), and requests from other machines need a password or a token. Only proxies named by
`--trusted-host` are accepted. Requests that look through folders or change collections also need the server's secret
(`secret.py`). gradio's routes that this app does not use (a proxy, code editing, recordings, a login) are not served.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Sequence

from lookalike.app.guard.answers import head_only, respond, take_token, with_headers
from lookalike.app.guard.asgi import App, Message, Receive, Scope, Send
from lookalike.app.guard.bodies import PATIENCE, Body, RefusedError
from lookalike.app.guard.hosts import (
    forwarded,
    host_name,
    is_address,
    is_loopback,
    named_proxy,
    names,
    perhaps_a_proxy,
    trustable,
    without_port,
)
from lookalike.app.guard.policy import GRADIO_POLICY, POLICY, page_policy
from lookalike.app.guard.routes import is_served
from lookalike.app.guard.secret import HEADER, POWERS, Secret, split_token
from lookalike.errors import InputError

__all__ = ["MAX_TEXT", "MAX_UPLOAD", "Guard", "is_loopback"]

MAX_UPLOAD = 25_000_000
MAX_TEXT = 2_000_000  # bytes of a body that is no multipart form, and so no picture
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})

MIN_TOKEN = 16


class Guard:
    """ASGI middleware in front of the whole app.

    Parameters
    ----------
    app : ASGI app
    host : str
        The address bound to, as the user gave it.
    port : int
        The port bound to.
    auth : str or None
        ``"USER:PASSWORD"`` that HTTP Basic asks for, on every route.
    tokens : sequence of str
        Each lets a program in to the REST API, as ``Authorization: Bearer TOKEN``.
    trusted_hosts : sequence of str
        Names, with a port or for all ports, under which a proxy passes requests on.
    secret : Secret or None
        What a request needs to look through folders, index them and delete collections; None: nobody may.
    gradio_page : bool
        Whether the page is one of gradio's: with what that loads, keeps and runs.
    max_upload : int
        Bytes of a request's body.
    patience : float
        Seconds that the next piece of a body may take.

    Raises
    ------
    InputError
        If other machines can reach it and there is neither `auth` nor a token, or one of them is not of its form.
    """

    def __init__(
        self,
        app: App,
        *,
        host: str,
        port: int,
        auth: str | None = None,
        tokens: Sequence[str] = (),
        trusted_hosts: Sequence[str] = (),
        secret: Secret | None = None,
        gradio_page: bool = False,
        max_upload: int = MAX_UPLOAD,
        patience: float = PATIENCE,
    ) -> None:
        self._app, self._max_upload, self._patience = app, max_upload, patience
        self._trusted = frozenset(map(host_name, trusted_hosts))
        self._local = secret
        self._secret, self._tokens = _secret(auth), tuple(map(_token, tokens))
        if self._secret is None and not self._tokens and not (is_loopback(host) and not self._trusted):
            reached = f"host {host!r}" if not is_loopback(host) else f"trusted host {min(self._trusted)!r}"
            raise InputError(
                f"{reached} lets other machines in; give auth='USER:PASSWORD' (--auth) or a token (--token), "
                "or serve on 127.0.0.1 alone"
            )
        self._port = port
        self._gradio_page = gradio_page
        self._policy = (GRADIO_POLICY if gradio_page else POLICY).encode()
        self._page_policy = (GRADIO_POLICY if gradio_page else page_policy()).encode()
        self._any_address, self._names = names(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refuse(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
            return
        shielded = with_headers(send, self._page_policy if scope["path"] == "/" else self._policy)
        if refusal is not None:
            await respond(shielded, *refusal)
            return
        token, rest = split_token(scope["query_string"].decode("latin-1")) if scope["path"] == "/" else (None, "")
        if token is not None and scope["method"] in ("GET", "HEAD"):
            is_known = self._local is not None and self._local.is_exchanged(token, scope)
            await take_token(shielded, self._local if is_known else None, rest)
            return
        # A copy: the server itself still has to know that HEAD was asked, and sends no body.
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        await self._limited(
            {**scope, "method": method, POWERS: self._has_powers(scope)}, receive, head_only(shielded, scope)
        )

    def _has_powers(self, scope: Scope) -> bool:
        headers = _Headers(scope["headers"])
        if self._local is None or forwarded(scope["headers"]) is not None:
            return False
        tokens, cookies = headers.all(HEADER.lower().encode()), headers.all(b"cookie")
        return self._local.is_in(tokens, cookies, headers.one(b"sec-fetch-site"))

    def _refuse(self, scope: Scope) -> tuple[int, str, str] | None:
        """Why this request is not let in: status, type and message."""
        headers = _Headers(scope["headers"])
        host = headers.one(b"host")
        if host is None or not self._is_ours(host):
            return 421, "MisdirectedRequest", self._misdirected(host)
        proxy = forwarded(scope["headers"])
        if proxy is not None and not self._trusted:
            message = f"this request was passed on by a proxy (it has {proxy}); {named_proxy('NAME')}"
            return 403, "ForwardedRequest", message
        if not self._knows_secret(headers.one(b"authorization"), scope["path"]):
            expected = "the user and password" if self._secret is not None else "a token"
            return 401, "Unauthorized", f"expected {expected} that the server was started with"
        refusal = self._refuse_page(scope, headers, host)
        if refusal is None and not is_served(scope["path"], self._gradio_page):
            return 404, "NotFound", f"there is nothing at {_printable(scope['path'])}"
        return refusal

    def _refuse_page(self, scope: Scope, headers: _Headers, host: str) -> tuple[int, str, str] | None:
        """Why the web page that sends this request may not: it is another site's."""
        if scope["type"] == "websocket" or scope["method"] not in SAFE:
            origin = headers.all(b"origin")
            foreign = [each for each in origin if not self._is_own_page(each, host)]
            if foreign or headers.one(b"sec-fetch-site") == "cross-site":
                return 403, "ForbiddenOrigin", f"requests from other web pages are refused{perhaps_a_proxy(foreign)}"
        elif _is_embedded(headers):
            return 403, "ForbiddenOrigin", "other web pages may link here, and not embed or read what is here"
        return None

    def _misdirected(self, host: str | None) -> str:
        """What to do about a Host header that is not ours: behind a port mapping, a tunnel or a proxy it is another."""
        here = f"this server answers to http://{next(iter(self._names))}:{self._port}"
        name = trustable(host or "")
        if name is None:
            return f"{here} only; open that address"
        if without_port(name) in self._names or (self._any_address and is_address(without_port(name))):
            return (
                f"{here}, and was asked as {name}: give a port mapping or tunnel the port {self._port} on both sides, "
                f"or {named_proxy(name)}"
            )
        return f"{here} only; open that address, or, if {name} is a proxy or tunnel of yours, {named_proxy(name)}"

    def _is_own_page(self, origin: str, host: str) -> bool:
        """Whether a page is this server's own: as the browser asked for it, or under a proxy's name."""
        scheme, _, where = origin.lower().partition("://")
        return scheme in ("http", "https") and (where == host.lower() or self._is_trusted(where))

    def _is_trusted(self, host: str) -> bool:
        return host.lower() in self._trusted or without_port(host.lower()) in self._trusted

    def _is_ours(self, host: str) -> bool:
        if self._is_trusted(host):
            return True
        name, _, port = host.lower().rpartition(":") if not host.endswith("]") else (host.lower(), "", "")
        if not name:  # no colon at all: a name without a port, which means 80
            name, port = port, ""
        if (port or "80") != str(self._port):
            return False
        if name in self._names:
            return True
        # Bound to all addresses, the machine's own are not known; but nobody can rebind the "name" 192.168.0.5.
        return self._any_address and is_address(name)

    def _knows_secret(self, authorization: str | None, path: str) -> bool:
        if self._secret is None and not self._tokens:
            return True
        scheme, _, given = (authorization or "").partition(" ")
        # Digests are equally long, so that comparing tells nothing about the secret's length.
        if scheme.lower() == "bearer" and path.startswith("/api/"):
            digest = hashlib.sha256(given.strip().encode("latin-1")).digest()
            return any(hmac.compare_digest(digest, token) for token in self._tokens)
        try:
            password = base64.b64decode(given.strip(), validate=True) if scheme.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            password = b""
        return hmac.compare_digest(hashlib.sha256(password).digest(), self._secret or b"")

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, watching the body as it comes; if it is too large or too slow, the answer is ours."""
        headers = _Headers(scope["headers"])
        body = Body(receive, self._limit(headers), self._patience)
        started = ended = False

        async def answer(message: Message) -> None:
            nonlocal started, ended
            if body.refused is None:
                started = True
                ended = message["type"] == "http.response.body" and not message.get("more_body", False)
                await send(message)

        announced = headers.one(b"content-length") or "0"
        if announced.isdigit() and int(announced) > body.limit:
            body.refused = 413
        else:
            try:
                await self._app(scope, body.receive, answer)
            except RefusedError:
                pass
            except Exception:
                if not ended:
                    raise
                # The answer has said so; passed on, it would cost the connection, and with it the client's next request.
                logging.getLogger("uvicorn.error").exception("an error inside lookalike")
        if body.refused is None or started:
            return
        if body.refused == 408:
            await respond(send, 408, "RequestTimeout", "the request was cut off, because it came too slowly")
        else:
            message = f"expected at most {body.limit:,} bytes; send a smaller picture"
            await respond(send, 413, "PayloadTooLarge", message, drain=receive)

    def _limit(self, headers: _Headers) -> int:
        is_form = (headers.one(b"content-type") or "").lower().startswith("multipart/")
        return self._max_upload if is_form else min(self._max_upload, MAX_TEXT)


def _is_embedded(headers: _Headers) -> bool:
    """Whether a page of another site asks for a part of itself; following a link is fine."""
    return headers.one(b"sec-fetch-site") == "cross-site" and headers.one(b"sec-fetch-mode") != "navigate"


class _Headers:
    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        self._raw = raw

    def all(self, name: bytes) -> list[str]:
        return [value.decode("latin-1") for key, value in self._raw if key == name]

    def one(self, name: bytes) -> str | None:
        """The header's value if it was sent exactly once."""
        values = self.all(name)
        return values[0] if len(values) == 1 else None


def _secret(auth: str | None) -> bytes | None:
    if auth is None:
        return None
    user, _, password = auth.partition(":")
    if not user or not password:
        raise InputError("auth: expected 'USER:PASSWORD' with both parts, as in 'ann:correct horse'")
    return hashlib.sha256(auth.encode()).digest()


def _token(token: str) -> bytes:
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise InputError(
            f"token: expected {MIN_TOKEN} or more letters and digits without spaces, got {len(token)} characters; "
            "for instance `openssl rand -hex 16` makes one"
        )
    return hashlib.sha256(token.encode()).digest()


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:200])
