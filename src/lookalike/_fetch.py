"""Fetching a picture from a URL that somebody typed, without becoming a way into this machine's own network.

Two things are hostile here: the URL, which may name a service behind the firewall, and the server, which may redirect
there, lie about sizes or never finish. So the address is checked after the name was resolved, the socket is opened to
the checked address and not to the name (no second look-up to rebind), every redirect starts over, and bytes and
seconds are counted while reading.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import ipaddress
import queue
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast
from urllib.parse import quote, urljoin, urlsplit

from lookalike._hostname import ascii_host
from lookalike.errors import FetchError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

__all__ = ["MAX_BYTES", "MAX_REDIRECTS", "TIMEOUT", "Resolver", "Transport", "fetch", "is_public"]

MAX_BYTES = 20_000_000
MAX_REDIRECTS = 5
TIMEOUT = 10.0
MAX_URL = 4096
REDIRECTS = frozenset({301, 302, 303, 307, 308})
TYPES = frozenset({"application/octet-stream", "binary/octet-stream"})  # the second is the default of object stores
HEADERS = {"User-Agent": "lookalike (image search on one's own machine)", "Accept": "image/*"}

Resolver: TypeAlias = Callable[[str, int], Sequence[str]]
"""``resolver(host, port)`` -> addresses as text."""
Transport: TypeAlias = Callable[[str, int, float], socket.socket]
"""``transport(address, port, timeout)`` -> a connected plain socket; TLS is put on top here."""


def fetch(
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    timeout: float = TIMEOUT,
    resolver: Resolver | None = None,
    transport: Transport | None = None,
) -> bytes:
    """Bytes of the picture at a public http(s) URL.

    Parameters
    ----------
    url : str
        Ports 80, 443 and those from 1024 on; a name and password inside the URL are refused.
    max_bytes : int
        Largest body accepted, whatever the server announces.
    timeout : float
        Seconds for everything together: look-up, redirects, headers and body.
    resolver, transport : callable, optional
        Replace name look-up and connecting, for tests. What `resolver` answers is checked all the same.

    Returns
    -------
    body : bytes
        Not decoded yet: a server's word that this is a picture proves nothing.

    Raises
    ------
    FetchError
        One line that says what is wrong, without telling what the refused network answers.
    """
    deadline = time.monotonic() + timeout
    for _ in range(MAX_REDIRECTS + 1):
        target = _parse(url)
        try:
            answer = _ask(target, deadline, max_bytes, resolver or _resolve, transport or _connect)
        except TimeoutError:
            raise FetchError(f"{target.host}: not finished within {timeout:g} seconds") from None
        except ssl.SSLCertVerificationError as error:
            raise FetchError(f"{target.host}: its certificate cannot be trusted ({error.verify_message})") from None
        except (OSError, http.client.HTTPException) as error:
            raise FetchError(f"{target.host}: the connection failed ({_reason(error)})") from None
        if isinstance(answer, bytes):
            return answer
        url = urljoin(url, answer)
        if target.scheme == "https" and url.lower().startswith("http:"):
            raise FetchError(f"{target.host}: redirects from https to unprotected http")
    raise FetchError(f"{target.host}: redirects more than {MAX_REDIRECTS} times")


class _Redirect(str):
    """Where the server points to next."""


class _Target(NamedTuple):
    scheme: str
    host: str
    port: int
    path: str


def _parse(url: str) -> _Target:
    """Take a URL apart, refusing every spelling that two parsers could read differently."""
    if len(url) > MAX_URL:
        raise FetchError(f"expected a URL of at most {MAX_URL} characters, got {len(url)}")
    if re.search(r"[\x00-\x20\x7f\\]", url.strip()):
        raise FetchError("the URL holds a space, a backslash or a control character; encode it as in %20")
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise FetchError(f"not a URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise FetchError(f"expected a URL that starts with http:// or https://, got {_short(url)!r}")
    if "@" in parts.netloc:
        raise FetchError("the URL holds a user name or password before '@'; leave them out")
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    if port not in (80, 443) and port < 1024:
        raise FetchError(f"port {port} is not for web pages; expected 80, 443 or one from 1024 on")
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + ("?" + _query(parts.query) if parts.query else "")
    return _Target(parts.scheme, _host(host), port, path)


def _query(query: str) -> str:
    return quote(query, safe="/%:@!$&'()*+,;=~-._?[]")


def _host(host: str) -> str:
    """The host in the one form that is looked up, checked and sent."""
    if ":" in host:
        try:
            return str(ipaddress.IPv6Address(host if "%" not in host else ""))  # no zones such as fe80::1%eth0
        except ValueError:
            raise FetchError(f"not an IPv6 address: {_short(host)!r}") from None
    try:
        name = ascii_host(host).rstrip(".")
    except UnicodeError:
        raise FetchError(f"not a host name: {_short(host)!r}") from None
    if not re.fullmatch(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9])?", name):
        raise FetchError(f"not a host name: {_short(host)!r}")
    # inet_aton reads 0x7f.1, 017700000001 and 2130706433 as 127.0.0.1. Nobody has a picture there.
    if re.fullmatch(r"\d+|0x[0-9a-f]*", name.rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(name))
        except ValueError:
            raise FetchError(f"not an IPv4 address of four decimal numbers: {_short(host)!r}") from None
    return name


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_REFUSED = (
    ipaddress.ip_network("168.63.129.16/32"),  # a cloud's host service on an address that looks public
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("192.88.99.0/24"),
    ipaddress.ip_network("2001::/23"),  # Teredo and other tunnels; older Pythons call a part of it global
    ipaddress.ip_network("3fff::/20"),
)


def is_public(address: str) -> bool:
    """Whether `address` is one of the public internet, and not one of this machine or its network in disguise."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.scope_id is not None:
            return False
        inner = ip.ipv4_mapped or ip.sixtofour or (ipaddress.IPv4Address(ip.packed[-4:]) if ip in _NAT64 else None)
        if inner is not None:
            return is_public(str(inner))
        if ip not in _GLOBAL_UNICAST:
            return False
    special = ip.is_multicast or ip.is_reserved or ip.is_loopback or ip.is_link_local or ip.is_unspecified
    return ip.is_global and not special and not any(ip.version == net.version and ip in net for net in _REFUSED)


