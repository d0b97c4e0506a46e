"""Wide features of real pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.errors import DatasetError
from lookalike.features.embedder import Embedder
from lookalike_bench.pooled import CROPS, WHOLE, MaxAndAverage, pooled_features


@pytest.fixture(scope="module")
def files(starter: Path) -> list[Path]:
    return sorted((starter / "photos" / "fish").glob("*.jpg"))[:8]


def test_average_is_the_models_own_and_maximum_lies_above(files: list[Path]) -> None:
    model = MaxAndAverage()
    features = model.of(files[0], WHOLE)
    assert features is not None
    assert (features.dtype, features.shape, model.d) == (np.float32, (2560,), 2560)
    average, maximum = features[:1280], features[1280:]
    own = Embedder().embed(files[:1])[0]
    assert average @ own / np.linalg.norm(average) > 0.995  # decoded at another size first
    assert (maximum >= average).all()
    assert (maximum[average > 0] > average[average > 0]).all()
    assert (maximum[average == 0] == 0).all()
    assert maximum.max() <= 6  # ReLU6


def test_crops_are_parts_and_bad_files_none(files: list[Path], tmp_path: Path) -> None:
    model = MaxAndAverage()
    whole, crop = model.of(files[0], WHOLE), model.of(files[0], CROPS[0])
    assert whole is not None
    assert crop is not None
    cosine = whole @ crop / np.linalg.norm(whole) / np.linalg.norm(crop)
    assert 0.5 < cosine < 0.999
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    assert model.of(tmp_path / "bad.jpg", WHOLE) is None
    assert model.of(tmp_path / "missing.jpg", WHOLE) is None


def test_base_and_queries_come_from_different_pictures(files: list[Path], tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    paths = [*files[:4], tmp_path / "bad.jpg", *files[4:]]
    base, queries = pooled_features(paths, rows=15, queries=2)
    assert base.shape == (15, 2560)
    assert queries.shape == (2, 2560)
    model = MaxAndAverage()
    whole = [model.of(path, WHOLE) for path in files]
    asked, others = (0, 4), (1, 2, 3, 5, 6, 7)
    for i, number in enumerate(asked):
        assert np.array_equal(queries[i], whole[number])
    for i, number in enumerate(others):
        assert np.array_equal(base[i], whole[number])
        assert np.array_equal(base[6 + i], model.of(files[number], CROPS[0]))
    assert np.array_equal(base[12], model.of(files[1], CROPS[1]))


def test_too_few_pictures(files: list[Path]) -> None:
    with pytest.raises(DatasetError, match=r"2 of 2 could be read, which give 7 rows"):
        pooled_features(files[:2], rows=8, queries=1)
    with pytest.raises(DatasetError, match="need more pictures"):
        pooled_features(files[:2], rows=1, queries=2)
