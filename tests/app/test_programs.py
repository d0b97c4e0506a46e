"""For programs: gradio_client, curl, metrics, many at once, any request that the OpenAPI document allows."""

from __future__ import annotations

import re
import subprocess
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

from lookalike.app import AppServer
from tests.app.serving import WINDMILL, serving
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
    assert len(commands) == 6
    (tmp_path / "query.jpg").write_bytes((home / "pictures/photos" / WINDMILL).read_bytes())
    for command in commands:
        words = [part.strip("'") for part in re.findall(r"'[^']*'|\S+", command)]
        words = [word.replace("http://127.0.0.1:7860/", server.url).replace("holiday", "photos") for word in words]
        words = [word.replace("https://…", "https://pictures.test/windmill.jpg") for word in words]
        outcome = subprocess.run(
            [*words, "-sS", "--fail-with-body"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert outcome.returncode == 0, (words, outcome.stdout, outcome.stderr)
        assert "results" in outcome.stdout or "lookalike_" in outcome.stdout


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


def test_any_request_gets_an_answer_that_the_document_names(openapi: Any) -> None:
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    paths = set()
    for result in openapi.get_all_operations():
        operation = result.ok()
        paths.add(operation.path)

        @settings(max_examples=6, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:
            case.validate_response(case.call(headers=TOKEN), checks=checks)

        check()
    assert {"/search", "/why", "/thumbnails/{id}", "/duplicates", "/metrics", "/collections"} <= paths
