"""Every file met is found, or skipped with a reason."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lookalike.data.walk import SUFFIXES as REAL
from lookalike.data.walk import Found, Skipped, label_of, walk

SUFFIXES = {".jpg", ".png"}


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * (len(name) + 1))


def outcome(folder: Path) -> dict[str, str]:
    """Relative path to ``"found"`` or the kind of skip."""
    entries = list(walk(folder, SUFFIXES))
    result = {
        entry.path.relative_to(folder).as_posix(): "found" if isinstance(entry, Found) else entry.kind
        for entry in entries
    }
    assert len(result) == len(entries), "a path was met twice"
    return result


def test_pictures_are_found_in_order_with_size_and_time(tmp_path: Path) -> None:
    fill(tmp_path, "b/2.jpg", "b/10.JPG", "a.png", "b.jpg", "c/d/e/f.png")
    os.utime(tmp_path / "a.png", ns=(1, 123_456_789_000))
    entries = list(walk(tmp_path, SUFFIXES))
    assert all(isinstance(entry, Found) for entry in entries)
    assert [entry.path.relative_to(tmp_path).as_posix() for entry in entries] == [
        "a.png",
        "b/10.JPG",
        "b/2.jpg",
        "b.jpg",
        "c/d/e/f.png",
    ]
    assert entries[0] == Found(tmp_path / "a.png", 6, 123_456_789_000)


def test_other_files_are_skipped_and_say_what_they_are(tmp_path: Path) -> None:
    fill(tmp_path, "notes.txt", "scan.pdf", "README", "logo.svg", "raw.CR2", "art.psd", "ok.jpg")
    assert outcome(tmp_path) == {
        "README": "other",
        "art.psd": "format",
        "logo.svg": "format",
        "notes.txt": "other",
        "ok.jpg": "found",
        "raw.CR2": "format",
        "scan.pdf": "other",
    }
    reasons = {entry.path.name: entry.reason for entry in walk(tmp_path, SUFFIXES) if isinstance(entry, Skipped)}
    assert "raw" in reasons["raw.CR2"] and "JPEG" in reasons["raw.CR2"]
    assert "PNG" in reasons["logo.svg"]
    assert ".pdf" in reasons["scan.pdf"]


def test_hidden_and_system_files_are_passed_over_once_each(tmp_path: Path) -> None:
    fill(tmp_path, ".git/a.jpg", ".git/b/c.jpg", "@eaDir/t.jpg", "Thumbs.db", ".DS_Store", "._x.jpg", "x.jpg")
    assert outcome(tmp_path) == {
        ".git": "hidden",
        "@eaDir": "hidden",
        "Thumbs.db": "hidden",
        ".DS_Store": "hidden",
        "._x.jpg": "hidden",
        "x.jpg": "found",
    }


def test_a_hidden_folder_that_is_named_is_walked(tmp_path: Path) -> None:
    fill(tmp_path, ".cache/a.jpg")
    assert outcome(tmp_path / ".cache") == {"a.jpg": "found"}


def test_a_file_that_is_named_is_found_whatever_its_name(tmp_path: Path) -> None:
    fill(tmp_path, ".odd")
    (found,) = walk(tmp_path / ".odd", SUFFIXES)
    assert isinstance(found, Found) and found.size == 5


def test_a_missing_folder_is_told_from_an_empty_one(tmp_path: Path) -> None:
    assert outcome(tmp_path) == {}
    (skipped,) = walk(tmp_path / "gone", SUFFIXES)
    assert isinstance(skipped, Skipped) and skipped.kind == "missing"
    (skipped,) = walk("no\0name", SUFFIXES)
    assert isinstance(skipped, Skipped) and skipped.kind == "folder"


def test_loops_end_and_no_file_comes_twice(tmp_path: Path) -> None:
    root = tmp_path / "root"
    fill(root, "a/1.jpg", "b/2.jpg")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(".")
    (root / "b" / "above").symlink_to(tmp_path)
    (root / "b" / "sibling").symlink_to(root / "a")
    (root / "round").symlink_to("round")
    assert outcome(root) == {
        "a/1.jpg": "found",
        "a/self": "link",
        "a/up": "link",
        "b/2.jpg": "found",
        "b/above": "link",
        "b/sibling": "link",
        "round": "link",
    }


def test_folders_that_link_to_each_other_are_walked_once_each(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for i in range(12):  # 2**12 paths through them
        fill(tmp_path, f"d{i}/p.jpg")
        (tmp_path / f"d{i}" / "x").symlink_to(tmp_path / f"d{(i + 1) % 12}")
        (tmp_path / f"d{i}" / "y").symlink_to(tmp_path / f"d{(i + 1) % 12}")
    (root / "in").symlink_to(tmp_path / "d0")
    assert sum(isinstance(entry, Found) for entry in walk(root, SUFFIXES)) == 12


def test_links_to_elsewhere_are_followed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    fill(tmp_path, "disk/1.jpg", "disk/deep/2.jpg", "one.png", "root/.store/3.jpg")
    (root / "link").symlink_to(tmp_path / "disk")
    (root / "one.png").symlink_to(tmp_path / "one.png")
    (root / "shown").symlink_to(".store")
    (root / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    assert outcome(root) == {
        ".store": "hidden",
        "link/1.jpg": "found",
        "link/deep/2.jpg": "found",
        "nowhere.jpg": "link",
        "one.png": "found",
        "shown/3.jpg": "found",
    }


def test_a_folder_linked_twice_and_its_own_subfolder(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    fill(tmp_path, "disk/1.jpg", "disk/deep/2.jpg")
    (root / "a").symlink_to(tmp_path / "disk" / "deep")
    (root / "b").symlink_to(tmp_path / "disk")
    (root / "c").symlink_to(tmp_path / "disk")
    assert outcome(root) == {"a/2.jpg": "found", "b/1.jpg": "found", "b/deep": "link", "c": "link"}


def test_pipes_and_sockets_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        assert outcome(tmp_path) == {"pipe.jpg": "special", "socket.jpg": "special"}


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    name = b"caf\xe9.jpg"
    (tmp_path / os.fsdecode(name)).write_bytes(b"12345")
    fill(tmp_path, "фото.jpg", "写真 1.jpg", "-rf.jpg", "new\nline.jpg")
    found = {os.fsencode(entry.path.name): entry for entry in walk(tmp_path, SUFFIXES)}
    assert set(found) == {name, *(n.encode() for n in ("фото.jpg", "写真 1.jpg", "-rf.jpg", "new\nline.jpg"))}
    assert found[name].path.read_bytes() == b"12345"


def test_a_file_that_vanishes_while_the_folder_is_read(tmp_path: Path) -> None:
    fill(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    walking = walk(tmp_path, SUFFIXES)
    assert isinstance(next(walking), Found)
    (tmp_path / "b.jpg").unlink()
    skipped, found = walking
    assert isinstance(skipped, Skipped) and skipped.kind == "file" and "vanished" in skipped.reason
    assert isinstance(found, Found)


def test_a_folder_that_cannot_be_read_is_reported_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, "a/1.jpg", "locked/2.jpg", "z/3.jpg")
    scandir = os.scandir

    def refuse(path: os.PathLike[str]) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert outcome(tmp_path) == {"a/1.jpg": "found", "locked": "folder", "z/3.jpg": "found"}


def test_folders_nested_deeper_than_python_can_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = "/".join(["d"] * 400)
    fill(tmp_path, f"{deep}/p.jpg")
    frames, frame = 0, sys._getframe()
    while frame is not None:
        frames, frame = frames + 1, frame.f_back
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(frames + 200)
    try:
        entries = list(walk(tmp_path, SUFFIXES))
    finally:
        sys.setrecursionlimit(limit)
    assert [entry.path.name for entry in entries] == ["p.jpg"]


@pytest.mark.parametrize(
    ("path", "root", "label"),
    [
        ("/p/cats/1.jpg", "/p", "cats"),
        ("/p/cats/siamese/1.jpg", "/p", "cats/siamese"),
        ("/p/1.jpg", "/p", ""),
        ("/p/1.jpg", "/p/1.jpg", ""),
        ("/elsewhere/1.jpg", "/p", ""),
    ],
)
def test_label_is_the_folder_below_the_root(path: str, root: str, label: str) -> None:
    assert label_of(path, root) == label


HEADS = {
    "JPEG": b"\xff\xd8\xff\xe0",
    "PNG": b"\x89PNG\r\n\x1a\n",
    "WebP": b"RIFF\0\0\0\0WEBPVP8 ",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1",
    "AVIF": b"\0\0\0\x1cftypmif1\0\0\0\0avifmiaf",
    "BMP": b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0",
    "PPM": b"P6\n# a comment\n640 480\n255\n",
}


def put(folder: Path, name: str, head: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + bytes(300))
    return path


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
@pytest.mark.parametrize(
    "name", ["IMG_1", "photo.jpg_large", "photo.jpg-orig", "photo.jxl", "x.unknown", "a.bak", "a.b c"]
)
def test_pictures_are_known_by_their_content_whatever_their_names(tmp_path: Path, name: str, head: bytes) -> None:
    put(tmp_path, name, head)
    assert outcome(tmp_path) == {name: "found"}


@pytest.mark.parametrize(
    "name", ["a.jfif", "a.jpe", "a.jif", "a.mpo", "a.avifs", "a.heics", "A.JPG ", "a.jpg. ", "a.PNG "]
)
def test_names_of_pictures(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    assert [type(item) for item in walk(tmp_path, REAL)] == [Found]


def test_pictures_that_are_not_read_are_named(tmp_path: Path) -> None:
    put(tmp_path, "codestream.jxl", b"\xff\x0a")
    put(tmp_path, "IMG_2", b"\0\0\0\x0cJXL \r\n\x87\n")
    put(tmp_path, "scan.tga", b"\0\0\2")
    put(tmp_path, "art", b"8BPS\0\1")
    put(tmp_path, "raw", b"FUJIFILMCCD-RAW ")
    reasons = {item.path.name: item.reason for item in walk(tmp_path, REAL) if isinstance(item, Skipped)}
    assert all(item.kind == "format" for item in walk(tmp_path, REAL) if isinstance(item, Skipped))
    assert reasons["codestream.jxl"].startswith("JPEG XL (.jxl): not read")
    assert reasons["IMG_2"].startswith("JPEG XL: not read")
    assert reasons["scan.tga"].startswith("Targa (.tga): not read")
    assert reasons["art"].startswith("Photoshop: not read")
    assert reasons["raw"].startswith("camera raw (Fujifilm): not read")


def test_what_looks_a_little_like_a_picture_is_none(tmp_path: Path) -> None:
    put(tmp_path, "letter", b"BM wrote to me")
    put(tmp_path, "poem", b"P6 and other stories")
    put(tmp_path, "two", b"\xff\x0a")
    put(tmp_path, "film", b"\0\0\0\x18ftypisom\0\0\0\0mp42")
    assert set(outcome(tmp_path).values()) == {"other"}


def opened_by(walking: Iterator[Found | Skipped], monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], dict[str, str]]:
    """Names of the files that a walk opens, and kinds of what it yields."""
    opened: list[str] = []
    really = os.open

    def spy(path: str | Path, flags: int, *rest: int) -> int:
        opened.append(Path(path).name)
        return really(path, flags, *rest)

    monkeypatch.setattr(os, "open", spy)
    found = {item.path.name: "found" if isinstance(item, Found) else item.kind for item in walking}
    monkeypatch.undo()
    return opened, found


def test_only_files_whose_names_say_nothing_are_opened_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["lookalike.data.walk"], "_VAIN", 5)
    fill(tmp_path, *(f"m/{i:02}" for i in range(20)), "a.jpg", "b.txt", "c.mp4", "d.cr2", "e.zip")
    put(tmp_path, "n/00", HEADS["PNG"])
    (tmp_path / "empty").touch()
    for i in range(9):
        put(tmp_path, f"n/{i + 1:02}", HEADS["PNG"] if i % 4 == 0 else b"text")
    opened, found = opened_by(walk(tmp_path, REAL), monkeypatch)
    assert opened == ["00", "01", "02", "03", "04", *(f"{i:02}" for i in range(10))]
    assert [name for name, kind in found.items() if kind == "found" and "." not in name] == ["00", "01", "05", "09"]


def test_a_file_that_cannot_be_looked_into_is_not_said_to_be_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "locked", HEADS["JPEG"])

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    (skipped,) = walk(tmp_path, REAL)
    assert isinstance(skipped, Skipped) and skipped.kind == "file" and "permission denied" in skipped.reason
