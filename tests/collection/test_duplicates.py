"""Groups of the same picture, against comparing every pair; what was decided stays decided."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection, duplicates
from lookalike.collection.duplicates import Group, Marks, least_cosine, marked
from lookalike.collection.models import own_vectors
from lookalike.collection.records import Progress
from lookalike.errors import IdError, InputError
from lookalike.features.cards import Calibration
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


def by_definition(x: np.ndarray, least: float) -> list[set[int]]:
    """Each picture joins the first earlier leader that it is like enough."""
    groups: dict[int, set[int]] = {}
    for i in range(len(x)):
        leader = next((j for j in groups if x[i] @ x[j] >= least), i)
        groups.setdefault(leader, set()).add(i + 1)
    return sorted((group for group in groups.values() if len(group) > 1), key=lambda g: (-len(g), min(g)))


@pytest.mark.parametrize(("block", "leaders"), [(2048, 8192), (16, 8)])
def test_groups_are_those_of_every_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int, leaders: int
) -> None:
    monkeypatch.setattr(duplicates, "BLOCK", block)
    monkeypatch.setattr(duplicates, "LEADERS", leaders)
    x = clouds()
    with Collection.create(tmp_path / "c") as collection:
        collection.add_vectors(x, [f"{i}.jpg" for i in range(len(x))])
        stored = np.stack([collection.vectors([i + 1])[0] for i in range(len(x))])
        seen: list[Progress] = []
        found = collection.duplicates(95, seen.append)
        expected = by_definition(stored, 0.95)
        assert sorted(map(sorted, ids(found))) == sorted(map(sorted, expected))
        assert len(expected) > 20
        assert seen[-1].done == seen[-1].total == 300
        for group in found:
            first = group.copies[0].entry.id
            for copy in group.copies[1:]:
                cosine = stored[first - 1] @ stored[copy.entry.id - 1]
                assert copy.similarity == pytest.approx(100 * cosine, abs=1e-3)


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
