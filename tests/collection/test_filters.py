"""Filters: what the catalogue says passes, against what the files are."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lookalike as la
from lookalike.collection import Collection
from lookalike.collection.catalog.filters import Filter
from lookalike.collection.records import Pace
from lookalike.collection.take_in.scan import Scan
from lookalike.errors import InputError
from tests.collection.fake import FakeEmbedder, pictures

PICTURES = {  # name: width, height, day
    "sea/a.png": (80, 40, "2020-02-28"),
    "sea/cold/b.png": (40, 80, "2020-02-29"),
    "seaside/c.png": (40, 40, "2020-03-01"),
    "d.png": (42, 40, "2021-01-01"),
}


@pytest.fixture
def filled(collection: Collection, tmp_path: Path, embedder: FakeEmbedder) -> Collection:
    root = tmp_path / "pictures"
    for seed, (name, (width, height, day)) in enumerate(PICTURES.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(pixels).save(path)
        when = datetime.fromisoformat(f"{day}T23:59:59").timestamp()
        os.utime(path, (when, when))
    collection.add(root)
    collection.add_vectors(np.ones((1, collection.model.d)), ["elsewhere.jpg"], model=collection.model.name)
    return collection


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (Filter(labels=("sea",)), "ab"),
        (Filter(labels=("sea/cold/",)), "b"),
        (Filter(labels=("sea/cold", "seaside")), "bc"),
        (Filter(labels=("se",)), ""),
        (Filter(labels=("%",)), ""),
        (Filter(after="2020-02-29"), "bcd"),
        (Filter(before="2020-02-29"), "ab"),
        (Filter(after="2020-02-29", before="2020-02-29"), "b"),
        (Filter(after="0001-01-02", before="2500-01-01"), "abcd"),
        (Filter(after="2500-01-01"), ""),
        (Filter(shape="landscape"), "a"),
        (Filter(shape="portrait"), "b"),
        (Filter(shape="square"), "cd"),
        (Filter(min_side=43), "ab"),
        (Filter(max_side=42), "cd"),
        (Filter(labels=("sea",), shape="portrait", min_side=80), "b"),
    ],
)
def test_a_filter_lets_pass_what_it_says(filled: Collection, wanted: Filter, expected: str) -> None:
    ids = filled.matching(wanted)
    assert sorted(filled.entry(int(id)).path.stem for id in ids) == list(expected)
    found = filled.search(filled.find(filled.entry(1).path), k=10, allow=ids)
    assert {hit.id for hit in found} == set(ids.tolist()) - {1}


def test_no_filter_lets_everything_pass(filled: Collection) -> None:
    assert filled.matching(Filter()).tolist() == filled.ids().tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"after": "yesterday"},
        {"before": "2020-02-30"},
        {"before": "9999-12-31"},
        {"after": "20200101"},
        {"min_side": -1},
        {"max_side": 2**31},
        {"shape": "round"},
    ],
)
def test_what_no_picture_can_be_is_refused(filled: Collection, wrong: dict[str, object]) -> None:
    name = next(iter(wrong))
    with pytest.raises(InputError, match=f"{name}: expected"):
        filled.matching(Filter(**wrong))  # type: ignore[arg-type]


def test_thousands_of_labels_are_one_filter(collection: Collection) -> None:
    n = 1900
    labels = [f"shelf/{at:05}" if at % 3 else f"Régal/{at:05}" for at in range(n)]
    x = np.ones((n, collection.model.d), np.float32)
    collection.add_vectors(x, [f"{at}.jpg" for at in range(n)], labels=labels, model=collection.model.name)
    everything = collection.ids()
    for wanted in (
        labels,
        labels[1::3],
        labels[:401],
        labels[:51],
        [*labels[1::3], *(f"nowhere/{at}" for at in range(9000))],
    ):
        found = collection.matching(Filter(labels=tuple(wanted)))
        assert found.tolist() == [int(everything[at]) for at in range(n) if labels[at] in set(wanted)]
    both = collection.matching(Filter(labels=(*labels[1::3], "Régal")))
    assert both.tolist() == [int(everything[at]) for at in range(n) if at % 3 != 2]
    assert len(collection.matching(Filter(labels=tuple(labels), min_side=1))) == 0
    assert len(collection.matching(Filter(labels=("nowhere",) * 5000))) == 0


def test_thousands_of_damaged_ranges_are_looked_up(collection: Collection, folder: Path) -> None:
    paths = pictures(folder, 6)
    collection.add(folder)
    with collection._catalog.write() as connection:
        hurt = [
            int(connection.execute("SELECT feature FROM entries WHERE id = ?", (at,)).fetchone()[0]) for at in (2, 5)
        ]
        far = [(10_000 + 3 * at, 10_001 + 3 * at) for at in range(5000)]
        scan = Scan(connection, collection.path, [*far, *((each, each) for each in hurt)])
        scan.choose([folder])
        scan.run(Pace(None))
        todo = {os.fsdecode(path) for (path,) in connection.execute("SELECT path FROM todo")}
    assert todo == {str(collection.entry(at).path) for at in (2, 5)}
    assert scan.unchanged == len(paths) - 2


def test_the_old_place_of_the_filter_warns() -> None:
    with pytest.warns(DeprecationWarning, match=r"use lookalike\.Filter"):
        from lookalike.collection.filters import Filter as Old
    assert Old is la.Filter
