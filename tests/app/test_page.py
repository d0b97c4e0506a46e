"""The page is static: what it names is there, nothing in it runs inline, and gradio is loaded for gradio's clients only."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from lookalike.app import AppServer
from lookalike.app.api import schemas
from lookalike.app.gradio.blocks import mirrored_part, region_of
from lookalike.app.gradio.later import Later
from lookalike.app.page.document import STATIC
from lookalike.errors import InputError
from lookalike.features import images
from lookalike.search import Region
from lookalike.search.resolve import cut
from lookalike.viz.report import View, assemble
from tests.app.serving import WINDMILL, serving

STARTED = """
import sys, urllib.request
from lookalike.app import AppServer

with AppServer(sys.argv[1]) as server:
    for path in ("", "api/health", "api/status", "lookalike/main.js"):
        assert urllib.request.urlopen(server.url + path).status == 200
    assert "gradio" not in sys.modules
    assert b"search" in urllib.request.urlopen(server.url + "config").read()
    assert "gradio" in sys.modules
"""

ELSEWHERE = """
import sys, httpx
from lookalike.app import AppServer

with AppServer(sys.argv[1]) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
    for method, path, status in [
        ("GET", "/lookalike/", 404), ("GET", "/lookalike/a/b", 404), ("GET", "/lookalike/..%2fpage.py", 404),
        ("POST", "/lookalike/page.css", 405), ("POST", "/", 405), ("GET", "/nothing", 404), ("GET", "/theme.css", 404),
    ]:
        answer = client.request(method, path)
        assert answer.status_code == status, (method, path, answer)
        assert set(answer.json()) == {"error"}, (method, path, answer.text)
    assert "gradio" not in sys.modules
"""


def policy_of(client: httpx.Client) -> dict[str, list[str]]:
    parts = client.get("/").headers["content-security-policy"].split("; ")
    return {name: values for name, *values in map(str.split, parts)}


def test_what_the_page_names_is_there(client: httpx.Client) -> None:
    page = client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(lookalike/[^"]+)"', page.text)
    assert {"lookalike/start.js", "lookalike/early.js", "lookalike/page.css"} <= set(named)
    for path in named:
        assert client.get(f"/{path}").status_code == 200, path


def test_nothing_inline_runs(client: httpx.Client) -> None:
    page = client.get("/").text
    assert not re.search(r"<script(?![^>]*src=)|<style|\sstyle=|\son[a-z]+=|javascript:", page)
    policy = policy_of(client)
    assert not {"'unsafe-inline'", "'unsafe-eval'"} & {value for values in policy.values() for value in values}
    assert policy["connect-src"] == ["'self'"]


def test_all_that_a_report_runs_is_named_in_the_policy(client: httpx.Client) -> None:
    """A report in its frame obeys the page's policy too."""
    policy = policy_of(client)
    own = assemble("t", [View("v", "cells", "Cells", "All cells.")]).html
    meta = re.search(r'Content-Security-Policy" content="([^"]+)"', own)
    assert meta is not None
    hashes = re.findall(r"'sha256-[^']+'", meta[1].replace("&#x27;", "'"))
    assert len(hashes) == 5
    assert set(hashes) <= {*policy["script-src"], *policy["style-src"]}


def test_gradio_is_loaded_for_its_clients_only(home: Path) -> None:
    subprocess.run([sys.executable, "-c", STARTED, str(home / "collections/photos")], check=True, timeout=120)


def test_two_pages_at_once_are_refused(home: Path) -> None:
    with pytest.raises(InputError, match="choose one"):
        AppServer(home / "collections/photos", simple=True, gradio=True)


@pytest.mark.parametrize("which", ["simple", "gradio"])
def test_gradios_pages_have_what_they_load(home: Path, which: str) -> None:
    with serving(home, **{which: True}) as server, httpx.Client(base_url=server.url, trust_env=False) as client:
        page = client.get("/")
        assert page.status_code == 200
        assert "'unsafe-eval'" in page.headers["content-security-policy"]
        assert client.get("/theme.css").status_code == 200


def test_crops() -> None:
    assert region_of(0, 0, 100, 100) is None
    assert region_of(25, 0, 100, 50) == Region(0.25, 0, 0.75, 0.5)
    with pytest.raises(InputError, match="crop: nothing lies from 50 to 50 %"):
        region_of(50, 0, 50, 100)
    with pytest.raises(InputError, match="crop: expected four numbers"):
        region_of(None, 0, 50, 100)


