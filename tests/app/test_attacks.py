"""Section 9 of the design, attacked over real sockets: what an evil page, a stranger on the network or a bad file can try."""

from __future__ import annotations

import io
import json
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from PIL import Image

from lookalike.app import AppServer
from lookalike.app.gradio.later import Later
from lookalike.app.guard import guard
from lookalike.app.guard.guard import MAX_TEXT, Guard
from tests.app.serving import serving
from tests.app.test_api import error, search
from tests.app.test_guard import raw

PASSWORD = ("ann", "correct horse")


@pytest.fixture(scope="module")
def both(home: Path) -> Iterator[AppServer]:
    """One with a password, as other machines would see it, that is soon out of patience."""
    with serving(home, auth=":".join(PASSWORD), trusted_hosts=["photos.example"], patience=1.0) as server:
        yield server


def routes(server: AppServer) -> list[tuple[str, str]]:
    """Method and path of every route that the app has, gradio's and those of no use to it included."""
    found: list[tuple[str, str]] = []

    def collect(app: Any, prefix: str) -> None:
        for route in getattr(app, "routes", []):
            path = prefix + getattr(route, "path", "")
            if hasattr(route, "methods"):
                found.extend((method, path) for method in route.methods or ())
            inner = getattr(route, "app", getattr(route, "original_router", None))
            collect(inner._make() if isinstance(inner, Later) else inner, path.rstrip("/"))

    collect(server._server.config.app._app._app, "")  # type: ignore[attr-defined]
    filled = [(method, path.replace("{", "").replace("}", "").replace(":path", "")) for method, path in found]
    assert {"/api/search", "/api/folders", "/gradio_api/upload", "/gradio_api/queue/join", "/login"} <= {
        path for _, path in filled
    }, "not all routes were seen"
    return sorted(set(filled))


def test_every_route_of_gradio_and_ours_asks_for_the_password(both: AppServer) -> None:
    with httpx.Client(base_url=both.url, timeout=60, trust_env=False) as client:
        for method, path in routes(both):
            response = client.request(method, path)
            assert response.status_code == 401, (method, path)
            if method != "HEAD":
                error(response, 401)


def test_every_route_refuses_foreign_hosts_and_origins(server: AppServer) -> None:
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        for method, path in routes(server):
            assert client.request(method, path, headers={"host": "evil.test"}).status_code == 421, (method, path)
            if method not in guard.SAFE:
                response = client.request(method, path, headers={"origin": "http://evil.test"})
                assert response.status_code == 403, (method, path)


def test_of_gradios_routes_only_those_of_the_page_exist(server: AppServer) -> None:
    unused = ("/login", "/logout", "/monitoring", "/gradio_api/proxy", "/gradio_api/file", "/gradio_api/stream")
    unused += ("/gradio_api/component_server", "/gradio_api/vibe", "/gradio_api/mcp", "/gradio_api/deep_link", "/user")
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        dead = [(method, path) for method, path in routes(server) if path.startswith(unused)]
        assert len(dead) > 10
        for method, path in dead:
            assert client.request(method, path).status_code == 404, (method, path)


@pytest.mark.parametrize("mode", ["no-cors", "cors", "same-origin", None])
def test_pages_of_other_sites_embed_nothing(client: httpx.Client, mode: str | None) -> None:
    headers = {"sec-fetch-site": "cross-site"} | ({"sec-fetch-mode": mode} if mode else {})
    for path in ("/api/thumbnails/1", "/api/folders", "/api/duplicates", "/api/status", "/gradio_api/info", "/"):
        error(client.get(path, headers=headers), 403)


def test_a_link_from_elsewhere_can_be_followed(client: httpx.Client) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/api/images/1", headers=headers).status_code == 200


def test_no_answer_can_be_framed_or_read_elsewhere(client: httpx.Client) -> None:
    for path in ("/", "/api/folders", "/api/collections", "/api/jobs"):
        headers = client.get(path, headers={"origin": "http://evil.test"}).headers
        assert "access-control-allow-origin" not in headers
        assert headers["x-frame-options"] == "DENY"
    preflight = {"origin": "http://evil.test", "access-control-request-method": "DELETE"}
    answer = client.options("/api/collections/drawings", headers=preflight)
    assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_a_foreign_page_cannot_index_a_folder(client: httpx.Client, tmp_path: Path) -> None:
    for headers in ({"origin": "http://evil.test"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        error(client.post("/api/collections", json={"folder": str(tmp_path)}, headers=headers), 403)
        error(client.delete("/api/collections/drawings", headers=headers), 403)
    assert len(client.get("/api/collections").json()["collections"]) == 2


@pytest.mark.parametrize(
    "target",
    [
        *("/api/../../../../etc/passwd", "/lookalike/../../../etc/passwd", "/lookalike/%2e%2e/%2e%2e/etc/passwd"),
        *("/lookalike/..%5c..%5cetc%5cpasswd", "/lookalike//etc/passwd", "/static/..%2f..%2f..%2fetc/passwd"),
        *("/api/images/..%2f..%2fetc%2fpasswd", "/api/images/%2fetc%2fpasswd", "/api/thumbnails/1%00.jpg"),
        *("/assets/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "/gradio_api/file=/etc/passwd", "/gradio_api/file/etc/passwd"),
        *("/svelte/../../etc/passwd", "http://evil.test/api/health", "/gradio_api/call/../file=/etc/passwd"),
        *("/api/queries/..%2f..%2fetc%2fpasswd", "/lookalike/%00", "/gradio_api/upload/../file=/etc/passwd"),
    ],
)
def test_no_path_leads_out(server: AppServer, target: str) -> None:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), 20) as connection:
        request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode())
        answer = connection.makefile("rb").read()
    status = int(answer.split()[1])
    assert status in (400, 403, 404, 405, 422), answer[:200]
    assert b"root:" not in answer


