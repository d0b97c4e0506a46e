"""Names under which a server is asked: its own, those of a proxy, and what tells that a request came through one."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence

from lookalike.errors import InputError

__all__ = [
    "forwarded",
    "host_name",
    "is_address",
    "is_loopback",
    "named_proxy",
    "names",
    "perhaps_a_proxy",
    "trustable",
    "without_port",
]

# What proxies, tunnels and content networks add to the requests that they pass on.
FORWARDED = ("forwarded", "x-forwarded", "x-original-")
FORWARDED_FOR = frozenset(
    {"via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-remote-ip", "x-remote-addr", "x-proxyuser-ip"}
    | {"true-client-ip", "proxy-client-ip", "wl-proxy-client-ip", "cf-connecting-ip", "cf-ray", "cdn-loop"}
    | {"fastly-client-ip", "fly-client-ip", "x-azure-clientip", "x-appengine-user-ip", "x-envoy-external-address"}
)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to `host`."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(name: str) -> str:
    """A trusted name as Host headers have it."""
    plain = name.strip().lower()
    if not plain or any(c in plain for c in "/@*?# ") or not plain.isprintable():
        raise InputError(f"trusted host: expected a name as in photos.example or photos.example:8443, got {name!r}")
    return plain


def without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def names(host: str) -> tuple[bool, dict[str, None]]:
    """Whether `host` stands for all addresses, and the names in Host headers that mean this server."""
    bracketed = f"[{host}]" if ":" in host else host.lower()
    local = ["127.0.0.1", "localhost", "[::1]"]
    if is_loopback(host):
        return False, dict.fromkeys([bracketed, *local])
    if host in ("", "0.0.0.0", "::"):
        own = socket.gethostname().lower()
        return True, dict.fromkeys([own, own.partition(".")[0], f"{own}.local", *local])
    return False, dict.fromkeys([bracketed])


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def named_proxy(name: str) -> str:
    return f"start it with --trusted-host {name} and --auth or --token"


def trustable(host: str) -> str | None:
    """A Host header as it can be given to ``--trusted-host``, if it can."""
    try:
        return host_name(host)[:200]
    except InputError:
        return None


def perhaps_a_proxy(origins: Sequence[str]) -> str:
    """What helps where the page is this server's own, and the proxy in between changes the Host header."""
    names = [trustable(origin.partition("://")[2]) for origin in origins if origin.lower().startswith("http")]
    name = names[0] if names else None
    return "" if name is None else f"; if {name} is this server behind a proxy of yours, {named_proxy(name)}"


def forwarded(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The first header that a proxy adds, as people write it; None where no proxy says that it was there."""
    found = (key.decode("latin-1") for key, _ in headers)
    name = next((name for name in found if name.startswith(FORWARDED) or name in FORWARDED_FOR), None)
    return name and "".join(c if c.isprintable() else "?" for c in name[:60]).title()