@pytest.mark.parametrize("region", [None, Region(0.25, 0, 0.5, 1)])
def test_mirrored(home: Path, region: Region | None) -> None:
    picture = (home / "pictures/photos" / WINDMILL).read_bytes()
    there = images.decode(mirrored_part(picture, region), 64).astype(int)
    back = images.decode(picture if region is None else cut(picture, region), 64).astype(int)
    assert abs(there[:, ::-1] - back).mean() < 4 < abs(there - back).mean()


def test_what_is_not_gradios_loads_no_gradio(home: Path) -> None:
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(home / "collections/photos")], check=True, timeout=120)


def test_servers_of_one_process_keep_what_gradio_stores_apart(home: Path) -> None:
    with serving(home) as first:
        with serving(home, "drawings") as second, httpx.Client(trust_env=False, timeout=60) as client:
            assert client.get(f"{second.url}config").status_code == 200
        with httpx.Client(trust_env=False, timeout=60) as client:
            assert client.get(f"{first.url}config").json()["dependencies"][0]["api_name"] == "search"


def app_of(name: str) -> FastAPI:
    app = FastAPI()
    app.add_api_route("/config", lambda: {"name": name})
    app.add_api_route("/gradio_api/info", lambda: {"name": name})
    return app


def around(make: Callable[[], FastAPI]) -> FastAPI:
    later = Later(make)
    outer = FastAPI(lifespan=later.lifespan)
    outer.mount("/", later)
    return outer


def test_a_client_that_waits_for_gradio_does_not_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first answer begins with spaces, as its time for the next byte would run out else."""
    monkeypatch.setattr("lookalike.app.gradio.later.PATIENCE", 0.05)
    made: list[str] = []

    def slow() -> FastAPI:
        time.sleep(0.5)
        made.append("it")
        return app_of("slow")

    with TestClient(around(slow)) as client:
        both = [client.get("/config"), client.get("/config")]
        assert [answer.json() for answer in both] == [{"name": "slow"}] * 2
        assert both[0].text.startswith("   ")
        assert both[1].text.startswith("{")
        assert client.get("/gradio_api/info").json() == {"name": "slow"}
        assert client.get("/else").status_code == 404
        assert client.post("/").status_code == 405
    assert made == ["it"]


def test_what_could_not_be_made_is_made_at_the_next_request() -> None:
    tries: list[int] = []

    def fails_once() -> FastAPI:
        tries.append(1)
        if len(tries) == 1:
            raise OSError
        return app_of("second")

    with TestClient(around(fails_once), raise_server_exceptions=False) as client:
        assert client.get("/gradio_api/info").status_code == 500
        assert client.get("/gradio_api/info").json() == {"name": "second"}


def test_a_server_that_is_stopped_while_gradio_is_loaded_ends_soon() -> None:
    let_go = threading.Event()

    def late() -> FastAPI:
        let_go.wait(20)
        return app_of("late")

    async def stopped() -> float:
        later = Later(late)
        scope = {"type": "http", "path": "/gradio_api/info", "method": "GET"}
        async with later.lifespan(None):
            asking = asyncio.create_task(later(scope, None, None))
            await asyncio.sleep(0.2)
            asking.cancel()
            with pytest.raises(HTTPException, match="being stopped"):
                await asking
            begun = time.monotonic()
        with pytest.raises(HTTPException, match="being stopped"):
            await later(scope, None, None)
        return time.monotonic() - begun

    assert asyncio.run(stopped()) < 5
    let_go.set()


def test_the_types_of_the_scripts_are_those_of_the_answers() -> None:
    """What `types.d.ts` says of a model of `schemas.py` with the same name has the same fields."""
    text = (STATIC / "types.d.ts").read_text("utf-8")
    told = {
        name: set(re.findall(r"^  (\w+)\??:", body, re.M))
        for name, body in re.findall(r"interface (\w+)[^{]*\{(.*?)^\}", text, re.M | re.S)
    }
    models = {
        name: model for name, model in vars(schemas).items() if isinstance(model, type) and issubclass(model, BaseModel)
    }
    shared = told.keys() & models.keys()
    assert len(shared) > 8, shared
    for name in shared:
        assert told[name] <= set(models[name].model_fields), name
