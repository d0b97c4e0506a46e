"""One search of lists of sign codes (`quantizers.signs`): tables, scan, candidates by estimate, order by rows.

A vector x of a list with centroid c has a residual r = x − c and the signs s of R r. With o the middle of the centroids and
u = −2 R (q − o),

    ‖q − x‖² ≈ ‖q − c‖² + scale · ⟨u, s⟩ + bias      bias = ‖r‖² + 2 scale ⟨R (c − o), s⟩

so that the tables depend on the query alone; an inner product is −⟨q, c⟩ + scale · ⟨u, s⟩ with u = −R q. ⟨u, s⟩ is a sum of
look-ups in tables of sixteen bytes, one for four signs. The estimate only chooses candidates; what is reported are distances to
their rows.

The lists are given by address: columns codes (blocks as in `scan`, a byte for eight signs), scales, biases, rows, ranges if rows
are `LOCAL`, ids, and the size.
"""

from typing import NamedTuple

import numpy as np

from lookalike.kernels.bytes import ByteRows, byte_sums
from lookalike.kernels.distances import inner_product
from lookalike.kernels.hadamard import rotate
from lookalike.kernels.ivf import (
    INFINITY,
    blocks_of,
    hide,
    id_at,
    is_allowed,
    is_filter,
    mask_of,
    visiting_order,
)
from lookalike.kernels.layout import BLOCK, IP, L2, SUM_ROUNDING, Allow, ListTable, SignSpace
from lookalike.kernels.probe import probe_lists
from lookalike.kernels.rows import distance_of, row_sums
from lookalike.kernels.scan import lane_byte, masks_below
from lookalike.kernels.scratch import aligned_bytes
from lookalike.kernels.simd import (
    as_u16x32,
    high_as_f32,
    high_bytes,
    high_nibbles,
    load_f32,
    load_f32x16,
    load_f32x64,
    load_i64,
    load_row16,
    load_u8,
    load_u8x64,
    lookup16,
    low_as_f32,
    low_nibbles,
    lowest_bit,
    mask_le,
    prefetch,
    signs_of_bit0,
    signs_of_bit1,
    signs_of_bit2,
    signs_of_bit3,
    splat_f32x16,
    splat_f32x64,
    store,
    store_as_bytes,
    store_f32,
    store_i64,
    store_u8,
    to_high_bytes,
    zero_u16x32,
)
from lookalike.kernels.target import NONE, WIDE, available, inlined, kernel
from lookalike.kernels.topk import INSERTED, count_within, extremes, halve, quickselect, sort_candidates

CODES, SCALES, BIASES, ROWS, RANGES = 0, 1, 2, 3, 4  # columns of the table; ids and size are the last two
FLOATS, HALVES, GLOBAL, LOCAL = (
    0,
    1,
    2,
    3,
)  # rows: float32, float16, bytes with a range for each dimension, or for each vector
QUARTER = 63  # the largest byte of a table, so that four of them add up in eight bits
SMALLEST_STEP = np.float32(1e-30)
TOGETHER = 4 if WIDE else 1  # blocks that share one load of a table
GROUP = 256  # queries that share the reading of a list,
CANDIDATES = 1 << 18  # if the candidates that they keep are not more
MORE = 2  # candidates are cut back when there are more than so many times as many
LINES = 16  # of codes that are asked for before a list is visited
AHEAD = 12  # rows between asking for one and reading it


