"""What the system does not give now is told from what was read and is wrong."""

from __future__ import annotations

import errno
import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from lookalike.errors import ImageError, UnreadableNowError
from lookalike.features import _decoding, _source, images
from lookalike.features.embedder import Embedded, Embedder
from tests.features.pictures import encoded, scene

NUMBERS = [
    errno.EIO,
    errno.ESTALE,
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOMEM,
    errno.EACCES,
    errno.ENOTCONN,
    errno.ENOENT,
]
FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_failing_open_is_not_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(scene(), "PNG"))

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(_source, "open_at_once", refuse)
    with pytest.raises(UnreadableNowError):
        images.read(path, 32)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_failing_read_is_not_damage_whatever_the_decoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(encoded(scene(), kind))
    reads, fails_at = 0, 1 << 30

    class Disk(io.FileIO):
        """Gives a little at a time, so that there are many places to fail at."""

        def readinto(self, buffer: Any, /) -> int | None:
            nonlocal reads
            reads += 1
            if reads > fails_at:
                raise OSError(errno.EIO, "Input/output error")
            return super().readinto(memoryview(buffer)[:512])

    class Raw(_source._Raw, Disk):
        """`_Raw` above such a disk."""

    monkeypatch.setattr(_source, "_Raw", Raw)
    images.read(path, 32)
    for place in range(reads):
        reads, fails_at = 0, place
        with pytest.raises(UnreadableNowError, match="Input/output error"):
            images.read(path, 32)


def test_what_is_read_and_wrong_is_damage(tmp_path: Path) -> None:
    data = encoded(scene(), "TIFF")
    damaged = [b"", b"text", data[: len(data) // 2], b"II*\0\xff\xff\xff\xff" + data[8:], b"\xff\xd8\xff no more"]
    for at, content in enumerate(damaged):
        path = tmp_path / str(at)
        path.write_bytes(content)
        for source in (path, content):
            with pytest.raises(ImageError) as caught:
                images.read(source, 32)
            assert not isinstance(caught.value, UnreadableNowError), content[:8]


def test_too_little_memory_is_not_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(_decoding, "reduced_rgb", none_left)
    with pytest.raises(UnreadableNowError, match="not enough memory"):
        images.read(encoded(scene(), "PNG"), 32)


def test_the_error_survives_a_process(tmp_path: Path) -> None:
    with pytest.raises(UnreadableNowError) as caught:
        images.read(tmp_path / "gone.jpg", 32)
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is UnreadableNowError
    assert str(again) == "there is no such file"


def test_stream_decodes_the_source_of_a_pair_and_not_the_path(tmp_path: Path) -> None:
    embedder = Embedder(threads=2)
    data = encoded(scene(), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    (expected,) = embedder.embed([data])
    with _source.open_file(path) as handle:
        path.unlink()
        path.write_text("something else")
        pairs: list[tuple[Path, object]] = [(path, data), (path, handle), (tmp_path / "none", data)]
        results = list(embedder.stream([*pairs, path]))  # type: ignore[list-item]
        assert not handle.closed
    assert [name for name, _ in results] == [path, path, tmp_path / "none", path]
    for _, result in results[:3]:
        assert isinstance(result, Embedded)
        assert (result.vector == expected).all()
    assert isinstance(results[3][1], ImageError)
