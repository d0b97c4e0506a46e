"""Who may look through folders, index them, delete collections and decide on duplicates: who has the server's secret."""

from __future__ import annotations

import os
import re
import signal
import socket
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from lookalike.app import AppServer, serve
from lookalike.app.guard import peer
from lookalike.app.guard.peer import is_foreign, owners
from lookalike.app.guard.secret import Secret
from tests.app.serving import build_home, owner, serving
from tests.app.test_api import error

HEADER = "X-Lookalike-Token"
FORWARDING = {
    "Forwarded": "for=192.0.2.1;host=photos.example",
    "X-Forwarded-For": "192.0.2.1",
    "X-Forwarded-Host": "photos.example",
    "X-Forwarded-Proto": "https",
    "X-Forwarded": "for=192.0.2.1",
    "X-Real-IP": "192.0.2.1",
    "Via": "1.1 vegur",
    "True-Client-IP": "192.0.2.1",
    "CF-Connecting-IP": "192.0.2.1",
    "X-Original-Host": "photos.example",
}


@pytest.fixture(scope="module")
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_home(tmp_path_factory.mktemp("secret"))


@pytest.fixture(scope="module")
def local(own_home: Path) -> Iterator[AppServer]:
    with serving(own_home) as server:
        yield server


@pytest.fixture
def stranger(local: AppServer) -> Iterator[httpx.Client]:
    """Another account of this machine: it reaches the port, and that is all."""
    with httpx.Client(base_url=local.url, timeout=60, trust_env=False) as client:
        yield client


def powers(client: httpx.Client, folder: Path, **options: Any) -> list[httpx.Response]:
    """Each request that only the server's own user may send."""
    return [
        client.get("/api/folders", **options),
        client.post("/api/collections", json={"folder": str(folder)}, **options),
        client.post("/api/collections/photos/update", **options),
        client.delete("/api/collections/drawings", **options),
        client.delete("/api/jobs/1", **options),
        client.post("/api/duplicates", json={"ids": [1], "decision": "keep"}, **options),
    ]


def test_without_the_secret_nothing_of_the_machine_is_seen_or_changed(stranger: httpx.Client, tmp_path: Path) -> None:
    for response in powers(stranger, tmp_path):
        assert "open the address that `lookalike serve` printed" in error(response, 403)
    jobs = stranger.get("/api/jobs").json()
    assert (jobs["jobs"], jobs["local"], jobs["needs_token"]) == ([], False, True)
    listed = stranger.get("/api/collections?details=true").json()["collections"]
    assert {item["name"] for item in listed} == {"photos", "drawings"}
    assert not [item for item in listed if "folders" in item]
    assert stranger.post("/api/search", data={"id": 1}).status_code == 200, "searching is as it was"


def test_the_page_is_told_in_an_answer(stranger: httpx.Client) -> None:
    response = stranger.get("/api/folders", headers={"X-Lookalike-Page": "1"})
    assert response.status_code == 200
    assert "lookalike serve" in response.json()["error"]["message"]


