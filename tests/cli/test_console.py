"""How numbers, times, names and pictures are put on a terminal."""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from lookalike.cli import console, thumbnails
from lookalike.cli.progress import ProgressDisplay, pace
from lookalike.collection import Progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (456, "7 min 36 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


def test_counts() -> None:
    assert [console.count(n, "picture") for n in (0, 1, 40000)] == ["0 pictures", "1 picture", "40,000 pictures"]


def test_columns_line_up(capsys: pytest.CaptureFixture[str]) -> None:
    console.table([("a", "same picture", "x"), ("100.0", "weak", "a\tb\x9b")])
    assert capsys.readouterr().out == "a      same picture  x\n100.0  weak          a\\tb\\x9b\n"
    console.table([])
    assert capsys.readouterr().out == ""


def test_a_reason_that_many_share_takes_one_row() -> None:
    many = [(f"{n}.ogg", "not a picture") for n in range(9000)]
    assert console.grouped([("b", "broken"), *many, ("a", "empty")]) == [
        ("a", "empty"),
        ("b", "broken"),
        ("9,000 files", "not a picture"),
    ]


def test_pace() -> None:
    assert pace(Progress(1200, 40000, "embedding", 85.2, 456.0)) == "1,200 of 40,000, 85 a second, 7 min 36 s left"
    assert pace(Progress(3, 0, "scanning")) == "3 so far"
    assert pace(Progress(40000, 40000, "embedding", 1.25, 0.0)) == "40,000 of 40,000, 1.2 a second"


def test_plain_progress_does_not_flood(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with ProgressDisplay(clock=lambda: now) as display:
        for tenth in range(200):
            now = tenth / 10
            display(Progress(tenth, 200, "embedding", 10.0, 20 - now))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "lookalike: indexing pictures: 10 of 200, 10 a second, 19 s left"
    assert len(lines) == 4


def test_quick_work_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressDisplay(clock=lambda: 0.0) as display:
        display(Progress(5, 10, "embedding"))
    assert capsys.readouterr().err == ""


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", Terminal())
    with ProgressDisplay() as display:
        display(Progress(1, 0, "scanning"))
        display(Progress(50, 100, "embedding", 12.0, 4.0))
    drawn = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert "50 of 100, 12 a second, 4.0 s left" in drawn
    assert "indexing pictures" in drawn


@pytest.fixture
def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((96, 96), 90).convert("RGB").save(buffer, "JPEG")
    return buffer.getvalue()


def test_iterm2_gets_the_jpeg(jpeg: bytes) -> None:
    head = f"\x1b]1337;File=inline=1;size={len(jpeg)};preserveAspectRatio=1:"
    text = thumbnails.escape(jpeg, "iterm2")
    assert text.startswith(head)
    assert text.endswith("\a")
    assert base64.b64decode(text.removeprefix(head).removesuffix("\a")) == jpeg


def test_kitty_gets_a_png_in_chunks(jpeg: bytes) -> None:
    parts = re.findall(r"\x1b_G([^;]*);([\w+/=]*)\x1b\\", thumbnails.escape(jpeg, "kitty"))
    assert len(parts) > 1
    assert all(len(data) <= 4096 for _, data in parts)
    assert parts[0][0] == "a=T,f=100,q=2,m=1"
    assert [head for head, _ in parts[1:]] == ["m=1"] * (len(parts) - 2) + ["m=0"]
    with Image.open(io.BytesIO(base64.b64decode("".join(data for _, data in parts)))) as picture:
        assert (picture.format, picture.size) == ("PNG", (96, 96))


@pytest.mark.parametrize(
    ("environ", "kind"),
    [
        ({"KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "xterm-256color"}, None),
        ({"KITTY_WINDOW_ID": "1", "TMUX": "/tmp/x"}, None),
    ],
)
def test_only_where_the_terminal_says_so(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], kind: str | None
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert thumbnails.protocol(environ) == kind
    monkeypatch.setattr("sys.stdout.isatty", lambda: False, raising=False)
    assert thumbnails.protocol(environ) is None


def test_a_picture_that_went_is_only_not_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    thumbnails.show(tmp_path / "gone.jpg", "kitty")
    assert capsys.readouterr().out == ""


def test_out_of_memory_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    import typer

    with pytest.raises(typer.Exit) as raised, console._exit_codes():
        raise MemoryError
    assert raised.value.exit_code == 1
    assert capsys.readouterr().err.startswith("lookalike: out of memory; what was done before is kept")
