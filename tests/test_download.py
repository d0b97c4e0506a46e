"""`lookalike._download` against a real server on loopback."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lookalike import _download
from lookalike._download import Checksum, download
from lookalike.errors import FetchError
from tests.filehost import Answer, FileHost, file_host

BODY = bytes(range(256)) * 8000  # 2 MB
SHA256 = hashlib.sha256(BODY).hexdigest()
MD5 = hashlib.md5(BODY).hexdigest()
PUBLISHED = Checksum("md5", MD5, "the publisher")


@pytest.fixture
def host() -> Iterator[FileHost]:
    with file_host() as running:
        running.answers["/a.zip"] = Answer(BODY)
        yield running


def get(host: FileHost, target: Path, path: str = "/a.zip", **options: Any) -> _download.Downloaded:
    return download(host.url + path, target, **{"max_bytes": 1 << 24, "pause": 0.0, "timeout": 5.0} | options)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _stop_at(enough: int) -> _download.Progress:
    def stop(done: int, total: int | None) -> None:
        if done >= enough:
            raise KeyboardInterrupt

    return stop


def test_a_file_arrives_whole_and_alone(host: FileHost, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    target = tmp_path / "new" / "a.zip"
    done = get(host, target, size=len(BODY), checksum=PUBLISHED, progress=lambda *x: seen.append(x))
    assert done == _download.Downloaded(target, len(BODY), SHA256, "published")
    assert target.read_bytes() == BODY
    assert names(target.parent) == ["a.zip"]
    assert seen[0] == (0, len(BODY))
    assert seen[-1] == (len(BODY), len(BODY))
    fetched = [now for now, _ in seen][: [now for now, _ in seen].index(len(BODY)) + 1]
    assert len(fetched) > 3
    assert fetched == sorted(fetched)


def test_a_cut_connection_is_gone_on_with(host: FileHost, tmp_path: Path) -> None:
    host.answers["/a.zip"].cut = [500_000, 700_000]
    get(host, tmp_path / "a.zip", checksum=PUBLISHED)
    assert [part for _, part in host.requests] == [None, "bytes=500000-", "bytes=1200000-"]
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_what_was_fetched_is_kept_for_the_next_call(host: FileHost, tmp_path: Path) -> None:
    host.answers["/a.zip"].cut = [900_000, 0, 0, 0, 0]
    with pytest.raises(FetchError, match=r"the connection failed .*; 0\.9 MB are kept, and the same command goes on"):
        get(host, tmp_path / "a.zip")
    assert names(tmp_path) == ["a.zip.part", "a.zip.part.json"]
    host.requests.clear()
    get(host, tmp_path / "a.zip", checksum=PUBLISHED)
    assert host.requests == [("/a.zip", "bytes=900000-")]
    assert names(tmp_path) == ["a.zip"]


@pytest.mark.parametrize("change", ["etag", "no validator", "no ranges", "other url", "notes"])
def test_a_part_of_another_file_is_not_gone_on_with(host: FileHost, tmp_path: Path, change: str) -> None:
    answer = host.answers["/a.zip"]
    old = bytes(len(BODY))
    host.answers["/a.zip"] = Answer(old, etag=None if change == "no validator" else '"0"', cut=[400_000, 0, 0, 0, 0])
    if change == "other url":
        host.answers["/b.zip"] = host.answers["/a.zip"]
    with pytest.raises(FetchError):
        get(host, tmp_path / "a.zip", "/b.zip" if change == "other url" else "/a.zip")
    answer.ranges = change != "no ranges"
    if change == "notes":
        (tmp_path / "a.zip.part.json").write_bytes(b'["' + b"\xff" * 100)
    if change in ("other url", "notes"):
        answer.etag = '"0"'
    host.answers["/a.zip"] = answer
    get(host, tmp_path / "a.zip", checksum=PUBLISHED)
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_a_server_that_always_breaks_off_at_the_same_place_ends_it(host: FileHost, tmp_path: Path) -> None:
    host.answers["/a.zip"] = Answer(BODY, etag=None, cut=[100] * 50)
    with pytest.raises(FetchError, match="the connection failed"):
        get(host, tmp_path / "a.zip")
    assert len(host.requests) == 2 + _download.RETRIES


def test_last_modified_will_do_in_place_of_an_etag(host: FileHost, tmp_path: Path) -> None:
    stamp = {"Last-Modified": "Mon, 02 Nov 2026 10:00:00 GMT"}
    host.answers["/a.zip"] = Answer(BODY, etag='W/"weak"', headers=stamp, cut=[300_000])
    get(host, tmp_path / "a.zip", checksum=PUBLISHED)
    assert host.requests[1] == ("/a.zip", "bytes=300000-")


def test_a_part_that_is_longer_than_the_file_is_deleted(host: FileHost, tmp_path: Path) -> None:
    host.answers["/a.zip"].cut = [400_000, 0, 0, 0, 0]
    with pytest.raises(FetchError):
        get(host, tmp_path / "a.zip")
    host.answers["/a.zip"] = Answer(BODY[:1000])
    with pytest.raises(FetchError, match="is deleted, run it again"):
        get(host, tmp_path / "a.zip")
    assert get(host, tmp_path / "a.zip").size == 1000


def test_a_wrong_checksum_deletes_what_was_fetched(host: FileHost, tmp_path: Path) -> None:
    wrong = Checksum("md5", "0" * 32, "the publisher")
    with pytest.raises(FetchError, match=rf"expected MD5 0{{32}} \(published by the publisher\), got {MD5}"):
        get(host, tmp_path / "a.zip", checksum=wrong)
    assert not (tmp_path / "a.zip").exists()
    get(host, tmp_path / "a.zip", checksum=PUBLISHED)
    assert [part for _, part in host.requests] == [None, None]


@pytest.mark.parametrize("chunked", [False, True])
def test_sizes_are_held_to(host: FileHost, tmp_path: Path, chunked: bool) -> None:
    host.answers["/a.zip"].chunked = chunked
    other = "this is another file" if not chunked else "expected 1,000 bytes, got 2,048,000"
    with pytest.raises(FetchError, match=other):
        get(host, tmp_path / "a.zip", size=1000)
    with pytest.raises(FetchError, match="expected at most 1,000 bytes"):
        get(host, tmp_path / "a.zip", max_bytes=1000)
    assert not (tmp_path / "a.zip").exists()


def test_a_server_that_promises_too_much_is_a_cut_connection(host: FileHost, tmp_path: Path) -> None:
    host.answers["/a.zip"] = Answer(BODY, etag=None, length=len(BODY) + 10)
    with pytest.raises(FetchError, match="it ended after 2,048,000 of 2,048,010 bytes"):
        get(host, tmp_path / "a.zip")


def test_a_call_that_ended_just_before_the_end(host: FileHost, tmp_path: Path) -> None:
    host.answers["/a.zip"].length = len(BODY) + 10
    with pytest.raises(KeyboardInterrupt):
        get(host, tmp_path / "a.zip", progress=_stop_at(len(BODY)))
    host.answers["/a.zip"].length = None
    get(host, tmp_path / "a.zip", checksum=PUBLISHED)
    assert host.requests[-1] == ("/a.zip", f"bytes={len(BODY)}-")


def test_a_compressed_body_is_refused(host: FileHost, tmp_path: Path) -> None:
    host.answers["/a.zip"].headers = {"Content-Encoding": "gzip"}
    with pytest.raises(FetchError, match="compressed"):
        get(host, tmp_path / "a.zip")


@pytest.mark.parametrize(
    ("status", "words"), [(404, "answered 404 Not Found"), (503, "answered 503"), (204, "answered 204")]
)
def test_what_the_server_refuses_is_said_at_once(host: FileHost, tmp_path: Path, status: int, words: str) -> None:
    host.answers["/a.zip"] = Answer(b"", status)
    with pytest.raises(FetchError, match=words):
        get(host, tmp_path / "a.zip")
    assert len(host.requests) == 1
    assert not list(tmp_path.iterdir())


def test_redirects_are_followed(host: FileHost, tmp_path: Path) -> None:
    host.answers["/a"] = Answer(status=302, headers={"Location": "/b"})
    host.answers["/b"] = Answer(status=301, headers={"Location": host.url + "/a.zip"})
    host.answers["/a.zip"].cut = [600_000]
    get(host, tmp_path / "a.zip", "/a", checksum=PUBLISHED)
    assert host.requests[-1] == ("/a.zip", "bytes=600000-")


@pytest.mark.parametrize("where", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://x", "http://"])
def test_redirects_lead_to_http_only(host: FileHost, tmp_path: Path, where: str) -> None:
    host.answers["/a"] = Answer(status=302, headers={"Location": where})
    with pytest.raises(FetchError):
        get(host, tmp_path / "x", "/a")
    with pytest.raises(FetchError, match="http"):
        download(where, tmp_path / "x", max_bytes=10)
    assert not (tmp_path / "x").exists()


def test_redirects_in_a_circle_end(host: FileHost, tmp_path: Path) -> None:
    host.answers["/a"] = Answer(status=302, headers={"Location": "/a"})
    with pytest.raises(FetchError, match="answered 302"):
        get(host, tmp_path / "x", "/a")


def test_a_machine_that_is_offline_learns_it_at_once(host: FileHost, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="the connection failed"):
        download("http://127.0.0.1:9/a.zip", tmp_path / "a.zip", max_bytes=10, pause=60.0)


def test_a_full_disk_is_seen_before(host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(0, 0, 1_000_000))
    with pytest.raises(FetchError, match=r"a\.zip needs 2 MB of disk, 1 MB are free"):
        get(host, tmp_path / "a.zip")


@pytest.mark.skipif(os.name != "posix", reason="there is no such limit on Windows")
def test_a_disk_that_fills_up_keeps_what_was_fetched(host: FileHost, tmp_path: Path) -> None:
    """In a process of its own, whose files may have one megabyte."""
    code = f"""
