"""Data sets published as archives, fetched from a server on loopback that has small ones of the same layout."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from lookalike._files import Checksum
from lookalike.data.datasets import DATASETS, DatasetCard
from lookalike.data.labels import read_labels
from lookalike.data.published import fetch, voc_objects
from lookalike.errors import DatasetError, FetchError, FormatError, LookalikeError
from tests.filehost import Answer, FileHost, file_host

CALTECH = {
    "101_ObjectCategories/accordion/image_0001.jpg": b"one",
    "101_ObjectCategories/accordion/image_0002.jpg": b"two",
    "101_ObjectCategories/Faces_easy/image_0001.jpg": b"three",
    "101_ObjectCategories/BACKGROUND_Google/image_0001.jpg": b"four",
    "101_ObjectCategories/BACKGROUND_Google/tmp": b"left behind by its authors",
    "101_ObjectCategories/accordion/._image_0001.jpg": b"a Mac's own notes",
}
OBJECT = "<object><name>{}</name><difficult>{}</difficult><part><name>head</name></part></object>"
VOC = {
    "VOCdevkit/VOC2012/JPEGImages/2008_000008.jpg": b"one",
    "VOCdevkit/VOC2012/JPEGImages/2008_000015.jpg": b"two",
    "VOCdevkit/VOC2012/JPEGImages/2008_000019.jpg": b"three",
    "VOCdevkit/VOC2012/Annotations/2008_000008.xml": "<annotation><filename>../x</filename>{}{}{}</annotation>".format(
        OBJECT.format("person", 0), OBJECT.format("horse", 0), OBJECT.format("person", 0)
    ).encode(),
    "VOCdevkit/VOC2012/Annotations/2008_000015.xml": f"<annotation>{OBJECT.format('bottle', 1)}</annotation>".encode(),
    "VOCdevkit/VOC2012/SegmentationClass/2008_000008.png": b"not a photo",
    "VOCdevkit/VOC2012/ImageSets/Main/train.txt": b"2008_000008\n",
}


def tar_of(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return out.getvalue()


def caltech(files: Mapping[str, bytes] = CALTECH) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as outer:
        outer.writestr(zipfile.ZipInfo("caltech-101/Annotations.tar"), b"outlines")
        outer.writestr(
            zipfile.ZipInfo("caltech-101/101_ObjectCategories.tar.gz"), gzip.compress(tar_of(files), 1, mtime=0)
        )
        outer.writestr(zipfile.ZipInfo("__MACOSX/caltech-101/._101_ObjectCategories.tar.gz"), b"x")
    return out.getvalue()


@pytest.fixture
def host() -> Iterator[FileHost]:
    with file_host() as running:
        yield running


def card(host: FileHost, name: str, body: bytes, checksum: bool = True) -> DatasetCard:
    """The real card, but for where its archive is, how large, and with which checksum."""
    real = DATASETS[name].archive
    assert real is not None
    host.answers["/archive"] = Answer(body)
    published = Checksum("md5", hashlib.md5(body).hexdigest(), "the test") if checksum else None
    archive = dataclasses.replace(real, url=f"{host.url}/archive", size=len(body), checksum=published)
    return dataclasses.replace(DATASETS[name], archive=archive, size=len(body))


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_caltech_is_labelled_by_its_folders_and_its_background_is_not(host: FileHost, tmp_path: Path) -> None:
    said: list[str] = []
    folder = tmp_path / "data" / "caltech101"
    got = fetch(card(host, "caltech101", caltech()), folder, say=said.append)
    assert got == (folder, 4, False)
    pictures = [name.partition("/")[2] for name in CALTECH if name.endswith(("1.jpg", "2.jpg"))]
    assert files_in(folder) == sorted([*(p for p in pictures if "._" not in p), "ATTRIBUTION.txt", "labels.tsv"])
    labels = read_labels(folder)
    assert labels["accordion/image_0002.jpg"] == ("accordion",)
    assert labels["BACKGROUND_Google/image_0001.jpg"] == ()
    assert (folder / "Faces_easy/image_0001.jpg").read_bytes() == b"three"
    assert "CC-BY-4.0" in (folder / "ATTRIBUTION.txt").read_text()
    assert "10.22002/D1.20086" in (folder / "ATTRIBUTION.txt").read_text()
    assert [path.name for path in folder.parent.iterdir()] == ["caltech101"]
    assert any("checked: its MD5 is the one published by the test" in line for line in said)


def test_voc_has_several_labels_a_picture(host: FileHost, tmp_path: Path) -> None:
    folder = tmp_path / "voc2012"
    assert fetch(card(host, "voc2012", tar_of(VOC)), folder).pictures == 3
    assert read_labels(folder) == {
        "JPEGImages/2008_000008.jpg": ("horse", "person"),
        "JPEGImages/2008_000015.jpg": (),
        "JPEGImages/2008_000019.jpg": (),
    }
    assert len(files_in(folder)) == 5


def test_what_is_there_is_not_fetched_again(host: FileHost, tmp_path: Path) -> None:
    folder = tmp_path / "voc2012"
    folder.mkdir()
    fetch(card(host, "voc2012", tar_of(VOC)), folder)  # an empty folder is no obstacle
    host.requests.clear()
    assert fetch(DATASETS["voc2012"], folder) == (folder, 3, True)
    assert not host.requests
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "1.jpg").write_bytes(b"")
    with pytest.raises(DatasetError, match="is not empty and not voc2012; choose a new folder"):
        fetch(DATASETS["voc2012"], tmp_path / "mine")
    with pytest.raises(DatasetError, match=r"1\.jpg is a file; expected a new folder"):
        fetch(DATASETS["voc2012"], tmp_path / "mine" / "1.jpg")


def test_a_cut_connection_is_gone_on_with(host: FileHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    made = card(host, "caltech101", caltech())
    host.answers["/archive"].cut = [100, 0, 0, 0, 0]
    with pytest.raises(FetchError, match=r"or get http://127.* in another way and put it at .*caltech-101\.zip"):
        fetch(made, tmp_path / "caltech101")
    assert files_in(tmp_path) == ["caltech-101.zip.part", "caltech-101.zip.part.json"]
    host.requests.clear()
    assert fetch(made, tmp_path / "caltech101").pictures == 4
    assert host.requests == [("/archive", "bytes=100-")]


def test_an_archive_put_there_by_hand_will_do_and_stays(host: FileHost, tmp_path: Path) -> None:
    made = card(host, "caltech101", caltech())
    (tmp_path / "caltech-101.zip").write_bytes(caltech())
    assert fetch(made, tmp_path / "caltech101").pictures == 4
    assert not host.requests
    assert (tmp_path / "caltech-101.zip").exists()


def test_without_a_published_checksum_it_says_so(host: FileHost, tmp_path: Path) -> None:
    made = card(host, "caltech101", caltech(), checksum=False)
    for number, words in enumerate(
        ("unverified: nobody published a checksum", "checked: the same file as when it was first")
    ):
        said: list[str] = []
        fetch(made, tmp_path / str(number), say=said.append, ledger=tmp_path / "SHA256SUMS")
        assert any(words in line for line in said), said
    host.answers["/archive"] = Answer(caltech()[:-1] + b"\1")
    with pytest.raises(FetchError, match="expected SHA-256"):
        fetch(made, tmp_path / "2", ledger=tmp_path / "SHA256SUMS")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda host: host.answers["/archive"].__setattr__("status", 404), "answered 404 Not Found"),
        (lambda host: host.answers["/archive"].__setattr__("body", b"<html>"), "this is another file"),
        (lambda host: host.answers.__setitem__("/archive", Answer(bytes(len(caltech())))), "expected MD5"),
    ],
)
def test_what_cannot_be_fetched_leaves_nothing(
    host: FileHost, tmp_path: Path, spoil: Callable[[FileHost], None], message: str
) -> None:
    made = card(host, "caltech101", caltech())
    spoil(host)
    with pytest.raises(FetchError, match=message):
        fetch(made, tmp_path / "caltech101")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "files",
    [
        {"other/1.jpg": b""},
        CALTECH | {"../evil.jpg": b"x"},
        CALTECH | {"101_ObjectCategories/zeros": bytes(70 << 20)},
    ],
)
def test_an_archive_that_is_not_as_expected_leaves_no_data_set(
    host: FileHost, tmp_path: Path, files: Mapping[str, bytes]
) -> None:
    made = card(host, "caltech101", caltech(files))
    with pytest.raises(LookalikeError, match=r"caltech-101\.zip"):
        fetch(made, tmp_path / "data" / "caltech101")
    assert files_in(tmp_path) == ["data/caltech-101.zip"]  # so that it can be looked at, and need not be fetched again


def test_stopping_while_unpacking_leaves_the_archive_only(host: FileHost, tmp_path: Path) -> None:
    made = card(host, "caltech101", caltech())
    said: list[str] = []

    def stop(done: int, total: int | None) -> None:
        if any(line.startswith("unpacking") for line in said):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(made, tmp_path / "caltech101", say=said.append, progress=stop)
    assert files_in(tmp_path) == ["caltech-101.zip"]
    host.requests.clear()
    assert fetch(made, tmp_path / "caltech101").pictures == 4
    assert not host.requests


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE a [<!ENTITY x "y">]><annotation><object><name>&x;</name></object></annotation>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><annotation/>',
        "<annotation><object></annotation>",
        "",
        "no xml",
        "x" * (1 << 21),
    ],
)
def test_annotations_are_not_trusted(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(FormatError, match=r"a\.xml: "):
        voc_objects(tmp_path / "a.xml")


def test_only_archives_are_fetched_this_way(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="'stamps' is not published as an archive"):
        fetch(DATASETS["stamps"], tmp_path / "x")