def _ask(
    target: _Target, deadline: float, max_bytes: int, resolver: Resolver, transport: Transport
) -> bytes | _Redirect:
    """One request to one checked address: the body, or where to go next."""
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.default_port = 443 if target.scheme == "https" else 80  # leaves ":443" out of the Host header
    plain = _open(target, deadline, resolver, transport)
    try:
        if target.scheme == "https":
            plain.settimeout(_left(deadline))
            plain = _tls_context().wrap_socket(plain, server_hostname=target.host)
        connection.sock = cast(socket.socket, _TimedSocket(plain, deadline))
        connection.request("GET", target.path, headers={**HEADERS, "Accept-Encoding": "identity"})
        response = connection.getresponse()
        location = response.getheader("Location")
        if response.status in REDIRECTS and location:
            # Header bytes arrive as Latin-1; servers mean UTF-8, and some forget to encode spaces.
            return _Redirect(location.encode("latin-1").decode("utf-8", "replace").replace(" ", "%20"))
        _check_headers(target.host, response, max_bytes)
        return _body(target.host, response, max_bytes)
    finally:
        plain.close()


def _open(target: _Target, deadline: float, resolver: Resolver, transport: Transport) -> socket.socket:
    """Look the host up, check every address it has, connect to the first that answers."""
    addresses = _in_time(lambda: resolver(target.host, target.port), deadline)
    if not addresses:
        raise FetchError(f"{target.host}: no such host")
    if not all(is_public(address) for address in addresses):
        raise FetchError(f"{target.host}: not a public address; only pictures of the public internet are fetched")
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):  # half of the time that is left: the next address may be the one that works
            return transport(address, target.port, _left(deadline) / 2)
    return transport(addresses[-1], target.port, _left(deadline))


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise FetchError(f"{host}: no such host") from None
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _connect(address: str, port: int, timeout: float) -> socket.socket:
    """Connect to an address, unless it turns out to be this machine or its neighbour under a public address."""
    connected = socket.create_connection((address, port), timeout)
    here = ipaddress.ip_address(connected.getsockname()[0].partition("%")[0])
    there = ipaddress.ip_address(connected.getpeername()[0].partition("%")[0])
    near = here.version == 6 and here.packed[:8] == there.packed[:8]
    if here == there or near:
        connected.close()
        raise FetchError(f"{address}: not a public address; it belongs to this machine or its network")
    return connected