def png_of(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that would fill the memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(4_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def text_bomb() -> bytes:
    """A PNG whose text takes 80 MB."""
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG")
    packed = b"comment\0\0" + zlib.compress(bytes(80_000_000), 9)
    chunk = struct.pack(">I", len(packed)) + b"zTXt" + packed + struct.pack(">I", zlib.crc32(b"zTXt" + packed))
    return out.getvalue()[:33] + chunk + out.getvalue()[33:]


BAD_PICTURES = {
    "bomb": png_of(60_000, 60_000),
    "long": png_of(2**31 - 1, 1),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><image href="file:///etc/passwd"/></svg>',
    "html": b"<!doctype html><script>alert(1)</script>",
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n",
    "zip": b"PK\3\4" + bytes(40),
    "nothing": b"",
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_what_only_claims_to_be_a_picture_is_refused(client: httpx.Client, kind: str) -> None:
    error(search(client, BAD_PICTURES[kind]), 400)


def test_text_in_a_picture_is_not_unpacked(client: httpx.Client) -> None:
    bomb = text_bomb()
    assert len(bomb) < 1_000_000
    assert search(client, bomb, k=1).status_code in (200, 400)


def test_a_file_that_became_a_page_is_not_served(home: Path, tmp_path: Path) -> None:
    """A picture of the collection that somebody replaced: the type is what it contains, and that cannot run."""
    gif = io.BytesIO()
    Image.new("P", (1, 1)).save(gif, "GIF", comment=b"<script>alert(1)</script>")
    with serving(home) as server, httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        entry = client.get("/api/pictures", params={"limit": 1}).json()["pictures"][0]
        path = home / "pictures/photos" / entry["path"]
        before = path.read_bytes()
        try:
            path.write_bytes(gif.getvalue())
            response = client.get(f"/api/images/{entry['id']}")
        finally:
            path.write_bytes(before)
    assert response.headers["content-type"] == "image/gif"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["content-security-policy"] == "default-src 'none'; sandbox"


def dawdle(server: AppServer, *pieces: bytes) -> bytes:
    """What comes back when somebody sends this much and then waits; empty if the connection is just closed."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), 60) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return connection.makefile("rb").read()


def head(server: AppServer, *lines: str) -> bytes:
    host = urlsplit(server.url).netloc
    return "\r\n".join(
        [lines[0], f"Host: {host}", "Authorization: Basic YW5uOmNvcnJlY3QgaG9yc2U=", *lines[1:]]
    ).encode()


def test_who_connects_and_says_nothing_is_let_go(both: AppServer) -> None:
    assert dawdle(both) == b""
    assert dawdle(both, head(both, "GET /api/health HTTP/1.1")) == b""


def test_a_second_request_that_never_ends_is_let_go(both: AppServer) -> None:
    whole = head(both, "GET /api/health HTTP/1.1") + b"\r\n\r\n"
    answer = dawdle(both, whole, head(both, "GET /api/hea"))
    assert answer.count(b"HTTP/1.1 200") == 1


def test_a_body_that_does_not_come_is_408(both: AppServer) -> None:
    form = ["POST /api/search HTTP/1.1", "Content-Type: multipart/form-data; boundary=x", "Content-Length: 5000"]
    for begun in (b"", b"--x\r\n"):
        answer = dawdle(both, head(both, *form) + b"\r\n\r\n" + begun)
        assert b" 408 " in answer.splitlines()[0]
        assert json.loads(answer.splitlines()[-1])["error"]["type"] == "RequestTimeout"


def test_many_that_dawdle_hold_nobody_up(both: AppServer) -> None:
    parts = urlsplit(both.url)
    idle = [socket.create_connection((parts.hostname, parts.port), 60) for _ in range(100)]
    try:
        for connection in idle:
            connection.sendall(b"GET / HTTP/1.1\r\nX-Slow: ")
        with httpx.Client(base_url=both.url, auth=PASSWORD, timeout=60, trust_env=False) as client:
            assert client.get("/api/health").status_code == 200
        assert all(connection.recv(1) == b"" for connection in idle), "all are let go in the end"
    finally:
        for connection in idle:
            connection.close()


def test_a_head_without_end_is_refused(server: AppServer) -> None:
    host = urlsplit(server.url).netloc
    for line in ("X-Long: " + "a" * 200_000, "Cookie: " + "b=c; " * 40_000):
        assert b" 400 " in raw(server, "GET /api/health HTTP/1.1", f"Host: {host}", line)
    assert b" 400 " in raw(server, f"GET /api/health?{'q' * 200_000} HTTP/1.1", f"Host: {host}")


def test_forms_without_end_are_refused(client: httpx.Client) -> None:
    error(client.post("/api/search", data={"id": ["1"] * 20_001}), 400)
    error(client.post("/api/search", data={"id": ["1"] * 2_000}), 422)
    many = [("image", (f"{n}.jpg", b"x", "image/jpeg")) for n in range(1_100)]
    error(client.post("/api/search", files=many), 400)
    error(client.post("/api/search", data={"id": ["1"] * 400}), 422)
    error(client.post("/api/search", data={"text": "a" * 2_000}), 422)
    error(client.post("/api/search", files={"text": (None, b"a" * 3_000_000)}), 400)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{" * 1000, b"\xff\xfe", b"1" * 10_000, b'{"ids": [1e999]}'])
def test_json_that_is_none_is_refused(client: httpx.Client, server: AppServer, body: bytes) -> None:
    headers = {"content-type": "application/json", "x-lookalike-token": server.token or ""}
    response = client.post("/api/duplicates", content=body, headers=headers)
    assert response.status_code in (400, 422), response.text
    error(response, response.status_code)


def test_what_is_no_picture_is_cut_off_sooner(client: httpx.Client) -> None:
    for kind in ("application/json", "application/x-www-form-urlencoded"):
        content = b" " * (MAX_TEXT + 1)
        error(client.post("/api/duplicates", content=content, headers={"content-type": kind}), 413)
        pieces = iter([content[:1000]] * (MAX_TEXT // 1000 + 1))
        error(client.post("/api/duplicates", content=pieces, headers={"content-type": kind}), 413)


def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each comparison is `hmac.compare_digest` of digests, which are equally long whatever was sent."""
    compared: list[tuple[int, int]] = []
    real = guard.hmac.compare_digest

    def spy(a: Any, b: Any) -> bool:
        compared.append((len(a), len(b)))
        return real(a, b)

    monkeypatch.setattr(guard.hmac, "compare_digest", spy)
    door = Guard(None, host="0.0.0.0", port=80, auth="ann:secret", tokens=["0123456789abcdef"])  # type: ignore[arg-type]
    for given in ("Bearer x", "Bearer " + "y" * 5000, "Basic YTpi", "Basic !", "", "Bearer 0123456789abcdef"):
        door._knows_secret(given, "/api/health")
    assert compared == [(32, 32)] * 6


GRADIO_TRICKS: list[Any] = [
    {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "../../../../etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "x", "url": "http://127.0.0.1:1/", "meta": {"_type": "gradio.FileData"}},
    {"path": "file:///etc/passwd", "meta": {"_type": "gradio.FileData"}},
    {"path": "http://127.0.0.1:1/", "meta": {"_type": "gradio.FileData"}},
    {"path": {"path": "/etc/passwd"}},
    "/etc/passwd",
    ["/etc/passwd"],
    {"__class__": "x"},
]


@pytest.mark.parametrize("sent", GRADIO_TRICKS, ids=str)
def test_gradios_queue_reads_no_file_and_no_address(client: httpx.Client, sent: Any) -> None:
    joined = client.post("/gradio_api/call/search", json={"data": [sent, "", 3, ""]})
    if joined.status_code != 200:
        assert joined.status_code in (400, 403, 404, 422)
        return
    with client.stream("GET", f"/gradio_api/call/search/{joined.json()['event_id']}") as answer:
        text = answer.read().decode()
    assert "event: error" in text
    assert "root:" not in text
    assert "Traceback" not in text


def test_an_upload_of_gradios_stays_in_its_folder(client: httpx.Client, tmp_path: Path) -> None:
    for name in ("../../../../tmp/escaped.jpg", "/tmp/escaped.jpg", "..\\..\\escaped.jpg", "a\0b.jpg", "x" * 5000):
        response = client.post("/gradio_api/upload", files={"files": (name, b"data", "image/jpeg")})
        if response.status_code == 200:
            (kept,) = response.json()
            assert "lookalike-app-" in kept
            assert ".." not in Path(kept).parts
            assert Path(kept).read_bytes() == b"data"
            assert client.get(f"/gradio_api/file={kept}").status_code == 404
    assert not Path("/tmp/escaped.jpg").exists()
