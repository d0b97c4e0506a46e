"""What forms, browsers, tunnels and proxies send: empty fields, HEAD, other names of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lookalike.app import AppServer
from lookalike.app.guard.guard import Guard
from tests.app.serving import serving
from tests.app.test_api import error

EMPTY = {
    **dict.fromkeys(("query", "url", "id", "from", "text", "region", "like", "dislike", "label", "after"), ""),
    **dict.fromkeys(("before", "min_side", "max_side", "shape", "k", "threshold", "sort", "exact", "fold", "in"), ""),
}


def multipart(fields: list[tuple[str, str]], *, image: tuple[str, bytes] | None = None) -> dict[str, Any]:
    """A form as browsers send it, an empty file field included where `image` is ``("", b"")``."""
    files: list[Any] = [(name, (None, value)) for name, value in fields]
    if image is not None:
        name, data = image
        head = f'form-data; name="image"; filename="{name}"'
        parts = [f'--edge\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n'.encode() for n, v in fields]
        parts += [f"--edge\r\nContent-Disposition: {head}\r\nContent-Type: application/octet-stream\r\n\r\n".encode()]
        return {
            "content": b"".join([*parts, data, b"\r\n--edge--\r\n"]),
            "headers": {"content-type": "multipart/form-data; boundary=edge"},
        }
    return {"files": files}


@pytest.mark.parametrize("path", ["/api/search", "/api/page/search", "/api/why"])
@pytest.mark.parametrize("kind", ["urlencoded", "multipart", "browser"])
def test_empty_fields_are_as_if_they_were_absent(client: httpx.Client, path: str, kind: str) -> None:
    extra = {"result": "4"} if path == "/api/why" else {}
    plain = client.post(path, data={"id": "3", **extra})
    assert plain.status_code == 200, plain.text
    fields = [*(EMPTY | extra).items(), ("id", "3"), ("from", ""), ("id", "")]
    sent = {
        "urlencoded": {
            "content": str(httpx.QueryParams(fields)),
            "headers": {"content-type": "application/x-www-form-urlencoded"},
        },
        "multipart": multipart(fields),
        "browser": multipart(fields, image=("", b"")),
    }[kind]
    answer = client.post(path, **sent)
    assert answer.status_code == 200, answer.text
    assert without_times(answer.json()) == without_times(plain.json())


def without_times(answer: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in answer.items() if key != "timing_ms"}


def test_a_search_step_by_step_of_a_form_with_empty_fields(client: httpx.Client) -> None:
    answer = client.post("/api/explain", **multipart([*EMPTY.items(), ("id", "3")], image=("", b"")))
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")


def test_a_form_with_nothing_in_it_says_so(client: httpx.Client) -> None:
    for sent in ({"data": EMPTY}, multipart(list(EMPTY.items()), image=("", b""))):
        message = error(client.post("/api/search", **sent), 422)
        assert "at least one of image, url, id, text and like" in message
    message = error(client.post("/api/search", **multipart([], image=("photo.jpg", b""))), 400)
    assert "at least" not in message, "a file that was chosen and is empty is a wrong picture"


def test_the_collection_of_an_empty_id_goes_with_it(client: httpx.Client) -> None:
    wanted = client.post("/api/search", data={"id": "5", "from": "drawings"}).json()["results"]
    fields = [("id", ""), ("id", "5"), ("from", "photos"), ("from", "drawings")]
    assert client.post("/api/search", **multipart(fields)).json()["results"] == wanted


def test_empty_fields_of_an_address_are_as_if_they_were_absent(client: httpx.Client) -> None:
    plain = client.get("/api/pictures").json()
    empty = "in=&offset=&limit=&label=&after=&before=&min_side=&max_side=&shape="
    assert client.get(f"/api/pictures?{empty}").json() == plain
    assert client.get("/api/thumbnails/1?side=&in=").content == client.get("/api/thumbnails/1").content
    assert client.get("/api/examples?n=&page=&in=").json() == client.get("/api/examples").json()
    assert client.get("/api/duplicates?in=&similarity=&offset=&limit=&ignored=").status_code == 200
    assert client.get("/api/collections?details=").json() == client.get("/api/collections").json()


HEADS = [
    *("/", "/config", "/lookalike/main.js", "/lookalike/page.css", "/gradio_api/info"),
    *("/api/health", "/api/status", "/api/labels", "/api/examples", "/api/jobs", "/api/collections", "/api/skipped"),
    *("/api/pictures", "/api/pictures/1", "/api/images/1", "/api/thumbnails/1", "/api/duplicates", "/api/openapi.json"),
]


@pytest.mark.parametrize("path", HEADS)
def test_head_is_answered_wherever_get_is(client: httpx.Client, path: str) -> None:
    get, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (get.status_code, b"")
    assert get.status_code == 200
    for name in ("content-type", "etag", "content-length", "x-content-type-options"):
        assert head.headers.get(name) == get.headers.get(name), name


def test_head_of_what_is_not_there_and_of_what_has_no_end(client: httpx.Client) -> None:
    for path, status in (("/nothing", 404), ("/api/images/999", 404), ("/api/search", 405), ("/api/metrics", 200)):
        response = client.head(path)
        assert (response.status_code, response.content) == (status, b""), path
    assert client.head("/gradio_api/heartbeat/abc", timeout=10).content == b""
    etag = client.get("/api/thumbnails/1").headers["etag"]
    assert client.head("/api/thumbnails/1", headers={"if-none-match": etag}).status_code == 304


@pytest.fixture(scope="module")
def container(home: Path) -> Iterator[AppServer]:
    """As in a container: bound to every address, asked under the port of the host."""
    with serving(home, host="0.0.0.0", auth="ann:secret") as server:
        yield server


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("localhost:1234", ("localhost:1234", "on both sides", "--trusted-host localhost:1234 and --auth or --token")),
        ("127.0.0.1", ("--trusted-host 127.0.0.1 ",)),
        ("192.168.7.7:1234", ("--trusted-host 192.168.7.7:1234 ",)),
        ("photos.example", ("--trusted-host photos.example ", "proxy or tunnel of yours")),
        ("<script>", ("open that address",)),
        ("", ("open that address",)),
    ],
)
def test_what_helps_where_the_host_is_another(container: AppServer, host: str, words: tuple[str, ...]) -> None:
    with httpx.Client(base_url=container.url, auth=("ann", "secret"), trust_env=False) as client:
        message = error(client.get("/api/health", headers={"host": host}), 421)
        for word in words:
            assert word in f"{message} ", message


def test_what_helps_where_the_origin_is_a_proxy(client: httpx.Client) -> None:
    sent = {"data": {"id": "1"}}
    message = error(client.post("/api/search", headers={"origin": "https://photos.example"}, **sent), 403)
    assert "--trusted-host photos.example and --auth or --token" in message
    for origin in ("null", "", "file://", "https://a b"):
        assert "--trusted-host" not in error(client.post("/api/search", headers={"origin": origin}, **sent), 403)


def test_the_advice_helps(home: Path) -> None:
    """A tunnel to another port, a proxy that drops the port, and one that keeps its Host header to itself."""
    names = ["localhost:1234", "127.0.0.1", "photos.example"]
    credentials = ("ann", "secret")
    with (
        serving(home, auth="ann:secret", trusted_hosts=names) as server,
        httpx.Client(base_url=server.url, auth=credentials, trust_env=False) as client,
    ):
        own = server.url.split("/")[2]
        for host, origin in [
            ("localhost:1234", "http://localhost:1234"),
            ("127.0.0.1", "http://127.0.0.1:8080"),
            ("photos.example", "https://photos.example"),
            (own, "https://photos.example"),
        ]:
            headers = {"host": host, "origin": origin}
            response = client.post("/api/search", data={"id": "1"}, headers=headers)
            assert response.status_code == 200, (host, origin, response.text)
        error(client.post("/api/search", data={"id": "1"}, headers={"origin": "https://evil.example"}), 403)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    raise AssertionError("the request came through")


def test_names_in_messages_are_harmless() -> None:
    guard = Guard(nothing, host="127.0.0.1", port=7860)
    for host in ("a" * 5000, "\x1b[31m", "a/b", "é" * 300):
        assert len(guard._misdirected(host)) < 700
        assert guard._misdirected(host).isprintable()


def test_no_field_reads_a_file_by_its_url(client: httpx.Client, home: Path) -> None:
    """What is a path on the command line stays a text here: nobody on the network reads this machine's files."""
    url = next((home / "pictures/drawings").rglob("*.jpg")).as_uri()
    for name in ("url", "query", "text", "in", "label", "region", "from"):
        response = client.post(
            "/api/search", data={"id": "1", name: url} if name in ("label", "region", "from") else {name: url}
        )
        if name == "label":
            assert response.json()["results"] == []
        elif name == "text":
            assert "a label search" in response.json()["words"], "read as words"
        else:
            assert response.status_code in (400, 404, 422), name
        assert "no such file" not in response.text
    for path in ("/api/status", "/api/labels", "/api/images/1"):
        error(client.get(path, params={"in": url}), 404)
        error(client.get(path, params={"in": (home / "collections/photos").as_uri()}), 404)
