"""Journey 1: somebody's own folder of photos, from the first command to a disk that was unplugged."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tests.cli.conftest import Command


def _with_alpha(picture: Image.Image) -> Image.Image:
    picture = picture.convert("RGBA")
    picture.putalpha(230)
    return picture


def _save_heic(picture: Image.Image, path: Path) -> None:
    import pillow_heif

    pillow_heif.from_pillow(picture).save(path, quality=80)


def _with_16_bits(picture: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)


FORMATS: dict[str, Callable[[Image.Image, Path], None]] = {
    "urlaub/Straße am Meer.jpg": lambda picture, path: picture.save(path, quality=90),
    "urlaub/夏の海.png": lambda picture, path: picture.save(path),
    "urlaub/été.webp": lambda picture, path: picture.save(path, quality=80),
    "palette.gif": lambda picture, path: picture.quantize(64).save(path),
    "scan.tiff": lambda picture, path: picture.convert("L").save(path),
    "print.jpg": lambda picture, path: picture.convert("CMYK").save(path),
    "alpha.png": lambda picture, path: _with_alpha(picture).save(path),
    "sixteen.png": lambda picture, path: _with_16_bits(picture).save(path),
    "old.bmp": lambda picture, path: picture.save(path),
    "IMG_0001.HEIC": _save_heic,
}
BROKEN = {
    "broken/empty.jpg": b"",
    "broken/page.jpg": b"<html>404 not found</html>",
    "broken/noise.png": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "broken/clip.heic": b"\0\0\0\x18ftypheic" + bytes(12),
}
COPIES = 11

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")


@pytest.fixture
def disk(tmp_path: Path, starter: Path) -> Path:
    """An external disk: formats, languages, broken files, rotated pictures, near-copies, a loop, and some bulk."""
    disk = tmp_path / "Fotos 2024"
    sources = sorted((starter / "photos/monument").iterdir())
    for (name, save), source in zip(FORMATS.items(), sources, strict=False):
        (disk / name).parent.mkdir(parents=True, exist_ok=True)
        with Image.open(source) as picture:
            save(picture.convert("RGB"), disk / name)
    for name, content in BROKEN.items():
        (disk / name).parent.mkdir(parents=True, exist_ok=True)
        (disk / name).write_bytes(content)
    (disk / "notes.txt").write_text("see you on Sunday")
    (disk / "loop").symlink_to(disk, target_is_directory=True)
    _save_sunsets(starter / "photos/windmill/windmill-1.jpg", disk / "sunset")
    _save_rotated(starter / "photos/tool/hammer-1.jpg", disk / "rotated.jpg")
    for source in sorted((starter / "drawings").rglob("*.jpg")):
        target = disk / "drawings" / source.parent.name / source.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    return disk


def _save_sunsets(source: Path, folder: Path) -> None:
    folder.mkdir()
    with Image.open(source) as picture:
        for number in range(COPIES):
            copy = ImageEnhance.Brightness(picture.convert("RGB")).enhance(0.9 + 0.02 * number)
            copy.crop((number, number, *copy.size)).save(folder / f"sunset {number}.jpg", quality=70 + 2 * number)


def _save_rotated(source: Path, target: Path) -> None:
    """As a camera does: the pixels lie on their side, and EXIF says how to turn them."""
    with Image.open(source) as picture:
        exif = Image.Exif()
        exif[0x0112] = 6
        picture.convert("RGB").transpose(Image.Transpose.ROTATE_90).save(target, exif=exif, quality=92)


def _offline(lookalike: Command, tmp_path: Path) -> Command:
    """The command, whose processes die of the first look at the network."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def guard(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.gethostbyname', 'socket.sendto'):\n"
        "        os.write(2, f'reached for the network: {args}'.encode()); os._exit(99)\n"
        "sys.addaudithook(guard)\n"
    )
    return replace(lookalike, customize=tmp_path / "guard")


def test_who_reaches_for_the_network_is_seen(
    lookalike: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nobody answers, should it not be seen
    outcome = _offline(lookalike, tmp_path)("datasets", "fetch", "caltech101")
    assert outcome.code == 99
    assert "reached for the network" in outcome.err


@pytest.mark.slow
def test_a_folder_of_photos(lookalike: Command, disk: Path, tmp_path: Path, starter: Path) -> None:
    lookalike = _offline(lookalike, tmp_path)
    pictures = [path for path in disk.rglob("*") if path.is_file() and path.suffix.lower() not in {".txt"}]
    good = len(pictures) - len(BROKEN)

    _index_and_press_ctrl_c(lookalike, disk)
    report = lookalike("index", disk)
    assert report.code == 0
    assert report.out.startswith(f"Fotos 2024: {good} pictures ("), report

    # Which files were skipped, and why.
    skipped = {Path(item["path"]).name: item["reason"] for item in lookalike("status", "--json").json["skipped"]}
    assert {Path(name).name for name in BROKEN} <= set(skipped)
    assert set(skipped) == {Path(name).name for name in BROKEN} | {"notes.txt", "loop"}
    assert all(len(reason) > 8 and "Error" not in reason for reason in skipped.values()), skipped

    # A picture from a chat: smaller, recompressed, its original in another format.
    chat = tmp_path / "from the chat.jpg"
    for name in FORMATS:
        with Image.open(sorted((starter / "photos/monument").iterdir())[list(FORMATS).index(name)]) as picture:
            small = picture.convert("RGB")
        small.thumbnail((200, 200))
        small.save(chat, quality=60)
        assert lookalike("search", chat, "--json", "-k", "1").json[0]["path"] == str(disk / name)

    # A camera's rotation does not matter: the upright picture finds it, and calls it the same.
    hammer = lookalike("search", starter / "photos/tool/hammer-1.jpg", "-k", "1")
    assert "same picture" in hammer.out
    assert hammer.out.endswith("rotated.jpg\n")

    # The near-copies of one sunset are the first results.
    sunsets = lookalike("search", disk / "sunset/sunset 5.jpg", "-k", str(COPIES), "--json").json
    assert {Path(hit["path"]).parent.name for hit in sunsets} == {"sunset"}

    # The disk is unplugged, and comes back: nothing is lost, nothing is decoded again.
    disk.rename(tmp_path / "unplugged")
    gone = lookalike("index", disk)
    assert f"{good} missing" in gone.out, gone
    assert lookalike("search", chat, "--json").json == []
    (tmp_path / "unplugged").rename(disk)
    assert f"{good} pictures ({good} unchanged" in lookalike("index", disk).out
    assert lookalike("verify").code == 0


def _index_and_press_ctrl_c(lookalike: Command, disk: Path) -> None:
    with lookalike.start("index", disk) as process:
        assert process.stderr is not None
        first = os.read(process.stderr.fileno(), 4096)  # the first line of progress: the work is under way
        assert b"lookalike: " in first
        process.send_signal(signal.SIGINT)
        try:
            out, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert b"Traceback" not in err, err
    if process.returncode:  # on a fast machine the work may have been done by then
        assert process.returncode == 1
        assert b"run the same command to go on" in err
    else:
        assert b"new" in out
