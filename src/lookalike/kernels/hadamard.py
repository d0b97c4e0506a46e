"""A random rotation that takes d · log d additions: flips of signs and Hadamard transforms, in turns.

The transform of a window of p = 2ⁿ numbers adds and subtracts pairs of them, n times. Where the vector is longer than the largest
such window, windows at its beginning and at its end take turns, so that every number reaches every other. Each flip carries the
scale p^(−½), so that lengths stay.
"""

import numpy as np

from lookalike.kernels.simd import (
    butterfly1,
    butterfly2,
    butterfly4,
    butterfly8,
    load_f32,
    load_f32x16,
    load_i64,
    store,
    store_f32,
)
from lookalike.kernels.target import available, inlined, kernel


@kernel
def hadamard_simd(values, count):
    """In place and not scaled: `count` = 2ⁿ >= 16 floats at an address."""
    end = values + 4 * count
    for at in range(values, end, 64):
        store(at, butterfly8(butterfly4(butterfly2(butterfly1(load_f32x16(at))))))
    half = 64
    while half < 4 * count:
        for first in range(values, end, 2 * half):
            for at in range(first, first + half, 64):
                x, y = load_f32x16(at), load_f32x16(at + half)
                store(at, x + y)
                store(at + half, x - y)
        half *= 2


@kernel
def hadamard_plain(values, count):
    """The same additions, one by one."""
    half = 4
    while half < 4 * count:
        for first in range(values, values + 4 * count, 2 * half):
            for at in range(first, first + half, 4):
                x, y = load_f32(at), load_f32(at + half)
                store_f32(at, x + y)
                store_f32(at + half, x - y)
        half *= 2


@inlined
def flip_simd(values, flips, count):
    """Multiply floats by others, a multiple of 16 of them; both are addresses."""
    for at in range(0, 4 * count, 64):
        store(values + at, load_f32x16(values + at) * load_f32x16(flips + at))


@inlined
def flip_plain(values, flips, count):
    for at in range(0, 4 * count, 4):
        store_f32(values + at, load_f32(values + at) * load_f32(flips + at))


flip = flip_simd if available() else flip_plain
transform = hadamard_simd if available() else hadamard_plain


@kernel
def rotate(x, origin, d, flips, windows, rounds, bits, out):
    """out = R (x − origin), padded with zeros to `bits`.

    x, origin, out: addresses of float32 (d,), (d,) and (bits,); flips: of float32 (rounds, bits), ±1 times the scale of the round
    where its window is; windows: of int64 (rounds, 2), where each begins, and how long it is.
    """
    for e in range(0, 4 * d, 4):
        store_f32(out + e, load_f32(x + e) - load_f32(origin + e))
    for e in range(4 * d, 4 * bits, 4):
        store_f32(out + e, np.float32(0))
    for r in range(rounds):
        flip(out, flips + 4 * r * bits, bits)
        transform(out + 4 * load_i64(windows + 16 * r), load_i64(windows + 16 * r + 8))


@kernel
def rotate_rows(x, origin, flips, windows, out):
    """`rotate` of each row of x (n, d), out (n, bits)."""
    (n, d), (rounds, bits) = x.shape, flips.shape
    at, into, about = np.int64(x.ctypes.data), np.int64(out.ctypes.data), np.int64(origin.ctypes.data)
    for i in range(n):
        rotate(
            at + 4 * i * d, about, d, np.int64(flips.ctypes.data), np.int64(windows.ctypes.data), rounds, bits,
            into + 4 * i * bits,
        )  # fmt: skip
