"""Exact search among whole vectors, list by list for all the queries that visit a list; one list of everything is one such search.

A list is read once, 64 rows at a time. Few visitors compare themselves with each row directly. Where there are many, the rows
become columns of a tile (`tiles`), whose products with all visitors only reject: what may be among the k nearest is compared
directly, too. So a distance is the same however many asked.
"""

from typing import NamedTuple

import numpy as np

from lookalike.kernels.distances import inner_product
from lookalike.kernels.ivf import INFINITY, is_allowed, is_filter, visiting_order
from lookalike.kernels.layout import IP, L2, PRODUCT_ROUNDING, SUM_ROUNDING, TILE, Allow
from lookalike.kernels.probe import probe_lists
from lookalike.kernels.rows import AHEAD, cosine_distance, distance_of, element, row_sums
from lookalike.kernels.scratch import aligned_floats
from lookalike.kernels.simd import load_f32, load_f32x64, load_i64, lowest_bit, mask_le, splat_f32x64
from lookalike.kernels.target import NONE, available, inlined, kernel
from lookalike.kernels.tiles import products
from lookalike.kernels.topk import quickselect, sort_candidates

VECTORS, IDS, SIZE = 0, 1, 2  # columns of the table of lists
LONG = 2048  # elements of a vector, from which on the rounding of its products is taken at the worst
STRIP, STRIP_BYTES = (
    512,
    1 << 18,
)  # rows that fewer visitors are compared with at a time, if they are not longer than this
MANY = 16  # visitors for whom it pays to make columns of the rows
ANGLE = 3  # a metric: as COSINE, of rows that need not be unit vectors; one that is not finite is like nothing


class Found(NamedTuple):
    """What queries have found so far."""

    k: int
    distances: np.ndarray  # float32 (nq, capacity)
    ids: np.ndarray  # int64 (nq, capacity)
    unused: np.ndarray  # int64 (capacity,): places, for `quickselect`
    counts: np.ndarray  # int64 (nq,)
    limits: np.ndarray  # float32 (nq,): the k-th distance, once k were cut to


class Rows(NamedTuple):
    """Rows that are compared at a time: up to 64 if they become columns, else up to `STRIP`."""

    at: np.ndarray  # int64 (STRIP,): addresses
    ids: np.ndarray  # int64 (STRIP,)
    some: np.ndarray  # int64 (64,): of these the addresses and ids that products did not reject
    named: np.ndarray
    sums: np.ndarray  # float32 (STRIP,), and the next (`rows.row_sums`)
    norms: np.ndarray
    columns: np.ndarray  # float32 (1, d, 64): −x, as a tile
    offsets: np.ndarray  # float32 (64,): ½‖x‖² for L2, else 0
    queries: np.ndarray  # float32 (nq, d): those of the visitors, one after the other
    scores: np.ndarray  # float32 (nq, 64)
    lengths: np.ndarray  # float32 (nq,): ‖q‖² of all queries


@inlined
def angle(query, at, is_half, product, norm):
    """The cosine distance of the row at an address; 1 where that is not finite."""
    distance = cosine_distance(query, at, is_half, product, norm)
    return np.float32(1) if np.isnan(distance) else distance


@inlined
def offer(found, i, distance, number):
    """Keep a candidate of query i; when the room is full, the k nearest stay."""
    count = found.counts[i]
    found.distances[i, count], found.ids[i, count] = distance, number
    count += 1
    if count == found.ids.shape[1]:
        found.limits[i] = quickselect(found.distances[i], found.ids[i], found.unused, count, found.k)
        count = found.k
    found.counts[i] = count


@kernel
def make_columns(count, rows, is_half, metric):
    """The rows as columns of a tile; returns the largest ‖x‖² among them, NaN or infinity if one is not finite."""
    columns, offsets, places, largest = rows.columns, rows.offsets, rows.at, np.float32(0)
    d = columns.shape[1]
    for c in range(count):
        norm, at = np.float32(0), places[c]
        for e in range(d):
            x = element(at, e, is_half)
            columns[0, e, c] = -x
            norm += x * x
        if not norm < INFINITY:
            return INFINITY
        if metric == ANGLE:
            scale = np.float32(1) / np.sqrt(norm) if norm > 0 else np.float32(0)
            if not scale < INFINITY:
                return INFINITY
            for e in range(d):
                columns[0, e, c] *= scale
            norm = np.float32(1)
        offsets[c] = norm / 2 if metric == L2 else np.float32(0)
        largest = max(largest, norm)
    for c in range(count, TILE):
        columns[0, :, c], offsets[c] = 0, INFINITY
    return largest


