"""A collection that is made again, or put back from a copy, under somebody who reads it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection, home
from lookalike.errors import CollectionNotFoundError

D = 16


def make(path: Path, name: str, seed: int) -> np.ndarray:
    """A collection of five vectors; those made alike count to the same number of changes, and name the same files."""
    x = np.random.default_rng(seed).standard_normal((5, D)).astype(np.float32)
    with Collection.create(path) as made:
        made.add_vectors(x, [f"/{name}/{at}.jpg" for at in range(5)], model="mine")
    return x


def check(reader: Collection, name: str, x: np.ndarray) -> None:
    for at in range(5):
        (hit,) = reader.search(x[at], k=1)
        assert (str(hit.path), round(hit.cosine, 2)) == (f"/{name}/{at}.jpg", 1.0)


def test_made_again_under_a_reader(tmp_path: Path) -> None:
    x = make(tmp_path / "c", "first", 1)
    with Collection.open(tmp_path / "c") as reader:
        check(reader, "first", x)
        home.delete_collection(tmp_path / "c")
        with pytest.raises(CollectionNotFoundError):
            reader.search(x[0])
        y = make(tmp_path / "c", "second", 2)
        check(reader, "second", y)
        assert reader.verify() == []


def test_put_back_from_a_copy_in_place_and_grown_otherwise(tmp_path: Path) -> None:
    """The same UUID, the same number of changes, the same names of files: other contents."""
    x = make(tmp_path / "c", "first", 1)
    shutil.copytree(tmp_path / "c", tmp_path / "copy")
    more = np.random.default_rng(3).standard_normal((2, D)).astype(np.float32)
    for folder, vector in (("c", more[:1]), ("copy", more[1:])):
        with Collection.open(tmp_path / folder) as grown:
            grown.add_vectors(vector, [f"/{folder}.jpg"], model="mine")
    with Collection.open(tmp_path / "c") as reader:
        assert str(reader.search(more[0], k=1)[0].path) == "/c.jpg"
        (tmp_path / "c").rename(tmp_path / "away")
        (tmp_path / "copy").rename(tmp_path / "c")
        (hit,) = reader.search(more[1], k=1)
        assert (str(hit.path), round(hit.cosine, 2)) == ("/copy.jpg", 1.0)
        check(reader, "first", x)
