"""Adding folders: every file met is accounted for, and nothing is decoded twice."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection, Progress
from lookalike.errors import CollectionLockedError, InputError
from lookalike.features.reading import Reader
from tests.collection.fake import FakeEmbedder, picture, pictures


def names(collection: Collection) -> set[str]:
    return {entry.relative for entry in collection.entries(limit=10_000)}


def test_new_pictures_are_found(collection: Collection, folder: Path) -> None:
    paths = pictures(folder, 5)
    report = collection.add(folder)
    assert (report.new, report.changed, report.unchanged, report.removed, report.missing) == (5, 0, 0, 0, 0)
    assert not report.skipped and not report.interrupted
    assert len(collection) == 5
    hits = collection.search(paths[3], k=2)
    assert hits[0].path == paths[3]
    assert hits[0].similarity == pytest.approx(100, abs=0.1)
    assert hits[0].cosine == pytest.approx(1, abs=1e-5)
    assert hits[0].distance <= hits[1].distance


def test_unchanged_folder_decodes_nothing(collection: Collection, folder: Path, embedder: FakeEmbedder) -> None:
    pictures(folder, 10_000 // 100)
    collection.add(folder)
    embedder.decoded.clear()
    report = collection.add(folder)
    assert report.unchanged == 100
    assert report.new == report.changed == report.removed == 0
    assert embedder.decoded == []


def test_unchanged_files_are_not_even_opened(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(folder, 3)
    collection.add(folder)
    monkeypatch.setattr(Reader, "read", lambda _, path: pytest.fail(f"{path} was opened"))
    assert collection.add(folder).unchanged == 3


def test_touched_file_is_not_decoded(collection: Collection, folder: Path, embedder: FakeEmbedder) -> None:
    paths = pictures(folder, 3)
    collection.add(folder)
    before = collection.entry(1)
    embedder.decoded.clear()
    os.utime(paths[0], ns=(1, 1))
    report = collection.add(folder)
    assert (report.unchanged, report.changed, report.new) == (3, 0, 0)
    assert embedder.decoded == []
    after = collection.entry(1)
    assert (after.path, after.mtime_ns) == (before.path, 1)


def test_changed_file_keeps_its_id_and_is_found_anew(
    collection: Collection, folder: Path, embedder: FakeEmbedder
) -> None:
    paths = pictures(folder, 3)
    collection.add(folder)
    embedder.decoded.clear()
    picture(paths[1], 77)
    os.utime(paths[1], ns=(5, 5))
    report = collection.add(folder)
    assert (report.unchanged, report.changed, report.new) == (2, 1, 0)
    assert embedder.decoded == [paths[1]]
    other = picture(folder.parent / "query.jpg", 77)
    hit = collection.search(other, k=1)[0]
    assert hit.path == paths[1]
    assert hit.id == 2
    assert len(collection) == 3


def test_moved_file_keeps_its_id_and_is_not_decoded(
    collection: Collection, folder: Path, embedder: FakeEmbedder
) -> None:
    paths = pictures(folder, 10)
    collection.add(folder)
    embedder.decoded.clear()
    (folder / "cats").mkdir()
    paths[4].rename(folder / "cats" / "tom.jpg")
    report = collection.add(folder)
    assert (report.moved, report.new, report.removed, report.missing) == (1, 0, 0, 0)
    assert embedder.decoded == []
    entry = collection.entry(5)
    assert entry.path == folder / "cats" / "tom.jpg"
    assert entry.label == "cats"


def test_renamed_folder_is_a_move_of_all(collection: Collection, folder: Path, embedder: FakeEmbedder) -> None:
    pictures(folder / "old", 10)
    collection.add(folder)
    ids = collection.ids().tolist()
    embedder.decoded.clear()
    (folder / "old").rename(folder / "new")
    report = collection.add(folder)
    assert (report.moved, report.missing, report.removed) == (10, 0, 0)
    assert embedder.decoded == []
    assert collection.ids().tolist() == ids
    assert collection.labels() == {"new": 10}


def test_equal_contents_are_two_entries_decoded_once(
    collection: Collection, folder: Path, embedder: FakeEmbedder
) -> None:
    picture(folder / "a.jpg", 1)
    picture(folder / "b.jpg", 1)
    picture(folder / "c.jpg", 2)
    assert collection.add(folder).new == 3
    assert len(embedder.decoded) == 2
    picture(folder / "d.jpg", 1)
    assert collection.add(folder).new == 1
    assert len(embedder.decoded) == 2
    hits = collection.search(folder / "a.jpg", k=3)
    assert [hit.relative for hit in hits] == ["a.jpg", "b.jpg", "d.jpg"]
    assert collection.status()["duplicates"] == 2
    assert [hit.relative for hit in collection.search(hits[0].id, k=2)] == ["b.jpg", "d.jpg"]


def test_every_file_is_indexed_or_skipped_with_a_reason(collection: Collection, folder: Path) -> None:
    good = pictures(folder, 4)
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("not a picture")
    (folder / "cut.jpg").write_bytes(good[0].read_bytes()[:200])
    (folder / "notes.txt").write_text("notes")
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere.jpg").symlink_to(folder / "gone.jpg")
    report = collection.add(folder)
    assert report.new == 4
    skipped = {skip.path.name: skip.reason for skip in report.skipped}
    assert set(skipped) == {"empty.jpg", "text.jpg", "cut.jpg", "notes.txt", "loop", "nowhere.jpg"}
    assert all(reason and "\n" not in reason for reason in skipped.values())
    assert {item["path"] for item in collection.status()["skipped"]} == {str(folder / name) for name in skipped}
    again = collection.add(folder)
    assert (again.new, again.unchanged) == (0, 4)
    assert {skip.path.name: skip.reason for skip in again.skipped} == skipped


def test_skipped_file_is_not_tried_again_until_it_changes(
    collection: Collection, folder: Path, embedder: FakeEmbedder
) -> None:
    bad = folder / "bad.jpg"
    bad.write_text("not a picture")
    collection.add(folder)
    embedder.decoded.clear()
    assert len(collection.add(folder).skipped) == 1
    assert embedder.decoded == []
    picture(bad, 1)
    report = collection.add(folder)
    assert (report.new, len(report.skipped)) == (1, 0)
    assert collection.status()["skipped"] == []


def test_skipped_file_is_tried_again_when_more_can_be_read(
    collection: Collection, folder: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "a.heic").write_text("what the installed libraries cannot read")
    collection.add(folder)
    embedder.decoded.clear()
    monkeypatch.setattr("lookalike.collection.take_in.scan.reader_version", lambda: "better")
    monkeypatch.setattr("lookalike.collection.take_in.commit.reader_version", lambda: "better")
    collection.add(folder)
    assert embedder.decoded == [folder / "a.heic"]


def test_skipped_file_that_is_deleted_is_forgotten(collection: Collection, folder: Path) -> None:
    (folder / "bad.jpg").write_text("x")
    collection.add(folder)
    (folder / "bad.jpg").unlink()
    assert collection.add(folder).skipped == ()
    assert collection.status()["skipped"] == []


def test_file_that_becomes_unreadable_moves_to_skipped(collection: Collection, folder: Path) -> None:
    paths = pictures(folder, 3)
    collection.add(folder)
    paths[0].write_text("overwritten")
    report = collection.add(folder)
    assert (report.unchanged, report.removed, len(report.skipped)) == (2, 1, 1)
    assert len(collection) == 2


def test_file_that_vanishes_meanwhile_is_told(collection: Collection, folder: Path) -> None:
    paths = pictures(folder, 6)

    def vanish(progress: Progress) -> None:
        if progress.phase == "embedding":
            paths[5].unlink(missing_ok=True)

    report = collection.add(folder, progress=vanish)
    assert report.new == 5
    assert [skip.path for skip in report.skipped] == [paths[5]]
    assert "vanished" in report.skipped[0].reason
    assert collection.add(folder).skipped == ()


def test_labels_are_folders(collection: Collection, folder: Path) -> None:
    picture(folder / "top.jpg", 0)
    pictures(folder / "cats" / "siamese", 2, first=1)
    pictures(folder / "dogs", 3, first=3)
    collection.add(folder)
    assert collection.labels() == {"": 1, "cats/siamese": 2, "dogs": 3}
    assert [entry.relative for entry in collection.entries(label="dogs", offset=1)] == [
        "dogs/0004.jpg",
        "dogs/0005.jpg",
    ]
    assert collection.ids(label="dogs").tolist() == [entry.id for entry in collection.entries(label="dogs")]


def test_relative_paths_and_home(collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(folder, 2)
    monkeypatch.chdir(folder.parent)
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.setenv("USERPROFILE", str(folder.parent))
    collection.add("pictures")
    report = collection.add("~/pictures")
    assert (report.new, report.unchanged) == (0, 2)
    assert all(entry.path.is_absolute() for entry in collection.entries())
    assert collection.search("pictures/0001.jpg", k=1)[0].path == folder / "0001.jpg"


def test_nested_and_repeated_folders_give_each_file_once(collection: Collection, folder: Path) -> None:
    pictures(folder / "inner", 3)
    picture(folder / "outer.jpg", 9)
    report = collection.add(folder / "inner", folder, folder, folder / "inner")
    assert report.new == len(collection) == 4
    assert collection.add(folder / "inner").unchanged == 3
    assert len(collection) == 4
    assert collection.labels() == {"": 1, "inner": 3}


def test_outer_folder_takes_over_what_was_added_before(collection: Collection, folder: Path) -> None:
    pictures(folder / "inner", 3)
    lone = picture(folder / "lone.jpg", 9)
    collection.add(folder / "inner", lone)
    assert {entry.root for entry in collection.entries()} == {folder / "inner", folder}
    report = collection.add(folder)
    assert (report.new, report.unchanged) == (0, 4)
    assert {entry.root for entry in collection.entries()} == {folder}
    assert collection.labels() == {"": 1, "inner": 3}


def test_folder_reached_through_a_link_is_the_same_folder(collection: Collection, folder: Path) -> None:
    pictures(folder, 3)
    collection.add(folder)
    link = folder.parent / "link"
    link.symlink_to(folder)
    report = collection.add(link)
    assert (report.new, report.unchanged) == (0, 3)


def test_single_files(collection: Collection, folder: Path, embedder: FakeEmbedder) -> None:
    paths = pictures(folder, 4)
    odd = picture(folder / "no-suffix", 50)
    assert collection.add(paths[0], paths[1], odd).new == 3
    assert names(collection) == {"0000.jpg", "0001.jpg", "no-suffix"}
    embedder.decoded.clear()
    assert collection.add(paths[0]).unchanged == 1
    assert collection.add().unchanged == 3
    assert embedder.decoded == []


def test_add_without_folders_looks_at_all_of_them(collection: Collection, tmp_path: Path) -> None:
    pictures(tmp_path / "a", 2)
    pictures(tmp_path / "b", 2, first=10)
    collection.add(tmp_path / "a", tmp_path / "b")
    picture(tmp_path / "b" / "new.jpg", 99)
    report = collection.add()
    assert (report.new, report.unchanged) == (1, 4)


def test_empty_folder(collection: Collection, folder: Path) -> None:
    report = collection.add(folder)
    assert report.indexed == 0
    assert collection.search(np.ones(1280), k=3) == []
    assert len(collection) == 0


def test_folder_that_never_existed_is_refused(collection: Collection, folder: Path) -> None:
    picture(folder / "a.jpg", 1)
    with pytest.raises(InputError, match="no such file or folder"):
        collection.add(folder, folder.parent / "typo")
    assert len(collection) == 0


def test_collection_inside_the_folder_is_not_looked_at(folder: Path, embedder: FakeEmbedder) -> None:
    pictures(folder, 2)
    with Collection.create(folder / "here") as collection:
        report = collection.add(folder)
        assert (report.new, report.skipped) == (2, ())


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_names_that_are_not_utf8_survive(collection: Collection, folder: Path) -> None:
    raw = os.fsencode(folder) + b"/caf\xe9 \xff"
    Path(os.fsdecode(raw)).mkdir()
    path = Path(os.fsdecode(raw)) / os.fsdecode(b"\xfe.jpg")
    picture(path, 1)
    bad = Path(os.fsdecode(raw)) / os.fsdecode(b"\xfd.jpg")
    bad.write_text("x")
    report = collection.add(folder)
    assert report.new == 1
    assert [skip.path for skip in report.skipped] == [bad]
    hit = collection.search(path, k=1)[0]
    assert hit.path == path
    assert hit.path.exists()
    assert os.fsencode(collection.entry(hit.id).label) == b"caf\xe9 \xff"
    assert collection.ids(label=hit.label).tolist() == [hit.id]
    import json

    assert json.loads(json.dumps(hit.to_json()))["path"] == str(path)
    assert json.loads(json.dumps(collection.status()))["skipped"][0]["path"] == str(bad)


def test_progress_tells_phases_and_totals(collection: Collection, folder: Path) -> None:
    pictures(folder, 7)
    (folder / "bad.jpg").write_text("x")
    told: list[Progress] = []
    collection.add(folder, progress=told.append)
    assert [p.phase for p in told if p.phase == "scanning"]
    last = told[-1]
    assert (last.phase, last.done, last.total, last.skipped) == ("embedding", 8, 8, 1)
    assert all(p.done <= p.total for p in told if p.total)


@pytest.mark.parametrize("after", [0, 1, 5, 9])
def test_interrupt_keeps_what_was_done(
    collection: Collection, folder: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    pictures(folder, 10)
    one = embedder._one

    def interrupted(path: Path) -> object:
        if len(embedder.decoded) > after:
            raise KeyboardInterrupt
        return one(path)

    monkeypatch.setattr(embedder, "_one", interrupted)
    report = collection.add(folder)
    assert report.interrupted
    assert report.new == len(collection) == after
    monkeypatch.undo()
    embedder.decoded.clear()
    with pytest.MonkeyPatch.context() as patch:
        from lookalike.collection import models
        from tests.collection.fake import CARD

        patch.setitem(models._embedders, CARD.fingerprint, embedder)
        report = collection.add(folder)
    assert not report.interrupted
    assert (report.new, report.unchanged) == (10 - after, after)
    assert len(embedder.decoded) == 10 - after


def test_failing_callback_loses_nothing(collection: Collection, folder: Path) -> None:
    pictures(folder, 5)

    def fail(progress: Progress) -> None:
        if progress.phase == "embedding" and progress.done:
            raise RuntimeError("the window was closed")

    with pytest.raises(RuntimeError, match="closed"):
        collection.add(folder, progress=fail)
    assert collection.add(folder).indexed == 5


def test_two_threads_cannot_write_at_once(collection: Collection, folder: Path) -> None:
    pictures(folder, 3)
    inside, go_on = threading.Event(), threading.Event()

    def wait(progress: Progress) -> None:
        inside.set()
        go_on.wait(30)

    thread = threading.Thread(target=lambda: collection.add(folder, progress=wait))
    thread.start()
    assert inside.wait(30)
    try:
        with pytest.raises(CollectionLockedError, match="another thread"):
            collection.add(folder)
        with Collection.open(collection.path) as second, pytest.raises(CollectionLockedError, match="writing"):
            second.remove(folder)
    finally:
        go_on.set()
        thread.join()
    assert len(collection) == 3


def test_interrupt_while_indexing_keeps_everything(
    collection: Collection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    paths = pictures(folder, 5)
    monkeypatch.setattr("lookalike.collection.writer.refresh_index", interrupted)
    report = collection.add(folder)
    assert (report.interrupted, report.new) == (True, 5)
    assert len(collection.search(paths[0])) == 5
