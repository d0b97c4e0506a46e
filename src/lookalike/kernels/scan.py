"""The scan: an 8-bit estimate of the distance of every vector of a list, sixty-four at a time.

A block holds the codes of 64 vectors in m rows of 64 bytes, ``codes[block, j, byte]``. Vector i lies at byte 2i for i < 32 and
at byte 2i − 63 after that, so that the sums of even and of odd bytes come out as vectors 0..31 and 32..63 (`lane_byte`).

With the query's look-up table in 8 bits (`tables.quantize_tables`),

    estimate(i) = step · Σ_j table[j, code_j(i)] + bias[i]

is off by no more than half a step for each sub-quantizer. A vector survives where its estimate is not above the threshold;
only survivors are scored exactly (`distances.py`). Each vector kernel has its plain twin below it: the definition, and
the path of other CPUs. They agree bit for bit.
"""

import numpy as np

from lookalike.kernels.layout import BLOCK
from lookalike.kernels.simd import (
    as_u16x32,
    high_as_f32,
    high_bytes,
    load_f32,
    load_f32x16,
    load_f32x64,
    load_table,
    load_u8,
    load_u8x64,
    lookup,
    low_as_f32,
    mask_le,
    splat_f32x16,
    splat_f32x64,
    store,
    store_f32,
    to_high_bytes,
    zero_u16x32,
)
from lookalike.kernels.target import WIDE, available, inlined, kernel

TOGETHER = 4 if WIDE else 1  # blocks that share one load of a table row: as many as 32 registers hold


@inlined
def lane_byte(i):
    """Where vector i of a block lies in each row of 64 bytes."""
    return 2 * i if i < 32 else 2 * i - 63


@inlined
def _four_estimates(total, odd, bias, step):
    """Estimates of a block's vectors, 16 a value, from the sums of all bytes and of the odd ones."""
    even = total - to_high_bytes(odd)
    return (
        low_as_f32(even) * step + load_f32x16(bias),
        high_as_f32(even) * step + load_f32x16(bias + 64),
        low_as_f32(odd) * step + load_f32x16(bias + 128),
        high_as_f32(odd) * step + load_f32x16(bias + 192),
    )


@inlined
def _survivors(total, odd, bias, step, threshold):
    """64-bit mask of the block's vectors whose estimate is within the threshold."""
    a, b, c, d = _four_estimates(total, odd, bias, step)
    return (
        mask_le(a, threshold)
        | mask_le(b, threshold) << np.uint64(16)
        | mask_le(c, threshold) << np.uint64(32)
        | mask_le(d, threshold) << np.uint64(48)
    )


@kernel
def masks_simd(codes, blocks, m, table, bias, step, threshold, masks):
    """Survivor mask of each block.

    codes, table, bias: addresses of uint8 (blocks, m, 64), uint8 (m, 256), float32 (blocks, 64); masks: uint64 (blocks,).
    """
    rows = m * BLOCK
    steps, thresholds = splat_f32x16(step), splat_f32x16(threshold)
    together = blocks // TOGETHER * TOGETHER if TOGETHER == 4 else 0
    for first in range(0, together, 4):
        at = codes + first * rows
        sum0, sum1, sum2, sum3 = zero_u16x32(), zero_u16x32(), zero_u16x32(), zero_u16x32()
        odd0, odd1, odd2, odd3 = zero_u16x32(), zero_u16x32(), zero_u16x32(), zero_u16x32()
        for j in range(m):
            row = load_table(table + j * 256)
            v = as_u16x32(lookup(row, load_u8x64(at)))
            sum0, odd0 = sum0 + v, odd0 + high_bytes(v)
            v = as_u16x32(lookup(row, load_u8x64(at + rows)))
            sum1, odd1 = sum1 + v, odd1 + high_bytes(v)
            v = as_u16x32(lookup(row, load_u8x64(at + 2 * rows)))
            sum2, odd2 = sum2 + v, odd2 + high_bytes(v)
            v = as_u16x32(lookup(row, load_u8x64(at + 3 * rows)))
            sum3, odd3 = sum3 + v, odd3 + high_bytes(v)
            at += BLOCK
        biases = bias + first * BLOCK * 4
        masks[first] = _survivors(sum0, odd0, biases, steps, thresholds)
        masks[first + 1] = _survivors(sum1, odd1, biases + 256, steps, thresholds)
        masks[first + 2] = _survivors(sum2, odd2, biases + 512, steps, thresholds)
        masks[first + 3] = _survivors(sum3, odd3, biases + 768, steps, thresholds)
    for block in range(together, blocks):
        at = codes + block * rows
        total, odd = zero_u16x32(), zero_u16x32()
        for j in range(m):
            v = as_u16x32(lookup(load_table(table + j * 256), load_u8x64(at + j * BLOCK)))
            total, odd = total + v, odd + high_bytes(v)
        masks[block] = _survivors(total, odd, bias + block * BLOCK * 4, steps, thresholds)


