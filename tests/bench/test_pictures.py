"""Vectors made of pictures: which ones, and reduced how."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.data.vectors import synthetic
from lookalike.errors import DatasetError
from lookalike_bench import pictures


def test_made_up_vectors_are_the_same_each_time() -> None:
    a, b = (synthetic(500, 10, 16) for _ in range(2))
    assert np.array_equal(a[0], b[0])
    assert np.array_equal(a[1], b[1])
    assert (a[0].shape, a[1].shape) == ((500, 16), (10, 16))


def test_reducing_keeps_the_directions_of_largest_variance() -> None:
    x, xq = synthetic(40, 5, 60)
    few, few_q = pictures.reduced(x, xq, 39)  # all that 40 centred vectors span
    gram = (x - x.mean(axis=0)) @ (x - x.mean(axis=0)).T
    np.testing.assert_allclose(few @ few.T, gram, atol=1e-2 * np.abs(gram).max())
    assert few_q.shape == (5, 39)
    many, _ = pictures.reduced(np.tile(x, (2, 1)), xq, 8)  # by the covariance: the same directions
    np.testing.assert_allclose(np.abs(many[:40]), np.abs(few[:, :8]), atol=1e-2 * np.abs(few).max())
    assert (np.diff(many.var(axis=0)) <= 0).all()
    with pytest.raises(DatasetError, match="at least 41 vectors"):
        pictures.reduced(x, xq, 41)


def test_pictures_are_found_in_an_order_of_their_own(starter: Path, tmp_path: Path) -> None:
    fish, hats = starter / "photos" / "fish", starter / "drawings" / "hat"
    (tmp_path / "notes.txt").write_text("no picture")
    one = pictures.find_pictures([fish, tmp_path, hats])
    assert [name for name, _ in one] == [name for name, _ in pictures.find_pictures([hats, fish])]
    assert len(one) == len(list(fish.iterdir())) + len(list(hats.iterdir()))
