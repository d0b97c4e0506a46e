"""Pictures that are changed before a network learns from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import ImageError
from lookalike.features.images import decode
from lookalike.training.augment import AUGMENTS, margin
from lookalike.training.pictures import Pictures

FISH = "photos/fish/fish-1.jpg"


@pytest.mark.parametrize("name", ["classic", "modern"])
def test_changed_by_chance_but_not_beyond_recognition(name: str, starter: Path) -> None:
    square = decode(starter / FISH, margin(64))
    plain = AUGMENTS["none"](square, 64, np.random.default_rng(0)).astype(float)
    changed = [AUGMENTS[name](square, 64, np.random.default_rng(seed)) for seed in range(30)]
    assert all(x.shape == (64, 64, 3) and x.dtype == np.uint8 for x in changed)
    assert len({x.tobytes() for x in changed}) == 30
    assert np.array_equal(changed[3], AUGMENTS[name](square, 64, np.random.default_rng(3)))
    mean = np.mean(changed, axis=0)
    assert np.corrcoef(mean.mean(axis=2).ravel(), plain.mean(axis=2).ravel())[0, 1] > 0.3


def test_classic_keeps_the_middle_in_the_middle() -> None:
    square = np.zeros((160, 160, 3), np.uint8)
    square[70:90, 70:90] = 255
    for seed in range(20):
        changed = AUGMENTS["classic"](square, 140, np.random.default_rng(seed))[..., 0].astype(float)
        ys, xs = np.indices(changed.shape)
        middle = np.array([(ys * changed).sum(), (xs * changed).sum()]) / changed.sum()
        assert np.abs(middle - 69.5).max() <= 0.1 * 140 / 0.8 + 1, "shifted by a tenth at most, seen through the zoom"


def test_a_picture_s_changes_depend_on_its_name_and_the_epoch_only(starter: Path) -> None:
    names = [FISH, "photos/fish/fish-2.jpg", "photos/fish/fish-3.jpg"]
    with Pictures(starter, 64, seed=5) as pictures:
        (together,) = pictures.changed([names], "modern", 1)
        alone = [next(pictures.changed([[name]], "modern", 1))[0] for name in names]
        (other,) = pictures.changed([names], "modern", 2)
        assert np.array_equal(together, np.stack(alone))
        assert not np.array_equal(together, other)
        (good, squares, bad), = pictures.plain([FISH, "gone.jpg"], 8)  # fmt: skip
        assert good == [FISH] and list(bad) == ["gone.jpg"]
        assert np.array_equal(squares[0], decode(starter / FISH, 64))
        with pytest.raises(ImageError, match=r"gone\.jpg.*could be read when the work began"):
            list(pictures.changed([["gone.jpg"]], "none", 1))
