"""Coordinates as pure functions: what they promise, on numbers small enough to check."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.viz import layout

rng = np.random.default_rng(0)


def test_the_principal_plane_is_that_of_the_svd() -> None:
    x = rng.standard_normal((200, 30)) * np.linspace(3, 0.1, 30) + 5
    plane = layout.principal_plane(x)
    _, values, rows = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(plane.axes @ rows[:2].T), np.eye(2), atol=1e-3)
    assert plane.share == pytest.approx(np.square(values[:2]).sum() / np.square(values).sum(), rel=1e-4)
    assert layout.principal_plane(x).axes.tolist() == plane.axes.tolist()


@pytest.mark.parametrize("shape", [(1, 5), (2, 1), (5, 2), (3, 4000)])
def test_any_shape_has_a_plane(shape: tuple[int, int]) -> None:
    x = rng.standard_normal(shape)
    assert layout.principal_plane(x).place(x).shape == (shape[0], 2)
    assert layout.principal_plane(np.ones(shape)).place(np.ones(shape)).tolist() == [[0.0, 0.0]] * shape[0]


def test_stress_layout_keeps_distances_of_a_plane_and_improves_on_pca() -> None:
    flat = rng.standard_normal((40, 2)) @ np.linalg.qr(rng.standard_normal((9, 2)))[0].T

    def apart(x: np.ndarray) -> np.ndarray:
        return np.linalg.norm(x[:, None] - x, axis=2)

    np.testing.assert_allclose(apart(layout.stress_layout(flat)), apart(flat), atol=1e-3)
    deep = rng.standard_normal((60, 20))
    start = layout.principal_plane(deep).place(deep)
    before, after = (np.square(apart(x) - apart(deep)).sum() for x in (start, layout.stress_layout(deep)))
    assert after < 0.6 * before


@pytest.mark.parametrize("n", [1, 2, 16, 60])
def test_areas_are_weights(n: int) -> None:
    rng = np.random.default_rng(n)  # its own: the shared one is where the tests before have left it
    weights = rng.integers(30, 200, n)
    found = layout.cell_map(rng.standard_normal((n, 2)), weights)
    places = rng.uniform((0, 0), (layout.WIDTH, 1), (40_000, 2))
    shares = np.bincount(found.owners(places), minlength=n) / len(places)
    np.testing.assert_allclose(shares, weights / weights.sum(), rtol=0.5)
    assert np.median(np.abs(shares * weights.sum() / weights - 1)) < 0.1
    assert (found.sites >= 0).all()
    assert (found.sites <= (layout.WIDTH, 1)).all()


def test_empty_and_equal_cells_are_on_the_map() -> None:
    found = layout.cell_map(np.zeros((9, 2)), np.array([0, 0, 100, 100, 100, 100, 100, 100, 100]))
    places = rng.uniform((0, 0), (layout.WIDTH, 1), (50_000, 2))
    shares = np.bincount(found.owners(places), minlength=9) / len(places)
    assert (shares > 0.005).all()
    assert shares[:2].max() < shares[2:].min()
    assert np.isfinite(layout.cell_map(np.zeros((4, 2)), np.zeros(4)).sites).all()


def test_rings_put_the_nearest_inside_and_each_cell_in_its_sector() -> None:
    parts = [rng.random(40).astype(np.float32) + 2, np.empty(0, np.float32), rng.random(7).astype(np.float32) + 2.5]
    found = layout.rings(parts)
    everything = np.concatenate(parts)
    assert (np.argsort(found.radii) == np.argsort(everything)).all()
    assert found.radii.max() == pytest.approx(1)
    assert (found.low, found.high) == (everything.min(), everything.max())
    assert found.ends[-1] == pytest.approx(2 * np.pi)
    for cell, part in ((0, slice(0, 40)), (2, slice(40, 47))):
        assert (found.angles[part] > found.starts[cell]).all()
        assert (found.angles[part] < found.ends[cell]).all()
        assert len(set(found.angles[part])) == len(found.angles[part])
    inner = layout.rings(parts, descending=True)
    assert (np.argsort(inner.radii) == np.argsort(-everything)).all()


def test_rings_of_nothing() -> None:
    assert len(layout.rings([]).radii) == 0
    assert len(layout.rings([np.empty(0, np.float32)]).angles) == 0
    assert layout.rings([np.ones(3, np.float32)]).radii.tolist() == [0.06] * 3


def test_codebooks_lie_in_their_own_planes() -> None:
    book = rng.standard_normal((3, 16, 5)).astype(np.float32)
    codebooks, placed, shares = layout.codebook_maps(book, book[None, :, 4])
    np.testing.assert_allclose(placed[0], codebooks[:, 4], atol=1e-6)
    assert ((shares > 0) & (shares < 1)).all()
    flat, _, shares = layout.codebook_maps(book[:, :, :2], book[None, :, 0, :2])
    assert shares == pytest.approx(1)
    np.testing.assert_allclose(
        np.linalg.norm(flat[0][:, None] - flat[0], axis=2),
        np.linalg.norm(book[0][:, None, :2] - book[0][:, :2], axis=2),
        atol=1e-5,
    )


def test_error_bars_are_means_and_deviations() -> None:
    exact = np.linspace(0, 1, 100, dtype=np.float32)
    estimated = exact + np.where(np.arange(100) % 2, 0.1, 0.3).astype(np.float32)
    bars = layout.error_bars(exact, estimated, 4)
    assert [bar["n"] for bar in bars] == [25] * 4
    assert bars[0]["bias"] == pytest.approx(0.2, abs=0.01)
    assert bars[0]["sd"] == pytest.approx(0.1, abs=0.01)
    assert layout.error_bars(exact[:0], exact[:0]) == []
    assert layout.error_bars(exact[:3], np.array([np.nan, 1, 1], np.float32))[0]["n"] == 2


def test_balance() -> None:
    facts = layout.balance(np.array([0, 10, 10, 40]))
    assert (facts["empty"], facts["overfull"], facts["mean"]) == (1, 1, 15)
    assert facts["imbalance"] == pytest.approx(4 * 1800 / 3600)
    assert layout.balance(np.zeros(3, np.int64))["imbalance"] == 1
