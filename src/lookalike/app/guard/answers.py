"""What the guard itself answers, and the headers that every answer gets."""

from __future__ import annotations

import asyncio
import contextlib
import json

from lookalike.app.guard.asgi import Message, Receive, Scope, Send
from lookalike.app.guard.secret import Secret

__all__ = ["DRAIN_BYTES", "HEADERS", "error_body", "head_only", "respond", "take_token", "with_headers"]

DRAIN_BYTES, DRAIN_SECONDS = 100_000_000, 10.0  # four times what a request may hold (`guard.MAX_UPLOAD`)

HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(self), microphone=(), geolocation=()",
}

CHALLENGES = [
    (b"www-authenticate", b'Basic realm="lookalike", charset="UTF-8"'),
    (b"www-authenticate", b'Bearer realm="lookalike"'),
]


def error_body(kind: str, message: str) -> dict[str, dict[str, str]]:
    """The one shape of errors."""
    return {"error": {"type": kind, "message": message}}


def with_headers(send: Send, policy: bytes) -> Send:
    ours = {**HEADERS, b"content-security-policy": policy}

    async def shielded(message: Message) -> None:
        if message["type"] == "http.response.start":
            # gradio lets pages of other local servers read answers; nobody else may.
            kept = [
                (k.lower(), v) for k, v in message.get("headers", []) if not k.lower().startswith(b"access-control-")
            ]
            present = {key for key, _ in kept}
            message["headers"] = kept + [(key, value) for key, value in ours.items() if key not in present]
        await send(message)

    return shielded


def head_only(send: Send, scope: Scope) -> Send:
    """For HEAD: an answer ends with its head, even one that would go on for ever."""
    if scope["method"] != "HEAD":
        return send
    is_begun = False

    async def head(message: Message) -> None:
        nonlocal is_begun
        if not is_begun and message["type"] == "http.response.start":
            is_begun = True
            await send(message)
            await send({"type": "http.response.body", "body": b""})

    return head


async def take_token(send: Send, secret: Secret | None, rest: str) -> None:
    """Exchange the address's token for a cookie; a wrong one, of an earlier server, just goes from the address."""
    location = f"/?{rest}" if rest else "/"
    headers = [(b"location", location.encode("latin-1")), (b"cache-control", b"no-store"), (b"content-length", b"0")]
    if secret is not None:
        headers.append((b"set-cookie", secret.cookie().encode()))
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def respond(send: Send, status: int, kind: str, message: str, drain: Receive | None = None) -> None:
    """Send an error; with `drain`, go on reading for a while, for a client that reads only when all is sent."""
    body = json.dumps(error_body(kind, message)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers += CHALLENGES
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": drain is not None})
    if drain is None:
        return
    seen, more = 0, True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while more and seen < DRAIN_BYTES:
                part = await drain()
                seen += len(part.get("body", b""))
                more = part.get("more_body", False)
    await send({"type": "http.response.body", "body": b""})
