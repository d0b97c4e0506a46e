"""What is learnt from, what is held back, and data sets from which nothing can be learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.data import write_labels
from lookalike.errors import DatasetError
from lookalike.training.labelled import read_folder, split


def _labels(**counts: int) -> dict[str, tuple[str, ...]]:
    return {f"{label}/{number}.jpg": (label,) for label, n in counts.items() for number in range(n)}


def test_every_label_is_learnt_from_and_held_back() -> None:
    parts = split("somewhere", _labels(cat=10, dog=5, owl=3, one=1), share=0.3)
    assert parts.left_out == 1 and parts.groups.names == ("cat", "dog", "owl")
    names = np.array([name.partition("/")[0] for name in parts.names])
    held = names[parts.held].tolist()
    assert {label: held.count(label) for label in ("cat", "dog", "owl")} == {"cat": 3, "dog": 2, "owl": 0}
    assert not set(parts.held) & set(parts.learnt) and len(parts.held) + len(parts.learnt) == 18
    assert set(parts.watched) | set(parts.checked) == set(range(len(parts.held)))
    assert not set(parts.watched) & set(parts.checked)


def test_the_same_seed_gives_the_same_parts() -> None:
    labels = _labels(cat=20, dog=20)
    one, same, other = (split("x", labels, seed=seed) for seed in (1, 1, 2))
    assert one.digest == same.digest != other.digest


def test_several_labels() -> None:
    labels = _labels(cat=8, dog=8) | {f"both/{n}.jpg": ("cat", "dog") for n in range(4)}
    parts = split("x", labels, share=0.5)
    for members in parts.groups.members:
        assert len(np.intersect1d(members, parts.held)) >= 2
        assert len(np.intersect1d(members, parts.learnt)) >= 2


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (_labels(cat=9), "only 'cat' has"),
        (_labels(cat=9, dog=1, owl=1), "2 with a single picture: 'dog', 'owl'"),
        (_labels(cat=1, dog=1), "two or more labels"),
        (_labels(cat=3, dog=3), "four pictures or more"),
    ],
)
def test_nothing_to_learn(labels: dict[str, tuple[str, ...]], words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        split("folder", labels)


def test_labels_that_do_not_match(pictures: Path, tmp_path: Path) -> None:
    labels, absent = read_folder(pictures)
    assert len(labels) == 24 and not absent
    write_labels(pictures, {"photos/fish/fish-1.jpg": ("fish",), "gone.jpg": ("fish",)})
    labels, absent = read_folder(pictures)
    assert list(labels) == ["photos/fish/fish-1.jpg"] and absent == 1
    write_labels(pictures, {"fish-1.jpg": ("fish",)})
    with pytest.raises(DatasetError, match=r"none of the 1 pictures that it names.*'fish-1.jpg'"):
        read_folder(pictures)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="found none"):
        read_folder(tmp_path / "empty")
    with pytest.raises(DatasetError, match="there is nothing"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(DatasetError, match="no picture has a label"):
        read_folder(pictures / "photos" / "windmill")
