"""`lookalike demo` and `lookalike serve`."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command, Indexed


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _get(url: str, header: dict[str, str] | None = None) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=header or {}), timeout=10) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def _until_up(process: Any, url: str) -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        try:
            return _get(url)[0]
        except OSError:
            time.sleep(0.2)
    raise AssertionError("the app did not start")


def test_demo_without_app(lookalike: Command, starter: Path) -> None:
    first = lookalike("demo", "--no-serve")
    assert first.code == 0, first
    assert first.lines[0].startswith("query: ")
    query = Path(first.lines[0].removeprefix("query: "))
    assert "same picture" in first.lines[1]
    assert first.lines[1].endswith(str(query))
    same_folder = [line for line in first.lines[2:] if str(query.parent) in line]
    assert len(same_folder) >= 3, first
    again = lookalike("demo", "--no-serve")
    assert again.raw == first.raw
    status = lookalike("status", "--json").json
    assert (status["pictures"], status["skipped"]) == (len(list(starter.rglob("*.jpg"))), [])


def test_demo_replaces_its_own_pictures_and_nobody_elses(
    lookalike: Command, starter: Path, pictures: Path, tmp_path: Path
) -> None:
    other = tmp_path / "moved/lookalike/data/starter/images"
    shutil.copytree(starter / "photos/fish", other / "photos/fish")
    mine = tmp_path / "starter"
    pictures.rename(mine)
    lookalike("index", other, "--in", "starter")
    lookalike("index", mine)
    first = lookalike("demo", "--no-serve")
    assert first.code == 0
    assert lookalike("status", "--json").json["pictures"] == 24 + len(list(starter.rglob("*.jpg")))
    own = mine / "photos/fish/fish-1.jpg"
    twins = {hit["path"] for hit in lookalike("search", own, "--json", "-k", "2").json}
    assert twins == {str(own), str(starter / "photos/fish/fish-1.jpg")}


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_serve_until_stopped(indexed: Indexed, how: signal.Signals) -> None:
    port = _free_port()
    with indexed.lookalike.start("serve", "--in", "my pictures", "--port", str(port)) as process:
        base = f"http://127.0.0.1:{port}"
        assert _until_up(process, f"{base}/api/health") == 200
        assert _get(f"{base}/api/status")[1]["pictures"] == 24
        assert process.stderr is not None
        printed = process.stderr.readline().decode()
        found = re.search(rf"{base}/\?token=([\w-]+) ", printed)
        assert found, printed
        status, answer = _get(f"{base}/api/folders")
        assert (status, answer["error"]["type"]) == (403, "Forbidden")
        assert _get(f"{base}/api/folders", {"X-Lookalike-Token": found[1]})[0] == 200
        process.send_signal(how)
        out, err = process.communicate(timeout=60)
    assert out == b""
    assert "Traceback" not in err.decode()
    assert process.returncode == 0


def test_serve_asks_for_the_password(indexed: Indexed) -> None:
    port = _free_port()
    with indexed.lookalike.start("serve", "--port", str(port), "--auth", "anna:s:ecret") as process:
        url = f"http://127.0.0.1:{port}/api/status"
        assert _until_up(process, url) == 401
        assert _get(url, {"Authorization": "Basic YW5uYTpzOmVjcmV0"})[0] == 200
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert "s:ecret" not in err.decode()


def test_serve_refuses(indexed: Indexed) -> None:
    serve = indexed.lookalike
    assert serve("serve", "--auth", "nocolon").code == 2
    assert serve("serve", "--auth", ":empty").code == 2
    serve("serve", "--host", "0.0.0.0").failed_with("--auth")
    serve("serve", "--in", "nobody").failed_with("nobody")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        outcome = serve("serve", "--port", str(taken.getsockname()[1]))
    assert outcome.code == 1
