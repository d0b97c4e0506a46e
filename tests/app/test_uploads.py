"""Files that gradio's clients send: only what was uploaded in this run is ever opened, on every route and in every field."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from lookalike.app import AppServer
from lookalike.app.capacity import ServerBusyError
from lookalike.app.gradio.filedata import checked
from lookalike.app.gradio.uploads import NOT_UPLOADED, Uploads, run_folder
from lookalike.errors import InputError
from tests.app.serving import WINDMILL, serving
from tests.app.test_api import error


@pytest.fixture(scope="module")
def simple(home: Path) -> Iterator[AppServer]:
    with serving(home, simple=True) as running:
        yield running


@pytest.fixture(params=["page", "simple"])
def either(request: pytest.FixtureRequest) -> AppServer:
    """Each of the two pages."""
    running: AppServer = request.getfixturevalue("server" if request.param == "page" else "simple")
    return running


def data_of(server: AppServer, sent: Any) -> list[Any]:
    return [sent, "photos", 4] if server._simple else [sent, "", 4, ""]


def file_data(path: Any, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def uploaded(client: httpx.Client, picture: bytes, name: str = "query.jpg") -> str:
    (path,) = (
        client.post("/gradio_api/upload", files={"files": (name, picture, "image/jpeg")}).raise_for_status().json()
    )
    return str(path)


def by_call(client: httpx.Client, data: list[Any], route: str = "call/search") -> tuple[str, Any]:
    """The last event of a call, and what is in it."""
    joined = client.post(f"/gradio_api/{route}", json={"data": data})
    assert joined.status_code == 200, joined.text
    text = client.get(f"/gradio_api/call/search/{joined.json()['event_id']}").text
    events = [block.split("\n") for block in text.split("\n\n") if block and "heartbeat" not in block]
    event, content = events[-1]
    return event.removeprefix("event: "), json.loads(content.removeprefix("data: "))


def by_queue(client: httpx.Client, data: list[Any]) -> tuple[str, Any]:
    functions = {item["api_name"]: item["id"] for item in client.get("/config").json()["dependencies"]}
    body = {"data": data, "fn_index": functions["search"], "session_hash": f"s{time.monotonic_ns()}"}
    client.post("/gradio_api/queue/join", json=body).raise_for_status()
    text = client.get("/gradio_api/queue/data", params={"session_hash": body["session_hash"]}).text
    messages = [json.loads(line.removeprefix("data: ")) for line in text.split("\n") if line]
    (done,) = [message for message in messages if message["msg"] == "process_completed"]
    return ("complete", done["output"]["data"]) if done["success"] else ("error", done["output"])


@pytest.fixture
def elsewhere(home: Path, windmill: bytes, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What lies outside of the folder of uploads, and what only seems to lie in it."""
    (tmp_path / "note.txt").write_text("secret")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "picture.jpg").write_bytes(windmill)
    with run_folder() as other:
        path = Uploads(other / "uploads").keep("query.jpg", windmill)
        yield {
            "nothing": tmp_path / "nothing.jpg",
            "text": tmp_path / "note.txt",
            "pipe": tmp_path / "pipe",
            "endless": "/dev/zero",
            "folder": tmp_path,
            "picture": tmp_path / "picture.jpg",
            "indexed": home / "pictures/photos" / WINDMILL,
            "drawing": tmp_path / "drawing.svg",
            "other run": path,
            "address": "https://elsewhere.test/a.jpg",
            "file address": f"file://{tmp_path}/picture.jpg",
            "empty": "",
            "none": None,
            "number": 7,
            "zero byte": "a\0b",
        }


def test_only_uploads_are_searched_with(either: AppServer, windmill: bytes, elsewhere: dict[str, Any]) -> None:
    """The answer is the same whatever lies at a path, so that nobody learns whether anything does."""
    with httpx.Client(base_url=either.url, timeout=60, trust_env=False) as client:
        good = uploaded(client, windmill)
        folder = Path(good).parent
        (folder / "link.jpg").symlink_to(elsewhere["picture"])
        (folder / "beside.jpg").write_bytes(windmill)  # as if somebody else had put it there
        tricks = {
            **elsewhere,
            "link": folder / "link.jpg",
            "beside": folder / "beside.jpg",
            "dots": f"{folder}/../{folder.name}/{Path(good).name}",
            "dots out": f"{folder}/../../../../..{elsewhere['picture']}",
            "its folder": folder,
        }
        answers = {}
        for name, path in tricks.items():
            sent = path if path is None or isinstance(path, int) else str(path)
            answers[name] = by_call(client, data_of(either, file_data(sent)))
        assert NOT_UPLOADED in repr(answers["nothing"])
        assert set(map(repr, answers.values())) == {repr(("error", answers["nothing"][1]))}, answers
        for more in ({"url": str(elsewhere["picture"])}, {"url": "http://127.0.0.1:1/"}, {"is_stream": True}):
            sent = file_data(str(elsewhere["picture"]), **more)
            assert by_call(client, data_of(either, sent)) == answers["nothing"]
            assert by_call(client, data_of(either, file_data(good, **more)))[0] == "complete"
        assert by_call(client, data_of(either, {"url": str(elsewhere["picture"])}))[0] == "error"


