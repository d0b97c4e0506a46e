"""Whatever the bytes, there is a picture or an `ImageError`, soon, and in little memory."""

from __future__ import annotations

import contextlib
import io
import os
import random
import struct
import threading
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lookalike.errors import ImageError
from lookalike.features import _decoding
from lookalike.features._source import MAX_FILE_BYTES, MAX_PIXELS
from lookalike.features.images import decode, open_picture, probe, read
from tests.features.pictures import chunk, encoded, png, scene


def reason(source: object) -> str:
    with pytest.raises(ImageError) as caught:
        decode(source, 64)  # type: ignore[arg-type]
    text = str(caught.value)
    assert text and "\n" not in text and len(text) < 250 and text.isprintable()
    return text


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    cases = {
        b"": "empty",
        b"I am not a picture, I am a text.": "text file",
        "Ich bin ein Text über Bäume.".encode(): "text file",
        b"<!DOCTYPE html><html><body>404</body></html>": "web page",
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>': "SVG",
        b'  <svg width="1" height="1"/>': "SVG",
        b"%PDF-1.7\n%\xe2\xe3": "PDF",
        b"%!PS-Adobe-3.0 EPSF-3.0\n": "PostScript",
        b"PK\x03\x04\x14\0": "ZIP",
        b"8BPS\0\x01": "Photoshop",
        b"\0\0\0\x20ftypisom\0\0\0\0": "video",
        b"\0" * 500: "zeros",
        bytes(range(256)): "not a picture",
    }
    path = tmp_path / "photo.jpg"
    for data, words in cases.items():
        path.write_bytes(data)
        assert words in reason(path)
        assert words in reason(data)


def test_places_that_hold_no_picture(tmp_path: Path) -> None:
    assert "no such file" in reason(tmp_path / "gone.jpg")
    assert "folder" in reason(tmp_path)
    assert "file name" in reason("a\0b.jpg")
    assert "expected" in reason(17)
    assert "binary" in reason(io.StringIO("text"))
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    assert "cannot be opened" in reason(tmp_path / "loop.jpg")


def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert "pipe" in reason(tmp_path / "pipe.jpg")
    assert "device" in reason("/dev/zero")


def test_a_pipe_that_took_a_file_s_place_does_not_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "picture.jpg").write_bytes(encoded(scene(), "JPEG"))
    status = (tmp_path / "picture.jpg").stat()
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.setattr(Path, "stat", lambda self, **_: status)
    assert "pipe" in reason(tmp_path / "pipe.jpg")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.jpg"
    path.write_bytes(encoded(scene(), "JPEG"))

    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("lookalike.features._source.open_at_once", refuse)
    assert "permission denied" in reason(path)


