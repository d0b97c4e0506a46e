"""`datasets fetch` as a command; the fetching itself is tested in tests/data."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.data.test_published import VOC, card, tar_of
from tests.filehost import FileHost, file_host


@pytest.fixture
def host() -> Iterator[FileHost]:
    with file_host() as running:
        yield running


def fetch_voc(lookalike: Command, host: FileHost, hold: threading.Event | None = None) -> subprocess.Popen[str]:
    """The command in a process where VOC 2012 is a small archive on this machine; `hold` as in `Answer`."""
    small = card(host, "voc2012", tar_of(VOC))
    host.answers["/archive"].hold = hold
    code = f"""
import sys
from lookalike._files import Checksum
from lookalike.cli import main
from lookalike.data import datasets
from lookalike.data.datasets import Archive, DatasetCard, Licence
datasets.DATASETS = {{"voc2012": {small!r}}}
sys.argv = ["lookalike", "datasets", "fetch", "voc2012"]
main()
"""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], env=lookalike.environ, stdout=pipe, stderr=pipe, text=True)


def test_a_data_set_from_its_authors(lookalike: Command, host: FileHost) -> None:
    with fetch_voc(lookalike, host) as process:
        out, err = process.communicate(timeout=120)
    folder = lookalike.home / "datasets" / "voc2012"
    assert (process.returncode, out) == (0, f"{folder}\n"), err
    assert (folder / "labels.tsv").is_file()
    for words in (
        "fetching VOCtrainval_11-May-2012.tar",
        "checked: its MD5",
        "fetched: 3 pictures",
        "cite: Everingham",
    ):
        assert words in err


@pytest.mark.skipif(os.name != "posix", reason="Ctrl-C cannot be sent to one process on Windows")
def test_ctrl_c_keeps_what_was_fetched(lookalike: Command, host: FileHost) -> None:
    release = threading.Event()
    try:
        with fetch_voc(lookalike, host, release) as process:
            part = lookalike.home / "datasets" / "VOCtrainval_11-May-2012.tar.part"
            while not (part.exists() and part.stat().st_size):
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=120)
    finally:
        release.set()
    assert (process.returncode, out) == (1, ""), err
    assert err.splitlines()[-2:] == [
        "lookalike: what was fetched is kept; the same command goes on",
        "lookalike: stopped",
    ]
    with fetch_voc(lookalike, host) as again:
        assert "fetched: 3 pictures" in again.communicate(timeout=120)[1]
    assert host.requests[-1][1] is not None


def test_bundled_pictures_need_no_fetching(lookalike: Command) -> None:
    outcome = lookalike("datasets", "fetch", "starter")
    assert (outcome.code, outcome.out) == (0, "")
    assert "comes with lookalike" in outcome.err


def test_unknown_data_sets_name_the_nearest(lookalike: Command) -> None:
    lookalike("datasets", "fetch", "stamp").failed_with("did you mean 'stamps'")


def test_what_is_there_is_named(lookalike: Command) -> None:
    folder = lookalike.home / "datasets" / "clipart"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"picture")
    outcome = lookalike("datasets", "fetch", "clipart")
    assert (outcome.code, outcome.out) == (0, f"{folder}\n")
    assert "already there: 1 picture (public-domain)" in outcome.err


def test_to_another_folder(lookalike: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.png").write_bytes(b"picture")
    assert lookalike("datasets", "fetch", "stamps", "--to", tmp_path / "mine").out == f"{tmp_path / 'mine'}\n"


def test_where_nothing_can_be_fetched_it_says_what_to_do(lookalike: Command) -> None:
    """Through a proxy that refuses connections: so nothing leaves the machine."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    outcome = lookalike("datasets", "fetch", "caltech101", env=nowhere | {"no_proxy": "", "NO_PROXY": ""})
    assert (outcome.code, outcome.out) == (1, ""), outcome
    assert "the connection failed" in outcome.err
    assert f"put it at {lookalike.home / 'datasets' / 'caltech-101.zip'}" in outcome.err
    assert not list((lookalike.home / "datasets").iterdir())


def test_a_folder_of_something_else_is_not_taken_for_the_data_set(lookalike: Command, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"")
    lookalike("datasets", "fetch", "voc2012", "--to", tmp_path).failed_with("is not empty and not voc2012")


def test_the_list_says_how_large_how_checked_and_whose(lookalike: Command) -> None:
    rows = lookalike("datasets", "list").lines
    assert [row.split()[0] for row in rows] == ["starter", "stamps", "clipart", "caltech101", "voc2012"]
    assert re.search(r"17,125 pictures +20 labels +2,000 MB +to fetch .* Flickr terms of use", rows[-1])
    lookalike("datasets", "list", "voc2021").failed_with("did you mean 'voc2012'")
    said = lookalike("datasets", "list", "voc2012").out
    assert "17,125 pictures, 20 labels" in said
    assert "2,000 MB, to be fetched: lookalike datasets fetch voc2012" in said
    assert "MD5 6cd6e144f989b92b3379bac3b3de84fd (torchvision" in said
    assert "Everingham" in said
    assert "Flickr terms of use" in said
