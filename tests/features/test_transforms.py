"""Transforms: what they do to vectors, their files, and their map to similarity."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lookalike.errors import DimensionError, FormatError, InputError, ModelError, VersionError
from lookalike.features.adapt import all_together, within_scatter
from lookalike.features.metrics import group
from lookalike.features.models import MODELS, Calibration, get_model
from lookalike.features.transforms import (
    Transform,
    load_transform,
    read_transform,
    refit,
    rooted,
    save_transform,
    shipped_transform,
)

PLAIN = Calibration((0.0, 0.5, 1.0), (0.0, 50.0, 100.0), "by hand")


def _unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def transform() -> Transform:
    rng = np.random.default_rng(0)
    projection = rng.standard_normal((6, 3)).astype(np.float32)
    return Transform("a test", "abc", rng.uniform(0, 0.1, 6).astype(np.float32), projection, PLAIN, about={"n": 3})


def test_a_transform_roots_centres_projects_and_scales(transform: Transform) -> None:
    x = _unit(np.random.default_rng(1).standard_normal((9000, 6)))
    x[17] = 0
    y = transform.apply(x)
    for at in (0, 1, 4095, 4096, 8999):
        z = np.sign(x[at]) * np.abs(x[at]) ** 0.5
        slow = (z / np.linalg.norm(z) - transform.mean) @ transform.projection
        assert np.allclose(y[at], slow / np.linalg.norm(slow), atol=1e-5)
    assert y.shape == (9000, 3)
    assert not y[17].any()  # a damaged row stays like nothing
    plain = replace(transform, roots=False).apply(x[:1])
    slow = (x[0] - transform.mean) @ transform.projection
    assert np.allclose(plain[0], slow / np.linalg.norm(slow), atol=1e-5)


def test_a_transform_comes_back_from_its_file_and_no_other(transform: Transform, tmp_path: Path) -> None:
    file = tmp_path / "t.safetensors"
    sha256 = save_transform(transform, file)
    back = load_transform(file, sha256)
    assert (back.kind, back.model, back.roots, back.calibration, back.about) == (
        transform.kind,
        transform.model,
        transform.roots,
        transform.calibration,
        transform.about,
    )
    assert np.array_equal(back.projection, transform.projection)
    assert np.array_equal(back.mean, transform.mean)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(FormatError, match="checksum"):
        load_transform(file, sha256)
    with pytest.raises(FormatError, match="cannot be read"):
        load_transform(tmp_path / "none")


def test_files_that_are_no_transforms_are_refused(transform: Transform, tmp_path: Path) -> None:
    file = tmp_path / "t.safetensors"
    save_transform(transform, file)
    whole, tensors = file.read_bytes(), load_file(file)
    for cut in (0, 7, 8, 100, len(whole) - 1):
        with pytest.raises(FormatError):
            read_transform(whole[:cut])
    save_file(tensors, file)
    with pytest.raises(FormatError, match="not a transform"):
        load_transform(file)
    with pytest.raises(VersionError, match="newer"):
        read_transform(whole.replace(b'"version":"1"', b'"version":"9"'))
    with pytest.raises(FormatError):
        read_transform(whole.replace(b"similarities", b"similaritieZ"))
    for odd, error in (
        (replace(transform, mean=transform.mean[:5]), DimensionError),
        (replace(transform, mean=transform.mean * np.float32(np.nan)), FormatError),
    ):
        save_transform(odd, file)
        with pytest.raises(error):
            load_transform(file)


def test_the_words_keep_their_share_of_pairs() -> None:
    rng = np.random.default_rng(2)
    before = np.clip(rng.normal(0.3, 0.2, 50_000), -1, 1)
    after = before**3 / 2  # the order of pairs is the same, the numbers are not
    moved = refit(PLAIN, before, after)
    card = MODELS["efficientnet-lite0"]
    old, new = replace(card, calibration=PLAIN), replace(card, calibration=moved)
    for least in (1e-6, 50.0):
        assert np.mean(new.similarity(after) >= least) == pytest.approx(
            np.mean(old.similarity(before) >= least), abs=2e-3
        )
    assert new.similarity(1.0) == 100.0
    assert moved.similarities == PLAIN.similarities


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_the_map_ascends_even_where_all_pairs_are_equal(value: float) -> None:
    moved = refit(MODELS["efficientnet-lite0"].calibration, np.linspace(0, 1, 1000), np.full(1000, value))
    assert np.all(np.diff(moved.cosines) > 0)
    assert moved.cosines[-1] <= 1.0


def test_within_scatter_is_the_mean_of_what_differs_from_the_labels_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    from lookalike.features import adapt

    monkeypatch.setattr(adapt, "BLOCK_ROWS", 7)
    x = _unit(np.abs(np.random.default_rng(3).standard_normal((40, 5))))
    labels = [["a"] if at % 3 else ["a", "b"] if at % 2 else ["c"] for at in range(40)]
    labels[39] = ["alone"]
    rows = np.arange(3, 40)
    found = within_scatter(x, group(labels), rows)
    z, slow, count = rooted(x), np.zeros((5, 5)), 0
    for name in ("a", "b", "c", "alone"):
        own = z[[at for at in rows if name in labels[at]]].astype(np.float64)
        slow += (own - own.mean(axis=0)).T @ (own - own.mean(axis=0))
        count += len(own)
    assert np.allclose((found.vectors * found.values) @ found.vectors.T, slow / count, atol=1e-6)
    assert np.allclose(found.mean, z[rows].mean(axis=0), atol=1e-6)
    # Fully whitened, what differs within labels differs as much in every direction.
    white = found.whitening(0.0)
    inside = white.T @ (slow / count) @ white
    assert np.allclose(inside, np.eye(5) * inside[0, 0], atol=1e-3 * inside[0, 0])


def test_one_label_for_everything_is_pca() -> None:
    x = _unit(np.abs(np.random.default_rng(4).standard_normal((50, 6))))
    found = within_scatter(x, all_together(50), np.arange(50))
    z = rooted(x).astype(np.float64)
    assert np.allclose(found.total, np.cov(z.T, bias=True), atol=1e-6)
    kept = (z - found.mean) @ found.rotation(2)
    assert np.allclose(kept.var(axis=0), np.sort(np.linalg.eigvalsh(np.cov(z.T, bias=True)))[::-1][:2], atol=1e-6)


def test_nothing_to_learn_from_is_said() -> None:
    x = _unit(np.ones((4, 3)))
    with pytest.raises(InputError, match="two pictures share"):
        within_scatter(x, group([["a"], ["b"], ["c"], ["d"]]), np.arange(4))
    with pytest.raises(InputError, match="are equal"):
        within_scatter(x, group([["a"], ["a"], ["b"], ["b"]]), np.arange(4))


def test_the_shipped_whitening_is_whole_small_and_for_the_default_model_only() -> None:
    card = get_model("efficientnet-lite0")
    shipped = shipped_transform(card)
    assert (shipped.d, shipped.d_out) == (1280, 256)
    assert shipped.model == card.fingerprint
    with pytest.raises(ModelError, match="no whitening comes with 'mine'"):
        shipped_transform(replace(card, name="mine"))
    with pytest.raises(ModelError, match="no whitening"):
        shipped_transform(replace(card, sha256="0" * 64))
