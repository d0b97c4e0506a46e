"""The kernels of sign codes: rotation, tables, scan and bound, each against numpy, and each path against its twin."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.kernels import bytes as byte_rows
from lookalike.kernels import hadamard, signs
from lookalike.kernels.scan import lane_byte
from lookalike.kernels.target import available
from lookalike.quantizers.signs import SignRotation, bits_for, packed, unpacked
from tests.reference import aligned

PATHS = [True, False] if available() else [False]  # by registers, or the plain twins


def rotation(bits: int, seed: int = 0) -> SignRotation:
    return SignRotation.of(SignRotation.drawn(bits, seed))


@pytest.mark.parametrize("bits", [64, 128, 192, 256, 320, 448, 1280])
def test_the_rotation_keeps_lengths_and_angles(bits: int) -> None:
    matrix = rotation(bits).apply(np.eye(bits, dtype=np.float32), np.zeros(bits, np.float32))
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(bits), atol=2e-5)
    # it mixes: no number of the input weighs much in any of the output
    assert np.abs(matrix).max() < (0.5 if bits & (bits - 1) == 0 else 0.7)


@pytest.mark.parametrize("d", [1, 7, 64, 100, 384])
def test_shorter_vectors_are_padded(d: int, rng) -> None:
    x, origin = rng.normal(size=(5, d)).astype(np.float32), rng.normal(size=d).astype(np.float32)
    turned = rotation(bits_for(d)).apply(x, origin)
    assert turned.shape == (5, -(-d // 64) * 64)
    np.testing.assert_allclose(turned @ turned.T, (x - origin) @ (x - origin).T, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [16, 64, 256])
def test_hadamard_is_the_matrix(count: int, rng) -> None:
    x = aligned(rng.normal(size=count).astype(np.float32))
    i = np.arange(count)
    parity = np.array([[bin(a & b).count("1") & 1 for a in i] for b in i])
    wanted = np.where(parity, -1.0, 1.0) @ x
    plain = x.copy()
    hadamard.hadamard_plain(plain.ctypes.data, count)
    np.testing.assert_allclose(plain, wanted, rtol=1e-4, atol=1e-4)
    if available():
        hadamard.hadamard_simd(x.ctypes.data, count)
        np.testing.assert_array_equal(x, plain)


def tables_of(u: np.ndarray, simd: bool) -> tuple[np.ndarray, float, float]:
    """The tables of one query on one path, with step and floor."""
    m = len(u) // 4
    low, table = np.empty(m, np.float32), aligned(np.zeros((m, 16), np.uint8))
    step, floor = signs.sign_tables(u.ctypes.data, m, low.ctypes.data, table.ctypes.data)
    if not simd and available():
        fill = signs.fill_table_plain
        fill(u.ctypes.data, m, low.ctypes.data, np.float32(1) / step, table.ctypes.data)
    return table, step, floor


@pytest.mark.parametrize("simd", PATHS)
@pytest.mark.parametrize("bits", [64, 192, 1024, 5120])
def test_tables_are_off_by_half_a_step(simd: bool, bits: int, rng) -> None:
    u = rng.normal(size=bits).astype(np.float32)
    table, step, floor = tables_of(u, simd)
    patterns = unpacked(np.arange(16, dtype=np.uint8)[:, None])[:, :4]
    exact = u.reshape(-1, 4) @ patterns.T
    lowest = -np.abs(u.reshape(-1, 4)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(table * step + lowest, exact, atol=0.501 * step)
    assert floor == pytest.approx(lowest.sum(), rel=1e-4)
    assert int(table.astype(np.int64).max(axis=1).sum()) < 65536
    assert table.max() <= 63


def blocks_of(rng, size: int, bits: int) -> dict[str, np.ndarray]:
    """A list as the kernels get it, and the same row by row."""
    count = -(-size // 64)
    codes = rng.integers(0, 256, (count * 64, bits // 8)).astype(np.uint8)
    blocks = aligned(np.zeros((count, bits // 8, 64), np.uint8))
    for i in range(count * 64):
        blocks[i // 64, :, lane_byte(i % 64)] = codes[i]
    scales = aligned(rng.random(count * 64).astype(np.float32))
    biases = aligned(rng.normal(size=count * 64).astype(np.float32))
    return {"codes": codes, "blocks": blocks, "scales": scales, "biases": biases}


def scanned(held: dict[str, np.ndarray], tables: tuple, threshold: float, simd: bool) -> tuple[np.ndarray, np.ndarray]:
    table, step, floor = tables
    count, half = held["blocks"].shape[:2]
    estimates, masks = aligned(np.full(count * 64, np.nan, np.float32)), np.zeros(count, np.uint64)
    scan = signs.scan_simd if simd else signs.scan_plain
    near = held["scales"].ctypes.data, held["biases"].ctypes.data
    limits = np.float32(step), np.float32(floor), np.float32(threshold)
    scan(held["blocks"].ctypes.data, count, 2 * half, table.ctypes.data, near, limits, estimates.ctypes.data, masks)
    return estimates, masks


@pytest.mark.parametrize("simd", PATHS)
@pytest.mark.parametrize(("size", "bits"), [(64, 64), (130, 128), (500, 192), (300, 1280)])
def test_the_scan_estimates_and_masks(simd: bool, size: int, bits: int, rng) -> None:
    held, u = blocks_of(rng, size, bits), rng.normal(size=bits).astype(np.float32)
    tables = tables_of(u, simd)
    estimates, masks = scanned(held, tables, 0.0, simd)
    exact = held["scales"] * (unpacked(held["codes"]) @ u) + held["biases"]
    slack = held["scales"] * 0.51 * tables[1] * bits / 4 + 1e-3
    assert (np.abs(estimates - exact) <= slack).all()
    bits_of = (masks[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)).ravel().astype(bool)
    np.testing.assert_array_equal(bits_of, estimates <= 0)
    twin = scanned(held, tables, 0.0, not simd) if available() else (estimates, masks)
    np.testing.assert_array_equal(twin[0], estimates)
    np.testing.assert_array_equal(twin[1], masks)


def test_an_estimate_is_no_further_off_than_its_bound(rng) -> None:
    """⟨u, scale · Rᵀs − r⟩ <= ‖u‖ · sqrt(scale² bits − ‖r‖²), always; and about 1/√bits of it, as for a random direction."""
    bits, n = 256, 400
    turn, x = rotation(bits, 5), rng.normal(size=(n, bits)).astype(np.float32) ** 3
    codes = np.empty((n, bits // 8), np.uint8)
    scales, biases = np.empty(n, np.float32), np.empty(n, np.float32)
    nothing, nowhere = np.empty((0, bits), np.float32), np.zeros(bits, np.float32)
    signs.encode_signs(x, np.zeros(n, np.int64), nothing, nowhere, *turn, (codes, scales, biases))
    turned = turn.apply(x, nowhere)
    np.testing.assert_array_equal(codes, packed(turned > 0))
    np.testing.assert_allclose(scales, np.square(turned).sum(axis=1) / np.abs(turned).sum(axis=1), rtol=1e-4)
    assert (biases == 0).all()
    u = rng.normal(size=(50, bits)).astype(np.float32)
    estimated = turn.apply(u, nowhere) @ (scales[:, None] * unpacked(codes)).T
    off = np.abs(estimated - u @ x.T)
    bound = np.linalg.norm(u, axis=1)[:, None] * np.sqrt(scales**2 * bits - np.square(x).sum(axis=1))
    assert (off <= bound * 1.001 + 1e-3).all()
    share = off / bound * np.sqrt(bits - 1)
    assert (share < 1.9).mean() > 0.9  # RaBitQ's bound, which a normal deviate keeps in 94 of 100
    assert abs((estimated - u @ x.T).mean()) < 0.05 * bound.mean()  # and without bias


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200, 640])
@pytest.mark.parametrize("k", [1, 10, 60, 199])
def test_the_bound_of_a_list_leaves_k_and_few_more(size: int, k: int, rng) -> None:
    values = aligned(np.zeros(-(-size // 64) * 64, np.float32))
    values[:size] = rng.normal(size=size)
    removed = rng.choice(size, size // 50, replace=False)
    gone = np.sort(np.concatenate([(3 << 32) + removed, [5, 4 << 32]])).astype(np.int64)
    kept = np.sort(np.delete(values[:size], removed))
    bound = signs.bound_of_list(values.ctypes.data, size, gone, 3, k)
    reached = int((kept <= bound).sum())
    if len(kept) <= k:
        assert bound == np.inf
    else:
        assert k <= reached <= k + max(k // 8, 3)
    assert (np.isinf(values[size:])).all()


def test_equal_estimates_are_all_within_the_bound() -> None:
    values = aligned(np.full(128, 2.5, np.float32))
    bound = signs.bound_of_list(values.ctypes.data, 100, np.empty(0, np.int64), 0, 10)
    assert bound >= 2.5


@pytest.mark.parametrize("simd", PATHS)
@pytest.mark.parametrize("d", [1, 15, 32, 47, 128, 1280])
@pytest.mark.parametrize("is_l2", [True, False])
def test_sums_of_rows_of_bytes(simd: bool, d: int, is_l2: bool, rng) -> None:
    count = 11
    rows = rng.integers(0, 256, (count, d)).astype(np.uint8)
    bases, widths = rng.normal(size=(count, d)).astype(np.float32), rng.random(d).astype(np.float32)
    lows, steps = rng.normal(size=count).astype(np.float32), rng.random(count).astype(np.float32)
    query, sums = rng.normal(size=d).astype(np.float32), np.empty(count, np.float32)
    at = rows.ctypes.data + d * np.arange(count, dtype=np.int64)
    base_at = bases.ctypes.data + 4 * d * np.arange(count, dtype=np.int64)
    kernel = byte_rows.byte_sums_simd if simd else byte_rows.byte_sums_plain
    parts = byte_rows.ByteRows(*(array.ctypes.data for array in (at, base_at, lows, steps, sums)))
    kernel(query.ctypes.data, d, widths.ctypes.data, parts, count, is_l2)
    x = bases.astype(np.float64) + lows[:, None] + steps[:, None] * (widths * rows)
    wanted = np.square(query - x).sum(axis=1) if is_l2 else x @ query
    np.testing.assert_allclose(sums, wanted, rtol=2e-5, atol=1e-4)