@inlined
def highest_score(size, limit, largest, metric, d):
    """Up to here a score ½‖x‖² − ⟨q, x⟩, or −⟨q, x⟩, may be that of a row within the limit; size: ‖q‖².

    A sum of d products, added one by one, may be wrong by d roundings of its size, and ‖q‖² + ‖x‖² is twice that or more. Errors
    cancel, so that `PRODUCT_ROUNDING` is plenty for some thousand terms; of more, the bound itself is taken.
    """
    rounding = max(np.float32(PRODUCT_ROUNDING), np.float32(d) * np.float32(6e-8) if d > LONG else np.float32(0))
    slack = rounding * (size + largest) + np.float32(SUM_ROUNDING) * abs(limit)
    if metric == L2:
        return (limit - size) / 2 + slack
    return limit + slack if metric == IP else limit - np.float32(1) + slack


@kernel
def within_simd(scores, bound):
    """The mask of the 64 scores at an address that are not above a bound."""
    return mask_le(load_f32x64(scores), splat_f32x64(bound))


@kernel
def within_plain(scores, bound):
    """The same."""
    mask = np.uint64(0)
    for c in range(TILE):
        if load_f32(scores + 4 * c) <= bound:
            mask |= np.uint64(1) << np.uint64(c)
    return mask


within = within_simd if available() else within_plain


@kernel
def meet(xq, visitors, count, rows, is_half, metric, found):
    """Compare each visitor, a row number of xq, with `count` rows; of many visitors the elements stand in ``rows.queries``.

    All of the rows are compared directly, or, of many visitors, those that their products do not reject.
    """
    d, nv = xq.shape[1], visitors.shape[0]
    every, largest = ~np.uint64(0) >> np.uint64(TILE - min(count, TILE)), INFINITY
    # parts of a tuple are named once, as naming one costs two atomic operations
    at, ids, sums, norms, limits, lengths = rows.at, rows.ids, rows.sums, rows.norms, found.limits, rows.lengths
    scores, some, named = np.int64(rows.scores.ctypes.data), rows.some, rows.named
    if nv >= MANY:
        largest = make_columns(count, rows, is_half, metric)
        if largest < INFINITY:
            products(rows.queries[:nv], NONE, rows.columns, rows.offsets, rows.scores, NONE)
    for v in range(nv):
        i, left, compared, places, names, ahead = visitors[v], every, count, at, ids, NONE
        query, limit = xq[i], limits[i]
        if largest < INFINITY and limit < INFINITY:
            left &= within(scores + v * TILE * 4, highest_score(lengths[i], limit, largest, metric, d))
            compared, places, names, ahead = NONE, some, named, AHEAD
            while left != np.uint64(0):
                c = lowest_bit(left)
                left &= left - np.uint64(1)
                some[compared], named[compared] = at[c], ids[c]
                compared += 1
        row_sums(query, places, compared, ahead, is_half, metric == L2, sums, norms)
        for c in range(compared):
            if metric == ANGLE:
                distance = angle(query, places[c], is_half, sums[c], norms[c])
            else:
                distance = distance_of(sums[c], norms[c], metric)
            if distance <= limit and names[c] >= 0:  # a negative one has been removed
                offer(found, i, distance, names[c])
                limit = limits[i]