def test_the_printed_address_is_exchanged_for_a_cookie(local: AppServer, stranger: httpx.Client) -> None:
    response = stranger.get(f"{local.url}?in=drawings&token={local.token}&id=1")
    assert (response.status_code, response.headers["location"]) == (303, "/?in=drawings&id=1")
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-store"
    port = urlsplit(local.url).port
    cookie = response.headers["set-cookie"]
    assert re.fullmatch(rf"lookalike-{port}=[\w-]{{32,}}; Path=/; HttpOnly; SameSite=Strict", cookie)
    assert stranger.get("/api/folders").status_code == 200
    assert stranger.get("/api/jobs").json()["local"] is True
    listed = stranger.get("/api/collections?details=true").json()["collections"]
    assert all(item["folders"] for item in listed)
    for site, status in (("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)):
        assert stranger.get("/api/folders", headers={"Sec-Fetch-Site": site}).status_code == status, site


@pytest.mark.parametrize("token", ["", "x", "wrong" * 8, "%00", "é", "a&b"])
def test_a_wrong_secret_opens_the_page_and_nothing_else(stranger: httpx.Client, local: AppServer, token: str) -> None:
    response = stranger.get(f"/?token={token}")
    assert response.status_code == 303
    assert "token" not in response.headers["location"]
    assert "set-cookie" not in response.headers
    error(stranger.get("/api/folders", headers={HEADER: token.encode()}), 403)
    port = urlsplit(local.url).port
    error(stranger.get("/api/folders", headers={"Cookie": f"lookalike-{port}={token}".encode()}), 403)


def test_the_secret_counts_where_it_belongs(stranger: httpx.Client, local: AppServer) -> None:
    token = local.token or ""
    assert stranger.get("/api/folders", headers={HEADER: token}).status_code == 200
    port = urlsplit(local.url).port
    assert stranger.get("/api/folders", headers={"Cookie": f"a=b; lookalike-{port}={token}"}).status_code == 200
    for headers in ({"Cookie": f"lookalike-1={token}"}, {"Cookie": token}, {"Authorization": f"Bearer {token}"}):
        error(stranger.get("/api/folders", headers=headers), 403)
    error(stranger.get(f"/api/folders?token={token}"), 403)


def test_every_server_has_another_secret_and_browsers_keep_them_apart(local: AppServer, own_home: Path) -> None:
    with serving(own_home) as other, owner(local) as client:
        assert local.token != other.token
        assert Secret(1).token != Secret(1).token
        error(client.get(f"{other.url}api/folders"), 403)
        client.get(other.address)
        assert client.get(f"{other.url}api/folders").status_code == 200
        assert client.get("/api/folders").status_code == 200


@pytest.mark.parametrize("name", FORWARDING)
def test_what_a_proxy_passes_on_is_refused(local: AppServer, name: str, tmp_path: Path) -> None:
    with owner(local) as client:
        for response in [
            *powers(client, tmp_path, headers={name: FORWARDING[name]}),
            client.get("/", headers={name: FORWARDING[name]}),
            client.post("/api/search", data={"id": 1}, headers={name: FORWARDING[name]}),
        ]:
            message = error(response, 403)
            assert name.lower() in message.lower()
            assert "--trusted-host" in message


def test_a_proxy_that_says_nothing_has_no_powers(local: AppServer, tmp_path: Path) -> None:
    """nginx's default `proxy_pass`: the Host header is ours, and nothing tells who asked."""
    where = urlsplit(local.url)
    for line in ("GET /api/folders", "DELETE /api/collections/drawings", "POST /api/collections/photos/update"):
        with socket.create_connection((where.hostname or "", where.port or 0), 10) as connection:
            head = f"{line} HTTP/1.0\r\nHost: 127.0.0.1:{where.port}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())
            assert b" 403 " in connection.makefile("rb").readline()


def test_a_named_proxy_is_served_and_nobody_has_powers_behind_it(own_home: Path, tmp_path: Path) -> None:
    options = {"tokens": ["0123456789abcdef"], "trusted_hosts": ["photos.example"]}
    with serving(own_home, **options) as server:
        assert server.token is None
        assert server.address == server.url
        headers = {"Authorization": "Bearer 0123456789abcdef", "Host": "photos.example"}
        with httpx.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as client:
            for forwarding in ({}, FORWARDING):
                assert client.post("/api/search", data={"id": 1}, headers=forwarding).status_code == 200
                *machine, duplicates = powers(client, tmp_path, headers=forwarding)
                assert {response.status_code for response in machine} == {403}
                assert duplicates.status_code == 200, "who is let in from elsewhere has a password or a token"
            jobs = client.get("/api/jobs").json()
            assert (jobs["local"], jobs["needs_token"]) == (False, False)


def test_with_a_password_both_are_needed(own_home: Path) -> None:
    with serving(own_home, auth="ann:correct horse", tokens=["0123456789abcdef"]) as server:
        with httpx.Client(base_url=server.url, trust_env=False) as client:
            error(client.get(server.address), 401)
            error(client.get("/api/folders", headers={HEADER: server.token or ""}), 401)
            bearer = {"Authorization": "Bearer 0123456789abcdef"}
            error(client.get("/api/folders", headers=bearer), 403)
            assert client.get("/api/folders", headers={**bearer, HEADER: server.token or ""}).status_code == 200
        with owner(server, auth=("ann", "correct horse")) as client:
            assert client.get("/api/folders").status_code == 200


def test_a_server_that_other_machines_reach_has_no_secret(own_home: Path) -> None:
    with serving(own_home, host="0.0.0.0", auth="ann:secret") as server:
        assert server.token is None
        with httpx.Client(base_url=server.url, auth=("ann", "secret"), trust_env=False) as client:
            error(client.get("/api/folders", headers={HEADER: "x"}), 403)
            assert client.get("/?token=x&in=photos").headers["location"] == "/?in=photos"


def test_what_a_browser_is_started_with_is_good_for_one_visit(own_home: Path) -> None:
    """Command lines can be read by everybody on the machine."""
    with serving(own_home) as server:
        assert server.token not in server.opening
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as client:
            assert "set-cookie" in client.get(server.opening).headers
            assert client.get("/api/folders").status_code == 200
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as late:
            assert "set-cookie" not in late.get(server.opening).headers
            error(late.get("/api/folders"), 403)
            error(late.get("/api/folders", headers={HEADER: server.opening.partition("=")[2]}), 403)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the system does not tell whose a connection is")
def test_another_account_cannot_use_what_a_browser_is_started_with(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as here:
        client, port = here.getsockname()[1], listening.getsockname()[1]
        assert owners(client, port) == {os.getuid()}
        assert owners(port, client) <= {os.getuid()}
        scope = {"client": ("127.0.0.1", client), "server": ("127.0.0.1", port)}
        assert not is_foreign(scope)
        assert not is_foreign({"client": None, "server": None})
        monkeypatch.setattr(peer, "owners", lambda *ports: {owners(*ports).pop() + 54_321})
        assert is_foreign(scope)
        with serving(own_home) as server, httpx.Client(base_url=server.url, timeout=60, trust_env=False) as stranger:
            assert "set-cookie" not in stranger.get(server.opening).headers
            assert "set-cookie" in stranger.get(server.address).headers, "who was given the printed address has it"


def test_serve_starts_the_browser_without_the_token(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    printed: list[str] = []

    def stop(url: str) -> bool:
        opened.append(url)
        os.kill(os.getpid(), signal.SIGINT)
        return True

    monkeypatch.setenv("LOOKALIKE_HOME", str(own_home))
    monkeypatch.setattr(webbrowser, "open", stop)
    serve(own_home / "collections/photos", port=0, open_browser=True, on_ready=printed.append)
    assert [url.partition("=")[0] for url in opened] == [url.partition("=")[0] for url in printed]
    assert opened != printed
