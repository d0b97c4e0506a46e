"""Groups of the same picture, against comparing every pair; what was decided stays decided."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection
from lookalike.collection.models import own_vectors
from lookalike.collection.records import Progress
from lookalike.curate.groups import Group
from lookalike.curate.marks import Marks, marked
from lookalike.errors import IdError, InputError
from lookalike.features.cards import Calibration, least_cosine
from tests.collection.fake import FakeEmbedder, pictures


def ids(groups: list[Group]) -> list[set[int]]:
    return [{copy.entry.id for copy in group.copies} for group in groups]


def clouds(n: int = 300, spread: float = 0.03) -> np.ndarray:
    """Unit vectors around 60 directions, and some that belong nowhere."""
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((60, 32))
    x = centres[rng.integers(0, 60, n)] / np.sqrt(32) + spread * rng.standard_normal((n, 32))
    x[::7] = rng.standard_normal((len(x[::7]), 32))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_groups_are_those_of_every_pair(tmp_path: Path) -> None:
    x = clouds()
    with Collection.create(tmp_path / "c") as collection:
        collection.add_vectors(x, [f"{i}.jpg" for i in range(len(x))])
        stored = np.stack([collection.vectors([i + 1])[0] for i in range(len(x))])
        seen: list[Progress] = []
        found = collection.duplicates(95, seen.append)
        reached = stored.astype(np.float64) @ stored.T.astype(np.float64) >= 0.95
        group_of = {id: at for at, group in enumerate(ids(found)) for id in group}
        pairs = np.argwhere(np.triu(reached, 1)) + 1
        assert len(pairs) > 200
        assert all(group_of[i] == group_of[j] for i, j in pairs.tolist())
        assert set(group_of) == set(pairs.ravel().tolist()), "and nobody who is like nobody"
        assert len(found) > 20
        assert seen[-1].done == seen[-1].total == 300
        for group in found:
            _check_parts(group, stored, 95)


def _check_parts(group: Group, stored: np.ndarray, limit: float) -> None:
    rows = [copy.entry.id - 1 for copy in group.copies]
    assert group.least == pytest.approx(100 * (stored[rows] @ stored[rows].T).min(), abs=1e-3)
    assert group.is_chain == (group.least < limit)
    assert [copy.part for copy in group.copies] == sorted(copy.part for copy in group.copies)
    firsts = {copy.part: copy for copy in reversed(group.copies)}
    for copy in group.copies:
        first = firsts[copy.part]
        cosine = stored[first.entry.id - 1] @ stored[copy.entry.id - 1]
        assert copy.similarity == pytest.approx(100 * cosine, abs=1e-3)
        assert copy.similarity >= limit


def test_a_chain_is_one_group_in_parts_that_says_how_far_its_ends_are(tmp_path: Path) -> None:
    """Of four pictures each is like the next; a greedy search loses one, or shows one under a picture that it is not like."""
    angle = np.radians([0, 20, 40, 60])  # cosines to the next: 0.94, to the one after it 0.77
    with Collection.create(tmp_path / "c") as collection:
        collection.add_vectors(np.c_[np.cos(angle), np.sin(angle), 0 * angle], [f"{i}.jpg" for i in range(4)])
        (group,) = collection.duplicates(93)
        assert ids([group]) == [{1, 2, 3, 4}]
        assert [(copy.entry.id, copy.part) for copy in group.copies] == [(1, 0), (2, 0), (3, 1), (4, 1)]
        assert [copy.similarity for copy in group.copies] == pytest.approx([100, 93.97, 100, 93.97], abs=0.02)
        assert group.least == pytest.approx(50, abs=0.1)
        assert group.is_chain
        (group,) = collection.duplicates(49)
        assert not group.is_chain
        assert [copy.part for copy in group.copies] == [0, 0, 0, 0]


def test_the_work_can_be_cancelled(tmp_path: Path) -> None:
    with Collection.create(tmp_path / "c") as collection:
        collection.add_vectors(clouds(), [f"{i}.jpg" for i in range(300)])
        with pytest.raises(KeyboardInterrupt):
            collection.duplicates(95, cancelled=lambda: True)

        def stop(progress: Progress) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            collection.duplicates(95, stop)
        assert collection.duplicates(95, cancelled=lambda: False), "nothing half done was remembered"


@pytest.mark.parametrize("at", [0.93215, 0.9, -0.25, 0.999999, 1.0])
def test_the_least_cosine_is_the_first_that_is_enough(at: float) -> None:
    card = replace(own_vectors("mine", 8), calibration=Calibration((-1.0, at, 1.5), (0.0, 90.0, 100.0), "here"))
    least = np.float32(least_cosine(card, 90.0))
    assert card.similarity(float(least)) >= 90 - 1e-9
    assert card.similarity(float(np.nextafter(least, np.float32(-1)))) < 90 - 1e-9
    never = replace(card, calibration=Calibration((-1.0, 1.001), (0.0, 100.0), "here"))
    assert least_cosine(never, 99.99) == math.inf, "not even of a picture and itself"


def test_copies_are_a_group_and_the_largest_file_is_what_stays(
    collection: Collection, tmp_path: Path, embedder: FakeEmbedder
) -> None:
    one, two, _three = pictures(tmp_path / "p", 3)
    shutil.copy(one, tmp_path / "p/copy.jpg")
    (tmp_path / "p/longer.jpg").write_bytes(one.read_bytes() + bytes(100))  # the same pixels, another file
    collection.add(tmp_path / "p")
    (group,) = collection.duplicates()
    assert {copy.entry.path.name for copy in group.copies} == {one.name, "copy.jpg", "longer.jpg"}
    assert [copy.similarity for copy in group.copies] == pytest.approx([100, 100, 100])
    assert group.copies[0].entry.path.name == "longer.jpg"
    assert group.spare_bytes == 2 * one.stat().st_size
    assert two.exists()


def test_links_are_no_copies(collection: Collection, tmp_path: Path, embedder: FakeEmbedder) -> None:
    """A symbolic link and a hard link of one file: who keeps the first and deletes the rest must not lose the picture."""
    folder = tmp_path / "p"
    real, other, single = pictures(folder, 3)
    (folder / "0000-soft.jpg").symlink_to(real)
    (folder / "0000-hard.jpg").hardlink_to(real)
    (folder / "a-link-sorted-first.jpg").symlink_to(real)
    (folder / "single-soft.jpg").symlink_to(single)
    links = [folder / "0000-soft.jpg", folder / "0000-hard.jpg", folder / "a-link-sorted-first.jpg"]
    collection.add(*links, folder / "single-soft.jpg")  # by their names: a walk passes links over
    collection.add(real, other, single)
    assert collection.duplicates() == [], "names of one file are no copies"
    copy = shutil.copy(real, folder / "9-copy.jpg")
    collection.add(copy)
    (group,) = collection.duplicates()
    assert len(group.copies) == 5
    assert group.links == 3
    assert group.spare_bytes == real.stat().st_size, "of one of two files"
    spare = [copy for copy in group.copies if copy.takes_space]
    assert group.copies[0] in spare
    assert not group.copies[0].entry.path.is_symlink()
    assert {copy.is_link for copy in spare} == {False}
    (file,) = (copy.entry.id for copy in spare if copy.entry.path != Path(tmp_path, "p/9-copy.jpg"))
    assert {copy.link_of for copy in group.copies if not copy.takes_space} == {file}
    assert {copy.entry.path for copy in group.copies if copy.is_link} == {links[0], links[2]}
    for copy in group.copies[1:]:
        copy.entry.path.unlink()
    assert group.copies[0].entry.path.stat().st_size > 0


def test_a_folder_reached_by_two_ways_holds_no_copies(
    collection: Collection, tmp_path: Path, embedder: FakeEmbedder
) -> None:
    pictures(tmp_path / "z-real", 2)
    (tmp_path / "a-way").symlink_to(tmp_path / "z-real")
    collection.add(tmp_path / "a-way/0000.jpg", tmp_path / "z-real/0000.jpg")
    assert len(collection) == 2
    assert collection.duplicates() == []
    shutil.copy(tmp_path / "z-real/0000.jpg", tmp_path / "copy.jpg")
    collection.add(tmp_path / "copy.jpg")
    (group,) = collection.duplicates()
    assert group.links == 1
    assert {copy.entry.path.name: copy.takes_space for copy in group.copies if "a-way" in str(copy.entry.path)} == {
        "0000.jpg": False
    }


def test_decisions_are_remembered(collection: Collection, tmp_path: Path, embedder: FakeEmbedder) -> None:
    one, *_ = pictures(tmp_path / "p", 2)
    shutil.copy(one, tmp_path / "p/copy.jpg")
    collection.add(tmp_path / "p")
    (group,) = collection.duplicates()
    first, second = (copy.entry.id for copy in group.copies)
    collection.mark_duplicates([second], "keep")
    collection.mark_duplicates([first, second], "ignore")
    with Collection.open(collection.path) as again:
        (group,) = again.duplicates()
        assert group.ignored
        assert [copy.kept for copy in group.copies] == [False, True]
    shutil.copy(one, tmp_path / "p/another.jpg")
    collection.add(tmp_path / "p")
    assert not collection.duplicates()[0].ignored, "a new copy brings the group back"
    collection.mark_duplicates([first, second], "reset")
    assert not any(copy.kept for copy in collection.duplicates()[0].copies)


def test_marks() -> None:
    marks = marked(marked(Marks(), [1, 2], "ignore"), [2, 1, 3], "ignore")
    assert marks.ignored == (frozenset({1, 2, 3}),)
    assert marks.ignores([1, 3])
    assert not marks.ignores([1, 4])
    assert marked(marks, [3], "reset").ignored == ()


def test_what_cannot_be_is_refused(collection: Collection) -> None:
    for wrong in (0, 101, float("nan")):
        with pytest.raises(InputError, match="similarity: expected"):
            collection.duplicates(wrong)
    with pytest.raises(IdError, match="7"):
        collection.mark_duplicates([7], "keep")
    assert collection.duplicates() == []
