"""Spoilt copies are what their names say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lookalike.features.images import open_picture
from lookalike.features.spoil import BATTERY, SPOILERS


@pytest.fixture
def picture(starter: Path) -> Image.Image:
    return open_picture(starter / "photos/windmill/windmill-12.jpg")


def test_the_battery_has_twenty_ways_and_each_changes_the_picture_the_same_way_twice(picture: Image.Image) -> None:
    assert len(BATTERY) == len(set(BATTERY)) == 20
    before = picture.tobytes()
    for name in BATTERY:
        first, second = SPOILERS[name](picture), SPOILERS[name](picture)
        assert first.mode == "RGB", name
        assert first.tobytes() == second.tobytes(), name
        assert first.size != picture.size or first.tobytes() != before, name
    assert picture.tobytes() == before


@pytest.mark.parametrize(("name", "share"), [("crop to 75 %", 0.75), ("crop to 50 %", 0.5), ("crop to 25 %", 0.25)])
def test_a_crop_keeps_that_share_of_the_area(picture: Image.Image, name: str, share: float) -> None:
    w, h = SPOILERS[name](picture).size
    assert w * h / (picture.width * picture.height) == pytest.approx(share, abs=0.01)


def test_mirrored_twice_is_the_picture_and_grey_has_no_colour(picture: Image.Image) -> None:
    assert SPOILERS["mirrored"](SPOILERS["mirrored"](picture)).tobytes() == picture.tobytes()
    grey = np.asarray(SPOILERS["grey"](picture))
    assert (grey == grey[..., :1]).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (7, 3)])
def test_tiny_pictures_can_be_spoilt_too(size: tuple[int, int]) -> None:
    for name in BATTERY:
        assert min(SPOILERS[name](Image.new("RGB", size, "red")).size) >= 1, name
