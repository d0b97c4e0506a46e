"""Host, Origin, password, headers: what stands in front of every route, gradio's included."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from lookalike.app import AppServer
from lookalike.app.guard.guard import Guard, is_loopback
from lookalike.errors import InputError
from tests.app.serving import serving
from tests.app.test_api import error, search

USED = ["/", "/config", "/gradio_api/info", "/lookalike/main.js", "/lookalike/page.css", "/api/health"]
GRADIO = [
    ("POST", "/gradio_api/upload"),
    ("GET", "/gradio_api/file=/etc/passwd"),
    ("POST", "/gradio_api/queue/join"),
    ("GET", "/gradio_api/queue/data?session_hash=a"),
    ("GET", "/gradio_api/heartbeat/a"),
    ("POST", "/gradio_api/call/load"),
    ("POST", "/gradio_api/run/predict"),
    ("GET", "/gradio_api/proxy=https://huggingface.co/"),
    ("POST", "/login"),
]


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the request came through")


def raw(server: AppServer, *lines: str) -> bytes:
    """The status line that answers a hand-written request."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), 10) as connection:
        connection.sendall("\r\n".join([*lines, "Connection: close", "", ""]).encode())
        return connection.makefile("rb").readline()


@pytest.mark.parametrize("path", USED)
def test_what_the_page_uses_is_served(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.test", "evil.test:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.test:{port}", "127.0.0.1:{port}x"],
)
@pytest.mark.parametrize("path", ["/", "/api/images/1", "/gradio_api/info"])
def test_a_foreign_host_is_refused(client: httpx.Client, host: str, path: str) -> None:
    host = host.format(port=client.base_url.port)
    assert "http://127.0.0.1" in error(client.get(path, headers={"host": host}), 421)


@pytest.mark.parametrize("host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}"])
def test_the_names_of_loopback_are_ours(client: httpx.Client, host: str) -> None:
    assert client.get("/api/health", headers={"host": host.format(port=client.base_url.port)}).status_code == 200


def test_a_request_without_one_host_is_refused(server: AppServer) -> None:
    port = urlsplit(server.url).port
    assert b" 421 " in raw(server, "GET /api/health HTTP/1.0")
    two = raw(server, "GET /api/health HTTP/1.1", f"Host: 127.0.0.1:{port}", "Host: evil.test")
    assert b" 421 " in two or b" 400 " in two


@pytest.mark.parametrize(
    "origin", ["http://evil.test", "null", "http://127.0.0.1:1", "http://localhost", "file://", ""]
)
@pytest.mark.parametrize("path", ["/api/search", "/gradio_api/queue/join", "/gradio_api/upload"])
def test_a_foreign_origin_is_refused_on_all_but_reading(client: httpx.Client, origin: str, path: str) -> None:
    error(client.post(path, headers={"origin": origin}, json={}), 403)
    error(client.delete(path, headers={"origin": origin}), 403)


def test_a_browser_that_says_cross_site_is_refused(client: httpx.Client) -> None:
    error(client.post("/api/search", headers={"sec-fetch-site": "cross-site"}), 403)


def test_the_own_origin_and_none_at_all_are_let_in(client: httpx.Client, server: AppServer) -> None:
    own = server.url.rstrip("/")
    assert client.post("/api/search", headers={"origin": own}, data={"id": "1"}).status_code == 200
    assert search(client, id=1).status_code == 200


def test_no_other_page_may_read_an_answer(client: httpx.Client) -> None:
    for path in (*USED, "/api/images/1", "/api/thumbnails/1"):
        headers = client.get(path, headers={"origin": "http://localhost:3000"}).headers
        assert not [name for name in headers if name.startswith("access-control-")]
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "default-src" in headers["content-security-policy"]


def test_websockets_are_not_accepted(server: AppServer) -> None:
    port = urlsplit(server.url).port
    upgrade = ["Upgrade: websocket", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13"]
    for path in ("/", "/gradio_api/queue/join"):
        answer = raw(server, f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Origin: http://evil.test", *upgrade)
        assert b" 101 " not in answer


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/proxy=https://huggingface.co/",
        "/gradio_api/stream/a/b/c/playlist.m3u8",
        "/gradio_api/vibe-code/",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/dev/reload",
        "/gradio_api/runs",
        "/monitoring",
        "/monitoring/summary",
        "/login",
        "/logout",
        "/docs",
        "/openapi.json",
        "/gradio_api/deep_link",
        "/nothing",
    ],
)
def test_what_the_page_does_not_use_does_not_exist(client: httpx.Client, path: str) -> None:
    error(client.get(path), 404)
    assert client.post(path).status_code == 404


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "../../../etc/passwd"])
def test_files_of_this_machine_are_not_served(client: httpx.Client, home: Path, path: str) -> None:
    picture = next((home / "pictures").rglob("*.jpg"))
    for name in (path, str(picture), str(home / "collections/photos/catalog.sqlite")):
        for prefix in ("/gradio_api/file=", "/lookalike/", "/static/", "/assets/", "/lookalike/..%2f..%2f"):
            response = client.get(prefix + name)
            assert response.status_code in (400, 403, 404), (prefix, name)
            assert b"root:" not in response.content


