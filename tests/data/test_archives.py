"""Archives that mean no good, and good ones."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lookalike.data.archives import MAX_HEADER, unpack
from lookalike.errors import FormatError

KEEP = r"top/(.+\.jpg)"


def member(
    name: str, data: bytes = b"picture", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    header = tarfile.TarInfo(name)
    header.type, header.linkname, header.size, header.mode = kind, link, len(data), 0o4777
    return header, data


def pack(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as tar:  # type: ignore[call-overload]
        for header, data in members:
            tar.addfile(header, io.BytesIO(data))
    return path


def take(archive: Path, target: Path, inner: str | None = None, max_bytes: int = 10_000_000) -> list[str]:
    target.mkdir()
    count = unpack(archive, target, KEEP, max_bytes=max_bytes, inner=inner)
    found = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert count == len(found)
    return found


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_what_is_wanted_is_taken_and_nothing_else(tmp_path: Path, mode: str) -> None:
    archive = pack(
        tmp_path / "a",
        member("top", b"", tarfile.DIRTYPE),
        member("top/a/1.jpg", b"one"),
        member("./top/b/2.jpg", b"two"),
        member("top/notes.txt"),
        member("other/3.jpg"),
        member("top/link.txt", b"", tarfile.SYMTYPE, "/etc/passwd"),
        member("dev/null", b"", tarfile.CHRTYPE),
        mode=mode,
    )
    assert take(archive, tmp_path / "out") == ["a/1.jpg", "b/2.jpg"]
    assert (tmp_path / "out/a/1.jpg").read_bytes() == b"one"
    assert (tmp_path / "out/a/1.jpg").stat().st_mode & 0o7111 == 0


def test_a_tar_in_a_zip(tmp_path: Path) -> None:
    tar = pack(tmp_path / "tar", member("top/1.jpg"), member("top/2.jpg", bytes(500_000)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as outer:
        outer.writestr("readme", "x")
        outer.write(tar, "in/pictures.tar.gz")
    assert take(tmp_path / "a.zip", tmp_path / "out", "in/pictures.tar.gz") == ["1.jpg", "2.jpg"]
    with pytest.raises(FormatError, match="this version of the archive is not known"):
        take(tmp_path / "a.zip", tmp_path / "2", "in/other.tar.gz")


@pytest.mark.parametrize(
    "name",
    [
        "../out.jpg",
        "top/../../out.jpg",
        "/tmp/out.jpg",
        "top/a/../../../out.jpg",
        "C:/out.jpg",
        "top\\..\\..\\out.jpg",
        "../x",
    ],
)
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / "a", member(name))
    with pytest.raises(FormatError, match="would land outside the folder"):
        take(archive, tmp_path / "out")
    assert not list(tmp_path.rglob("*out.jpg"))


@pytest.mark.parametrize(
    ("kind", "link"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "../../secret"),
        (tarfile.LNKTYPE, "top/1.jpg"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.CHRTYPE, ""),
        (tarfile.BLKTYPE, ""),
        (tarfile.FIFOTYPE, ""),
        (tarfile.DIRTYPE, ""),
    ],
)
def test_what_is_wanted_must_be_a_regular_file(tmp_path: Path, kind: bytes, link: str) -> None:
    archive = pack(tmp_path / "a", member("top/1.jpg"), member("top/2.jpg", b"", kind, link))
    with pytest.raises(
        FormatError, match=r"expected a regular file, 'top/2\.jpg' is a link, a folder, a device or sparse"
    ):
        take(archive, tmp_path / "out")
    assert not (tmp_path / "out" / "2.jpg").exists()


def test_a_file_of_zeros_that_are_not_there_is_refused(tmp_path: Path) -> None:
    header, data = member("top/1.jpg", b"x")
    header.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(1 << 50), "GNU.sparse.name": "top/1.jpg"}
    archive = pack(tmp_path / "a", (header, data))
    with pytest.raises(FormatError, match="or sparse"):
        take(archive, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_names_in_extended_headers_are_looked_at(tmp_path: Path) -> None:
    header, data = member("top/1.jpg")
    header.pax_headers = {"path": "../out.jpg"}
    with tarfile.open(tmp_path / "a", "w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(header, io.BytesIO(data))
    with pytest.raises(FormatError, match="would land outside"):
        take(tmp_path / "a", tmp_path / "out")


def test_a_link_to_a_folder_is_not_written_through(tmp_path: Path) -> None:
    """The link is left out, so that what follows lands in a folder of that name."""
    (tmp_path / "outside").mkdir()
    archive = pack(
        tmp_path / "a", member("top/in", b"", tarfile.SYMTYPE, str(tmp_path / "outside")), member("top/in/1.jpg")
    )
    assert take(archive, tmp_path / "out") == ["in/1.jpg"]
    assert not list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize(
    "names", [("top/1.jpg", "top/1.jpg"), ("top/1.jpg", "top/1.jpg/2.jpg"), ("top/1.jpg/2.jpg", "top/1.jpg")]
)
def test_a_name_that_comes_twice_is_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    archive = pack(tmp_path / "a", *(member(name) for name in names))
    with pytest.raises(FormatError, match="comes twice"):
        take(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["top/1.jpg", "unwanted"])
def test_a_bomb_ends_at_what_was_agreed(tmp_path: Path, name: str) -> None:
    archive = pack(tmp_path / "a", member(name, bytes(20_000_000)))
    assert archive.stat().st_size < 100_000
    with pytest.raises(FormatError, match="expected at most 1 MB unpacked, it holds more"):
        take(archive, tmp_path / "out", max_bytes=1_000_000)


def test_a_header_that_would_fill_the_memory_is_not_read(tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, MAX_HEADER + 1
    with gzip.open(tmp_path / "a", "wb") as file:
        file.write(header.tobuf() + bytes(MAX_HEADER + 512))
    with pytest.raises(FormatError, match="name or attributes take 65,537 bytes"):
        take(tmp_path / "a", tmp_path / "out")


def test_long_names_are_read(tmp_path: Path) -> None:
    name = "/".join(["long"] * 50)
    for number, form in enumerate((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)):
        header, data = member(f"top/{name}/é.jpg")
        with tarfile.open(tmp_path / str(number), "w", format=form) as tar:
            tar.addfile(header, io.BytesIO(data))
        assert take(tmp_path / str(number), tmp_path / f"out{number}") == [f"{name}/é.jpg"]


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flip(data: bytes) -> bytes:
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 0xFF]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize(
    "damage", [_cut, _flip, lambda data: b"", lambda data: b"<html>" * 1000, lambda data: data[:-4]]
)
@pytest.mark.parametrize("zipped", [False, True])
def test_damaged_archives_are_named(tmp_path: Path, damage: Callable[[bytes], bytes], zipped: bool) -> None:
    noise = b"".join(i.to_bytes(2, "little") * (i % 7) for i in range(60_000))
    archive, inner = pack(tmp_path / "tar", member("top/1.jpg", noise)), None
    if zipped:
        inner = "pictures"
        with zipfile.ZipFile(tmp_path / "zip", "w") as outer:
            outer.write(archive, inner)
        archive = tmp_path / "zip"
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(FormatError, match=rf"^{archive.name}"):
        take(archive, tmp_path / "out", inner)