@inlined
def scan_list(xq, visitors, lie, allow, rows, metric, found):
    """Offer the vectors of one list to its visitors.

    lie: the address of vectors, bytes from one to the next, whether they are float16, the address of ids, and how many.
    """
    vectors, stride, is_half, ids, size = lie
    filtered, count, at, names = is_filter(allow), NONE, rows.at, rows.ids
    if visitors.shape[0] >= MANY:
        queries = rows.queries
        for v in range(visitors.shape[0]):
            queries[v] = xq[visitors[v]]
    if not filtered:
        step = TILE if visitors.shape[0] >= MANY else max(TILE, min(STRIP, STRIP_BYTES // stride))
        for first in range(0, size, step):
            count = min(step, size - first)
            for c in range(count):
                at[c] = vectors + (first + c) * stride
                names[c] = load_i64(ids + 8 * (first + c))
            meet(xq, visitors, count, rows, is_half, metric, found)
        return
    for position in range(size + 1):  # the last time for what is left
        if position < size:
            number = load_i64(ids + 8 * position)
            if number < 0 or not is_allowed(number, allow):
                continue
            at[count], names[count] = vectors + position * stride, number
            count += 1
        if count == TILE or (position == size and count):
            meet(xq, visitors, count, rows, is_half, metric, found)
            count = NONE


@kernel
def search_whole(xq, probes, table, kind, metric, allow, out_d, out_i):
    """The k nearest vectors of each query in the lists it probes; the rest of its row is +inf and −1.

    xq (nq, d), unit vectors for COSINE and ANGLE; probes int64 (nq, nprobe), nearest first; table int64 (nlist, 3): addresses of
    vectors and of ids, int64, of which negative ones are passed over, and how many; kind: bytes from one vector to the next, and
    whether they are float16, not float32; allow: `layout.Allow`; out_d float32 and out_i int64, (nq, k).
    """
    (nq, nprobe), d, k = probes.shape, xq.shape[1], out_d.shape[1]
    stride, is_half = kind
    allow = Allow(*allow)
    capacity = 2 * k + TILE
    found = Found(
        k,
        np.empty((nq, capacity), np.float32),
        np.empty((nq, capacity), np.int64),
        np.zeros(capacity, np.int64),
        np.zeros(nq, np.int64),
        np.full(nq, INFINITY),
    )
    many = nq if nq >= MANY else 0
    rows = Rows(
        np.empty(STRIP, np.int64),
        np.empty(STRIP, np.int64),
        np.empty(TILE, np.int64),
        np.empty(TILE, np.int64),
        np.empty(STRIP, np.float32),
        np.empty(STRIP, np.float32),
        aligned_floats(d if many else 0, TILE).reshape(1, -1, TILE),
        aligned_floats(1, TILE)[0],
        np.empty((many, d), np.float32),
        aligned_floats(many, TILE),
        np.array([inner_product(xq[i], xq[i]) for i in range(many)], np.float32),
    )
    order, starts = np.empty(nq * nprobe, np.int64), np.empty(table.shape[0] + 1, np.int64)
    visitors = np.empty(nq, np.int64)
    for phase in range(2):  # the nearest list of each query sets its limit
        first, last = (0, min(1, nprobe)) if phase == 0 else (1, nprobe)
        pairs, pair = visiting_order(probes, first, last, starts, order), 0
        while pair < pairs:
            list_no, count = probes[order[pair] // nprobe, order[pair] % nprobe], 0
            while pair < pairs and probes[order[pair] // nprobe, order[pair] % nprobe] == list_no:
                visitors[count] = order[pair] // nprobe
                count += 1
                pair += 1
            lie = table[list_no, VECTORS], stride, is_half, table[list_no, IDS], table[list_no, SIZE]
            scan_list(xq, visitors[:count], lie, allow, rows, metric, found)
    for i in range(nq):
        distances, ids, count = found.distances[i], found.ids[i], found.counts[i]
        if count > k:
            quickselect(distances, ids, found.unused, count, k)
            count = k
        sort_candidates(distances, ids, found.unused, count)
        out_d[i, :count], out_i[i, :count] = distances[:count], ids[:count]
        out_d[i, count:], out_i[i, count:] = INFINITY, -1


@kernel
def search_whole_one(xq, tiles, nprobe, table, kind, metric, out):
    """One query from its coarse search to its results; xq (1, d), out: distances (1, k) and ids (1, k).

    Lists are chosen by the metric of the search, or by distance for COSINE. Returns ‖q‖²: what is written holds if that is neither
    NaN nor too large.
    """
    probes, terms = np.zeros((1, nprobe), np.int64), np.empty((1, nprobe), np.float32)
    probe_lists(xq, tiles, probes, terms)
    everything = np.empty(0, np.bool_), np.empty(0, np.int64)
    search_whole(xq, probes, table, kind, metric, everything, out[0], out[1])
    return inner_product(xq[0], xq[0])