import resource, signal
from lookalike._download import download
from lookalike.errors import FetchError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
try:
    download({host.url + "/a.zip"!r}, {str(tmp_path / "a.zip")!r}, max_bytes=1 << 24)
except FetchError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout
    assert "the disk is full; what was fetched is kept" in said
    assert (tmp_path / "a.zip.part").stat().st_size == 1_000_000
    get(host, tmp_path / "a.zip", checksum=PUBLISHED)
    assert host.requests[-1] == ("/a.zip", "bytes=1000000-")


def test_two_processes_do_not_write_to_one_part(host: FileHost, tmp_path: Path) -> None:
    def again(done: int, total: int | None) -> None:
        with pytest.raises(FetchError, match=r"another process is fetching a\.zip"):
            get(host, tmp_path / "a.zip")

    get(host, tmp_path / "a.zip", checksum=PUBLISHED, progress=again)
    assert (tmp_path / "a.zip").read_bytes() == BODY


def test_stopping_leaves_what_the_next_call_goes_on_with(host: FileHost, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        get(host, tmp_path / "a.zip", progress=_stop_at(1_000_000))
    kept = (tmp_path / "a.zip.part").stat().st_size
    assert kept >= 1_000_000
    get(host, tmp_path / "a.zip", checksum=PUBLISHED)
    assert host.requests[-1] == ("/a.zip", f"bytes={kept}-")


def test_a_file_put_there_by_hand_is_checked_and_not_fetched(host: FileHost, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(BODY)
    assert get(host, tmp_path / "a.zip", checksum=PUBLISHED).trust == "published"
    (tmp_path / "a.zip").write_bytes(BODY[1:])
    with pytest.raises(FetchError, match=r"a\.zip is there, but: .*; delete it to have it fetched"):
        get(host, tmp_path / "a.zip", checksum=PUBLISHED)
    assert not host.requests
    assert (tmp_path / "a.zip").exists()


def test_without_a_published_checksum_the_first_fetch_is_remembered(host: FileHost, tmp_path: Path) -> None:
    ledger = tmp_path / "SHA256SUMS"
    assert get(host, tmp_path / "1.zip", ledger=ledger).trust == "unverified"
    assert ledger.read_text() == f"{SHA256}  {host.url}/a.zip\n"
    assert get(host, tmp_path / "2.zip", ledger=ledger).trust == "as before"
    host.answers["/a.zip"] = Answer(BODY + b"!")
    with pytest.raises(FetchError, match=f"expected SHA-256 {SHA256} as when it was first fetched"):
        get(host, tmp_path / "3.zip", ledger=ledger)
    host.answers["/b.zip"] = Answer(b"b")
    assert get(host, tmp_path / "b.zip", "/b.zip", ledger=ledger).trust == "unverified"
    assert len(ledger.read_text().splitlines()) == 2
    assert get(host, tmp_path / "4.zip", "/b.zip").trust == "unverified"