@kernel
def estimates_simd(codes, blocks, m, table, bias, step, estimates):
    """Estimate of every vector; layouts as in `masks_simd`, estimates: address of float32 (blocks, 64)."""
    steps = splat_f32x16(step)
    for block in range(blocks):
        at = codes + block * m * BLOCK
        total, odd = zero_u16x32(), zero_u16x32()
        for j in range(m):
            v = as_u16x32(lookup(load_table(table + j * 256), load_u8x64(at + j * BLOCK)))
            total, odd = total + v, odd + high_bytes(v)
        a, b, c, d = _four_estimates(total, odd, bias + block * BLOCK * 4, steps)
        out = estimates + block * BLOCK * 4
        store(out, a)
        store(out + 64, b)
        store(out + 128, c)
        store(out + 192, d)


@kernel
def below_simd(values, blocks, bound, masks):
    """Mask of the values of each block that are within the bound; values: aligned address of float32 (blocks, 64)."""
    bounds = splat_f32x64(bound)
    for block in range(blocks):
        masks[block] = mask_le(load_f32x64(values + block * BLOCK * 4), bounds)


# --- plain twins -----------------------------------------------------------------------------------------------------


@inlined
def _eight_sums(at, m, table):
    """Σ_j table[j, code] of eight neighbouring bytes, each in its own scalar register; both addresses are int64.

    An address that starts as uint64, as ``array.ctypes.data`` is, and then moves, is float64 to Numba, at three times the cost.
    """
    a = b = c = d = e = f = g = h = np.uint32(0)
    for _ in range(m):
        a += np.uint32(load_u8(table + np.int64(load_u8(at))))
        b += np.uint32(load_u8(table + np.int64(load_u8(at + 1))))
        c += np.uint32(load_u8(table + np.int64(load_u8(at + 2))))
        d += np.uint32(load_u8(table + np.int64(load_u8(at + 3))))
        e += np.uint32(load_u8(table + np.int64(load_u8(at + 4))))
        f += np.uint32(load_u8(table + np.int64(load_u8(at + 5))))
        g += np.uint32(load_u8(table + np.int64(load_u8(at + 6))))
        h += np.uint32(load_u8(table + np.int64(load_u8(at + 7))))
        at += BLOCK
        table += 256
    return a, b, c, d, e, f, g, h


@kernel
def estimates_plain(codes, blocks, m, table, bias, step, estimates):
    """The same numbers without vector instructions: estimate(i) = step · Σ_j table[j, code_j(i)] + bias[i]."""
    first = np.int64(table)
    for block in range(blocks):
        at, biases, out = codes + block * m * BLOCK, bias + block * BLOCK * 4, estimates + block * BLOCK * 4
        for byte in range(0, BLOCK, 8):
            sums = _eight_sums(at + byte, m, first)
            for i in range(4):  # even bytes are vectors 0..31, odd bytes 32..63
                lane = 4 * (byte // 2 + i)
                store_f32(out + lane, np.float32(sums[2 * i]) * step + load_f32(biases + lane))
                store_f32(out + lane + 128, np.float32(sums[2 * i + 1]) * step + load_f32(biases + lane + 128))


@kernel
def masks_plain(codes, blocks, m, table, bias, step, threshold, masks):
    """The same masks without vector instructions."""
    first = np.int64(table)
    for block in range(blocks):
        at, biases = codes + block * m * BLOCK, bias + block * BLOCK * 4
        mask = np.uint64(0)
        for byte in range(0, BLOCK, 8):
            sums = _eight_sums(at + byte, m, first)
            for i in range(4):
                lane = byte // 2 + i
                low = np.float32(sums[2 * i]) * step + load_f32(biases + 4 * lane)
                high = np.float32(sums[2 * i + 1]) * step + load_f32(biases + 4 * lane + 128)
                mask |= np.uint64(low <= threshold) << np.uint64(lane)
                mask |= np.uint64(high <= threshold) << np.uint64(lane + 32)
        masks[block] = mask


@kernel
def below_plain(values, blocks, bound, masks):
    """The same masks, one value at a time."""
    for block in range(blocks):
        mask = np.uint64(0)
        for i in range(BLOCK):
            mask |= np.uint64(load_f32(values + (block * BLOCK + i) * 4) <= bound) << np.uint64(i)
        masks[block] = mask


masks_below = below_simd if available() else below_plain
scan_masks = masks_simd if available() else masks_plain
scan_estimates = estimates_simd if available() else estimates_plain
