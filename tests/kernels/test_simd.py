"""Every register operation against numpy. With the JIT off these are the emulations, which must mean the same."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from lookalike.kernels import simd
from tests.reference import aligned


def floats(rng: np.random.Generator, count: int = 16) -> np.ndarray:
    return aligned(rng.normal(0, 10, count).astype(np.float32))


def bytes_of(rng: np.random.Generator, count: int = 64) -> np.ndarray:
    return aligned(rng.integers(0, 256, count).astype(np.uint8))


@njit
def _looked_up_floats(table, index, step, out):
    """lookup(table, index) as sums of even and odd bytes, widened to float: all four quarters."""
    v = simd.as_u16x32(simd.lookup(simd.load_table(table), simd.load_u8x64(index)))
    odd = simd.high_bytes(v)
    even = v - simd.to_high_bytes(odd)
    s = simd.splat_f32x16(step)
    simd.store(out, simd.low_as_f32(even) * s)
    simd.store(out + 64, simd.high_as_f32(even) * s)
    simd.store(out + 128, simd.low_as_f32(odd) * s)
    simd.store(out + 192, simd.high_as_f32(odd) * s)


def looked_up(table: np.ndarray, index: np.ndarray) -> np.ndarray:
    out = aligned(np.full(64, np.nan, np.float32))
    _looked_up_floats(table.ctypes.data, index.ctypes.data, np.float32(1), out.ctypes.data)
    unshuffled = np.empty(64)
    unshuffled[0::2], unshuffled[1::2] = out[:32], out[32:]
    return unshuffled


def test_lookup_of_all_256_indices(rng) -> None:
    for table in (aligned(np.arange(256, dtype=np.uint8)), bytes_of(rng, 256), aligned(np.full(256, 255, np.uint8))):
        for first in range(0, 256, 64):
            index = aligned(np.arange(first, first + 64, dtype=np.uint8))
            np.testing.assert_array_equal(looked_up(table, index), table[first : first + 64])
        for _ in range(20):
            index = bytes_of(rng)
            np.testing.assert_array_equal(looked_up(table, index), table[index])
        for value in range(256):  # every index in every lane
            index = aligned(np.full(64, value, np.uint8))
            np.testing.assert_array_equal(looked_up(table, index), np.full(64, table[value]))


@njit
def _sixteen_bits(at, count, out):
    """Sum of `count` rows of bytes in 16 bits, and of their high bytes, as floats."""
    total, odd = simd.zero_u16x32(), simd.zero_u16x32()
    for j in range(count):
        v = simd.as_u16x32(simd.load_u8x64(at + 64 * j))
        total, odd = total + v, odd + simd.high_bytes(v)
    simd.store(out, simd.low_as_f32(total))
    simd.store(out + 64, simd.high_as_f32(total))
    simd.store(out + 128, simd.low_as_f32(odd))
    simd.store(out + 192, simd.high_as_f32(odd))


def test_sums_in_16_bits_wrap_around(rng) -> None:
    rows = aligned(rng.integers(0, 256, (20, 64)).astype(np.uint8))
    out = aligned(np.empty(64, np.float32))
    _sixteen_bits(rows.ctypes.data, 20, out.ctypes.data)
    words = rows.view("<u2")
    np.testing.assert_array_equal(out[:32], words.sum(axis=0, dtype=np.uint16))
    np.testing.assert_array_equal(out[32:], (words >> 8).sum(axis=0, dtype=np.uint16))


@njit
def _arithmetic(x, y, z, out):
    a, b, c = simd.load_f32x16(x), simd.load_f32x16(y), simd.load_f32x16(z)
    simd.store(out, a + b)
    simd.store(out + 64, a * b)
    simd.store(out + 128, simd.fma(a, b, c))
    simd.store(out + 192, simd.minimum(a, b))
    simd.store(out + 256, a - b)
    simd.store(out + 320, simd.maximum(a, b))


def test_float_arithmetic(rng) -> None:
    x, memory, z = floats(rng), floats(rng, 17), floats(rng)
    y = memory[1:]  # not aligned
    out = aligned(np.full(96, np.nan, np.float32))
    _arithmetic(x.ctypes.data, y.ctypes.data, z.ctypes.data, out.ctypes.data)
    np.testing.assert_array_equal(out[:16], x + y)
    np.testing.assert_array_equal(out[16:32], x * y)
    exact = x.astype(np.float64) * y.astype(np.float64) + z
    np.testing.assert_allclose(out[32:48], exact, rtol=1e-6, atol=1e-5)
    np.testing.assert_array_equal(out[48:64], np.minimum(x, y))
    np.testing.assert_array_equal(out[64:80], x - y)
    np.testing.assert_array_equal(out[80:], np.maximum(x, y))


@njit
def _long(x, y, out):
    """Operations on 32 and on 64 floats: splats, sums, the smaller ones; then a mask of 64 comparisons."""
    a, b = simd.load_f32x32(x), simd.load_f32x32(y)
    simd.store(out, simd.fma(simd.splat_f32x32(np.float32(3)), a, b))
    c, d = simd.load_f32x64(x), simd.load_f32x64(y)
    simd.store(out + 128, simd.fma(simd.splat_f32x64(np.float32(3)), c, d))
    simd.store(out + 384, simd.minimum(c, d))
    simd.store(out + 640, simd.maximum(c, d))
    return simd.mask_le(c, d), simd.smallest_lane(c), simd.largest_lane(c), simd.sum_lanes(c)


def test_long_registers(rng) -> None:
    for _ in range(20):
        x, y = floats(rng, 65)[1:], floats(rng, 64)  # not aligned
        y[::5] = x[::5]
        out = np.full(224, np.nan, np.float32)
        mask, least, most, total = _long(x.ctypes.data, y.ctypes.data, out.ctypes.data)
        exact = 3 * x.astype(np.float64) + y
        np.testing.assert_allclose(out[:32], exact[:32], rtol=1e-6, atol=1e-5)
        np.testing.assert_allclose(out[32:96], exact, rtol=1e-6, atol=1e-5)
        np.testing.assert_array_equal(out[96:160], np.minimum(x, y))
        np.testing.assert_array_equal(out[160:], np.maximum(x, y))
        assert int(mask) == sum(1 << i for i in range(64) if x[i] <= y[i])
        assert (least, most) == (x.min(), x.max())
        assert total == pytest.approx(float(x.sum(dtype=np.float64)), abs=1e-3)


@njit
def _eights(x, y):
    """Σ (x − y)² + Σ x · y + Σ (x + y) of eight floats each."""
    a, b = simd.load_f32x8(x), simd.load_f32x8(y)
    return (
        simd.sum_lanes(simd.fma(a - b, a - b, simd.zero_f32x8())),
        simd.sum_lanes(a * b),
        simd.sum_lanes(a + b),
    )


def test_eight_floats(rng) -> None:
    for _ in range(20):
        x, y = floats(rng, 9)[1:], floats(rng, 8)
        wide, other = x.astype(np.float64), y.astype(np.float64)
        wanted = ((wide - other) ** 2).sum(), (wide * other).sum(), (wide + other).sum()
        np.testing.assert_allclose(_eights(x.ctypes.data, y.ctypes.data), wanted, rtol=1e-5, atol=1e-3)


@njit
def _each_half_alone(halves, out):
    """Each of the halves in the first of eight lanes, the others zero."""
    unit = np.zeros(8, np.float32)
    unit[0] = 1
    for i in range(out.shape[0]):
        out[i] = simd.sum_lanes(simd.halves_as_f32x8(halves + 16 * i) * simd.load_f32x8(unit.ctypes.data))


def test_every_finite_half_as_float() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    every = every[np.isfinite(every)]
    rows = np.zeros((len(every), 8), np.float16)
    rows[:, 0], out = every, np.empty(len(every), np.float32)
    _each_half_alone(rows.ctypes.data, out)
    np.testing.assert_array_equal(out, every.astype(np.float32))


@njit
def _float_of(bits):
    return simd.bits_as_f32(bits)


def test_bits_of_a_float() -> None:
    for value in (0.0, -1.5, 3e38, 1e-45, np.inf):
        assert _float_of(np.float32(value).view(np.uint32)) == np.float32(value)


@njit
def _lanes(x):
    v = simd.load_f32x16(x)
    return simd.sum_lanes(v), simd.smallest_lane(v), simd.largest_lane(v)


def test_reductions(rng) -> None:
    for _ in range(20):
        x = floats(rng)
        total, least, most = _lanes(x.ctypes.data)
        assert (least, most) == (x.min(), x.max())
        assert total == pytest.approx(float(x.sum(dtype=np.float64)), abs=1e-3)
    for lane in range(16):  # each lane counts
        x = aligned(np.zeros(16, np.float32))
        x[lane] = -7
        assert _lanes(x.ctypes.data) == (-7, -7, 0)
        opposite = aligned(-x)
        assert _lanes(opposite.ctypes.data) == (7, 0, 7)


@njit
def _compared(x, y):
    return simd.mask_le(simd.load_f32x16(x), simd.load_f32x16(y))


def test_masks_of_comparisons(rng) -> None:
    for _ in range(20):
        x, y = floats(rng), floats(rng)
        y[::3] = x[::3]
        assert int(_compared(x.ctypes.data, y.ctypes.data)) == sum(1 << i for i in range(16) if x[i] <= y[i])
    nothing = aligned(np.full(16, np.nan, np.float32))
    assert int(_compared(nothing.ctypes.data, nothing.ctypes.data)) == 0
    infinite = aligned(np.full(16, np.inf, np.float32))
    assert int(_compared(infinite.ctypes.data, infinite.ctypes.data)) == 0xFFFF


@njit
def _lowest(mask):
    return simd.lowest_bit(mask)


def test_lowest_bit() -> None:
    for bit in range(64):
        assert _lowest(np.uint64(1 << bit)) == bit
        assert _lowest(np.uint64((1 << 64) - (1 << bit))) == bit


@njit
def _copied(source, target):
    """Every scalar load, into the store of its kind where there is one."""
    simd.store_u8(target, simd.load_u8(source))
    simd.store_u16(target + 1, simd.load_u16(source + 1))  # odd addresses
    simd.store_f32(target + 4, simd.load_f32(source + 4))
    simd.prefetch(source)
    return simd.load_i32(source + 8), simd.load_i64(source + 16)


def test_scalars_in_memory() -> None:
    source, target = aligned(np.zeros(24, np.uint8)), aligned(np.zeros(24, np.uint8))
    source[0] = 200
    source[1:3] = np.array([60000], "<u2").view(np.uint8)
    source[4:8] = np.array([-1.5], np.float32).view(np.uint8)
    source[8:12] = np.array([-(2**31)], np.int32).view(np.uint8)
    source[16:24] = np.array([-(2**63)], np.int64).view(np.uint8)
    assert _copied(source.ctypes.data, target.ctypes.data) == (-(2**31), -(2**63))
    np.testing.assert_array_equal(target[:8], source[:8])


@njit
def _splat(value, out):
    simd.store(out, simd.splat_f32x16(value))


def test_splat() -> None:
    out = aligned(np.zeros(16, np.float32))
    for value in (np.float32(1.25), np.float32(-np.inf)):
        _splat(value, out.ctypes.data)
        assert (out == value).all()


@pytest.mark.parametrize("given", ["of", "avx512", "on", "\n"])
def test_instructions_that_nobody_knows_are_named_once(given: str) -> None:
    code = "from lookalike.kernels import target, topk, assign; print(target.instructions(), target.available())"
    outputs = {}
    for wish in (given, "auto"):
        env = os.environ | {"LOOKALIKE_SIMD": wish}
        outputs[wish] = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
        )
    assert outputs[given].stdout == outputs["auto"].stdout
    assert outputs["auto"].stderr == ""
    said = outputs[given].stderr
    if not given.strip():  # as if it were not set
        assert said == ""
        return
    assert said.count("lookalike kernels: LOOKALIKE_SIMD=") == 1
    assert repr(given) in said
    assert "expected one of auto, avx512vbmi, avx2, off" in said