@inlined
def largest_byte(m):
    """Of a table whose m rows are summed up in 16 bits."""
    return min(QUARTER, 65535 // m)


# --- tables ----------------------------------------------------------------------------------------------------------


@inlined
def fill_table_simd(values, m, low, inverse, table):
    """table[j, c] = the byte of ±v ±v ±v ±v, plus by the bits of c; values, low, table: addresses (m, 4), (m,), (m, 16)."""
    scale = splat_f32x16(inverse)
    for j in range(m):
        at = values + 16 * j
        total = signs_of_bit0() * splat_f32x16(load_f32(at)) + signs_of_bit1() * splat_f32x16(load_f32(at + 4))
        total = total + signs_of_bit2() * splat_f32x16(load_f32(at + 8))
        total = total + signs_of_bit3() * splat_f32x16(load_f32(at + 12))
        store_as_bytes(table + 16 * j, (total + splat_f32x16(load_f32(low + 4 * j))) * scale)


@inlined
def fill_table_plain(values, m, low, inverse, table):
    for j in range(m):
        at = values + 16 * j
        for c in range(16):
            total = (load_f32(at) if c & 1 else -load_f32(at)) + (load_f32(at + 4) if c & 2 else -load_f32(at + 4))
            total += load_f32(at + 8) if c & 4 else -load_f32(at + 8)
            total += load_f32(at + 12) if c & 8 else -load_f32(at + 12)
            byte = np.int32((total + load_f32(low + 4 * j)) * inverse + np.float32(0.5))
            store_u8(table + 16 * j + c, np.uint8(byte))


fill_table = fill_table_simd if available() else fill_table_plain


@kernel
def sign_tables(u, m, low, table):
    """The look-up tables of ⟨u, s⟩ in bytes: the sum for a code is floor + step · Σ_j table[j, code_j], half a step off for each j.

    Aligned addresses: u float32 (4 m,); low: scratch, float32 (m,); table uint8 (m, 16). Returns step and floor.
    """
    most, floor = np.float32(0), np.float32(0)
    for j in range(m):
        at = u + 16 * j
        size = (abs(load_f32(at)) + abs(load_f32(at + 4))) + (abs(load_f32(at + 8)) + abs(load_f32(at + 12)))
        store_f32(low + 4 * j, size)
        most = max(most, size)
        floor -= size
    step = max(np.float32(2) * most / np.float32(largest_byte(m)), SMALLEST_STEP)
    fill_table(u, m, low, np.float32(1) / step, table)
    return step, floor


# --- scan ------------------------------------------------------------------------------------------------------------


@inlined
def _four_lookups(table, at):
    """Of each of 64 vectors the sum of four look-ups: two rows of codes, 64 bytes of tables."""
    v, w = load_u8x64(at), load_u8x64(at + 64)
    return (lookup16(load_row16(table), low_nibbles(v)) + lookup16(load_row16(table + 16), high_nibbles(v))) + (
        lookup16(load_row16(table + 32), low_nibbles(w)) + lookup16(load_row16(table + 48), high_nibbles(w))
    )


@inlined
def _settled(total, odd, scales, biases, step, floor, threshold, out):
    """Write the estimates of a block, from the sums of all bytes and of the odd ones; the mask of those within the threshold."""
    even = total - to_high_bytes(odd)
    a = (low_as_f32(even) * step + floor) * load_f32x16(scales) + load_f32x16(biases)
    b = (high_as_f32(even) * step + floor) * load_f32x16(scales + 64) + load_f32x16(biases + 64)
    c = (low_as_f32(odd) * step + floor) * load_f32x16(scales + 128) + load_f32x16(biases + 128)
    d = (high_as_f32(odd) * step + floor) * load_f32x16(scales + 192) + load_f32x16(biases + 192)
    store(out, a)
    store(out + 64, b)
    store(out + 128, c)
    store(out + 192, d)
    return (
        mask_le(a, threshold)
        | mask_le(b, threshold) << np.uint64(16)
        | mask_le(c, threshold) << np.uint64(32)
        | mask_le(d, threshold) << np.uint64(48)
    )


@kernel
def scan_simd(codes, blocks, m, table, near, limits, estimates, masks):
    """scale · (floor + step · Σ_j table[j, code_j]) + bias of each vector, and the mask of those within the threshold.

    codes, table: addresses of uint8 (blocks, m / 2, 64), a byte for two codes, and (m, 16); near: addresses of scales and of
    biases, float32 (64 blocks,); limits: step, floor and threshold; estimates: address of float32 (64 blocks,); masks uint64
    (blocks,).
    """
    scales, biases = near
    size, steps, floors, thresholds = m * 32, splat_f32x16(limits[0]), splat_f32x16(limits[1]), splat_f32x16(limits[2])
    together = blocks // TOGETHER * TOGETHER if TOGETHER == 4 else 0
    for first in range(0, together, 4):
        at, row = codes + first * size, table
        sum0, sum1, sum2, sum3 = zero_u16x32(), zero_u16x32(), zero_u16x32(), zero_u16x32()
        odd0, odd1, odd2, odd3 = zero_u16x32(), zero_u16x32(), zero_u16x32(), zero_u16x32()
        for _ in range(m // 4):
            v = as_u16x32(_four_lookups(row, at))
            sum0, odd0 = sum0 + v, odd0 + high_bytes(v)
            v = as_u16x32(_four_lookups(row, at + size))
            sum1, odd1 = sum1 + v, odd1 + high_bytes(v)
            v = as_u16x32(_four_lookups(row, at + 2 * size))
            sum2, odd2 = sum2 + v, odd2 + high_bytes(v)
            v = as_u16x32(_four_lookups(row, at + 3 * size))
            sum3, odd3 = sum3 + v, odd3 + high_bytes(v)
            at += 128
            row += 64
        here = 256 * first
        masks[first] = _settled(sum0, odd0, scales + here, biases + here, steps, floors, thresholds, estimates + here)
        here += 256
        masks[first + 1] = _settled(
            sum1, odd1, scales + here, biases + here, steps, floors, thresholds, estimates + here
        )
        here += 256
        masks[first + 2] = _settled(
            sum2, odd2, scales + here, biases + here, steps, floors, thresholds, estimates + here
        )
        here += 256
        masks[first + 3] = _settled(
            sum3, odd3, scales + here, biases + here, steps, floors, thresholds, estimates + here
        )
    for block in range(together, blocks):
        at, row, here = codes + block * size, table, 256 * block
        total, odd = zero_u16x32(), zero_u16x32()
        for _ in range(m // 4):
            v = as_u16x32(_four_lookups(row, at))
            total, odd = total + v, odd + high_bytes(v)
            at += 128
            row += 64
        masks[block] = _settled(total, odd, scales + here, biases + here, steps, floors, thresholds, estimates + here)


@kernel
def scan_plain(codes, blocks, m, table, near, limits, estimates, masks):
    """The same numbers and masks, one vector at a time."""
    scales, biases = near
    step, floor, threshold = limits
    for block in range(blocks):
        mask = np.uint64(0)
        for i in range(BLOCK):
            total, at, row = np.uint32(0), codes + block * m * 32 + lane_byte(i), table
            for _ in range(m // 2):
                code = np.int64(load_u8(at))
                total += np.uint32(load_u8(row + (code & 15))) + np.uint32(load_u8(row + 16 + (code >> 4)))
                at += BLOCK
                row += 32
            here = 256 * block + 4 * i
            estimate = (np.float32(total) * step + floor) * load_f32(scales + here) + load_f32(biases + here)
            store_f32(estimates + here, estimate)
            mask |= np.uint64(estimate <= threshold) << np.uint64(i)
        masks[block] = mask


scan = scan_simd if available() else scan_plain


# --- a bound for the first list --------------------------------------------------------------------------------------


@inlined
def fill_gaps(values, size, blocks, gone, first, last, value):
    """Write `value` where a list holds nothing: behind its last vector, and where one was removed."""
    for position in range(size, blocks * BLOCK):
        store_f32(values + 4 * position, value)
    for g in range(first, last):
        store_f32(values + 4 * (gone[g] & 0xFFFFFFFF), value)


@kernel
def bound_of_list(values, size, gone, list_no, k):
    """A number that at least k of the estimates of a list do not exceed, and not many more; all of a list that holds no more.

    values: address of float32, in whole blocks. By bisection: each step counts those below the middle.
    """
    blocks = blocks_of(size)
    first, last = np.searchsorted(gone, list_no << 32), np.searchsorted(gone, (list_no + 1) << 32)
    fill_gaps(values, size, blocks, gone, first, last, INFINITY)
    if size - (last - first) <= k:
        return INFINITY
    low, _ = extremes(values, blocks * BLOCK)
    fill_gaps(values, size, blocks, gone, first, last, low)
    _, high = extremes(values, blocks * BLOCK)
    fill_gaps(values, size, blocks, gone, first, last, INFINITY)
    if not high < INFINITY or count_within(values, blocks * BLOCK, high) < k:  # NaN, of a damaged file
        return INFINITY
    high, _ = halve(values, blocks * BLOCK, k, k + (k >> 3), low, high)
    return high


# --- candidates ------------------------------------------------------------------------------------------------------


@inlined
def kept_simd(values, places, count, bound):
    """Move the candidates within the bound to the front, in their order; returns how many. values, places: addresses."""
    bounds, kept = splat_f32x64(bound), NONE
    for first in range(0, count, BLOCK):
        left = mask_le(load_f32x64(values + 4 * first), bounds)
        while left != np.uint64(0):
            c = first + lowest_bit(left)
            left &= left - np.uint64(1)
            store_f32(values + 4 * kept, load_f32(values + 4 * c))
            store_i64(places + 8 * kept, load_i64(places + 8 * c))
            kept += 1
    return kept


@inlined
def kept_plain(values, places, count, bound):
    kept = NONE
    for c in range(count):
        value = load_f32(values + 4 * c)
        if value <= bound:
            store_f32(values + 4 * kept, value)
            store_i64(places + 8 * kept, load_i64(places + 8 * c))
            kept += 1
    return kept


kept_within = kept_simd if available() else kept_plain


@kernel
def cut(values, places, count, keep, most):
    """Leave the `keep` smallest candidates and up to `most` in all; returns how many, and a number that none of them exceeds.

    values, places: addresses of float32 and int64 (count + 64,); count > keep. Where equal values stand in the way, they all stay.
    """
    padded = blocks_of(count) * BLOCK
    for c in range(count, padded):
        store_f32(values + 4 * c, load_f32(values))
    low, high = extremes(values, padded)
    for c in range(count, padded):
        store_f32(values + 4 * c, INFINITY)
    high, reached = halve(values, padded, keep, most, low, high)
    if reached >= count:
        return count, high
    return kept_within(values, places, count, high), high


@inlined
def sort_few(values, names, count):
    """Sort by value, then by name; addresses of float32 and int64. There are little more than are wanted."""
    for c in range(1, count):
        value, name, at = load_f32(values + 4 * c), load_i64(names + 8 * c), c
        while at > 0:
            before = load_f32(values + 4 * at - 4)
            if before < value or (before == value and load_i64(names + 8 * at - 8) <= name):
                break
            store_f32(values + 4 * at, before)
            store_i64(names + 8 * at, load_i64(names + 8 * at - 8))
            at -= 1
        store_f32(values + 4 * at, value)
        store_i64(names + 8 * at, name)


@inlined
def cut_equal(values, places, count, keep):
    """Leave the `keep` smallest candidates, equal ones by place; addresses as for `cut`, which equal values stand in the way of."""
    distances, named, unused = np.empty(count, np.float32), np.empty(count, np.int64), np.empty(count, np.int64)
    for c in range(count):
        distances[c], named[c] = load_f32(values + 4 * c), load_i64(places + 8 * c)
    limit = quickselect(distances, named, unused, count, keep)
    for c in range(keep):
        store_f32(values + 4 * c, distances[c])
        store_i64(places + 8 * c, named[c])
    return limit


# --- rows ------------------------------------------------------------------------------------------------------------


@inlined
def row_size(kind, d):
    """Bytes of a row."""
    return 4 * d if kind == FLOATS else 2 * d if kind == HALVES else d


@inlined
def whole_sums(query, rows, count, is_half, is_l2):
    """Sums of rows of floats, by `rows.row_sums`."""
    at, sums, norms = np.empty(count, np.int64), np.empty(count, np.float32), np.empty(count, np.float32)
    for c in range(count):
        at[c] = load_i64(rows.at + 8 * c)
    row_sums(query, at, count, AHEAD, is_half, is_l2, sums, norms)
    for c in range(count):
        store_f32(rows.sums + 4 * c, sums[c])


@kernel
def compare_rows(query, space, table, places, count, rows):
    """The distances of a query (d,) to `count` rows, as they are reported, inner products negated, at ``rows.sums``.

    places: address of int64 (count,), list_no << 32 | position. A row that is not finite is at +inf.
    """
    d, kind, metric, base = query.shape[0], space.kind, space.metric, space.base
    size = row_size(kind, d)
    for c in range(count):
        place = load_i64(places + 8 * c)
        list_no, position = place >> 32, place & 0xFFFFFFFF
        row = table[list_no, ROWS] + position * size
        store_i64(rows.at + 8 * c, row)
        if c < AHEAD:
            for line in range(row, row + min(size, 1024), 64):
                prefetch(line)
        if kind == GLOBAL:
            store_i64(rows.bases + 8 * c, base)
            store_f32(rows.lows + 4 * c, np.float32(0))
            store_f32(rows.steps + 4 * c, np.float32(1))
        elif kind == LOCAL:
            prefetch(table[list_no, RANGES] + 8 * position)
            store_i64(rows.bases + 8 * c, space.centroids + 4 * list_no * d)
    if kind == LOCAL:
        for c in range(count):
            place = load_i64(places + 8 * c)
            lie = table[place >> 32, RANGES] + 8 * (place & 0xFFFFFFFF)
            store_f32(rows.lows + 4 * c, load_f32(lie))
            store_f32(rows.steps + 4 * c, load_f32(lie + 4))
    if kind >= GLOBAL:
        byte_sums(np.int64(query.ctypes.data), d, space.widths, rows, count, metric == L2)
    else:
        whole_sums(query, rows, count, kind == HALVES, metric == L2)
    for c in range(count):
        total = load_f32(rows.sums + 4 * c)
        store_f32(rows.sums + 4 * c, distance_of(total, np.float32(0), metric) if abs(total) < INFINITY else INFINITY)


@kernel
def compare_list(query, space, table, list_no, out):
    """The distances of a query to all rows of a list; out (size,)."""
    size = out.shape[0]
    places, memory = np.empty(size, np.int64), aligned_bytes(32 * size + 64)
    for position in range(size):
        places[position] = (list_no << 32) | position
    at = np.int64(memory.ctypes.data)
    rows = ByteRows(at, at + 8 * size, at + 16 * size, at + 20 * size, at + 24 * size)
    compare_rows(query, space_of(space), table, np.int64(places.ctypes.data), size, rows)
    for position in range(size):
        out[position] = load_f32(rows.sums + 4 * position)
    memory[0] = 0  # keeps it alive until here


@inlined
def space_of(plan):
    """The parts of an array that was made of a `SignSpace`."""
    return SignSpace(plan[0], plan[1], plan[2], plan[3], plan[4], plan[5], plan[6], plan[7], plan[8], plan[9])


# --- search ----------------------------------------------------------------------------------------------------------


class Work(NamedTuple):
    """What a group of queries works in: addresses in one block of memory. Arrays would be counted wherever they are named."""

    keep: int  # candidates that are wanted of a query,
    capacity: int  # and for how many there is room
    tables: int  # uint8 (group, m, 16)
    rotated: int  # float32 (bits,)
    low: int  # float32 (m,)
    estimates: int  # float32 (64 blocks,)
    values: int  # float32 (group, capacity): estimates of candidates,
    places: int  # int64 (group, capacity): and where they stand
    rows: ByteRows
    steps: int  # float32 (group,), and the next
    floors: int
    limits: int  # an estimate that `keep` candidates do not exceed
    counts: int  # int64 (group,)


@inlined
def behind(at, size):
    """The first cache line behind `size` bytes."""
    return (at + size + 63) // 64 * 64


@inlined
def lay_out(at, group, bits, keep, longest):
    """The parts of a block of memory that begins at an address, and where they end."""
    capacity, m = MORE * keep + 4 * BLOCK, bits // 4
    rotated = behind(at, 16 * m * group)
    low = behind(rotated, 4 * bits)
    estimates = behind(low, 4 * m)
    values = behind(estimates, 256 * blocks_of(longest))
    places = behind(values, 4 * group * capacity)
    rows_at = behind(places, 8 * group * capacity)
    bases = behind(rows_at, 8 * keep)
    lows = behind(bases, 8 * keep)
    units = behind(lows, 4 * keep)
    sums = behind(units, 4 * keep)
    steps = behind(sums, 4 * (keep + BLOCK))
    floors = behind(steps, 4 * group)
    limits = behind(floors, 4 * group)
    counts = behind(limits, 4 * group)
    rows = ByteRows(rows_at, bases, lows, units, sums)
    work = Work(keep, capacity, at, rotated, low, estimates, values, places, rows, steps, floors, limits, counts)
    return work, behind(counts, 8 * group)


@kernel
def prepare(xq, space, work):
    """Nothing is found yet; the tables of each query."""
    (nq, d), m = xq.shape, space.bits // 4
    scale, first = np.float32(-2 if space.metric != IP else -1), np.int64(xq.ctypes.data)
    for i in range(nq):
        rotate(first + 4 * i * d, space.origin, d, space.flips, space.windows, space.rounds, space.bits, work.rotated)
        for at in range(work.rotated, work.rotated + 4 * space.bits, 4):
            store_f32(at, load_f32(at) * scale)
        step, floor = sign_tables(work.rotated, m, work.low, work.tables + 16 * i * m)
        store_f32(work.steps + 4 * i, step)
        store_f32(work.floors + 4 * i, floor)
        store_f32(work.limits + 4 * i, INFINITY)
        store_i64(work.counts + 8 * i, 0)


@inlined
def prefetch_list(table, list_no):
    """Ask for the beginning of a list: the processor sees the rest coming."""
    codes, scales, biases = table[list_no, CODES], table[list_no, SCALES], table[list_no, BIASES]
    for line in range(0, 64 * LINES, 64):
        prefetch(codes + line)
    for line in range(0, 16 * LINES, 64):
        prefetch(scales + line)
        prefetch(biases + line)


@kernel
def search_group(xq, probes, terms, space, lists, allow, work, scratch):
    """Candidates of each query of a group, left in `work`: those of the `keep` smallest estimates, and some more.

    scratch: masks uint64 (blocks of the longest list,), starts int64 (nlist + 1,) and order int64 (pairs,), empty for one query.
    """
    (nq, nprobe), (masks, starts, order), keep = probes.shape, scratch, work.keep
    if nq == 1:
        prefetch_list(lists.table, probes[0, 0])
    prepare(xq, space, work)
    table, gone, wide_ids = lists.table, lists.gone, lists.wide_ids
    m, estimates, filtered, has_gone = space.bits // 4, work.estimates, is_filter(allow), gone.shape[0] > 0
    names, enough = table.shape[1] - 2, MORE * keep + BLOCK
    for phase in range(2):
        first, last = (0, 1) if phase == 0 else (1, nprobe)
        pairs = visiting_order(probes, first, last, starts, order) if nq > 1 else last - first
        for pair in range(pairs):
            i, p = (order[pair] // nprobe, order[pair] % nprobe) if nq > 1 else (0, first + pair)
            list_no, term = probes[i, p], terms[i, p]
            size = table[list_no, names + 1]
            if nq == 1 and p + 1 < nprobe:
                prefetch_list(table, probes[i, p + 1])
            if size == 0:
                continue
            blocks, limit, count = blocks_of(size), load_f32(work.limits + 4 * i), load_i64(work.counts + 8 * i)
            here, there = work.values + 4 * i * work.capacity, work.places + 8 * i * work.capacity
            threshold = limit - term
            threshold += np.float32(2) * np.float32(SUM_ROUNDING) * (abs(limit) + abs(term))  # each sum is rounded
            if not limit < INFINITY:
                threshold = INFINITY
            near = table[list_no, SCALES], table[list_no, BIASES]
            scanned = load_f32(work.steps + 4 * i), load_f32(work.floors + 4 * i), threshold
            scan(table[list_no, CODES], blocks, m, work.tables + 16 * i * m, near, scanned, estimates, masks)
            if not limit < INFINITY and not filtered:
                bound = bound_of_list(estimates, size, gone, list_no, keep)
                if bound < INFINITY:
                    limit = bound + term
                    bound += np.float32(2) * np.float32(SUM_ROUNDING) * (abs(bound) + abs(term))  # as the threshold
                    masks_below(estimates, blocks, bound, masks)
            if has_gone:
                hide(gone, list_no, masks)
            for block in range(blocks):
                left = mask_of(masks, block, size)
                if left == np.uint64(0):
                    continue
                if count > enough:  # there has to be room for a block
                    count, limit = cut(here, there, count, keep, keep + (keep >> 3))
                    if count > enough:
                        limit = cut_equal(here, there, count, keep)
                        count = keep
                while left != np.uint64(0):
                    lane = lowest_bit(left)
                    left &= left - np.uint64(1)
                    position = block * BLOCK + lane
                    value = load_f32(estimates + 4 * position) + term
                    if not -INFINITY < value <= limit:  # of a damaged file it may be no number
                        continue
                    if filtered and not is_allowed(id_at(table[list_no, names], position, wide_ids), allow):
                        continue
                    store_f32(here + 4 * count, value)
                    store_i64(there + 8 * count, (list_no << 32) | position)
                    count += 1
            if count > keep and not limit < INFINITY:
                count, limit = cut(here, there, count, keep, keep + (keep >> 3))
            store_f32(work.limits + 4 * i, limit)
            store_i64(work.counts + 8 * i, count)


@inlined
def write_row(values, names, count, k, out_d, out_i, row):
    """Write the first k of sorted results to a row; the rest of it is +inf and −1."""
    for c in range(k):
        if c < count:
            out_d[row, c], out_i[row, c] = load_f32(values + 4 * c), load_i64(names + 8 * c)
        else:
            out_d[row, c], out_i[row, c] = INFINITY, -1


@kernel
def search_signs(xq, probes, terms, plan, lists, allow, keep, out):
    """The k nearest rows of each query among the `keep` vectors of the lists it probes whose estimates are smallest.

    xq (nq, d), unit vectors for COSINE; probes int64 (nq, nprobe), nearest first; terms float32 (nq, nprobe): ‖q − c‖², or −⟨q, c⟩
    for IP; plan: a `SignSpace` as int64; lists, allow: tuples of `layout`; keep >= k; out: distances (nq, k) and ids (nq, k).
    """
    out_d, out_i = out
    space, lists, allow = space_of(plan), ListTable(*lists), Allow(*allow)
    (nq, nprobe), k, table, wide_ids = probes.shape, out_d.shape[1], lists.table, lists.wide_ids
    group, names = max(1, min(nq, GROUP, CANDIDATES // keep)), table.shape[1] - 2
    work, size = lay_out(0, group, space.bits, keep, lists.longest)
    memory, masks = aligned_bytes(size, 4096), np.empty(blocks_of(lists.longest), np.uint64)
    work, _ = lay_out(np.int64(memory.ctypes.data), group, space.bits, keep, lists.longest)
    many = nq > 1
    starts, order = np.empty(table.shape[0] + 1 if many else 0, np.int64), np.empty(group * nprobe * many, np.int64)
    sums, scratch = work.rows.sums, (masks, starts, order)
    for first in range(0, nq, group):
        last = min(first + group, nq)
        here, there = xq[first:last], probes[first:last]
        search_group(here, there, terms[first:last], space, lists, allow, work, scratch)
        for i in range(last - first):
            values, places = work.values + 4 * i * work.capacity, work.places + 8 * i * work.capacity
            count = load_i64(work.counts + 8 * i)
            if count > keep:
                count, _ = cut(values, places, count, keep, keep)
                if count > keep:
                    cut_equal(values, places, count, keep)
                    count = keep
            compare_rows(xq[first + i], space, table, places, count, work.rows)
            if count > k:
                count, _ = cut(sums, places, count, k, k)
            for c in range(count):
                place = load_i64(places + 8 * c)
                number = id_at(table[place >> 32, names], place & 0xFFFFFFFF, wide_ids)
                store_i64(places + 8 * c, number if load_f32(sums + 4 * c) < INFINITY else -1)
            if count <= INSERTED:
                sort_few(sums, places, count)
            else:
                sort_many(sums, places, count)
            write_row(sums, places, count, k, out_d, out_i, first + i)
    memory[0] = 0  # keeps it alive until here


@kernel
def sort_many(values, names, count):
    """`sort_few` of any number."""
    distances, named, unused = np.empty(count, np.float32), np.empty(count, np.int64), np.empty(count, np.int64)
    for c in range(count):
        distances[c], named[c] = load_f32(values + 4 * c), load_i64(names + 8 * c)
    sort_candidates(distances, named, unused, count)
    for c in range(count):
        store_f32(values + 4 * c, distances[c])
        store_i64(names + 8 * c, named[c])


@kernel
def search_signs_one(xq, tiles, nprobe, plan, lists, keep, out_d, out_i):
    """One query from its coarse search to its results; xq (1, d), out_d (1, k), out_i (1, k).

    Returns ‖q‖²: what is written holds if that is neither NaN nor too large.
    """
    probes, terms = np.zeros((1, nprobe), np.int64), np.empty((1, nprobe), np.float32)
    probe_lists(xq, tiles, probes, terms)
    everything = np.empty(0, np.bool_), np.empty(0, np.int64)
    search_signs(xq, probes, terms, plan, lists, everything, keep, (out_d, out_i))
    return inner_product(xq[0], xq[0])


# --- codes -----------------------------------------------------------------------------------------------------------


@kernel
def encode_signs(residuals, list_no, moved, origin, flips, windows, out):
    """The code of each residual r = x − c, its scale, and its bias.

    residuals (n, d); moved float32 (nlist, bits): R (c − o), or nothing where there is no bias; origin: zeros (d,); out: codes
    uint8 (n, bits / 8), scales and biases float32 (n,).
    """
    codes, scales, biases = out
    (n, d), (rounds, bits) = residuals.shape, flips.shape
    rotated = aligned_bytes(4 * bits).view(np.float32)
    at, into, zero = np.int64(residuals.ctypes.data), np.int64(rotated.ctypes.data), np.int64(origin.ctypes.data)
    turn, lie = np.int64(flips.ctypes.data), np.int64(windows.ctypes.data)
    for i in range(n):
        rotate(at + 4 * i * d, zero, d, turn, lie, rounds, bits, into)
        squares, sizes = np.float32(0), np.float32(0)
        for e in range(bits):
            squares += rotated[e] * rotated[e]
            sizes += abs(rotated[e])
        scale = squares / sizes if sizes > 0 else np.float32(0)
        product = np.float32(0)
        for byte in range(bits // 8):
            code = 0
            for b in range(8):
                if rotated[8 * byte + b] > 0:
                    code |= 1 << b
            codes[i, byte] = code
        if moved.shape[0]:
            near = moved[list_no[i]]
            for e in range(bits):
                product += near[e] if rotated[e] > 0 else -near[e]
            biases[i] = squares + np.float32(2) * scale * product
        else:
            biases[i] = 0
        scales[i] = scale