def test_a_disk_that_fails_while_it_is_read() -> None:
    class Failing(io.BytesIO):
        def read(self, n: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    assert "Input/output error" in reason(Failing(b"x"))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000"])
def test_truncated_files(kind: str) -> None:
    data = encoded(scene(200, 150), kind)
    assert len(reason(data[: len(data) // 2])) > 10
    assert len(reason(data[:40])) > 10


def test_a_truncated_jpeg_is_said_to_be_cut_short() -> None:
    data = encoded(scene(200, 150), "JPEG")
    assert "cut short" in reason(data[: len(data) * 2 // 3])


def bombs() -> dict[str, bytes]:
    """Files that claim to be far larger than they are."""
    sof = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, 65000, 65000, 3) + b"\x01\x11\0\x02\x11\0\x03\x11\0"
    ifd = [(256, 4, 1, 90_000), (257, 4, 1, 90_000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    tags = b"".join(struct.pack("<HHII", *entry) for entry in [*ifd, (278, 4, 1, 90_000), (279, 4, 1, 10)])
    return {
        "png": png(60_000, 60_000),
        "png, 600 megapixels": png(30_000, 20_000, colour=3, chunks=chunk(b"PLTE", bytes(768))),
        "jpeg": b"\xff\xd8" + sof + b"\xff\xda" + b"\0" * 40,
        "gif": b"GIF89a"
        + struct.pack("<HH", 65535, 65535)
        + b"\0\0\0,"
        + struct.pack("<HHHH", 0, 0, 9, 9)
        + b"\0\x02\0;",
        "gif frame": b"GIF89a\1\0\1\0\0\0\0," + struct.pack("<HHHH", 60000, 60000, 9, 9) + b"\0\x02\x02\x4c\x01\0;",
        "tiff": b"II*\0\x08\0\0\0" + struct.pack("<H", 8) + tags + b"\0" * 4,
        "bmp": b"BM"
        + struct.pack("<IHHI", 60, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 50000, 50000, 1, 24, *[0] * 6),
        "ppm": b"P6 90000 90000 255\n" + b"\0" * 30,
    }


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused_before_they_are_decoded(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.core, "new", lambda *_: pytest.fail("memory was taken for the pixels"))
    monkeypatch.setattr(Image.core, "fill", lambda *_: pytest.fail("memory was taken for the pixels"))
    assert "too large" in reason(bombs()[name])
    with pytest.raises(ImageError):
        open_picture(bombs()[name])
    with pytest.raises(ImageError):
        probe(bombs()[name])


def test_six_hundred_megapixels_say_so() -> None:
    assert "600 megapixels" in reason(png(30_000, 20_000))
    assert MAX_PIXELS < 600_000_000


def test_a_picture_that_would_need_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image.core, "new", lambda *_: pytest.fail("memory was taken for the pixels"))
    assert "MB of memory" in reason(png(15_000, 15_000, colour=6))


def test_a_large_jpeg_needs_little_memory_and_a_progressive_one_more() -> None:
    from lookalike.features._pixels import memory_to_decode

    estimates = []
    for progressive in (False, True):
        picture = Image.open(io.BytesIO(encoded(scene(1600, 1200), "JPEG", progressive=progressive, subsampling=0)))
        picture.draft("RGB", (200, 150))
        estimates.append(memory_to_decode(picture, (1600, 1200)))
    assert estimates[0] == 200 * 150 * 4
    assert estimates[1] == 200 * 150 * 4 + 1600 * 1200 * 6


def test_large_pictures_are_decoded_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_decoding, "LARGE", 1000)
    inside, most, lock = 0, 0, threading.Lock()
    reduced = _decoding.reduced_rgb

    def spy(picture: Image.Image, *rest: Any) -> Image.Image:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(0.01)
        with lock:
            inside -= 1
        return reduced(picture, *rest)

    monkeypatch.setattr(_decoding, "reduced_rgb", spy)
    data = encoded(scene(), "PNG")
    threads = [threading.Thread(target=decode, args=(data, 32)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.write(png(10, 10))
        file.truncate(MAX_FILE_BYTES + 1)  # sparse: takes no room on the disk
    tracemalloc.start()
    assert "too large" in reason(path)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_chunks_that_grow_a_thousandfold() -> None:
    zeros = zlib.compress(bytes(200_000_000), 9)
    for bomb in (
        chunk(b"zTXt", b"k\0\0" + zeros),
        chunk(b"iTXt", b"k\0\1\0\0\0" + zeros),
        chunk(b"iCCP", b"k\0\0" + zeros),
    ):
        tracemalloc.start()
        with contextlib.suppress(ImageError):
            decode(png(2, 2, chunks=bomb, data=b"\0" * 20), 64)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20_000_000


@pytest.mark.parametrize("count", [0xFFFFFFFF, 0x7FFFFFFF, 1 << 20])
def test_tags_that_claim_more_than_the_file_holds(count: int, tmp_path: Path) -> None:
    path = tmp_path / "tags.tif"
    entries = [struct.pack("<HHII", tag, 12, count, 8) for tag in (256, 257, 258, 273, 270, 34675)]
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + b"\0" * 64)
    tracemalloc.start()
    reason(path)
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_pictures_without_pixels() -> None:
    reason(png(0, 5))
    reason(Image.new("RGB", (0, 5)))
    reason(b"P6 0 0 255\n")


SEEDS = {
    "JPEG": encoded(scene(40, 30), "JPEG"),
    "progressive": encoded(scene(40, 30), "JPEG", progressive=True),
    "PNG": encoded(scene(40, 30), "PNG"),
    "PNG palette": encoded(scene(40, 30).quantize(16), "PNG", transparency=3),
    "GIF": encoded(scene(40, 30).quantize(16), "GIF"),
    "WEBP": encoded(scene(40, 30), "WEBP"),
    "TIFF": encoded(scene(40, 30), "TIFF", compression="tiff_lzw"),
    "TIFF raw": encoded(scene(40, 30).convert("F"), "TIFF"),
    "BMP": encoded(scene(40, 30), "BMP"),
    "PPM": encoded(scene(40, 30), "PPM"),
    "JPEG2000": encoded(scene(40, 30), "JPEG2000"),
    "AVIF": encoded(scene(40, 30), "AVIF", speed=10),
}


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), flips=st.integers(0, 12), cut=st.floats(0, 1), header_only=st.booleans())
def test_mutated_bytes_give_a_picture_or_an_image_error(
    name: str, seed: int, flips: int, cut: float, header_only: bool
) -> None:
    rng = random.Random(seed)
    data = bytearray(SEEDS[name])
    for _ in range(flips):
        place = rng.randrange(min(len(data), 80) if header_only else len(data))
        data[place] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))
    if cut < 0.3:
        data = data[: rng.randrange(len(data))]
    try:
        decoded = read(bytes(data), 16)
    except ImageError as error:
        assert str(error) and "\n" not in str(error)
    else:
        assert decoded.pixels.shape == (16, 16, 3)
        assert decoded.width * decoded.height <= MAX_PIXELS


@settings(max_examples=100)
@given(st.binary(max_size=200), st.sampled_from([data[:n] for data in SEEDS.values() for n in (2, 4, 12, 30)]))
def test_random_bytes_behind_a_good_beginning(tail: bytes, head: bytes) -> None:
    try:
        read(head + tail, 16)
    except ImageError as error:
        assert str(error).isprintable()
