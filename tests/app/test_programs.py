"""For programs: gradio_client, curl, metrics, many at once, any request that the OpenAPI document allows."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lookalike._threads import cores
from lookalike.app import AppServer
from lookalike.app.service import Answer, Service
from lookalike.search import Query
from tests.app.serving import WINDMILL, owner, serving
from tests.app.test_api import error, search


@pytest.fixture(scope="module")
def gradio(server: AppServer) -> Iterator[Client]:
    client = Client(server.url, verbose=False, analytics_enabled=False)
    yield client
    client.close()


def test_gradio_client_searches(gradio: Client, home: Path) -> None:
    picture = handle_file(home / "pictures/photos" / WINDMILL)
    answer = gradio.predict(picture, "", 5, "", api_name="/search")
    assert len(answer["results"]) == 5
    assert answer["results"][0]["file"] == WINDMILL
    answer = gradio.predict(None, "https://pictures.test/windmill.jpg", 3, "drawings", api_name="/search")
    assert all(hit["file"].startswith("drawings/") for hit in answer["results"])


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.jpg", "https://elsewhere.test/a.jpg"])
def test_gradio_itself_fetches_nothing(gradio: Client, url: str) -> None:
    sent = {"path": url, "url": url, "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError, match="give an address as `url`"):
        gradio.predict(sent, "", 5, "", api_name="/search")


def test_gradio_client_reads_no_file_of_this_machine(gradio: Client, home: Path) -> None:
    sent = {"path": str(home / "collections/photos/catalog.sqlite"), "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AppError):
        gradio.predict(sent, "", 5, "", api_name="/search")


def test_the_curl_commands_of_the_documentation(server: AppServer, home: Path, tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs/app.md").read_text()
    commands = re.findall(r"^curl .*127.*$", text, re.MULTILINE)
    assert len(commands) == 7
    (tmp_path / "query.jpg").write_bytes((home / "pictures/photos" / WINDMILL).read_bytes())
    for command in commands:
        words = [part.strip("\"'") for part in re.findall(r"""'[^']*'|"[^"]*"|\S+""", command)]
        words = [word.replace("http://127.0.0.1:7860/", server.url).replace("holiday", "photos") for word in words]
        words = [word.replace("https://…", "https://pictures.test/windmill.jpg") for word in words]
        words = [word.replace("$SECRET", str(server.token)) for word in words]
        outcome = subprocess.run(
            [*words, "-sS", "--fail-with-body"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert outcome.returncode == 0, (words, outcome.stdout, outcome.stderr)
        assert re.search('"results"|lookalike_|"folders"', outcome.stdout), outcome.stdout


def test_the_python_examples_of_the_documentation(
    server: AppServer, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (Path(__file__).parents[2] / "docs/app.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "query.jpg").write_bytes((home / "pictures/photos" / WINDMILL).read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert len(blocks) == 2
    for block in blocks:
        exec(block.replace("http://127.0.0.1:7860/", server.url), {})
        assert WINDMILL in capsys.readouterr().out


def test_metrics_count_what_happened(home: Path, windmill: bytes) -> None:
    with serving(home) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        search(client, windmill)
        search(client, b"broken")
        client.get("/api/thumbnails/1")
        client.get("/api/thumbnails/9999")
        response = client.get("/api/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    lines = dict(line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#"))
    assert lines['lookalike_requests_total{method="POST",route="/search",status="200"}'] == "1.0"
    assert lines['lookalike_requests_total{method="POST",route="/search",status="400"}'] == "1.0"
    assert lines['lookalike_requests_total{method="GET",route="/thumbnails/{id}",status="404"}'] == "1.0"
    assert lines["lookalike_search_seconds_count"] == "1.0"
    assert lines['lookalike_pictures{collection="photos"}'] == "24.0"
    assert lines['lookalike_recall_at_10{collection="photos"}'] == "1.0"
    assert lines["lookalike_searches_waiting"] == "0.0"
    assert str(home) not in response.text


def test_fifty_at_once_are_all_answered(client: httpx.Client, windmill: bytes) -> None:
    def one(number: int) -> str:
        # Each picture is another one, so that every search embeds.
        return str(search(client, windmill + bytes(number + 1), k=1).json()["results"][0]["path"])

    with ThreadPoolExecutor(50) as pool:
        searches = [pool.submit(one, number) for number in range(50)]
        assert client.get("/api/thumbnails/3").status_code == 200
        assert [each.result() for each in searches] == [WINDMILL] * 50


def waiting(client: httpx.Client) -> int:
    found = re.search(r"^lookalike_searches_waiting (\S+)$", client.get("/api/metrics").text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def test_searches_wait_in_line_and_pictures_go_past(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, doors = [], threading.Event()
    real = Service.search

    def slow(self: Service, query: Query, name: str | None = None) -> Answer:
        begun.append(query.k)
        assert doors.wait(120)
        return real(self, query, name)

    monkeypatch.setattr(Service, "search", slow)
    with (
        serving(home) as server,
        httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client,
        ThreadPoolExecutor(50) as pool,
    ):
        answers = []
        for number in range(1, 51):
            answers.append(pool.submit(client.post, "/api/search", data={"id": 1, "k": number}))
            while waiting(client) < number:  # the next one comes when this one has come
                time.sleep(0.005)
        assert len(begun) == cores()
        assert client.get("/api/thumbnails/3").status_code == 200
        doors.set()
        found = [answer.result().json()["results"] for answer in answers]
        assert waiting(client) == 0
    assert [len(results) for results in found] == [min(number, 23) for number in range(1, 51)]
    assert sorted(begun) == list(range(1, 51)), "none is lost, none is asked twice"
    assert all(abs(at - number) <= cores() for at, number in enumerate(begun, 1)), "first come, first served"


def test_slow_addresses_hold_nobody_up(home: Path, windmill: bytes) -> None:
    doors = threading.Event()

    def fetch(url: str) -> bytes:
        assert doors.wait(120)
        return windmill

    with (
        serving(home, fetch=fetch) as server,
        httpx.Client(base_url=server.url, timeout=120, trust_env=False) as client,
        ThreadPoolExecutor(60) as pool,
    ):
        try:
            slow = [pool.submit(client.post, "/api/search", data={"url": f"https://a.test/{n}"}) for n in range(60)]
            assert client.post("/api/search", data={"id": 1}).status_code == 200
            assert client.get("/api/thumbnails/5").status_code == 200
        finally:
            doors.set()
        assert [answer.result().status_code for answer in slow] == [200] * 60


def test_the_simple_page(home: Path) -> None:
    with serving(home, simple=True) as server:
        page = Client(server.url, verbose=False, analytics_enabled=False)
        picture = home / "pictures/photos" / WINDMILL
        gallery = page.predict(handle_file(picture), "photos", 4, api_name="/search")
        assert len(gallery) == 4
        assert gallery[0]["caption"] == "100% windmill-12.jpg"
        assert Path(gallery[0]["image"]).read_bytes()[:2] == b"\xff\xd8"
        with pytest.raises(AppError, match="picture"):
            page.predict(None, "photos", 4, api_name="/search")
        second = next((home / "pictures/photos").rglob(gallery[1]["caption"].split(maxsplit=1)[1]))
        second.rename(second.with_suffix(".away"))
        try:
            again = page.predict(handle_file(picture), "photos", 4, api_name="/search")
        finally:
            second.with_suffix(".away").rename(second)
        assert [each["caption"].partition(":")[0] for each in again] == [each["caption"] for each in gallery]
        assert [":" in each["caption"] for each in again] == [False, True, False, False], "only its own file is gone"
        page.close()
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            assert client.get("/config").json()["analytics_enabled"] is False
            for path in ("/etc/passwd", picture, home / "collections/photos/catalog.sqlite"):
                assert client.get(f"/gradio_api/file={path}").status_code == 403
            error(client.get("/", headers={"host": "evil.test"}), 421)


TOKEN = {"authorization": "Bearer 0123456789abcdef"}


@pytest.fixture(scope="module")
def openapi(home: Path) -> Iterator[Any]:
    """The document of a server that other machines may reach, so that no request indexes this one's folders."""
    with serving(home, tokens=["0123456789abcdef"], trusted_hosts=["photos.example"]) as server:
        yield schemathesis.openapi.from_url(f"{server.url}api/openapi.json", headers=TOKEN)


def statuses(operation: Any) -> set[int]:
    """What came of a few requests that an operation allows, each compared with the document."""
    seen = set()
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]

    @settings(max_examples=6, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def check(case: schemathesis.Case) -> None:
        response = case.call(headers=TOKEN)
        seen.add(response.status_code)
        case.validate_response(response, checks=checks)

    check()
    return seen


def test_any_request_gets_an_answer_that_the_document_names(openapi: Any) -> None:
    answered = {result.ok().label: statuses(result.ok()) for result in openapi.get_all_operations()}
    assert set(answered) == {*VALID, *LOCAL_ONLY}, "a route is not tried with a request that works"
    for label in LOCAL_ONLY:
        assert answered[label] <= {403, 404, 422}, label


# What works, for each route: so that the answers that matter are compared with the document too.
VALID: dict[str, dict[str, Any]] = {
    "POST /search": {"data": {"id": 1, "k": 3, "fold": "true", "exact": "true"}},
    "POST /why": {"data": {"id": 1, "like": 2, "dislike": 3, "region": "0,0,0.5,1", "result": 4}},
    "POST /explain": {"data": {"id": 1, "k": 3}},
    "GET /queries/{tag}": {},
    "GET /images/{id}": {},
    "GET /thumbnails/{id}": {"params": {"side": 96}},
    "GET /pictures/{id}": {},
    "GET /pictures": {"params": {"limit": 3, "label": "photos/fish"}},
    "GET /health": {},
    "GET /metrics": {},
    "GET /status": {},
    "GET /labels": {},
    "GET /examples": {"params": {"n": 3}},
    "GET /jobs": {},
    "GET /collections": {"params": {"details": "true"}},
    "GET /skipped": {},
    "GET /duplicates": {"params": {"similarity": 60, "in": "drawings"}},
    "DELETE /duplicates": {"params": {"in": "drawings"}},
    "POST /duplicates": {"json": {"ids": [1], "decision": "reset"}},
}
LOCAL_ONLY = {
    *("GET /folders", "POST /collections", "POST /collections/{name}/update", "DELETE /collections/{name}"),
    "DELETE /jobs/{id}",
}


def test_requests_that_work_are_answered_as_documented(openapi: Any, server: AppServer, windmill: bytes) -> None:
    operations = {result.ok().label: result.ok() for result in openapi.get_all_operations()}
    with owner(server) as client:
        asked = client.post("/api/page/search", files={"image": ("a.jpg", windmill)})
        assert asked.status_code == 200, asked.text
        kept = asked.json()["queries"][0]
        for label, options in VALID.items():
            method, path = label.split()
            response = client.request(method, "/api" + path.format(id=1, tag=kept), **options)
            assert response.status_code == 200, (label, response.text)
            operations[label].validate_response(response)
        folder = client.get("/api/folders", params={"path": "/"})
        operations["GET /folders"].validate_response(folder)
        jobs = client.post("/api/collections/drawings/update")
        assert jobs.status_code == 202, jobs.text
        operations["POST /collections/{name}/update"].validate_response(jobs)
        while client.get("/api/jobs").json()["jobs"][0]["state"] == "running":
            time.sleep(0.02)
        operations["GET /jobs"].validate_response(client.get("/api/jobs"))
