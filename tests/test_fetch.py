"""`lookalike._fetch` against a real server on loopback, which the injected transport passes off as a public one."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import idna
import pytest

from lookalike import _fetch
from lookalike._fetch import fetch, is_public
from lookalike._hostname import ascii_host
from lookalike.errors import FetchError

PUBLIC = "93.184.215.14"
PICTURE = b"\xff\xd8\xff\xe0 not much of a JPEG, but nobody decodes it here \xff\xd9"

# Self-signed for pictures.test, valid 2020 to 2120; it protects nothing.
CERTIFICATE = """\
-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIKTrYM5ihl5OG5exo/qeHITQmalhkXY391DipehTGXqloAoGCCqGSM49
AwEHoUQDQgAEO65xifiRMmJ5yUimyzHk/l68uMNg5BU01md3R4Piy6vzmMH9LGbp
ZcYIbAlEOo71sMtJTMiAHlzqHY3asn13Ew==
-----END EC PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1waWN0dXJl
cy50ZXN0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1waWN0dXJlcy50ZXN0MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEO65x
ifiRMmJ5yUimyzHk/l68uMNg5BU01md3R4Piy6vzmMH9LGbpZcYIbAlEOo71sMtJ
TMiAHlzqHY3asn13E6NMMEowGAYDVR0RBBEwD4INcGljdHVyZXMudGVzdDAPBgNV
HRMBAf8EBTADAQH/MB0GA1UdDgQWBBTDKwgUT7ZhMYPxom0RCR/iL0/gaTAKBggq
hkjOPQQDAgNIADBFAiBGrm+dht2yxosVz1s8pZpJSxegZW70aGPcd1Jjw6770gIh
ANk+sPqK/o4tAro7w1BginfB9qDcFqvFVpb/bHofpRDy
-----END CERTIFICATE-----
"""


class Site:
    """A server that answers each path with prepared bytes, or lets a function write to the connection."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, bytes | Callable[[socket.socket], None]] = {}
        self.requests: list[str] = []
        self.connected: list[str] = []
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()

    def transport(self, address: str, port: int, timeout: float) -> socket.socket:
        self.connected.append(address)
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def fetch(self, url: str, **options: object) -> bytes:
        options = {"resolver": lambda host, port: [PUBLIC], "transport": self.transport, **options}
        return fetch(url, **options)  # type: ignore[arg-type]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                connection.settimeout(5)
                if self._context is not None:
                    with self._context.wrap_socket(connection, server_side=True) as secured:
                        self._answer(secured)
                else:
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            got = connection.recv(4096)
            if not got:
                return
            request += got
        self.requests.append(request.decode("latin-1"))
        path = request.split(b" ")[1].decode("latin-1")
        answer = self.answers.get(path, b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        if callable(answer):
            answer(connection)
        else:
            connection.sendall(answer)


def ok(body: bytes = PICTURE, kind: str = "image/jpeg", *headers: str, length: int | None = None) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body) if length is None else length}"]
    return "\r\n".join([*lines, *headers, "Connection: close", "", ""]).encode() + body