def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _in_time(look_up: Callable[[], Sequence[str]], deadline: float) -> Sequence[str]:
    """Run a look-up in a thread, since the system's resolver knows no time limit of ours."""
    result: queue.SimpleQueue[Sequence[str] | OSError | FetchError] = queue.SimpleQueue()

    def run() -> None:
        try:
            result.put(look_up())
        except (OSError, FetchError) as error:
            result.put(error)

    threading.Thread(target=run, name="lookalike-resolve", daemon=True).start()
    try:
        answer = result.get(timeout=_left(deadline))
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(answer, OSError | FetchError):
        raise answer
    return answer


def _check_headers(host: str, response: http.client.HTTPResponse, max_bytes: int) -> None:
    if response.status != 200:
        raise FetchError(f"{host}: answered {response.status} {_short(response.reason)}".rstrip())
    kind = (response.getheader("Content-Type") or "").partition(";")[0].strip().lower()
    if not kind.startswith("image/") and kind not in TYPES:
        raise FetchError(f"{host}: sent {_short(kind) or 'something without a type'}, not a picture")
    coding = (response.getheader("Content-Encoding") or "identity").strip().lower()
    transfer = (response.getheader("Transfer-Encoding") or "chunked").strip().lower()
    if coding != "identity" or transfer != "chunked":  # a compressed body can unfold to any size
        raise FetchError(f"{host}: sent a compressed body although none was asked for")
    if response.length is not None and response.length > max_bytes:
        raise FetchError(f"{host}: {response.length:,} bytes, more than the {max_bytes:,} that are fetched")


def _body(host: str, response: http.client.HTTPResponse, max_bytes: int) -> bytes:
    announced = response.length
    body = bytearray()
    while chunk := response.read(min(65_536, max_bytes + 1 - len(body))):
        body += chunk
        if len(body) > max_bytes:
            raise FetchError(f"{host}: more than the {max_bytes:,} bytes that are fetched")
    if announced is not None and len(body) != announced:
        raise FetchError(f"{host}: the connection ended after {len(body):,} of {announced:,} bytes")
    return bytes(body)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(error: OSError | http.client.HTTPException) -> str:
    return _short(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _short(text: str, limit: int = 80) -> str:
    """Text from outside, on one line and of bounded length."""
    line = "".join(c if c.isprintable() else "?" for c in text[: limit + 1])
    return line if len(line) <= limit else line[: limit - 1] + "…"


class _TimedReader(io.RawIOBase):
    """Reads from a socket, each time with the seconds that are left of the whole."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        self._sock.settimeout(_left(self._deadline))
        return self._sock.recv_into(buffer)


class _TimedSocket:
    """What `http.client` needs of a socket, under one deadline: a server that drips cannot hold us."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def sendall(self, data: ReadableBuffer) -> None:
        self._sock.settimeout(_left(self._deadline))
        self._sock.sendall(data)

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        return io.BufferedReader(_TimedReader(self._sock, self._deadline))

    def close(self) -> None:
        """Leave the socket open: http.client closes it before the body is read, `_ask` closes it after."""
