"""Features of a folder, in files; and features that somebody brings."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lookalike.data import read_labels, write_labels
from lookalike.errors import FormatError, InputError, LookalikeError, ModelError, UnreadableNowError
from lookalike.features import _source, reading
from lookalike.features.embedder import Embedder
from lookalike.features.extract import extract
from lookalike.features.imported import read_features
from lookalike.features.onnx_import import Described, card_of_file, take_in
from tests.conftest import copy_pictures
from tests.features.tiny import D, tiny

N = 24


@pytest.fixture(scope="module", autouse=True)
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A model that takes no time."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("extract")
        patch.setenv("LOOKALIKE_HOME", str(home / "home"))
        file = tiny(home / "quick.onnx")
        take_in(card_of_file(file, Described("quick")), {"model": file}, calibrating=False)
        yield "quick"


@pytest.fixture
def folder(tmp_path: Path, starter: Path) -> Path:
    return copy_pictures(starter, tmp_path / "pictures")


def test_rows_paths_and_labels_go_together(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    (folder / "notes.txt").write_text("no picture")
    (folder / "a\tb.jpg").write_bytes(b"")
    calls: list[tuple[int, int]] = []
    done = extract(folder, tmp_path / "x.npy", "quick", progress=lambda n, total: calls.append((n, total)))
    x = np.load(done.files[0])
    assert [path.name for path in done.files] == ["x.npy", "x.paths.txt", "x.labels.tsv", "x.json"]
    assert (x.dtype, x.shape) == (np.float32, (N, D))
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-6)
    brought = read_features(done.files[0])
    assert np.array_equal(brought.x, Embedder("quick").embed(list(brought.paths)))
    assert brought.paths == tuple(sorted(brought.paths, key=lambda path: Path(path).parts))
    given = read_labels(folder)
    assert brought.labels == tuple(given[Path(path).relative_to(folder).as_posix()] for path in brought.paths)
    assert {item.path.name for item in done.skipped} == {"broken.jpg", "notes.txt", "a\tb.jpg"}
    assert brought.facts is not None
    assert {Path(path).name: bool(reason) for path, reason in brought.facts.skipped}["broken.jpg"]
    assert calls[-1] == (N + 1, N + 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "pictures",
        "x.json",
        "x.labels.tsv",
        "x.npy",
        "x.paths.txt",
    ]


def test_one_file_holds_the_same(folder: Path, tmp_path: Path) -> None:
    plain = read_features(extract(folder, tmp_path / "x.npy", "quick").files[0])
    done = extract(folder, tmp_path / "x.safetensors", "quick")
    assert done.files == (tmp_path / "x.safetensors",)
    held, brought = load_file(done.files[0]), read_features(done.files[0])
    assert np.array_equal(held["features"], plain.x)
    assert (brought.paths, brought.labels) == (plain.paths, plain.labels)
    raw = np.load(extract(folder, tmp_path / "raw.npy", "quick", raw=True).files[0])
    assert np.allclose(raw, plain.x * held["lengths"][:, None])
    with done.files[0].open("rb") as file:
        assert (8 + int.from_bytes(file.read(8), "little")) % 64 == 0


def test_pooling_is_another_model(folder: Path, tmp_path: Path) -> None:
    done = extract(folder, tmp_path / "x.npy", "quick", "max")
    assert (done.facts.model, done.facts.pooling) == ("quick+max", "max")
    paths = list(read_features(done.files[0]).paths)
    assert np.array_equal(np.load(done.files[0]), Embedder("quick+max").embed(paths))
    with pytest.raises(ModelError, match="expected a pooling of average, max, gem"):
        extract(folder, tmp_path / "y.npy", "quick", "cls")
    assert not list(tmp_path.glob("y*"))


def test_labels_tsv_labels_and_names_what_is_gone(folder: Path, tmp_path: Path) -> None:
    names = sorted(read_labels(folder))
    write_labels(folder, {names[0]: ("a", "b"), "gone.jpg": ("c",)})
    done = extract(folder, tmp_path / "x.npy", "quick")
    labels = read_features(done.files[0]).labels
    assert labels is not None
    assert labels[0] == ("a", "b")
    assert set(labels[1:]) == {()}
    assert "gone.jpg" in {item.path.name for item in done.skipped}


class _Stop(BaseException):
    pass


def _stopped(folder: Path, out: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop after so many pictures, each of which is committed at once."""
    monkeypatch.setattr("lookalike.features.extract._EVERY_ROWS", 1)

    def progress(done: int, total: int) -> None:
        if done == after:
            raise _Stop

    with pytest.raises(_Stop):
        extract(folder, out, "quick", progress=progress)