def moved(to: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    yield site
    site.close()


def test_a_picture_arrives_whole(site: Site) -> None:
    site.answers["/a.jpg?size=large"] = ok()
    assert site.fetch("http://pictures.test/a.jpg?size=large") == PICTURE
    assert site.connected == [PUBLIC]


def test_the_request_names_the_host_and_asks_for_no_compression(site: Site) -> None:
    site.answers["/a.jpg"] = ok()
    site.fetch("http://Pictures.TEST:8080/a.jpg#part")
    head = site.requests[0]
    assert head.startswith("GET /a.jpg HTTP/1.1\r\n")
    assert "Host: pictures.test:8080\r\n" in head
    assert "Accept-Encoding: identity\r\n" in head
    assert "lookalike" in head
    assert "Cookie" not in head
    assert "Referer" not in head


def test_names_and_paths_beyond_ascii_are_encoded(site: Site) -> None:
    site.answers["/%C3%BC.jpg"] = ok()
    assert site.fetch("http://bücher.test/ü.jpg") == PICTURE
    assert "Host: xn--bcher-kva.test" in site.requests[0]


def test_a_chunked_body_is_put_together(site: Site) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n"
    site.answers["/c"] = head + b"3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
    assert site.fetch("http://pictures.test/c") == b"abcdefg"


@pytest.mark.parametrize("kind", ["image/png; charset=binary", "IMAGE/WEBP", "application/octet-stream"])
def test_pictures_and_plain_bytes_are_accepted(site: Site, kind: str) -> None:
    site.answers["/a"] = ok(kind=kind)
    assert site.fetch("http://pictures.test/a") == PICTURE


@pytest.mark.parametrize("kind", ["text/html", "application/json", "", "imaged/jpeg"])
def test_other_types_are_refused(site: Site, kind: str) -> None:
    site.answers["/a"] = ok(kind=kind)
    with pytest.raises(FetchError, match="not a picture"):
        site.fetch("http://pictures.test/a")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://pictures.test/a.jpg",
        "gopher://pictures.test/",
        "data:image/png;base64,AAAA",
        "//pictures.test/a.jpg",
        "pictures.test/a.jpg",
        "",
        "http://",
        "http:///a.jpg",
        "http://user@pictures.test/a.jpg",
        "http://user:password@pictures.test/a.jpg",
        "http://pictures.test@127.0.0.1/",
        "http://pictures.test\\@127.0.0.1/",
        "http://pictures.test/a b.jpg",
        "http://pictures.test/\r\nHost: 127.0.0.1",
        "http://pictures.test:22/",
        "http://pictures.test:0/",
        "http://pictures.test:99999/",
        "http://pictures.test:port/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://pictures..test/",
        "http://-/",
        "http://pictures.test/" + "a" * 5000,
    ],
)
def test_urls_that_are_none_of_ours_are_refused_before_any_connection(site: Site, url: str) -> None:
    with pytest.raises(FetchError) as refused:
        site.fetch(url)
    assert "\n" not in str(refused.value)
    assert "password'" not in str(refused.value)
    assert site.connected == []


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.1./",
        "http://１２７.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[64:ff9b::10.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://0/",
        "http://localhost/",
    ],
)
def test_this_machine_is_refused_in_every_spelling(site: Site, url: str) -> None:
    with pytest.raises(FetchError, match=r"not a public address|not an IPv4 address"):
        site.fetch(url, resolver=_fetch._resolve)
    assert site.connected == []


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "169.254.169.254", "172.16.0.1"),
        *("192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "203.0.113.9", "224.0.0.1"),
        *("240.0.0.1", "255.255.255.255", "168.63.129.16"),
        *("::", "::1", "::7f00:1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::5db8:d70e", "100::1"),
        *("2001::1", "2001:db8::1", "2002:a00:1::", "3fff::1", "fc00::1", "fd12::1", "fe80::1", "fe80::1%eth0"),
        *("fec0::1", "ff02::1", "2606:4700::1%1"),
        *("", "localhost", "127.1", "0x7f.0.0.1"),
    ],
)
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["8.8.8.8", PUBLIC, "2606:4700::6810:1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"]
)
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(address)


def test_one_private_address_among_several_is_enough_to_refuse(site: Site) -> None:
    with pytest.raises(FetchError, match="not a public address"):
        site.fetch("http://pictures.test/", resolver=lambda host, port: [PUBLIC, "10.0.0.1"])
    assert site.connected == []


def test_a_refusal_does_not_tell_the_address(site: Site) -> None:
    with pytest.raises(FetchError) as refused:
        site.fetch("http://intranet.test/", resolver=lambda host, port: ["10.20.30.40"])
    assert "10.20.30.40" not in str(refused.value)


def test_a_name_is_looked_up_once_and_the_checked_address_is_connected_to(site: Site) -> None:
    site.answers["/a"] = ok()
    rebinding = iter([[PUBLIC], ["127.0.0.1"]])
    assert site.fetch("http://pictures.test/a", resolver=lambda host, port: next(rebinding)) == PICTURE
    assert site.connected == [PUBLIC]
    assert next(rebinding) == ["127.0.0.1"], "the second answer was never asked for"


def test_the_next_address_is_tried_when_one_does_not_answer(site: Site) -> None:
    site.answers["/a"] = ok()

    def transport(address: str, port: int, timeout: float) -> socket.socket:
        if address != PUBLIC:
            raise ConnectionRefusedError(111, "Connection refused")
        return site.transport(address, port, timeout)

    got = site.fetch("http://p.test/a", resolver=lambda h, p: ["8.8.8.8", PUBLIC], transport=transport)
    assert got == PICTURE


