"""Product quantization."""

from __future__ import annotations

import faiss
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import lookalike as la
from lookalike.quantizers import ProductQuantizer
from tests import reference


def with_codebook(m: int, nbits: int, dsub: int, seed: int = 0) -> ProductQuantizer:
    codebook = np.random.default_rng(seed).normal(size=(m, 1 << nbits, dsub))
    return ProductQuantizer(m, nbits).set_centroids(codebook)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1500, 12)).astype(np.float32)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32), m=st.integers(1, 12), nbits=st.sampled_from([4, 5, 8, 9, 12]), dsub=st.integers(1, 5)
)
def test_concatenated_centroids_encode_exactly(seed, m, nbits, dsub) -> None:
    pq = with_codebook(m, nbits, dsub, seed)
    codes = np.random.default_rng(seed).integers(0, pq.ksub, (20, m))
    vectors = reference.decode(codes, pq.pq_centroids)
    np.testing.assert_array_equal(pq.encode(vectors), codes)
    np.testing.assert_array_equal(pq.decode(codes), vectors)


@pytest.mark.parametrize("nbits", [4, 6, 8, 9, 10])
def test_codes_are_those_of_the_nearest_centroids(nbits, x) -> None:
    pq = with_codebook(4, nbits, 3)
    codes = pq.encode(x)
    assert codes.dtype == (np.uint8 if nbits <= 8 else np.uint16)
    assert codes.shape == (1500, 4)
    for j in range(4):
        every = reference.squared_distances(x[:, 3 * j : 3 * j + 3], pq.pq_centroids[j])
        assert (every[np.arange(1500), codes[:, j]] <= every.min(axis=1) * (1 + 1e-5)).all()


def test_sixteen_bits() -> None:
    pq = with_codebook(2, 16, 2)
    codes = np.array([[0, 65535], [40000, 1]], np.uint16)
    np.testing.assert_array_equal(pq.encode(pq.decode(codes)), codes)


@pytest.mark.parametrize("nbits", [4, 6, 8, 10])
def test_codes_are_those_of_faiss(nbits, x) -> None:
    pq = with_codebook(4, nbits, 3)
    theirs = faiss.ProductQuantizer(12, 4, nbits)
    faiss.copy_array_to_vector(pq.pq_centroids.ravel(), theirs.centroids)
    packed = theirs.compute_codes(x)
    np.testing.assert_array_equal(pq.encode(x), unpacked(packed, 4, nbits))


def unpacked(packed: np.ndarray, m: int, nbits: int) -> np.ndarray:
    """Codes of nbits bits each from FAISS's bit strings."""
    bits = np.unpackbits(packed, axis=1, bitorder="little")[:, : m * nbits].reshape(len(packed), m, nbits)
    return (bits.astype(np.int64) << np.arange(nbits)).sum(axis=2)


def test_training_is_repeatable_and_lowers_the_error(x) -> None:
    pq = ProductQuantizer(4, 5, seed=1).train(x)
    np.testing.assert_array_equal(pq.pq_centroids, ProductQuantizer(4, 5, seed=1).train(x).pq_centroids)
    assert np.square(pq.decode(pq.encode(x)) - x).mean() < 0.2
    finer = ProductQuantizer(4, 6, seed=1).train(np.concatenate([x] * 2))
    assert np.square(finer.decode(finer.encode(x)) - x).mean() < np.square(pq.decode(pq.encode(x)) - x).mean()


def test_shape_words(x) -> None:
    pq = ProductQuantizer(4, 5).train(x)
    assert (pq.d, pq.m, pq.dsub, pq.ksub, pq.nbits, pq.is_trained) == (12, 4, 3, 32, 5, True)
    with pytest.raises(ValueError, match="read-only"):
        pq.pq_centroids[0] = 0


def test_tables_add_up_to_distances(x) -> None:
    pq = with_codebook(4, 5, 3)
    codes = pq.encode(x[:50])
    lut = pq.lookup_tables(x[:7])
    assert lut.shape == (7, 4, 32)
    sums = lut[:, np.arange(4), codes].sum(axis=2)
    np.testing.assert_allclose(sums, reference.squared_distances(x[:7], pq.decode(codes)), rtol=1e-5)


@pytest.mark.parametrize("nbits", [3, 17, 0, -1, 8.0, True, None])
def test_impossible_bits(nbits) -> None:
    with pytest.raises(la.InputError, match="nbits"):
        ProductQuantizer(4, nbits)


def test_what_cannot_be(x) -> None:
    with pytest.raises(la.NotTrainedError):
        ProductQuantizer(4).encode(x)
    with pytest.raises(la.NotTrainedError):
        ProductQuantizer(4).decode(np.zeros((1, 4), np.uint8))
    with pytest.raises(la.DimensionError, match=r"m=5.*d=12.*try m=(4|6)"):
        ProductQuantizer(5, 4).train(x)
    with pytest.raises(la.TrainingError, match=r"256.*100"):
        ProductQuantizer(4).train(x[:100])
    pq = with_codebook(4, 4, 3)
    with pytest.raises(la.DimensionError, match=r"d=12.*11"):
        pq.encode(x[:, :11])
    for codes in (np.full((1, 4), 16), np.full((1, 4), -1), np.zeros((1, 3), np.uint8), np.zeros((1, 4))):
        with pytest.raises(la.InputError, match="codes"):
            pq.decode(codes)
    with pytest.raises(la.InputError, match="finite"):
        ProductQuantizer(1, 4).set_centroids(np.full((1, 16, 2), np.nan))
    for shape in ((2, 16, 2), (1, 15, 2), (1, 16, 0), (16, 2)):
        with pytest.raises(la.DimensionError, match=r"expected \(1, 16, dsub\)"):
            ProductQuantizer(1, 4).set_centroids(np.zeros(shape))


def test_nothing_encodes_to_nothing() -> None:
    pq = with_codebook(4, 8, 3)
    assert pq.encode(np.empty((0, 12))).shape == (0, 4)
    assert pq.decode(np.empty((0, 4), np.uint8)).shape == (0, 12)


def test_equal_points_train_and_encode() -> None:
    x = np.full((700, 4), 3, np.float32)
    pq = ProductQuantizer(2, 4).train(x)
    np.testing.assert_allclose(pq.decode(pq.encode(x)), x, rtol=1e-2)


def test_few_points_give_one_warning() -> None:
    x = np.random.default_rng(0).normal(size=(100, 12))
    with pytest.warns(la.LookalikeWarning) as caught:
        ProductQuantizer(4, 4).train(x)
    assert len(caught) == 1, [str(warning.message) for warning in caught]


def test_more_pieces_than_sixteen_bits_can_add_up() -> None:
    with pytest.raises(la.InputError, match=r"m: expected 1 to 65535, got 65536"):
        ProductQuantizer(65_536)