def test_every_route_and_every_field_is_checked(either: AppServer, windmill: bytes, elsewhere: dict[str, Any]) -> None:
    path = str(elsewhere["picture"])
    with httpx.Client(base_url=either.url, timeout=60, trust_env=False) as client:
        good = file_data(uploaded(client, windmill))
        bad = file_data(path)
        assert by_queue(client, data_of(either, good))[0] == "complete"
        assert by_queue(client, data_of(either, bad))[0] == "error"
        for sent in ([bad], {"a": bad}, [[{"b": [bad]}]], {"path": bad}, path, [path], [good, bad]):
            assert by_call(client, data_of(either, sent))[0] == "error", sent
        for at in range(1, len(data_of(either, None))):
            for endless in ("/dev/zero", elsewhere["pipe"], path):
                data = data_of(either, good)
                data[at] = file_data(str(endless))
                assert by_call(client, data)[0] == "error", (at, endless)
        direct = client.post("/gradio_api/run/search", json={"data": data_of(either, bad)})
        assert direct.status_code >= 400
        for sent in (b"[", b"\xff\xfe", b"[" * 100_000, b'{"data": ' + b"[" * 60 + b"]" * 60 + b"}"):
            answer = client.post("/gradio_api/call/search", content=sent, headers={"content-type": "application/json"})
            error(answer, 400)
        answer = client.post("/gradio_api/call/search", files={"data": ("a", b"x")})
        error(answer, 400)
        nested = client.post(
            "/gradio_api/queue/join", json={"event_data": bad, "data": [], "fn_index": 0, "session_hash": "x"}
        )
        assert path not in nested.text


def test_files_are_given_back_by_the_paths_that_were_given_out(
    simple: AppServer, windmill: bytes, elsewhere: dict[str, Any]
) -> None:
    with httpx.Client(base_url=simple.url, timeout=60, trust_env=False) as client:
        path = uploaded(client, windmill)
        answer = client.get(f"/gradio_api/file={path}")
        assert (answer.content, answer.headers["content-type"]) == (windmill, "image/jpeg")
        assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
        page = uploaded(client, b"<script>alert(1)</script>", "page.html")
        answer = client.get(f"/gradio_api/file={page}")
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"] == "attachment"
        drawing = Path(elsewhere["drawing"])
        for there in (False, True):
            if there:
                drawing.write_text("<svg/>")
            by_call(client, data_of(simple, file_data(str(drawing))))
        texts = set()
        for name, other in elsewhere.items():
            if name not in ("none", "zero byte"):
                answer = client.get(f"/gradio_api/file={other}")
                assert answer.status_code == 403, (name, answer.text)
                texts.add(answer.text)
        assert len(texts) == 1


def test_a_file_that_was_exchanged_is_not_read(tmp_path: Path, windmill: bytes) -> None:
    uploads = Uploads(tmp_path / "uploads")
    (tmp_path / "picture.jpg").write_bytes(windmill)
    for exchange in (
        lambda path: path.symlink_to(tmp_path / "picture.jpg"),
        os.mkfifo,
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b"x" * len(windmill)),
        lambda path: None,
    ):
        path = Path(uploads.keep("query.jpg", windmill))
        assert uploads.read(str(path)) == windmill
        path.rename(tmp_path / "moved.jpg")
        exchange(path)
        with pytest.raises(InputError, match="expected a file that was uploaded"):
            uploads.read(str(path))
    path = Path(uploads.keep("query.jpg", windmill))
    path.parent.rename(tmp_path / "aside")
    path.parent.symlink_to(tmp_path)
    (tmp_path / path.name).write_bytes(windmill)
    with pytest.raises(InputError, match="expected a file that was uploaded"):
        uploads.read(str(path))


