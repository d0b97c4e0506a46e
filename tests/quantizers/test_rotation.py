"""PCA and OPQ in front of a quantizer."""

from __future__ import annotations

import numpy as np
import pytest

import lookalike as la
from lookalike.quantizers import ProductQuantizer
from lookalike.quantizers.rotation import LinearTransform, parse_rotation, train_opq, train_pca


@pytest.fixture(scope="module")
def correlated() -> np.ndarray:
    """Gaussian points whose variance falls off quickly along mixed directions, away from the origin."""
    rng = np.random.default_rng(0)
    mixing = np.linalg.qr(rng.normal(size=(16, 16)))[0] * (0.6 ** np.arange(16))
    return (rng.normal(size=(3000, 16)) @ mixing.T * 10 + 3).astype(np.float32)


def assert_orthonormal(transform: LinearTransform) -> None:
    gram = transform.matrix.astype(np.float64) @ transform.matrix.T
    np.testing.assert_allclose(gram, np.eye(transform.d_out), atol=1e-5)


def test_pca_finds_the_directions_of_largest_variance(correlated) -> None:
    pca = train_pca(correlated, 5)
    assert (pca.d_in, pca.d_out) == (16, 5)
    assert_orthonormal(pca)
    y = pca.apply(correlated)
    np.testing.assert_allclose(y.mean(axis=0), 0, atol=1e-3)
    covariance = np.cov(y.T)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-3 * covariance.max())
    largest = np.sort(np.linalg.eigvalsh(np.cov(correlated.T)))[::-1]
    np.testing.assert_allclose(np.diag(covariance), largest[:5], rtol=1e-3)


def test_what_a_whole_rotation_does_can_be_undone(correlated) -> None:
    for transform in (train_pca(correlated, 16), train_opq(correlated, 4, nbits=4)):
        assert_orthonormal(transform)
        y = transform.apply(correlated)
        np.testing.assert_allclose(transform.inverse(y), correlated, atol=1e-3)
        before = np.linalg.norm(correlated[:-1] - correlated[1:], axis=1)
        np.testing.assert_allclose(np.linalg.norm(y[:-1] - y[1:], axis=1), before, rtol=1e-4)


def test_a_reduction_keeps_what_it_can(correlated) -> None:
    x = correlated - correlated.mean(axis=0)
    pca = train_pca(x, 5)
    lost = np.square(pca.inverse(pca.apply(x)) - x).sum(axis=1).mean()
    smallest = np.sort(np.linalg.eigvalsh(np.cov(x.T)))[:-5].sum()
    assert lost == pytest.approx(smallest, rel=0.02)


def pq_error(x: np.ndarray, m: int) -> float:
    pq = ProductQuantizer(m, 5).train(x)
    return float(np.square(pq.decode(pq.encode(x)) - x).sum(axis=1).mean())


def test_opq_lowers_the_quantization_error(correlated) -> None:
    opq = train_opq(correlated, 4, nbits=5)
    assert pq_error(opq.apply(correlated), 4) < 0.75 * pq_error(correlated, 4)


def test_opq_lowers_the_error_of_an_index(correlated) -> None:
    errors = {}
    for rotation in (None, "opq", "opq:8"):
        index = la.PQIndex(m=4, nbits=5, rotation=rotation).train(correlated).add(correlated)
        decoded = index.reconstruct(np.arange(len(correlated)))
        errors[rotation] = np.square(decoded - correlated).sum(axis=1).mean()
    assert errors["opq"] < 0.75 * errors[None]
    assert np.isfinite(errors["opq:8"])


def test_opq_is_repeatable(correlated) -> None:
    one, two = (train_opq(correlated, 4, nbits=4, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.matrix, two.matrix)


def test_opq_can_reduce(correlated) -> None:
    opq = train_opq(correlated, 4, 8, nbits=4)
    assert (opq.d_in, opq.d_out) == (16, 8)
    assert_orthonormal(opq)


def test_high_dimensions() -> None:
    """No minutes and no failure, also with fewer points than dimensions."""
    x = np.random.default_rng(0).normal(size=(400, 1024)).astype(np.float32)
    assert_orthonormal(train_opq(x, 8, 64))


@pytest.mark.parametrize("value", [0.0, 4.0])
def test_equal_points(value) -> None:
    x = np.full((300, 8), value, np.float32)
    for transform in (train_pca(x, 4), train_opq(x, 4, nbits=4)):
        assert_orthonormal(transform)
        assert np.isfinite(transform.apply(x)).all()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [(None, ("", None)), ("opq", ("opq", None)), ("opq:64", ("opq", 64)), ("pca:128", ("pca", 128))],
)
def test_words(text, wanted) -> None:
    assert parse_rotation(text) == wanted


