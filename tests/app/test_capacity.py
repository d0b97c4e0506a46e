"""What happens under load: slow work keeps nobody from searching, lines are bounded, memory comes back, guessing takes time."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image

from lookalike.app import AppServer, capacity
from lookalike.app.api import comparing
from lookalike.app.capacity import Capacity, Held, Pool, ServerBusyError
from lookalike.app.guard import attempts, connections
from lookalike.app.service import Service
from lookalike.collection import Collection, Progress
from tests.app.serving import WINDMILL, serving
from tests.app.test_api import error
from tests.app.test_uploads import address, file_data, start, uploaded


def asked(server: AppServer) -> httpx.Client:
    return httpx.Client(base_url=server.url, timeout=PATIENCE, trust_env=False)


def is_busy(answer: httpx.Response) -> None:
    error(answer, 503)
    assert answer.json()["error"]["type"] == "ServerBusyError"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["x-content-type-options"] == "nosniff"


PATIENCE = 300  # seconds, where nothing is timed: so long only where something is wrong


class Holding:
    """A method that waits until it is let go; `once`, and then all get what the first was given."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: Any, name: str, once: bool = False) -> None:
        self.begun, self.go_on = threading.Semaphore(0), threading.Event()
        real, given, alone = getattr(owner, name), [], threading.Lock()

        def held(*arguments: Any, **named: Any) -> Any:
            self.begun.release()
            assert self.go_on.wait(PATIENCE)
            if not once:
                return real(*arguments, **named)
            with alone:
                if not given:
                    given.append(real(*arguments, **named))
            return given[0]

        patch.setattr(owner, name, held)


SLOW: dict[str, tuple[Any, str, Callable[[httpx.Client, int], Any]]] = {
    "reports": (Service, "explain", lambda client, n: client.post("/api/explain", data={"id": 1})),
    "reasons": (Service, "why", lambda client, n: client.post("/api/why", data={"id": 1, "result": 2})),
    "pictures": (Service, "picture", lambda client, n: client.get("/api/images/1")),
    "duplicates": (Collection, "duplicates", lambda client, n: client.get(f"/api/duplicates?similarity={60 + n}")),
}


EACH = 12  # four times that is more than the threads of a server that has one pool of them for everything