@pytest.mark.parametrize("damage", ["none", "log cut", "log garbage", "rows cut", "rows longer"])
def test_what_was_begun_is_gone_on_with(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    whole = np.load(extract(folder, tmp_path / "whole.npy", "quick").files[0])
    out = tmp_path / "x.npy"
    _stopped(folder, out, 10, monkeypatch)
    assert not out.exists()
    rows, log = tmp_path / "x.npy.part", tmp_path / "x.npy.part.log"
    if damage == "log cut":
        log.write_bytes(log.read_bytes()[:-5])
    elif damage == "log garbage":
        log.write_bytes(log.read_bytes() + b'["a", {}, 1]\n[1]\n\xff\n')
    elif damage == "rows cut":
        rows.write_bytes(rows.read_bytes()[: 7 * D * 4 + 3])
    elif damage == "rows longer":
        rows.write_bytes(rows.read_bytes() + b"\xff" * 40)
    done = extract(folder, out, "quick")
    assert done.reused == {"log cut": 9, "rows cut": 7}.get(damage, 10)
    assert np.array_equal(np.load(out), whole)
    assert not list(tmp_path.glob("*.part*"))


def test_changed_pictures_are_done_again(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "x.npy"
    _stopped(folder, out, N, monkeypatch)
    first, second, *_ = sorted(folder.rglob("*.jpg"))
    shutil.copy(second, first)
    second.unlink()
    done = extract(folder, out, "quick")
    assert (done.reused, done.facts.n) == (N, N - 1)
    assert np.array_equal(np.load(out), Embedder("quick").embed(sorted(folder.rglob("*.jpg"))))


@pytest.mark.parametrize("large", [False, True])
def test_pictures_that_change_meanwhile(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: bool
) -> None:
    """One changes before it is read, one while it is read, and one cannot be read at first; each row is of what the file holds."""
    if large:
        monkeypatch.setattr(reading, "SMALL", -1)
    before, during, fails, other = sorted(folder.rglob("*.jpg"))[:4]
    expected = other.read_bytes()
    opened, done = reading.open_file, set[Path]()

    def once(path: Path) -> _source.Handle:
        if path == before and path not in done:
            path.write_bytes(expected)
        elif path == fails and path not in done:
            done.add(path)
            raise UnreadableNowError("the disk is busy")
        handle = opened(path)
        if path == during and path not in done:
            path.write_bytes(expected)  # of another size: what was opened is not what is there
        done.add(path)
        return handle

    monkeypatch.setattr(reading, "open_file", once)
    first = extract(folder, tmp_path / "x.npy", "quick")
    monkeypatch.setattr(reading, "open_file", opened)
    assert (first.facts.n, first.skipped) == (N, ())
    brought = read_features(first.files[0])
    assert np.array_equal(brought.x, Embedder("quick").embed(list(brought.paths)))
    assert extract(folder, tmp_path / "x.npy", "quick").was_there  # it is of the pictures as they are now


def test_a_picture_that_cannot_be_read_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, opened, tried = sorted(folder.rglob("*.jpg"))[3], reading.open_file, []

    def refuse(path: Path) -> _source.Handle:
        if path == bad:
            tried.append(path)
            raise UnreadableNowError("the file cannot be opened: Input/output error")
        return opened(path)

    with monkeypatch.context() as patch:
        patch.setattr(reading, "open_file", refuse)
        done = extract(folder, tmp_path / "x.npy", "quick")
    assert (done.facts.n, len(tried)) == (N - 1, 2)
    assert [item.path for item in done.skipped] == [bad]
    assert done.skipped[0].reason == "the file cannot be opened: Input/output error"
    with pytest.raises(
        InputError, match="--replace"
    ):  # it is not the result of these pictures, of which there are more
        extract(folder, tmp_path / "x.npy", "quick")
    assert extract(folder, tmp_path / "x.npy", "quick", replacing=True).facts.n == N


def test_a_write_that_fails_leaves_the_old_file(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "x.safetensors"
    out.write_bytes(b"mine")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lookalike.features.vectorfile._write_rows", full)
        with pytest.raises(OSError, match="No space"):
            extract(folder, out, "quick", replacing=True)
    assert out.read_bytes() == b"mine"
    assert extract(folder, out, "quick").reused == N


def test_what_is_there_is_kept_or_replaced_as_said(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.npy"
    assert not extract(folder, out, "quick").was_there
    assert extract(folder, out, "quick").was_there
    for again in ({"pooling": "max"}, {"raw": True}):
        with pytest.raises(InputError, match="say --replace"):
            extract(folder, out, "quick", **again)  # type: ignore[arg-type]
    next(iter(sorted(folder.rglob("*.jpg")))).unlink()
    with pytest.raises(InputError, match="say --replace"):
        extract(folder, out, "quick")
    assert extract(folder, out, "quick", replacing=True).facts.n == N - 1
    out.with_suffix(".json").unlink()
    with pytest.raises(InputError, match="holds something else already"):
        extract(folder, out, "quick")


def test_two_at_once_and_other_work(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "x.npy"

    def progress(done: int, total: int) -> None:
        if done == 5:
            with pytest.raises(InputError, match="another process"):
                extract(folder, out, "quick")

    extract(folder, out, "quick", progress=progress)
    _stopped(folder, tmp_path / "y.npy", 3, monkeypatch)
    with pytest.raises(InputError, match="work on other features"):
        extract(folder, tmp_path / "y.npy", "quick", "max")
    assert (tmp_path / "y.npy.part.log").exists()
    assert extract(folder, tmp_path / "y.npy", "quick", "max", replacing=True).reused == 0


@pytest.mark.parametrize(
    ("where", "out", "words"),
    [
        ("nowhere", "x.npy", "there is nothing"),
        ("empty", "x.npy", "expected pictures, got none"),
        ("broken", "x.npy", "none that can be read"),
        ("pictures", "x.csv", "ends in .npy or .safetensors"),
        ("pictures", "no/such/x.npy", "there is no folder"),
    ],
)
def test_what_cannot_be_done_leaves_nothing(folder: Path, tmp_path: Path, where: str, out: str, words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.jpg").write_bytes(b"no")
    with pytest.raises(LookalikeError, match=words):
        extract(tmp_path / where, tmp_path / out, "quick")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "empty", "pictures"]


def test_names_that_are_not_utf8_survive(tmp_path: Path, starter: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9.jpg")
    shutil.copy(starter / "photos/fish/fish-20.jpg", folder / name)
    for out in ("x.npy", "x.safetensors"):
        assert read_features(extract(folder, tmp_path / out, "quick").files[0]).paths == (str(folder / name),)


# --- brought by somebody ---------------------------------------------------------------------------------------------


@pytest.fixture
def brought(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", np.eye(3, 4, dtype=np.float32))
    (tmp_path / "list.txt").write_bytes(b"\xef\xbb\xbfcats/a.jpg\r\ncats/b.jpg\r\nc.jpg")
    return tmp_path / "x.npy"


def test_a_list_gives_paths_and_labels(brought: Path) -> None:
    paths = brought.with_name("list.txt")
    assert read_features(brought, paths).labels is None
    assert read_features(brought, paths).paths == ("cats/a.jpg", "cats/b.jpg", "c.jpg")
    assert read_features(brought, paths, "folders").labels == (("cats",), ("cats",), ())
    each = brought.with_name("labels.txt")
    each.write_text("cat\n\nother\n")
    assert read_features(brought, paths, each).labels == (("cat",), (), ("other",))
    each.write_text("a.jpg\tcat;small\ncats/b.jpg\tcat\n")
    assert read_features(brought, paths, each).labels == (("cat", "small"), ("cat",), ())


def test_other_kinds_of_files(tmp_path: Path) -> None:
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    (tmp_path / "list.txt").write_text("a\nb\nc\n")
    (tmp_path / "x.fvecs").write_bytes(np.hstack([np.full((3, 1), 4, "<i4").view("<f4"), x]).tobytes())
    save_file({"embeddings": x}, tmp_path / "x.safetensors")
    for name in ("x.fvecs", "x.safetensors"):
        assert np.array_equal(read_features(tmp_path / name, tmp_path / "list.txt").x, x)
    save_file({"a": x, "b": x}, tmp_path / "two.safetensors")
    with pytest.raises(FormatError, match="one named 'features', got a, b"):
        read_features(tmp_path / "two.safetensors", tmp_path / "list.txt")


@pytest.mark.parametrize(
    ("lines", "labels", "words"),
    [
        (None, None, "say --paths LIST.txt"),
        ("a\nb\n", None, "expected 3 lines, one for each vector, got 2"),
        ("a\n\nc\n", None, "line 2: expected text"),
        ("a\nb\nc\n", "x\ny\n", "labels: expected 3 lines, one for each vector, got 2"),
        ("a\nb\nc\n", "d\tcat\n", "none of the 3 pictures is named"),
        ("a\nb\nc\n", "../d\tcat\n", "line 1: expected a path inside"),
    ],
)
def test_lists_that_do_not_match(brought: Path, lines: str | None, labels: str | None, words: str) -> None:
    paths, labelled = brought.with_name("paths.txt"), brought.with_name("labels.txt")
    paths.write_text(lines or "")
    labelled.write_text(labels or "")
    with pytest.raises((InputError, FormatError), match=words):
        read_features(brought, None if lines is None else paths, None if labels is None else labelled)


@pytest.mark.parametrize("name", ["x.npy", "x.safetensors", "x.fvecs", "x.pickle", "none.npy"])
def test_files_that_are_no_vectors(tmp_path: Path, name: str) -> None:
    (tmp_path / "list.txt").write_text("a\n")
    if name != "none.npy":
        (tmp_path / name).write_bytes(b"\x80\x04\x95 what a pickle begins with")
    with pytest.raises((InputError, FormatError)):
        read_features(tmp_path / name, tmp_path / "list.txt")


def test_vectors_that_are_not_those_of_their_facts(folder: Path, tmp_path: Path) -> None:
    out = extract(folder, tmp_path / "x.npy", "quick").files[0]
    np.save(out, np.load(out)[:5])
    with pytest.raises(FormatError, match=f"expected {N} vectors with d={D}"):
        read_features(out)
    out.with_suffix(".json").write_text(json.dumps({"format": "lookalike-features", "version": 1}))
    with pytest.raises(InputError, match="say --paths"):
        read_features(out)
