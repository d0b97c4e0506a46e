"""Starting and stopping: ports, messages, Ctrl-C, and what leaves the machine (nothing)."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from lookalike.app import AppServer, serve
from lookalike.app.memory import QueryPictures
from lookalike.app.server import DEFAULT_PORT, PORTS_TRIED, bind
from lookalike.app.service import Service
from lookalike.collection import Collection, segments
from lookalike.errors import CollectionNotFoundError, InputError
from tests.app.serving import serving


def test_a_taken_port_is_a_clear_error(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} is taken"):
            serve(home / "collections/photos", port=port)


def test_searches_go_past_those_that_are_taken_apart(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on, explain = threading.Semaphore(0), threading.Event(), Service.explain

    def held(service: Service, *arguments: Any) -> Any:
        begun.release()
        go_on.wait(60)
        return explain(service, *arguments)

    monkeypatch.setattr(Service, "explain", held)
    with ThreadPoolExecutor(2) as people:
        reports = [people.submit(client.post, "/api/explain", data={"id": 1}) for _ in range(2)]
        try:
            assert begun.acquire(timeout=60)
            assert client.post("/api/search", data={"id": 1}).status_code == 200
            assert not begun.acquire(timeout=0.3)  # the second waits for the first
        finally:
            go_on.set()
        assert [report.result().status_code for report in reports] == [200, 200]


@pytest.mark.parametrize("fits", [True, False])
def test_warming_compares_with_everything_only_where_that_is_kept(
    home: Path, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    search = Collection.search

    def noted(collection: Collection, *arguments: Any, exact: bool = False) -> Any:
        asked.append(exact)
        return search(collection, *arguments, exact=exact)

    monkeypatch.setattr(Collection, "search", noted)
    if not fits:
        monkeypatch.setattr(segments, "CACHED_ELEMENTS", 24 * 1280 - 1)
    service = Service(home / "collections/photos")
    service.warm()
    service.close()
    assert asked == [False, False, True][: 3 if fits else 2]


def test_the_next_port_is_taken_when_none_was_asked_for() -> None:
    with bind("127.0.0.1", None) as first, bind("127.0.0.1", None) as second:
        ports = [first.getsockname()[1], second.getsockname()[1]]
    assert ports[0] < ports[1] < DEFAULT_PORT + PORTS_TRIED
    assert ports[0] >= DEFAULT_PORT


@pytest.mark.parametrize("port", [-1, 65536, 1_000_000])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(InputError, match="0 to 65535"):
        bind("127.0.0.1", port)


def test_a_host_that_is_not_here_is_refused() -> None:
    with pytest.raises(InputError, match=r"192\.0\.2\.1"):
        bind("192.0.2.1", 0)


def test_another_host_needs_a_password(home: Path) -> None:
    with pytest.raises(InputError, match="--auth"):
        serve(home / "collections/photos", host="0.0.0.0")


def test_a_collection_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(CollectionNotFoundError):
        serve(tmp_path / "nothing")


def test_the_port_is_free_again_after_the_server(home: Path) -> None:
    with serving(home) as server:
        port = int(server.url.rsplit(":", 1)[1].strip("/"))
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_serve_answers_until_it_is_stopped(home: Path) -> None:
    """By Ctrl-C once, Ctrl-C twice, and as a service is; each time its caller goes on, here to serve again."""
    ways = [[signal.SIGINT], [signal.SIGINT, signal.SIGINT], [signal.SIGTERM]]
    code = (
        f"import sys; from lookalike.app import serve\nfor _ in range({len(ways)}):\n"
        "    serve(sys.argv[1], port=0, on_ready=lambda url: print(url, flush=True)); print('bye', flush=True)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(home / "collections/photos")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LOOKALIKE_HOME": str(home)},
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for signals in ways:
            url = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32}", url), process.stderr.read()
            assert httpx.get(url.partition("?")[0] + "api/health", trust_env=False).json()["status"] == "ok"
            for number in signals:
                process.send_signal(number)
            assert process.stdout.readline() == "bye\n", signals
        assert process.wait(30) == 0
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""


def test_the_page_asks_no_other_machine(client: httpx.Client) -> None:
    config = client.get("/config").json()
    assert config["analytics_enabled"] is False
    loaded = re.findall(r"""(?:src|href)=["'](https?:)?//""", client.get("/").text)
    assert loaded == []
    assert "fonts.googleapis.com" not in client.get("/theme.css").text


def test_gradio_keeps_nothing_behind(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    with AppServer(home / "collections/photos"):
        folder = Path(os.environ["GRADIO_TEMP_DIR"])
        assert folder.is_dir()
        assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert not folder.exists()
    assert "GRADIO_TEMP_DIR" not in os.environ


def test_answers_are_sent_at_once(server: AppServer) -> None:
    """Without TCP_NODELAY the second answer of a connection waits for the first to be acknowledged."""
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
        for _ in range(2):
            with client.stream("GET", "/api/health") as answer:
                ours = answer.extensions["network_stream"].get_extra_info("client_addr")
                answer.read()
        found = [each.transport.get_extra_info("socket") for each in server._server.server_state.connections]
        (accepted,) = [each for each in found if each.getpeername() == ours]
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_a_search_owns_its_pictures_until_it_is_answered(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many at once, and what the server remembers holds two of their pictures."""
    monkeypatch.setattr(QueryPictures.__init__, "__defaults__", (4_000_000,))

    def ask(number: int) -> httpx.Response:
        noise = np.random.default_rng(number).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(noise).resize((820, 820)).save(out, "BMP")
        assert len(out.getvalue()) > 2_000_000
        return client.post("/api/search", files={"image": out.getvalue()}, data={"k": "1", "region": "0,0,0.5,1"})

    with (
        serving(home) as server,
        httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client,
        ThreadPoolExecutor(30) as people,
    ):
        answers = list(people.map(ask, range(30)))
    assert [answer.status_code for answer in answers] == [200] * 30, answers[0].text