def test_searching_has_its_own_capacity(home: Path, windmill: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crowd of all that is slow, and a picture of more than a megabyte, which is spooled to the disk."""
    held = [Holding(monkeypatch, owner, name, name in ("explain", "why")) for owner, name, _ in SLOW.values()]
    big = windmill + bytes(1_500_000)
    with (
        serving(home) as server,
        asked(server) as client,
        ThreadPoolExecutor(len(SLOW) * EACH) as people,
        httpx.Client(
            base_url=server.url, timeout=PATIENCE, trust_env=False, limits=httpx.Limits(max_connections=350)
        ) as crowd,
    ):
        answers = [people.submit(ask, crowd, n) for *_, ask in SLOW.values() for n in range(EACH)]
        try:
            for each in held:
                assert each.begun.acquire(timeout=PATIENCE)
            found = client.post("/api/search", files={"image": big}, data={"k": "1"})
            assert found.json()["results"][0]["path"] == WINDMILL
            assert client.get("/api/health").status_code == 200
            assert client.get("/lookalike/main.js").status_code == 200
        finally:
            for each in held:
                each.go_on.set()
        codes = {answer.result().status_code for answer in answers}
    assert codes <= {200, 202, 503}


def test_lines_are_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Capacity.__init__

    def small(self: Capacity) -> None:
        real(self)
        for pool in (self.searches, self.pictures, self.lookups, self.reports):
            pool.at_once, pool.in_line = 1, 1

    monkeypatch.setattr(Capacity, "__init__", small)
    held = [Holding(monkeypatch, Service, name) for name in ("search", "thumbnail", "labels", "explain")]
    asks: list[Callable[[httpx.Client], httpx.Response]] = [
        lambda client: client.post("/api/search", data={"id": 1}),
        lambda client: client.get("/api/thumbnails/1"),
        lambda client: client.get("/api/labels"),
        lambda client: client.post("/api/explain", data={"id": 1}),
    ]
    with serving(home) as server, asked(server) as client, ThreadPoolExecutor(3) as people:
        for each, ask in zip(held, asks, strict=True):
            answers = [people.submit(ask, client) for _ in range(3)]
            while not any(answer.done() for answer in answers):
                time.sleep(0.01)
            each.go_on.set()
            found = [answer.result() for answer in answers]
            assert sorted(answer.status_code for answer in found) == [200, 200, 503]
            is_busy(next(answer for answer in found if answer.status_code == 503))
            assert ask(client).status_code == 200


def test_gradios_queue_is_bounded(home: Path, windmill: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lookalike.app.gradio.mount.QUEUE", 2)
    held = Holding(monkeypatch, Service, "search")
    with serving(home) as server, asked(server) as client:
        data = [file_data(uploaded(client, windmill)), "", 1, ""]
        try:
            for _ in range(30):
                answer = client.post("/gradio_api/call/search", json={"data": data})
                if answer.status_code != 200:
                    break
            is_busy(answer)
            assert client.post("/gradio_api/run/search", json={"data": data}).status_code == 404
        finally:
            held.go_on.set()


def test_bytes_that_wait_are_bounded(home: Path, windmill: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity, "HELD_BYTES", 1_500_000)
    held = Holding(monkeypatch, Service, "search")
    with serving(home) as server, asked(server) as client, ThreadPoolExecutor(1) as people:
        big = {"image": windmill + bytes(1_000_000)}
        first = people.submit(client.post, "/api/search", files=big)
        try:
            assert held.begun.acquire(timeout=PATIENCE)
            is_busy(client.post("/api/search", files=big))
            is_busy(client.post("/gradio_api/upload", files={"files": big["image"]}))
        finally:
            held.go_on.set()
        assert first.result().status_code == 200
        assert client.post("/api/search", files=big).status_code == 200


def test_too_many_connections_are_told_in_our_form(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    with serving(home) as server, contextlib.ExitStack() as stack:
        parts = urlsplit(server.url)
        for _ in range(3):
            stack.enter_context(socket.create_connection((parts.hostname, parts.port), 20))
        while len(server._server.server_state.connections) < 3:
            time.sleep(0.01)
        with asked(server) as client:
            is_busy(client.get("/api/health"))
        stack.close()
        while server._server.server_state.connections:
            time.sleep(0.01)
        with asked(server) as client:
            assert client.get("/api/health").status_code == 200


def test_what_is_no_http_is_told_in_our_form(server: AppServer) -> None:
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), 20) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"x-content-type-options: nosniff" in head
    assert b'{"error": {"type": "BadRequest"' in body


@pytest.fixture
def slow_comparison(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """`Collection.duplicates` goes on until it is stopped; the list says what became of it."""
    ended: list[str] = []

    def duplicates(self: Collection, similarity: float, progress: Callable[[Progress], None]) -> list[Any]:
        for done in range(100_000):
            try:
                progress(Progress(done, 100_000, "comparing", 10.0, 5.0))
            except Exception:
                ended.append("stopped")
                raise
            time.sleep(0.005)
        return []

    monkeypatch.setattr(Collection, "duplicates", duplicates)
    monkeypatch.setattr(comparing, "WAIT", 0.2)
    monkeypatch.setattr(comparing.Comparisons.groups, "__defaults__", (0.2,))
    yield ended


def test_a_long_comparison_is_watched_and_stopped(home: Path, slow_comparison: list[str]) -> None:
    with serving(home) as server, asked(server) as client:
        seen = [client.get("/api/duplicates") for _ in range(3)]
        assert [answer.status_code for answer in seen] == [202] * 3
        assert seen[0].headers["retry-after"] == "1"
        done = [answer.json()["progress"]["done"] for answer in seen]
        assert done[0] < done[1] < done[2], "one comparison, asked about three times"
        other = client.get("/api/duplicates", params={"similarity": 70})
        assert other.json() == {"state": "waiting", "progress": None}
        assert client.post("/api/search", data={"id": 1}).status_code == 200
        assert client.delete("/api/duplicates").json() == {"stopped": 2}
        while slow_comparison != ["stopped"]:
            time.sleep(0.01)
        assert client.get("/api/duplicates").json()["progress"]["done"] < done[2], "a new one"


def test_a_comparison_that_nobody_asks_about_ends(
    home: Path, slow_comparison: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "ABANDONED", 0.5)
    with serving(home) as server, asked(server) as client:
        assert client.get("/api/duplicates").status_code == 202
        for _ in range(1000):
            if slow_comparison:
                break
            time.sleep(0.01)
        assert slow_comparison == ["stopped"]
        client.get("/api/duplicates")
    for _ in range(1000):
        if len(slow_comparison) == 2:
            break
        time.sleep(0.01)
    assert slow_comparison == ["stopped"] * 2, "the server does not wait for it either"


def test_a_pool_gives_its_places_back() -> None:
    async def main() -> None:
        pool = Pool("things", 1, 1)

        def fail() -> None:
            raise ValueError

        for _ in range(5):
            with pytest.raises(ValueError):
                await pool.run(fail)
        go_on = threading.Event()
        running = [asyncio.create_task(pool.run(go_on.wait, 60)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ServerBusyError, match="things"):
            await pool.run(fail)
        running[1].cancel()
        await asyncio.sleep(0)
        go_on.set()
        assert await running[0]
        with contextlib.suppress(asyncio.CancelledError):
            await running[1]
        assert pool.inside == 0

    asyncio.run(main())
    assert Held().bytes == 0


AUTH = ("ann", "correct horse")


def test_wrong_passwords_cost_time_and_hold_nobody_up(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """From the address that guesses no more than a few answers wait; what else it sends is not compared."""
    monkeypatch.setattr(attempts, "SECONDS", 1.0)
    monkeypatch.setattr(attempts, "LATER_SECONDS", 1.0)
    compared: list[str] = []
    with (
        caplog.at_level(logging.WARNING, "lookalike.app"),
        serving(home, auth=":".join(AUTH)) as server,
        asked(server) as client,
        ThreadPoolExecutor(attempts.AT_ONCE) as people,
    ):
        assert client.get("/api/health").status_code == 401  # none at all: a browser asks its user now
        door = server._server.config.app
        real = door._app._knows_secret
        monkeypatch.setattr(door._app, "_knows_secret", lambda *given: compared.append(given[0]) or real(*given))
        monkeypatch.setattr(door, "_seconds", 2.0)
        guesses = [people.submit(client.get, "/api/health", auth=("ann", f"g{n}")) for n in range(attempts.AT_ONCE)]
        while sum(each.waiting for each in door._addresses.values()) < attempts.AT_ONCE:
            time.sleep(0.005)
        refused = client.get("/api/health", auth=AUTH)
        error(refused, 429)
        assert int(refused.headers["retry-after"]) > 0
        assert refused.headers["x-content-type-options"] == "nosniff"
        assert len(compared) == attempts.AT_ONCE
        with httpx.Client(
            base_url=server.url, trust_env=False, timeout=60, transport=httpx.HTTPTransport(local_address="127.0.0.2")
        ) as elsewhere:
            assert elsewhere.get("/api/health", auth=AUTH).status_code == 200
            assert not all(guess.done() for guess in guesses), "nobody waited for those who guess"
        assert {guess.result().status_code for guess in guesses} == {401}
        assert client.get("/api/health", auth=AUTH).status_code == 200
    (line,) = [record.getMessage() for record in caplog.records if record.name == "lookalike.app"]
    assert line == "a wrong password or token was sent once, from 127.0.0.1"


def test_addresses_of_one_network_count_as_one() -> None:
    assert attempts._bucket(("2001:db8::1", 1)) == attempts._bucket(("2001:db8::ffff%eth0", 2)) == "2001:db8::/64"
    assert attempts._bucket(("::ffff:10.0.0.1", 1)) == attempts._bucket(("10.0.0.1", 1)) == "10.0.0.1"
    assert attempts._bucket(None) == "an unknown address"


def test_memory_returns_after_a_burst(home: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 150, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((2400, 1600)).save(out, "JPEG", quality=95)

    def noise(number: int) -> bytes:
        """Contents of its own, behind the same pixels."""
        return out.getvalue() + number.to_bytes(4) + bytes(1_000_000)

    with start(home, tmp_path) as process, ThreadPoolExecutor(20) as people:
        with httpx.Client(base_url=address(process), timeout=60, trust_env=False) as client:

            def resident() -> int:
                lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
                return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) * 1024

            def burst(first: int) -> None:
                pictures = [noise(number) for number in range(first, first + 20)]
                sent = [people.submit(client.post, "/api/search", files={"image": picture}) for picture in pictures]
                assert {each.result().status_code for each in sent} == {200}

            burst(0)
            time.sleep(capacity.QUIET_SECONDS + 1)
            before = resident()
            for number in (1, 2, 3):
                burst(20 * number)
            time.sleep(capacity.QUIET_SECONDS + 1)
            kept = 3 * 20 * 2_000_000  # at most: pictures that were searched with are remembered
            assert resident() < before + kept + 60_000_000
        process.terminate()
        assert process.wait(30) == 0


def test_a_server_whose_work_never_stops_ends(home: Path) -> None:
    code = (
        "import sys, threading; from lookalike.app import serve, ending; from lookalike.app.service import Service; "
        "ending.end_in_any_case.__defaults__ = (1.0,); Service.search = lambda *a: threading.Event().wait(); "
        "serve(sys.argv[1], port=0, on_ready=lambda url: print(url, flush=True))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(home / "collections/photos")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "LOOKALIKE_HOME": str(home)},
    ) as process:
        url = address(process)
        with contextlib.suppress(httpx.TimeoutException):
            httpx.post(url + "api/search", data={"id": 1}, timeout=1, trust_env=False)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 1
        assert process.stderr is not None
        assert "ended all the same" in process.stderr.read()


def test_a_body_of_gradios_cannot_be_read_in_two_ways(server: AppServer) -> None:
    with asked(server) as client:
        body = {"data": [file_data("/etc/hosts"), "", 1, ""]}
        assert client.post("/gradio_api/call/search/", json=body, follow_redirects=False).status_code < 500
