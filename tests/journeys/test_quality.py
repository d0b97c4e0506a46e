"""How good the answers are, on the starter pictures: the folder is the label."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageOps

from lookalike import Collection

# Every seventeenth or so of all pictures by name, so that nobody chose the easy ones.
QUERIES = [
    "drawings/bird/cigni-bianchi-e-neri-arc-01.jpg",
    "drawings/boat/boating-rules2.jpg",
    "drawings/boat/sailing-capsize3.jpg",
    "drawings/dessert/cone2-ganson.jpg",
    "drawings/flower/flowerandpot-daniel-ste-r.jpg",
    "drawings/fruit/applf.jpg",
    "drawings/hat/blue-fedora.jpg",
    "drawings/hat/sombrero-dave-pena-01.jpg",
    "drawings/insect/farfalla-butterfly-fra1.jpg",
    "drawings/mammal/contour-camel.jpg",
    "drawings/musical-instrument/africandrum-benji-park2.jpg",
    "drawings/vehicle/aircraft-jarno-vasamaa1.jpg",
    "drawings/vehicle/the-mad-little-ship-core-01.jpg",
    "photos/fish/fish-11.jpg",
    "photos/fish/fish-28.jpg",
    "photos/household/knife.jpg",
    "photos/monument/great-wall.jpg",
    "photos/solar-panel/solar-2.jpg",
    "photos/tool/multimeter-2.jpg",
    "photos/windmill/windmill-15.jpg",
]


def _same_folder(collection: Collection, ids: list[int]) -> float:
    """Mean number of results, among the first five, from the query's own folder; the query itself is left out."""
    labels = [collection.entry(id).label for id in ids]
    hits = [[hit.label for hit in collection.search(id, k=5)] for id in ids]
    return sum(row.count(label) for row, label in zip(hits, labels, strict=True)) / len(ids)


def test_three_of_five_share_the_folder(starter_collection: Collection) -> None:
    ids = {entry.relative: entry.id for entry in starter_collection.entries(limit=1000)}
    assert _same_folder(starter_collection, [ids[name] for name in QUERIES]) >= 3


def test_three_of_five_share_the_folder_over_all_pictures(starter_collection: Collection) -> None:
    assert _same_folder(starter_collection, starter_collection.ids().tolist()) >= 3


def _spoil(path: Path, *, crop: float = 0.0, quality: int = 95, mirror: bool = False, side: int | None = None) -> bytes:
    with Image.open(path) as picture:
        width, height = picture.size
        left, top = int(width * crop), int(height * crop)
        spoilt = picture.convert("RGB").crop((left, top, width - left, height - top))
    if mirror:
        spoilt = ImageOps.mirror(spoilt)
    if side is not None:
        spoilt.thumbnail((side, side))
    buffer = io.BytesIO()
    spoilt.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "how",
    [
        {"crop": 0.1},
        {"quality": 15},
        {"mirror": True},
        {"crop": 0.1, "quality": 40, "mirror": True},
        {"side": 120, "quality": 60},
    ],
    ids=["cropped", "recompressed", "mirrored", "all three", "as a chat sends it"],
)
def test_a_spoilt_copy_finds_its_picture(starter_collection: Collection, starter: Path, how: dict[str, float]) -> None:
    first = [starter_collection.search(_spoil(starter / name, **how), k=1)[0].relative for name in QUERIES]  # type: ignore[arg-type]
    found = sum(name == hit for name, hit in zip(QUERIES, first, strict=True))
    assert found >= 18, dict(zip(QUERIES, first, strict=True))
