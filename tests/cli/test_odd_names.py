"""Names with spaces, accents, leading dashes, control characters, and names that are not UTF-8."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command

NAMES = [
    "with space.jpg",
    "Grüße aus Köln.jpg",
    "日本の写真.jpg",
    "-k.jpg",
    "--json.jpg",
    'it\'s "quoted".jpg',
    "a%20b#c?.jpg",
]
ODD = [b"caf\xe9.jpg", b"\xff\xfe.jpg"]


@pytest.fixture
def odd(tmp_path: Path, starter: Path) -> Path:
    folder = tmp_path / "-bilder für später-"
    folder.mkdir()
    sources = sorted((starter / "photos/fish").iterdir())
    names = NAMES + [os.fsdecode(name) for name in ODD if sys.platform == "linux"]
    for source, name in zip(sources, names, strict=False):
        shutil.copy(source, folder / name)
    return folder


def test_every_name_is_found_again(lookalike: Command, odd: Path) -> None:
    count = len(list(odd.iterdir()))
    report = lookalike("index", "--in", "odd", "--", odd.name, cwd=odd.parent)
    assert f"({count} new)" in report.out, report
    for path in odd.iterdir():
        hits = lookalike("search", "--json", "-k", "1", "--", path.name, cwd=odd).json
        assert [hit["path"] for hit in hits] == [str(path)]


def test_names_leave_as_the_bytes_they_are(lookalike: Command, odd: Path) -> None:
    lookalike("index", odd, "--in", "odd")
    found = lookalike("search", odd / NAMES[0], "-k", "100").raw
    for path in odd.iterdir():
        assert os.fsencode(path) + b"\n" in found


def test_other_locales(lookalike: Command, odd: Path) -> None:
    lookalike("index", odd, "--in", "odd")
    environ = {"LC_ALL": "C", "LANG": "C", "PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "1"}
    outcome = lookalike("search", odd / NAMES[0], "-k", "100", env=environ)
    assert outcome.code == 0
    assert len(outcome.raw.splitlines()) == len(list(odd.iterdir()))
    assert len(lookalike("search", odd / NAMES[0], "-k", "100", "--json", env=environ).json) == len(list(odd.iterdir()))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_a_name_cannot_steer_the_terminal(lookalike: Command, pictures: Path) -> None:
    evil = pictures / "drawings" / "\x1b[2J\nlookalike: all fine\r.jpg"
    shutil.move(pictures / "photos/fish/fish-1.jpg", evil)
    (pictures / "\x1b[31mbroken.jpg").write_bytes(b"")
    report = lookalike("index", pictures, "--in", "evil")
    outcome = lookalike("search", evil, "-k", "1")
    assert len(outcome.lines) == 1
    assert outcome.out.endswith("\\x1b[2J\\nlookalike: all fine\\x0d.jpg\n")
    status = lookalike("status")
    for text in (outcome.out, outcome.err, report.out, report.err, status.out, status.err):
        assert "\x1b" not in text
        assert "\r" not in text
    assert lookalike("search", evil, "-k", "1", "--json").json[0]["path"] == str(evil)


def test_a_file_url_is_the_path_it_names(lookalike: Command, odd: Path) -> None:
    lookalike("index", odd.as_uri(), "--in", "odd")
    for path in odd.iterdir():
        found = lookalike("search", "--json", "-k", "1", path.as_uri())
        assert found.code == 0, found
        assert [hit["path"] for hit in found.json] == [str(path)]
    lookalike("search", "file://elsewhere/a.jpg").failed_with("'elsewhere' is another")
    first = odd / NAMES[0]
    page = lookalike("explain", first.as_uri(), "--out", odd.parent / "why.html")
    assert page.code == 0, page
    lookalike("remove", first.as_uri())
    assert str(first) not in {hit["path"] for hit in lookalike("search", "--json", "-k", "100", first.as_uri()).json}
