"""The page is static: what it names is there, nothing in it runs inline, and gradio is loaded for gradio's clients only."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from lookalike.app import AppServer
from lookalike.app.blocks import mirror_image, region_of
from lookalike.errors import InputError
from lookalike.features import images
from lookalike.search import Region
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
    assert region_of(25, 0, 100, 50, mirrored=True) == Region(0, 0, 0.75, 0.5)
    with pytest.raises(InputError, match="crop: nothing lies from 50 to 50 %"):
        region_of(50, 0, 50, 100)


def test_mirrored(home: Path) -> None:
    picture = (home / "pictures/photos" / WINDMILL).read_bytes()
    there = images.decode(mirror_image(picture), 64).astype(int)
    back = images.decode(picture, 64).astype(int)
    assert abs(there[:, ::-1] - back).mean() < 4 < abs(there - back).mean()
