"""Measuring a collection on its own pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike import Collection
from lookalike.errors import FormatError, ImageError, InputError, ModelError
from lookalike.quality.sheet import write_contact_sheet
from tests.collection.fake import FakeEmbedder, picture, pictures


@pytest.fixture
def clusters(tmp_path: Path) -> Collection:
    """Twelve vectors in three folders; the last of "c" lies among the "a"."""
    corners = np.eye(3)[[0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 0]]
    x = corners + np.random.default_rng(0).uniform(0, 0.05, corners.shape)
    collection = Collection.create(tmp_path / "mine.lookalike")
    collection.add_vectors(x, [f"{at}.jpg" for at in range(12)], [*"aaaabbbbcccc"], model="mine")
    return collection


def test_what_lies_together_is_found_and_what_does_not_is_named(clusters: Collection) -> None:
    measured = clusters.evaluate()
    assert (measured.pictures, measured.labels, measured.queries, measured.left_out) == (12, 3, 12, 0)
    assert measured.labelled["b"] == {
        "pictures": 4,
        "p_at_1": 1.0,
        "p_at_5": 0.6,
        "p_at_10": 0.3,
        "map": 1.0,
        "recall_at_1": pytest.approx(1 / 3),
        "recall_at_5": 1.0,
        "recall_at_10": 1.0,
    }
    assert measured.labelled["c"]["p_at_1"] == 0.75
    assert ("c", "a", 1) in measured.confusions
    assert measured.overall["cosine"]["map"] > measured.by_label["cosine"]["map"] - 0.2
    assert measured.worst[0].path.name == "11.jpg"
    assert measured.worst[0].labels == ("c",)
    assert measured.worst[0].nearest[0][1] is False
    assert measured.nearer_within("cosine") == measured.nearer_within("euclidean") == 1.0
    assert json.loads(json.dumps(measured.to_dict(), allow_nan=False))["separation"]["b"]["cosine"]["nearer_within"]


def test_dot_and_euclidean_are_of_the_vectors_as_they_were_brought(tmp_path: Path) -> None:
    # By cosine 0 finds 1, and 2 finds 3. By dot product all like 3 most, which is long; by distance it is too far for 2.
    x = np.array([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [40.0, 50.0]])
    with Collection.create(tmp_path / "mine.lookalike") as collection:
        collection.add_vectors(x, [f"{at}.jpg" for at in range(4)], [*"aabb"], model="mine")
        overall = collection.evaluate().overall
    assert overall["cosine"]["p_at_1"] == 1.0
    assert overall["dot"]["p_at_1"] == 0.5
    assert overall["euclidean"]["p_at_1"] == 0.75


def test_a_file_of_labels_may_give_several_and_leaves_the_others_out(clusters: Collection, tmp_path: Path) -> None:
    file = tmp_path / "labels.tsv"
    file.write_text("0.jpg\tx;y\n1.jpg\tx\n4.jpg\ty\n5.jpg\ty;z\n", encoding="utf-8")
    measured = clusters.evaluate(file)
    assert (measured.pictures, measured.labels, measured.left_out) == (4, 2, 8)
    assert measured.labelled["y"]["pictures"] == 3
    assert clusters.evaluate({"0.jpg": ["x"], "1.jpg": ["x"], "4.jpg": ["y"], "5.jpg": ["y"]}).overall["cosine"][
        "p_at_1"
    ] == pytest.approx(1.0)


def test_labels_tsv_in_the_folder_that_was_indexed_is_what_folders_means(collection: Collection, folder: Path) -> None:
    pictures(folder / "inside", 4)
    (folder / "labels.tsv").write_text(
        "".join(f"inside/{seed:04d}.jpg\t{'odd' if seed % 2 else 'even'}\n" for seed in range(4)), encoding="utf-8"
    )
    collection.add(folder)
    assert set(collection.evaluate().labelled) == {"odd", "even"}
    (folder / "labels.tsv").write_text("not a line\n", encoding="utf-8")
    with pytest.raises(FormatError, match="line 1"):
        collection.evaluate()


def test_queries_can_be_fewer_than_pictures(clusters: Collection) -> None:
    assert clusters.evaluate(queries=5).queries == 5


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"0.jpg": ["a"], "1.jpg": ["a"]}, "two or more"),
        ({"0.jpg": ["a"], "4.jpg": ["b"]}, "at least 2 pictures each"),
        ({"elsewhere.jpg": ["a"]}, "none of the collection's 12 pictures"),
        ("no such file", "there is no file no such file"),
    ],
)
def test_labels_that_cannot_be_measured_with(clusters: Collection, labels: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        clusters.evaluate(labels)  # type: ignore[arg-type]


def test_an_empty_collection_and_pictures_without_folders_are_named(collection: Collection, folder: Path) -> None:
    with pytest.raises(InputError, match="empty"):
        collection.evaluate()
    pictures(folder, 3)
    collection.add(folder)
    with pytest.raises(InputError, match="index the folder above"):
        collection.evaluate()


def test_vectors_made_elsewhere_cannot_be_spoilt(clusters: Collection) -> None:
    with pytest.raises(ModelError, match="made elsewhere"):
        clusters.evaluate(duplicates=2)


def test_spoilt_copies_look_for_their_picture(collection: Collection, folder: Path) -> None:
    for seed in range(6):
        picture(folder / "ab"[seed % 2] / f"{seed}.jpg", seed)
    shutil.copy(folder / "a/0.jpg", folder / "a/equal.jpg")  # stands for the original
    collection.add(folder)
    seen: list[str] = []
    found = collection.evaluate(duplicates=4, progress=lambda progress: seen.append(progress.phase)).duplicates
    assert found is not None
    assert found.pictures == 4
    assert found.by_way["JPEG, quality 30"] == found.by_way["brighter by 40 %"] == 1.0
    assert found.by_way["rotated by 90°"] < 1  # the stand-in for the model compares pixels
    assert found.success_at_1 == pytest.approx(sum(found.by_way.values()) / 20)
    assert {"ranking", "spoiling"} <= set(seen)
    shutil.rmtree(folder)
    with pytest.raises(InputError, match="unplugged or moved"):
        collection.evaluate(duplicates=1)


def test_a_picture_that_cannot_be_spoilt_is_passed_over(
    collection: Collection, folder: Path, embedder: FakeEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(6):
        picture(folder / "ab"[seed % 2] / f"{seed}.jpg", seed)
    collection.add(folder)
    plain, calls = embedder.embed, []

    def once_failing(copies: list[object]) -> object:
        calls.append(len(copies))
        if len(calls) == 1:
            raise ImageError("the model finds nothing in the picture")
        return plain(copies)

    monkeypatch.setattr(embedder, "embed", once_failing)
    found = collection.evaluate(duplicates=2).duplicates
    assert found is not None
    assert (found.pictures, calls) == (2, [20, 20, 20])


def test_the_contact_sheet_shows_each_query_and_frames_what_it_found(
    collection: Collection, folder: Path, tmp_path: Path
) -> None:
    for seed in range(8):
        picture(folder / "ab"[seed % 2] / f"{seed}.jpg", seed)
    collection.add(folder)
    worst = collection.evaluate().worst
    (folder / "a/0.jpg").unlink()  # drawn grey
    write_contact_sheet(worst, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"
        columns = 1 + len(worst[0].nearest)
        assert sheet.size == (10 + columns * 138, 10 + len(worst) * 156)
        for row, query in enumerate(worst):
            for column, is_right in enumerate([None, *(right for _, right in query.nearest)]):
                wanted = {None: (0x4A, 0x6F, 0xA5), True: (0x2E, 0x7D, 0x32), False: (0xC6, 0x28, 0x28)}[is_right]
                assert sheet.getpixel((10 + column * 138, 10 + row * 156)) == wanted
    assert [file.name for file in tmp_path.iterdir() if file.name.endswith(".part")] == []
