"""The REST API over a real socket."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from lookalike.app import AppServer
from lookalike.app.pictures import THUMBNAIL_SIDES
from lookalike.collection import Collection
from lookalike.data.datasets import starter_folder
from tests.app.serving import HOSTILE, WINDMILL, serving


def search(client: httpx.Client, image: bytes | None = None, **fields: Any) -> httpx.Response:
    files = None if image is None else {"image": ("picture.jpg", image, "image/jpeg")}
    data = {key.rstrip("_"): value if isinstance(value, list) else str(value) for key, value in fields.items()}
    return client.post("/api/search", data=data, files=files)


def error(response: httpx.Response, status: int) -> str:
    """The message, after the status and the one shape of errors are checked."""
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"type", "message"}
    message = body["error"]["message"]
    assert message
    assert "\n" not in message
    assert "Traceback" not in message
    return str(message)


def test_an_uploaded_picture_finds_its_twin_first(client: httpx.Client, windmill: bytes) -> None:
    answer = search(client, windmill, k=5).json()
    assert set(answer) == {"results", "timing_ms"}
    assert set(answer["timing_ms"]) == {"embed", "search"}
    assert all(ms >= 0 for ms in answer["timing_ms"].values())
    assert len(answer["results"]) == 5
    assert all(set(hit) == {"path", "similarity", "cosine", "distance", "id"} for hit in answer["results"])
    first = answer["results"][0]
    assert first["path"] == WINDMILL
    assert first["similarity"] > 99
    distances = [hit["distance"] for hit in answer["results"]]
    assert distances == sorted(distances)


def test_a_picture_of_the_collection_leaves_itself_out(client: httpx.Client, windmill: bytes) -> None:
    first = search(client, windmill, k=1).json()["results"][0]
    found = search(client, id=first["id"], k=5).json()["results"]
    assert len(found) == 5
    assert first["id"] not in [hit["id"] for hit in found]


def test_a_url_is_fetched_and_searched_with(client: httpx.Client) -> None:
    found = search(client, url="https://pictures.test/windmill.jpg", k=1).json()["results"]
    assert found[0]["path"] == WINDMILL


def test_a_form_that_is_not_multipart_will_do(client: httpx.Client) -> None:
    body = "url=https%3A%2F%2Fpictures.test%2Fwindmill.jpg&k=2"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert len(client.post("/api/search", content=body, headers=kind).json()["results"]) == 2


def test_another_collection_is_searched_by_name(client: httpx.Client, windmill: bytes) -> None:
    found = search(client, windmill, k=3, in_="drawings").json()["results"]
    assert len(found) == 3
    assert all(hit["path"].startswith("drawings/") for hit in found)


def test_a_picture_of_one_collection_searches_another(client: httpx.Client, windmill: bytes) -> None:
    first = search(client, windmill, k=1).json()["results"][0]
    found = search(client, id=first["id"], from_="photos", in_="drawings", k=3).json()["results"]
    assert [hit["path"] for hit in found] == [
        hit["path"] for hit in search(client, windmill, k=3, in_="drawings").json()["results"]
    ]


def test_more_results_than_pictures_gives_all_of_them(client: httpx.Client, windmill: bytes) -> None:
    assert len(search(client, windmill, k=200).json()["results"]) == 24


@pytest.mark.parametrize(
    "image", [b"", b"not a picture", b"\xff\xd8\xff\xe0 cut off", b"<svg xmlns='http://www.w3.org/2000/svg'/>"]
)
def test_a_bad_picture_is_400(client: httpx.Client, image: bytes) -> None:
    error(search(client, image), 400)


def test_a_truncated_picture_is_400(client: httpx.Client, windmill: bytes) -> None:
    error(search(client, windmill[:3000]), 400)


def test_a_refused_url_is_400(client: httpx.Client) -> None:
    assert "refused" in error(search(client, url="http://elsewhere.test/"), 400)


def test_the_own_network_is_refused_by_the_real_fetcher(home: Path) -> None:
    with serving(home) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        for url in (server.url, "http://localhost/", "http://0x7f.1/", "http://169.254.169.254/", "file:///etc/passwd"):
            assert error(search(client, url=url), 400)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"k": 5}, "at least one of image, url, id, text and like"),
        ({"dislike": 1}, "need one to be like"),
        ({"id": 1, "region": "0,0,2,1"}, "region: "),
        ({"id": 1, "region": "left"}, "region: "),
        ({"like": 1, "region": "0,0,1,0.5"}, "region: "),
        ({"id": 1, "after": "soon"}, "after: "),
        ({"id": 1, "shape": "round"}, "shape: "),
        ({"id": 1, "min_side": -1}, "min_side: "),
        ({"id": 1, "threshold": "nan"}, "threshold: "),
        ({"id": 1, "sort": "beauty"}, "sort: "),
        ({"text": "a windmill", "id": 1}, "do not mix with pictures"),
        ({"text": "a windmill", "dislike": 1}, "do not mix with pictures"),
        ({"text": "qwxyz"}, "qwxyz"),
        ({"id": [1, 2, 3], "from": ["photos", "drawings"]}, "from: "),
        ({"id": "first"}, "id: "),
        ({"id": -1}, "id: "),
        ({"id": 2**63}, "id: "),
        ({"id": 1, "k": 0}, "k: "),
        ({"id": 1, "k": 201}, "k: "),
        ({"id": 1, "k": "many"}, "k: "),
        ({"id": 1, "in": "x" * 201}, "in: "),
    ],
)
def test_a_query_that_cannot_be_is_422(client: httpx.Client, fields: dict[str, Any], says: str) -> None:
    assert says in error(search(client, **fields), 422)


@pytest.mark.parametrize("name", ["nothing", "../collections/drawings", "/etc", ".", "..", "photos/", "collections"])
def test_a_collection_that_is_not_a_known_name_is_404(client: httpx.Client, name: str) -> None:
    error(search(client, id=1, in_=name), 404)
    error(client.get("/api/status", params={"in": name}), 404)
    error(client.get("/api/images/1", params={"in": name}), 404)


def test_the_path_of_a_collection_is_not_its_name(client: httpx.Client, home: Path) -> None:
    error(search(client, id=1, in_=home / "collections" / "drawings"), 404)


@pytest.mark.parametrize("path", ["/api/images/9999", "/api/thumbnails/9999", "/api/pictures/9999", "/api/nothing"])
def test_what_is_not_there_is_404(client: httpx.Client, path: str) -> None:
    error(client.get(path), 404)


def test_an_unknown_id_is_404(client: httpx.Client) -> None:
    error(search(client, id=9999), 404)


def test_a_wrong_method_is_405(client: httpx.Client) -> None:
    error(client.get("/api/search"), 405)


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "image/jpeg", ""])
def test_a_body_that_is_no_form_is_415(client: httpx.Client, kind: str) -> None:
    error(client.post("/api/search", content=b"{}", headers={"content-type": kind} if kind else {}), 415)


def test_a_damaged_collection_is_503(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "collections", tmp_path / "collections")
    catalog = tmp_path / "collections/drawings/catalog.sqlite"
    catalog.write_bytes(catalog.read_bytes()[:100] + bytes(8000))
    with serving(tmp_path) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        message = error(client.get("/api/status", params={"in": "drawings"}), 503)
        assert "drawings" in message
        assert str(tmp_path) not in message
        assert client.get("/api/status").status_code == 200


@pytest.fixture(scope="module")
def small(home: Path) -> Iterator[AppServer]:
    with serving(home, max_upload=100_000) as server:
        yield server


def test_an_upload_above_the_limit_is_413(small: AppServer) -> None:
    with httpx.Client(base_url=small.url, trust_env=False) as client:
        assert "100,000 bytes" in error(search(client, bytes(3_000_000)), 413)
        assert client.get("/api/health").status_code == 200


def test_an_upload_of_unknown_length_is_cut_off_at_the_limit(small: AppServer) -> None:
    def body() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        for _ in range(60):
            yield bytes(50_000)
        yield b"\r\n--x--\r\n"

    with httpx.Client(base_url=small.url, trust_env=False) as client:
        kind = {"content-type": "multipart/form-data; boundary=x"}
        error(client.post("/api/search", content=body(), headers=kind), 413)


def test_an_upload_below_the_limit_is_searched_with(small: AppServer, windmill: bytes) -> None:
    assert len(windmill) < 100_000
    with httpx.Client(base_url=small.url, trust_env=False) as client:
        assert search(client, windmill, k=1).json()["results"][0]["path"] == WINDMILL


def test_health(client: httpx.Client) -> None:
    assert client.get("/api/health").json()["status"] == "ok"


def test_status_has_what_the_command_prints_and_no_path(client: httpx.Client, home: Path) -> None:
    response = client.get("/api/status")
    status = response.json()
    assert status["pictures"] == 24
    assert status["index"] == "flat"
    assert status["model"] == "efficientnet-lite0"
    assert {"skipped", "spec", "recall_at_10"} <= set(status)
    assert set(status["recall_at_10"]) == {"value", "low", "high", "k", "n"}
    assert str(home) not in response.text
    assert client.get("/api/status", params={"in": "drawings"}).json()["pictures"] == 25


def test_collections_are_listed_the_default_first(client: httpx.Client) -> None:
    assert client.get("/api/collections").json() == {
        "collections": [{"name": "photos", "default": True}, {"name": "drawings", "default": False}]
    }


def test_examples_are_spread_over_the_folders(client: httpx.Client) -> None:
    examples = client.get("/api/examples", params={"n": 6}).json()["examples"]
    assert len(examples) == 6
    assert {example["label"] for example in examples} == {"photos/fish", "photos/windmill", "photos/tool"}


def test_starter_pictures_come_with_author_and_licence(client: httpx.Client, windmill: bytes) -> None:
    first = search(client, windmill, k=1).json()["results"][0]
    credit = client.get(f"/api/pictures/{first['id']}").json()["credit"]
    assert credit["author"] == "Jean-Pol GRANDMONT"
    assert credit["licence"] == "CC-BY-2.0"
    assert credit["licence_url"].startswith("https://creativecommons.org/")


def test_a_picture_is_served_as_it_is_and_cannot_run(client: httpx.Client, windmill: bytes) -> None:
    first = search(client, windmill, k=1).json()["results"][0]
    response = client.get(f"/api/images/{first['id']}")
    assert response.content == windmill
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in response.headers["content-security-policy"]


def test_a_thumbnail_is_a_small_jpeg_with_a_tag(client: httpx.Client, windmill: bytes) -> None:
    first = search(client, windmill, k=1).json()["results"][0]
    url = f"/api/thumbnails/{first['id']}"
    response = client.get(url, params={"side": 100})
    assert response.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(response.content)) as picture:
        assert picture.format == "JPEG"
        assert max(picture.size) <= next(side for side in THUMBNAIL_SIDES if side >= 100)
    tag = response.headers["etag"]
    again = client.get(url, params={"side": 100}, headers={"if-none-match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert client.get(url, params={"side": 640}).headers["etag"] != tag
    error(client.get(url, params={"side": 0}), 422)


def test_openapi_describes_the_routes(client: httpx.Client) -> None:
    document = client.get("/api/openapi.json").json()
    assert {"/search", "/health", "/status", "/images/{id}", "/thumbnails/{id}", "/collections"} <= set(
        document["paths"]
    )
    error(client.get("/api/docs"), 404)


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[tuple[httpx.Client, Path]]:
    """A collection of pictures in formats and under names that are not what they seem."""
    root = tmp_path / "odd"
    root.mkdir()
    sources = iter(sorted((starter_folder() / "photos/fish").iterdir()))
    for name, kind in [
        ("really-a.png.jpg", "PNG"),
        ("scan.tiff", "TIFF"),
        ("to-be-replaced.jpg", "JPEG"),
        (HOSTILE, "JPEG"),
    ]:
        with Image.open(next(sources)) as picture:
            picture.save(root / name, kind)
    with Image.open(next(sources)) as picture:
        picture.save(os.fsencode(root) + b"/caf\xe9.jpg", "JPEG")  # a name that is not UTF-8
    with Collection.create(tmp_path / "collections" / "odd") as collection:
        collection.add(root)
    with serving(tmp_path, "odd") as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        yield client, root


def ids(client: httpx.Client) -> dict[str, int]:
    examples = client.get("/api/examples", params={"n": 60}).json()["examples"]
    return {example["name"]: example["id"] for example in examples}


def test_the_type_of_a_picture_is_its_contents(odd: tuple[httpx.Client, Path]) -> None:
    client, _ = odd
    response = client.get(f"/api/images/{ids(client)['really-a.png.jpg']}")
    assert response.headers["content-type"] == "image/png"


def test_formats_that_browsers_do_not_draw_come_as_jpeg(odd: tuple[httpx.Client, Path]) -> None:
    client, _ = odd
    response = client.get(f"/api/images/{ids(client)['scan.tiff']}")
    assert response.headers["content-type"] == "image/jpeg"
    with Image.open(io.BytesIO(response.content)) as picture:
        assert picture.format == "JPEG"


def test_a_file_that_is_no_picture_any_more_is_not_served(odd: tuple[httpx.Client, Path]) -> None:
    client, root = odd
    number = ids(client)["to-be-replaced.jpg"]
    assert client.get(f"/api/images/{number}").status_code == 200
    (root / "to-be-replaced.jpg").write_text("<script>alert(1)</script>")
    for route in ("images", "thumbnails"):
        error(client.get(f"/api/{route}/{number}"), 400)
    (root / "to-be-replaced.jpg").unlink()
    for route in ("images", "thumbnails"):
        assert "gone" in error(client.get(f"/api/{route}/{number}"), 404)
    os.mkfifo(root / "to-be-replaced.jpg")
    for route in ("images", "thumbnails"):
        error(client.get(f"/api/{route}/{number}"), 404)


def test_names_in_any_bytes_are_found_and_shown(odd: tuple[httpx.Client, Path], windmill: bytes) -> None:
    client, _ = odd
    paths = [hit["path"] for hit in search(client, windmill, k=10).json()["results"]]
    assert HOSTILE in paths
    assert "caf\\xe9.jpg" in paths
    number = ids(client)["caf\\xe9.jpg"]
    assert client.get(f"/api/images/{number}").status_code == 200