@pytest.mark.parametrize(
    "text", ["", "pca", "opq:", "opq:0", "pca:-3", "pca:1.5", "PCA:3", "rr", 3, "pca:64:2", "pca:²"]
)
def test_other_words(text) -> None:
    with pytest.raises(la.InputError, match=r"rotation.*expected.*opq"):
        la.IVFPQIndex(nlist=2, m=2, rotation=text)


def test_what_cannot_be(correlated) -> None:
    with pytest.raises(la.DimensionError, match=r"16.*17"):
        train_pca(correlated, 17)
    with pytest.raises(la.TrainingError, match="2 training points, got 1"):
        train_pca(correlated[:1], 2)
    with pytest.raises(la.DimensionError, match=r"m=5.*16"):
        train_opq(correlated, 5)
    with pytest.raises(la.DimensionError, match="matrix"):
        LinearTransform(np.zeros(3))
    with pytest.raises(la.DimensionError, match="offset of 2, got"):
        LinearTransform(np.eye(2), np.zeros(3))
    with pytest.raises(la.InputError, match="finite"):
        LinearTransform(np.full((2, 2), np.inf))


def test_few_points_are_warned_of_once_for_each_part(correlated) -> None:
    with pytest.warns(la.LookalikeWarning) as caught:
        la.IVFPQIndex(nlist=4, m=4, nbits=4, rotation="opq").train(correlated[:100])
    parts = [str(warning.message).split(":")[0] for warning in caught]
    assert parts == ["coarse quantizer", "PQ"]


@pytest.mark.parametrize("shape", [(16, 16), (5, 16), (130, 70)])
def test_an_image_does_not_depend_on_what_stands_beside_it(shape) -> None:
    rng = np.random.default_rng(3)
    transform = LinearTransform(rng.normal(size=shape), rng.normal(size=shape[0]))
    x = rng.normal(size=(3000, shape[1])).astype(np.float32)
    y = transform.apply(x, threads=1)
    back = transform.inverse(y, threads=1)
    np.testing.assert_allclose(y, x.astype(np.float64) @ transform.matrix.T + transform.offset, atol=1e-3)
    for threads in (2, 3):
        np.testing.assert_array_equal(transform.apply(x, threads), y)
        np.testing.assert_array_equal(transform.inverse(y, threads), back)
    for first, last in ((0, 1), (7, 8), (2999, 3000), (5, 70), (64, 129), (1, 3000)):
        np.testing.assert_array_equal(transform.apply(x[first:last]), y[first:last])
        np.testing.assert_array_equal(transform.inverse(y[first:last]), back[first:last])
    np.testing.assert_allclose(transform.apply_cold(x), y, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("place", [1e4, 3e7])
def test_a_map_keeps_its_digits_far_from_the_origin(place) -> None:
    """Terms as large as the offset would take them: the map is computed around the middle of what it was made for."""
    rng = np.random.default_rng(0)
    near = rng.normal(size=(2000, 16)) @ rng.normal(size=(16, 16)) / 4
    x = near.copy()
    x[:, 2] += place
    x = x.astype(np.float32)
    for transform in (train_pca(x, 8), train_opq(x, 4, nbits=4, centre=True)):
        y = transform.apply(x).astype(np.float64)
        exact = (x.astype(np.float64) - x[0]) @ transform.matrix.astype(np.float64).T
        np.testing.assert_allclose(y - y[0], exact, atol=1e-4)
        assert np.abs(y).max() < 100
        again = LinearTransform(transform.matrix, transform.offset, transform.centre)
        np.testing.assert_array_equal(again.apply(x), transform.apply(x))
    back = train_opq(x, 4, nbits=4, centre=True)
    np.testing.assert_allclose(back.inverse(back.apply(x)), x, atol=1e-4 + 6e-7 * place)


def test_one_point_far_out_does_not_turn_a_rotation() -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(2000, 8)) * 0.5 ** np.arange(8)).astype(np.float32)
    wild = x.copy()
    wild[5, 7] = 3e7
    np.testing.assert_allclose(
        np.abs(train_pca(wild, 3, centre=False).matrix), np.abs(train_pca(x, 3, centre=False).matrix), atol=0.05
    )
    assert pq_error(train_opq(wild, 4, nbits=4).apply(x), 4) < 1.2 * pq_error(train_opq(x, 4, nbits=4).apply(x), 4)
