"""Labels from folders and from files of labels."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lookalike.data.labels import LABELS_FILE, read_labels, write_labels
from lookalike.data.walk import label_of
from lookalike.errors import DatasetError, FormatError


def test_any_folder_is_labelled_by_its_folders(tmp_path: Path) -> None:
    for name in ("cats/siamese/1.jpg", "cats/2.PNG", "3.jpg", "cats/notes.txt", ".hidden/4.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert read_labels(tmp_path) == {"3.jpg": (), "cats/2.PNG": ("cats",), "cats/siamese/1.jpg": ("cats/siamese",)}


def test_the_starter_pictures_have_the_labels_of_their_collection(starter: Path) -> None:
    labels = read_labels(starter)
    assert len(labels) == 349
    assert all(names == (label_of(starter / path, starter),) for path, names in labels.items())


def test_a_file_of_labels_comes_before_the_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "unnamed.jpg").write_bytes(b"")
    text = "path\tlabels\r\na/1.jpg\tperson; dog;person\r\n\r\na/2.jpg\t\r\nb c/ü.jpg\tthe sea\r\n"
    (tmp_path / LABELS_FILE).write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert read_labels(tmp_path) == {"a/1.jpg": ("person", "dog"), "a/2.jpg": (), "b c/ü.jpg": ("the sea",)}


def test_what_is_written_is_read(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9 \\ 1.jpg")
    labels = {"a/1.jpg": ("person", "potted plant"), odd: ("x",), "none.jpg": (), "path": ("labels",)}
    assert write_labels(tmp_path, labels) == tmp_path / LABELS_FILE
    assert read_labels(tmp_path) == labels
    assert [path.name for path in tmp_path.iterdir()] == [LABELS_FILE]


@pytest.mark.parametrize(
    "line",
    ["1.jpg", "1.jpg\ta\tb", "/etc/1.jpg\ta", "../1.jpg\ta", "a/../../1.jpg\ta", "a//1.jpg\ta", "./1.jpg\ta", "\ta"],
)
def test_a_file_that_is_not_of_labels_names_the_line(tmp_path: Path, line: str) -> None:
    (tmp_path / LABELS_FILE).write_text(f"0.jpg\tfine\n{line}\n")
    with pytest.raises(FormatError, match=r"labels\.tsv: line 2: expected a path inside the folder"):
        read_labels(tmp_path)


def test_a_picture_is_labelled_once(tmp_path: Path) -> None:
    (tmp_path / LABELS_FILE).write_text("1.jpg\ta\n1.jpg\tb\n")
    with pytest.raises(FormatError, match=r"line 2: '1\.jpg' is labelled twice"):
        read_labels(tmp_path)


@pytest.mark.parametrize("labels", [{"../a": ["x"]}, {"a\tb": ["x"]}, {"a": ["x;y"]}, {"a": ["x\ny"]}, {"a": [""]}])
def test_what_the_file_cannot_hold_is_not_written(tmp_path: Path, labels: dict[str, list[str]]) -> None:
    with pytest.raises(FormatError, match="cannot hold"):
        write_labels(tmp_path, labels)
    assert not list(tmp_path.iterdir())


def test_a_folder_is_needed(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is nothing"):
        read_labels(tmp_path / "no")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DatasetError, match="there is a file"):
        read_labels(tmp_path / "file")
    (tmp_path / LABELS_FILE).mkdir()
    with pytest.raises(FormatError, match="expected a file of labels"):
        read_labels(tmp_path)