def test_the_real_transport_refuses_this_machine(site: Site) -> None:
    with pytest.raises(FetchError, match="belongs to this machine"):
        _fetch._connect("127.0.0.1", site.port, 1.0)
    assert site.requests == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(site: Site, status: int) -> None:
    site.answers["/a"] = moved("/b%20c?d", status)
    site.answers["/b%20c?d"] = ok()
    assert site.fetch("http://pictures.test/a") == PICTURE
    assert len(site.connected) == 2


def test_each_redirect_is_checked_again(site: Site) -> None:
    site.answers["/a"] = moved("http://inside.test/secret")

    def resolver(host: str, port: int) -> list[str]:
        return ["192.168.0.10"] if host == "inside.test" else [PUBLIC]

    with pytest.raises(FetchError, match=r"inside\.test: not a public address"):
        site.fetch("http://pictures.test/a", resolver=resolver)
    assert len(site.requests) == 1


@pytest.mark.parametrize("to", ["file:///etc/passwd", "http://user:pw@p.test/", "http://0x7f.1/", "http://p.test:25/"])
def test_redirects_to_what_may_not_be_asked_are_refused(site: Site, to: str) -> None:
    site.answers["/a"] = moved(to)
    with pytest.raises(FetchError):
        site.fetch("http://pictures.test/a")
    assert len(site.requests) == 1


def test_five_redirects_are_followed_and_a_sixth_is_not(site: Site) -> None:
    for i in range(6):
        site.answers[f"/{i}"] = moved(f"/{i + 1}")
    site.answers["/6"] = ok()
    assert site.fetch("http://pictures.test/1") == PICTURE
    with pytest.raises(FetchError, match="more than 5 times"):
        site.fetch("http://pictures.test/0")


def test_an_announced_size_above_the_limit_is_not_read(site: Site) -> None:
    site.answers["/a"] = ok(b"", length=10**12)
    with pytest.raises(FetchError, match="1,000,000,000,000 bytes"):
        site.fetch("http://pictures.test/a")


