"""The scan: estimates and survivor masks, on both twins, bit for bit."""

from __future__ import annotations

import types

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numba import njit

from lookalike.kernels import scan
from lookalike.kernels.target import available
from tests import reference
from tests.kernels.conftest import examples


def four_together():
    """`masks_simd` as it is where 32 registers hold four blocks at once, compiled for the registers that there are."""
    function = getattr(scan.masks_simd, "py_func", scan.masks_simd)
    wide = types.FunctionType(function.__code__, {**function.__globals__, "TOGETHER": 4}, "masks_of_four")
    return njit(nogil=True, error_model="numpy")(wide)


MASKS = [scan.masks_plain] + ([scan.masks_simd, four_together()] if available() else [])
BELOW = [scan.below_plain] + ([scan.below_simd] if available() else [])
ESTIMATES = [scan.estimates_plain] + ([scan.estimates_simd] if available() else [])


def drawn(seed: int, m: int, blocks: int, largest: int = 255) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random blocks (blocks, m, 64), table (m, 256) and biases (blocks, 64), aligned."""
    rng = np.random.default_rng(seed)
    codes = reference.aligned(rng.integers(0, 256, (blocks, m, 64), np.uint8))
    table = reference.aligned(rng.integers(0, largest + 1, (m, 256)).astype(np.uint8))
    return codes, table, reference.aligned(rng.normal(0, 100, (blocks, 64)).astype(np.float32))


def run_estimates(kernel, codes, table, bias, step) -> np.ndarray:
    out = reference.aligned(np.full(bias.shape, np.nan, np.float32))
    addresses = codes.ctypes.data, len(codes), codes.shape[1], table.ctypes.data, bias.ctypes.data
    kernel(*addresses, np.float32(step), out.ctypes.data)
    return out


def run_masks(kernel, codes, table, bias, step, threshold) -> np.ndarray:
    out = np.full(len(codes) + 1, 12345, np.uint64)  # one more than it may write to
    addresses = codes.ctypes.data, len(codes), codes.shape[1], table.ctypes.data, bias.ctypes.data
    kernel(*addresses, np.float32(step), np.float32(threshold), out)
    assert out[-1] == 12345
    return out[:-1]


def test_a_lane_holds_one_vector() -> None:
    lanes = [scan.lane_byte(i) for i in range(64)]
    assert lanes == [reference.lane_byte(i) for i in range(64)]
    assert sorted(lanes) == list(range(64))


@pytest.mark.parametrize("kernel", ESTIMATES)
@examples(25)
@given(seed=st.integers(0, 2**32), m=st.integers(1, 70), blocks=st.integers(0, 9), step=st.floats(1e-6, 1e3))
def test_estimates_are_the_definition(kernel, seed, m, blocks, step) -> None:
    codes, table, bias = drawn(seed, m, blocks)
    wanted = reference.estimates(codes, table, bias, np.float32(step))
    np.testing.assert_array_equal(run_estimates(kernel, codes, table, bias, step), wanted)


@pytest.mark.parametrize("kernel", MASKS)
@examples(25)
@given(
    seed=st.integers(0, 2**32),
    m=st.integers(1, 70),
    blocks=st.integers(0, 9),
    step=st.floats(1e-6, 1e3),
    quantile=st.floats(0, 1),
)
def test_masks_are_the_definition(kernel, seed, m, blocks, step, quantile) -> None:
    codes, table, bias = drawn(seed, m, blocks)
    wanted = reference.estimates(codes, table, bias, np.float32(step))
    # a threshold that is an estimate: "not above" has to hold with equality
    threshold = np.quantile(wanted, quantile, method="lower") if blocks else np.float32(0)
    got = run_masks(kernel, codes, table, bias, step, threshold)
    np.testing.assert_array_equal(got, reference.masks(wanted, threshold))


@pytest.mark.parametrize("kernel", MASKS)
@pytest.mark.parametrize(("threshold", "mask"), [(np.inf, 2**64 - 1), (-np.inf, 0), (np.nan, 0)])
def test_infinite_thresholds(kernel, threshold, mask) -> None:
    for blocks in range(10):
        codes, table, bias = drawn(blocks, 5, blocks)
        assert run_masks(kernel, codes, table, bias, 0.5, threshold).tolist() == [mask] * blocks


@pytest.mark.parametrize("kernel", MASKS)
def test_infinite_and_missing_biases(kernel) -> None:
    codes, table, bias = drawn(3, 4, 2)
    bias[0, :3], bias[1, 60:] = np.inf, np.nan
    got = run_masks(kernel, codes, table, bias, 1.0, 1e30)
    assert got.tolist() == [2**64 - 1 - 0b111, 2**60 - 1]


@pytest.mark.parametrize(("m", "blocks"), [(257, 5), (258, 1), (300, 4), (1024, 2)])
def test_sums_of_many_rows_stay_in_16_bits(m, blocks) -> None:
    """With the largest byte that `quantize_tables` is allowed, even m > 257 cannot overflow."""
    largest = min(255, 65535 // m)
    codes, table, bias = drawn(m, m, blocks, largest)
    table[:] = largest  # the worst case: every look-up is the largest byte
    bias[:] = 0
    for kernel in ESTIMATES:
        assert (run_estimates(kernel, codes, table, bias, 1.0) == m * largest).all()
    for kernel in MASKS:
        assert (run_masks(kernel, codes, table, bias, 1.0, m * largest) == 2**64 - 1).all()
        assert not run_masks(kernel, codes, table, bias, 1.0, m * largest - 1).any()


@pytest.mark.parametrize("kernel", ESTIMATES)
def test_vectors_come_out_in_their_own_place(kernel, rng) -> None:
    """Codes of row i, written by the layout of the lists, give estimate i."""
    codes = rng.integers(0, 256, (100, 6), np.uint8)
    blocks, table = reference.to_blocks(codes), reference.aligned(rng.integers(0, 256, (6, 256), np.uint8))
    bias = reference.aligned(np.zeros((2, 64), np.float32))
    got = run_estimates(kernel, blocks, table, bias, 1.0).ravel()[:100]
    np.testing.assert_array_equal(got, [table[np.arange(6), row].astype(int).sum() for row in codes])


@pytest.mark.parametrize("kernel", [scan.below_plain] + ([scan.below_simd] if available() else []))
@pytest.mark.parametrize("bound", [-np.inf, 0.0, 0.5, np.inf])
def test_masks_of_values_within_a_bound(kernel, bound) -> None:
    values = reference.aligned(np.random.default_rng(3).normal(0, 1, (5, 64)).astype(np.float32))
    values[0, 0], values[4, 63], values[1, 1] = np.inf, np.float32(bound), 0.5
    out = np.full(6, 12345, np.uint64)
    kernel(values.ctypes.data, 5, np.float32(bound), out)
    np.testing.assert_array_equal(out[:5], reference.masks(values, bound))
    assert out[5] == 12345


@pytest.mark.parametrize("kernel", BELOW)
@examples(25)
@given(seed=st.integers(0, 2**32), blocks=st.integers(0, 9), quantile=st.floats(0, 1))
def test_masks_of_what_is_below_a_bound(kernel, seed, blocks, quantile) -> None:
    values = reference.aligned(np.random.default_rng(seed).normal(size=(blocks, 64)).astype(np.float32))
    bounds = [np.inf, -np.inf, np.nan] + ([np.quantile(values, quantile, method="lower")] if blocks else [])
    values[:, 5], values[:, 6] = np.inf, np.nan
    for bound in bounds:
        got = np.zeros(blocks, np.uint64)
        kernel(values.ctypes.data, blocks, np.float32(bound), got)
        np.testing.assert_array_equal(got, reference.masks(values, bound))