def test_what_gradio_gets_is_what_was_checked(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads")
    path = uploads.keep("a b/../ü.JPG", b"x")
    assert Path(path).name == "upload-_.JPG"
    kept = {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert checked([file_data(path, url="http://a/", is_stream=True, orig_name="a.jpg")], uploads) == [
        kept | {"orig_name": "a.jpg"}
    ]
    refused = kept | {"path": uploads.refused}
    assert checked({"data": [{"x": file_data("/etc/passwd")}, {"path": 3}, {"url": "http://a/"}]}, uploads) == {
        "data": [{"x": refused}, refused, refused]
    }
    assert checked(json.loads('{"path": "/etc/passwd", "path": "/etc/hosts"}'), uploads) == refused
    with pytest.raises(InputError):
        uploads.read(uploads.refused)


SERVE = (
    "import sys; from lookalike.app import serve; "
    "serve(sys.argv[1], port=0, on_ready=lambda url: print(url, flush=True), simple=len(sys.argv) > 2)"
)


@contextlib.contextmanager
def start(home: Path, temporary: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A server in a process of its own, which is killed at the end if it still runs."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(home / "collections/photos"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LOOKALIKE_HOME": str(home), "TMPDIR": str(temporary)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def address(process: subprocess.Popen[str]) -> str:
    """The address that the server printed, without its secret."""
    assert process.stdout is not None
    return process.stdout.readline().strip().partition("?")[0]


def test_a_server_that_was_asked_for_endless_files_ends(home: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with start(home, tmp_path) as process:
        with httpx.Client(base_url=address(process), timeout=60, trust_env=False) as client:
            for path in ("/dev/zero", str(tmp_path / "pipe")):
                for data in ([file_data(path), "", 1, ""], [None, file_data(path), 1, ""]):
                    client.post("/gradio_api/call/search", json={"data": data})
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


def test_what_a_killed_server_left_goes_with_the_next(home: Path, windmill: bytes, tmp_path: Path) -> None:
    def folders() -> set[Path]:
        return set(tmp_path.glob("lookalike-app-*"))

    with start(home, tmp_path) as alive, start(home, tmp_path) as killed:
        with httpx.Client(base_url=address(killed), timeout=60, trust_env=False) as client:
            left = Path(uploaded(client, windmill))
        with httpx.Client(base_url=address(alive), timeout=60, trust_env=False) as client:
            kept = Path(uploaded(client, windmill))
        killed.kill()
        killed.wait()
        assert left.exists()
        (tmp_path / "lookalike-app-foreign").mkdir()  # no lock: perhaps one that is just being made
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", str(tmp_path))
            with run_folder() as third, run_folder() as fourth:
                assert not left.exists()
                assert kept.read_bytes() == windmill
                assert folders() == {third, fourth, kept.parents[2], tmp_path / "lookalike-app-foreign"}
        alive.terminate()
        assert alive.wait(30) == 0
    assert folders() == {tmp_path / "lookalike-app-foreign"}


def test_uploads_have_a_quota(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads", quota=1000, protected=0.0)

    def on_disk() -> int:
        return sum(path.stat().st_size for path in (tmp_path / "uploads").rglob("*") if path.is_file())

    first, second = uploads.keep("a", bytes(400)), uploads.keep("b", bytes(400))
    assert uploads.knows(first)  # used now: the other goes first
    third = uploads.keep("c", bytes(500))
    assert [uploads.knows(path) for path in (first, second, third)] == [True, False, True]
    assert on_disk() == 900
    with pytest.raises(ServerBusyError):
        uploads.keep("d", bytes(1001))
    uploads.keep("d", bytes(900), protected=600.0)
    with pytest.raises(ServerBusyError, match="no room"):  # what a request may wait for stays
        uploads.keep("e", bytes(200))
    assert on_disk() == 900
    uploads.sweep(older_than=-1)
    assert on_disk() == 0
    assert not list((tmp_path / "uploads").iterdir())


def test_an_upload_without_room_is_503(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.app.gradio.uploads.QUOTA", 1000)
    monkeypatch.setattr(Uploads.__init__, "__defaults__", (1000, 600.0))
    with serving(home) as server, httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        uploaded(client, bytes(800))
        answer = client.post("/gradio_api/upload", files={"files": ("a.jpg", bytes(400))})
        error(answer, 503)
        assert int(answer.headers["retry-after"]) > 0
        assert answer.headers["x-content-type-options"] == "nosniff"