def test_bytes_are_counted_whatever_was_announced(site: Site) -> None:
    sent = 0

    def endless(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n")
        while True:
            connection.sendall(b"x" * 10_000)
            sent += 10_000

    site.answers["/a"] = endless
    with pytest.raises(FetchError, match="more than the 50,000 bytes"):
        site.fetch("http://pictures.test/a", max_bytes=50_000)
    assert sent < 50_000_000


def test_a_body_of_exactly_the_limit_is_accepted(site: Site) -> None:
    site.answers["/a"] = ok(b"x" * 1000)
    assert len(site.fetch("http://pictures.test/a", max_bytes=1000)) == 1000
    with pytest.raises(FetchError, match="more than"):
        site.fetch("http://pictures.test/a", max_bytes=999)


def test_a_body_that_ends_early_is_refused(site: Site) -> None:
    site.answers["/a"] = ok(b"x" * 100, length=200)
    with pytest.raises(FetchError, match="after 100 of 200 bytes"):
        site.fetch("http://pictures.test/a")


@pytest.mark.parametrize("header", ["Content-Encoding: gzip", "Content-Encoding: br"])
def test_compressed_bodies_are_refused(site: Site, header: str) -> None:
    site.answers["/a"] = ok(PICTURE, "image/jpeg", header)
    with pytest.raises(FetchError, match="compressed"):
        site.fetch("http://pictures.test/a")


def test_errors_of_the_server_are_passed_on_in_a_line(site: Site) -> None:
    with pytest.raises(FetchError, match=r"^pictures\.test: answered 404 Not Found$"):
        site.fetch("http://pictures.test/missing")


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n" + b"A: " + b"x" * 70_000])
def test_nonsense_is_a_clear_error(site: Site, answer: bytes) -> None:
    site.answers["/a"] = answer
    with pytest.raises(FetchError, match="the connection failed"):
        site.fetch("http://pictures.test/a")


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n"])
def test_a_server_that_drips_is_left_at_the_deadline(site: Site, head: bytes) -> None:
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(head)
        while not stop.wait(0.02):
            connection.sendall(b"x")

    site.answers["/a"] = drip
    try:
        with pytest.raises(FetchError, match=r"not finished within 0\.3 seconds"):
            site.fetch("http://pictures.test/a", timeout=0.3)
    finally:
        stop.set()


def test_a_look_up_that_hangs_is_left_at_the_deadline(site: Site) -> None:
    stop = threading.Event()

    def resolver(host: str, port: int) -> list[str]:
        stop.wait(10)
        return [PUBLIC]

    try:
        with pytest.raises(FetchError, match=r"not finished within 0\.1 seconds"):
            site.fetch("http://pictures.test/a", timeout=0.1, resolver=resolver)
    finally:
        stop.set()


def test_an_unknown_host_is_a_clear_error() -> None:
    with pytest.raises(FetchError, match="no such host"):
        fetch("http://pictures.invalid/a.jpg", resolver=lambda host, port: [])


def test_a_refused_connection_is_a_clear_error() -> None:
    def transport(address: str, port: int, timeout: float) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    with pytest.raises(FetchError, match=r"^pictures\.test: the connection failed \(Connection refused\)$"):
        fetch("http://pictures.test/", resolver=lambda host, port: [PUBLIC], transport=transport)


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[Site]:
    pem = tmp_path / "pictures.pem"
    pem.write_text(CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    site = Site(context)
    site.answers["/a"] = ok()
    site.answers["/down"] = moved("http://pictures.test/a")
    yield site
    site.close()


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_fetch, "_tls_context", lambda: ssl.create_default_context(cadata=CERTIFICATE))


def test_an_untrusted_certificate_is_refused(secure: Site) -> None:
    with pytest.raises(FetchError, match="certificate cannot be trusted"):
        secure.fetch("https://pictures.test/a")
    assert secure.requests == []


@pytest.mark.usefixtures("trusted")
def test_a_trusted_certificate_of_that_name_is_accepted(secure: Site) -> None:
    assert secure.fetch("https://pictures.test/a") == PICTURE
    assert "Host: pictures.test\r\n" in secure.requests[0]


@pytest.mark.usefixtures("trusted")
def test_a_trusted_certificate_of_another_name_is_refused(secure: Site) -> None:
    with pytest.raises(FetchError, match="certificate cannot be trusted"):
        secure.fetch("https://other.test/a")
    assert secure.requests == []


@pytest.mark.usefixtures("trusted")
def test_a_redirect_does_not_leave_https(secure: Site) -> None:
    with pytest.raises(FetchError, match="from https to unprotected http"):
        secure.fetch("https://pictures.test/down")


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("straße.example", "xn--strae-oqa.example"),
        ("STRASSE.example", "strasse.example"),
        ("STRAẞE.example", "xn--strae-oqa.example"),
        ("βόλος.example", "xn--nxasmm1c.example"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("cafe\u0301.example", "xn--caf-dma.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
        ("نامه\u200cای.example", "xn--mgba3gch31f060k.example"),
        ("xn--strae-oqa.example", "xn--strae-oqa.example"),
        ("☃.example", "xn--n3h.example"),
        ("ＡＢＣ.example", "abc.example"),
    ],
)
def test_names_are_asked_as_idna_2008(host: str, asked: str) -> None:
    seen: list[str] = []

    def resolver(name: str, port: int) -> list[str]:
        seen.append(name)
        return []

    with pytest.raises(FetchError, match="no such host"):
        fetch(f"https://{host}/a.jpg", resolver=resolver)
    assert seen == [asked]


@pytest.mark.parametrize(
    "host", ["a\u200db.example", "\u0301a.example", "℀.example", "⒈x.example", "a..b", "ＸＮ－－a.example", "ㅤ"]
)
def test_what_is_no_name_is_not_asked(host: str) -> None:
    with pytest.raises(FetchError, match=r"not a host name|not a URL"):
        fetch(f"https://{host}/a.jpg", resolver=lambda name, port: [])


def test_names_agree_with_the_tables_of_idna() -> None:
    """Each letter that this Python knows, in the middle of a name, against the `idna` package."""
    for code in range(0x80, 0x3000):
        char = chr(code)
        if unicodedata.category(char) == "Cn":
            continue
        with contextlib.suppress(idna.IDNAError):
            wanted = idna.encode(f"a{char}b.example", uts46=True).decode()
            with contextlib.suppress(UnicodeError):  # stricter is fine, another name is not
                assert ascii_host(f"a{char}b.example") == wanted, hex(code)