@pytest.fixture(scope="module")
def locked(home: Path) -> Iterator[AppServer]:
    with serving(home, auth="ann:correct: horse ü") as server:
        yield server


@pytest.mark.parametrize(
    "auth", [None, ("ann", "wrong"), ("bob", "correct: horse ü"), ("", ""), ("ann", "correct: horse ü ")]
)
def test_without_the_password_no_route_answers(locked: AppServer, auth: tuple[str, str] | None) -> None:
    with httpx.Client(base_url=locked.url, auth=auth, trust_env=False) as client:
        for method, path in [*(("GET", path) for path in USED), *GRADIO, ("GET", "/nothing"), ("POST", "/api/search")]:
            response = client.request(method, path)
            error(response, 401)
            assert response.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "value", ["Basic", "Basic !!!", "Basic YW5u", "Bearer YW5uOmNvcnJlY3Q6IGhvcnNlIMO8", "Basic é"]
)
def test_nonsense_is_no_password(locked: AppServer, value: str) -> None:
    with httpx.Client(base_url=locked.url, trust_env=False) as client:
        error(client.get("/api/health", headers={"authorization": value.encode()}), 401)


def test_with_the_password_every_route_answers(locked: AppServer) -> None:
    with httpx.Client(base_url=locked.url, auth=("ann", "correct: horse ü"), trust_env=False) as client:
        for path in USED:
            assert client.get(path).status_code == 200
        assert search(client, id=1, k=2).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "photos.test", ""])
def test_other_machines_are_let_in_with_a_password_only(host: str) -> None:
    with pytest.raises(InputError, match="auth"):
        Guard(nothing, host=host, port=7860)
    Guard(nothing, host=host, port=7860, auth="ann:secret")


@pytest.mark.parametrize("auth", ["", "ann", "ann:", ":secret"])
def test_a_password_without_both_parts_is_refused(auth: str) -> None:
    with pytest.raises(InputError, match="USER:PASSWORD"):
        Guard(nothing, host="127.0.0.1", port=7860, auth=auth)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        *(("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True), ("LocalHost", True)),
        *(("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("", False), ("localhost.evil.test", False)),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("bound", "host", "ours"),
    [
        ("0.0.0.0", "192.168.0.7:80", True),
        ("0.0.0.0", "192.168.0.7", True),
        ("0.0.0.0", "[fe80::1]:80", True),
        ("0.0.0.0", "evil.test:80", False),
        ("192.168.0.7", "192.168.0.7", True),
        ("192.168.0.7", "192.168.0.8", False),
        ("192.168.0.7", "localhost", False),
        ("photos.test", "photos.test:80", True),
        ("photos.test", "PHOTOS.test", True),
        ("photos.test", "photos.test:8080", False),
        ("::1", "[::1]", True),
        ("::1", "", False),
        ("::1", ":80", False),
    ],
)
def test_which_host_headers_are_ours(bound: str, host: str, ours: bool) -> None:
    guard = Guard(nothing, host=bound, port=80, auth="ann:secret")
    assert guard._is_ours(host) is ours


@pytest.mark.parametrize("token", ["", "short", "with a space in it", "ümlaut-ümlaut-ümlaut"])
def test_a_token_that_is_none_is_refused(token: str) -> None:
    with pytest.raises(InputError, match="token: expected 16"):
        Guard(nothing, host="127.0.0.1", port=80, tokens=[token])


@pytest.mark.parametrize("name", ["", "http://photos.example", "photos.example/", "*.example", "a b"])
def test_a_trusted_host_that_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="trusted host: expected a name"):
        Guard(nothing, host="127.0.0.1", port=80, auth="ann:secret", trusted_hosts=[name])


def test_a_proxy_lets_other_machines_in() -> None:
    with pytest.raises(InputError, match=r"'photos\.example' lets other machines in"):
        Guard(nothing, host="127.0.0.1", port=80, trusted_hosts=["photos.example"])


@pytest.mark.parametrize(
    ("trusted", "host", "ours"),
    [
        ("photos.example", "photos.example", True),
        ("photos.example", "PHOTOS.example:8443", True),
        ("photos.example:8443", "photos.example:8443", True),
        ("photos.example:8443", "photos.example", False),
        ("photos.example", "evil.photos.example", False),
        ("photos.example", "photos.example:x", False),
        ("photos.example", "127.0.0.1:7860", True),
    ],
)
def test_the_names_of_a_proxy(trusted: str, host: str, ours: bool) -> None:
    guard = Guard(nothing, host="127.0.0.1", port=7860, auth="ann:secret", trusted_hosts=[trusted])
    assert guard._is_ours(host) is ours
