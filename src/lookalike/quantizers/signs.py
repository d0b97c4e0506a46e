"""Sign codes: one bit for each dimension of a randomly rotated residual (RaBitQ, Gao and Long, SIGMOD 2024).

With r the residual of a vector, R a random rotation and s = sign(R r) the code,

    ⟨u, r⟩ ≈ scale · ⟨R u, s⟩        scale = ‖r‖² / ⟨R r, s⟩

for any u. The scale makes scale · Rᵀs − r a vector at a right angle to r, so that the error, its product with u, is 0 on average
over the rotations. That vector is sqrt(scale² · bits − ‖r‖²) long: a bound of the error for a unit vector u. A random direction
meets about 1/√(bits − 1) of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike.kernels.layout import aligned_empty

__all__ = ["SignRotation", "bits_for", "packed", "unpacked"]

STEP = 64  # bits of a code are a multiple of


def bits_for(d: int) -> int:
    """How long the code of a vector of d dimensions is."""
    return -(-d // STEP) * STEP


class SignRotation(NamedTuple):
    """A random rotation to `bits` dimensions, as `kernels.hadamard` applies it."""

    flips: FloatArray  # (rounds, bits): ±1, times the scale of the round where its window is
    windows: IdArray  # (rounds, 2): where the window of each round begins, and how long it is

    @classmethod
    def of(cls, signs: Array) -> SignRotation:
        """The rotation that flips the numbers where these are 1, and not 0; uint8, shape (rounds, bits)."""
        bits = signs.shape[1]
        length = 1 << (bits.bit_length() - 1)
        starts = [0 if r % 2 == 0 else bits - length for r in range(len(signs))]
        flips = aligned_empty(signs.shape, np.float32)
        flips[:] = 1 - 2 * signs.astype(np.float32)
        for row, start in zip(flips, starts, strict=True):
            row[start : start + length] *= np.float32(length**-0.5)
        flips.flags.writeable = False
        return cls(flips, np.array([(start, length) for start in starts], np.int64))

    @staticmethod
    def drawn(bits: int, seed: int) -> Array:
        """What to flip, for `of`: two rounds where one window is the whole vector, else four."""
        rounds = 2 if bits & (bits - 1) == 0 else 4
        return np.random.default_rng(seed).integers(0, 2, (rounds, bits), np.uint8)

    @property
    def bits(self) -> int:
        return int(self.flips.shape[1])

    def apply(self, x: FloatArray, origin: FloatArray) -> FloatArray:
        """R (x − origin) of each row, float32, shape (n, bits)."""
        from lookalike.kernels.hadamard import rotate_rows

        out = aligned_empty((len(x), self.bits), np.float32)
        rotate_rows(np.ascontiguousarray(x), origin, self.flips, self.windows, out)
        return out


def packed(positive: Array) -> Array:
    """Bits (n, bits) as bytes, uint8 (n, bits / 8): the first four are the low half of a byte."""
    return np.packbits(positive, axis=1, bitorder="little")


def unpacked(codes: Array) -> FloatArray:
    """The signs that bytes stand for, float32 of ±1, shape (n, bits)."""
    return np.unpackbits(codes, axis=1, bitorder="little").astype(np.float32) * 2 - 1
