"""One search of inverted lists: tables, scans, survivors, and the k that are kept.

The lists are given by address, lists[l] = (codes, biases, ids, size), so that they can grow one by one. Blocks of codes are laid
out as in `scan.py`; ids are int32 or int64.
"""

import numpy as np

from lookalike.kernels._jit import inlined, kernel
from lookalike.kernels.coarse import probe_lists
from lookalike.kernels.distances import COSINE, L2, code_product, inner_product, reported_distance, table_sum
from lookalike.kernels.lut import build_tables, quantize_tables
from lookalike.kernels.scan import BLOCK, lane_byte, masks_below, scan_estimates, scan_masks
from lookalike.kernels.scratch import aligned_bytes, make_scratch
from lookalike.kernels.simd import load_f32, load_i32, load_i64, lowest_bit, prefetch
from lookalike.kernels.topk import BINS, LANES, bound_by_bins, bound_of_kth, keep_near, quickselect, sort_candidates

CODES, BIASES, IDS, SIZE = 0, 1, 2, 3  # columns of `lists`
AHEAD = 4  # candidates between asking for a code and reading it
SEEDED = 32  # up to this k, lane minima give the first threshold
INFINITY = np.float32(np.inf)
ROUNDING = np.float32(1e-6)  # of a sum of a few float32 numbers, relative to the largest
LOWEST = np.float32(3e-7)  # and of one that is near 1, which cosine distances are taken from


@inlined
def id_at(ids, position, wide_ids):
    return load_i64(ids + 8 * position) if wide_ids else np.int64(load_i32(ids + 4 * position))


@inlined
def is_allowed(number, mask, chosen):
    """Whether the filter lets an id pass: a mask over ids, or sorted ids; both empty is no filter."""
    if mask.shape[0]:
        return 0 <= number < mask.shape[0] and mask[number]
    at = np.searchsorted(chosen, number)
    return at < chosen.shape[0] and chosen[at] == number


@inlined
def code_address(lists, place, m, width):
    """Where the first code of a place, list_no << 32 | position, lies; rows are `width` bytes."""
    position = place & 0xFFFFFFFF
    block = lists[place >> 32, CODES] + (position // BLOCK) * m * width
    return block + lane_byte(position % BLOCK) * (width // BLOCK)


@kernel
def visiting_order(probes, first, last, starts, order):
    """Pairs (query, probe) with first <= probe < last, grouped by list, as query · nprobe + probe; returns how many.

    A counting sort: a list's codes are read once for all the queries that visit it. starts: scratch, int64 (nlist + 1,).
    """
    nq, nprobe = probes.shape
    starts[:] = 0
    for i in range(nq):
        for p in range(first, last):
            starts[probes[i, p] + 1] += 1
    for list_no in range(starts.shape[0] - 1):
        starts[list_no + 1] += starts[list_no]
    for i in range(nq):
        for p in range(first, last):
            list_no = probes[i, p]
            order[starts[list_no]] = i * nprobe + p
            starts[list_no] += 1
    return nq * (last - first)


@kernel
def first_masks(codes, biases, size, m, table, step, slack, least, k, estimates, minima, masks):
    """Masks of the first list that a query visits, where no threshold is known: the k best estimates set it.

    estimates: aligned float32 (64 blocks,); minima: float32 (64,). True distances are within `slack` of the estimates, so what may
    be among the k nearest lies below the k-th estimate plus twice the slack. Estimates below `least` are all the same distance.
    """
    blocks = (size + BLOCK - 1) // BLOCK
    scan_estimates(codes, blocks, m, table, biases, step, estimates.ctypes.data)
    for i in range(size, blocks * BLOCK):
        estimates[i] = INFINITY
    bound = INFINITY
    if k <= min(SEEDED, size):
        bound = bound_of_kth(estimates, blocks * BLOCK, k, minima)
    elif k < size:
        bound = bound_by_bins(estimates, size, k, np.empty(BINS, np.int32))
    bound = max(bound, least)
    bound += np.float32(2) * slack + ROUNDING * abs(bound)
    masks_below(estimates.ctypes.data, blocks, bound, masks)


@inlined
def _tail(size):
    """Mask of the vectors that the last block holds: its other lanes may be half written by an `add`."""
    return (np.uint64(1) << np.uint64(size & 63)) - np.uint64(1) if size & 63 else ~np.uint64(0)


@inlined
def near_ties(coarse, size):
    """What two distances of one query may differ by and be equal, opened as they are: of terms as large as `coarse` and `size`."""
    near = np.float32(2) * ROUNDING * (max(abs(coarse[0]), abs(coarse[-1])) + size) + LOWEST
    return near if near < INFINITY else np.float32(0)  # of a damaged file


@inlined
def tied_with(limit, near):
    """What is no further may be as near as the k-th distance: rounding of the terms, and of a sum with a large bias."""
    return limit + near + np.float32(2) * ROUNDING * abs(limit)


@kernel
def settle(query, lists, centroids, codebook, metric, by_residual, distances, places, first, count):
    """Replace the distances of the candidates from `first` on by those that a search reports, summed directly."""
    m, ksub, _ = codebook.shape
    width = BLOCK * (1 if ksub <= 256 else 2)
    zero = np.zeros(query.shape[0], np.float32)
    for c in range(first - AHEAD, count):
        if first <= c + AHEAD < count:  # a code lies in m cache lines: they are asked for before they are read
            code = code_address(lists, places[c + AHEAD], m, width)
            for j in range(m):
                prefetch(code + j * width)
        if c >= first:
            origin = centroids[places[c] >> 32] if by_residual else zero
            distances[c] = reported_distance(query, origin, codebook, code_address(lists, places[c], m, width), metric)


@kernel
def cut(query, lists, centroids, codebook, metric, by_residual, distances, ids, places, count, k, near, settled):
    """Cut candidates back to the k nearest and what is within rounding of the k-th, among which reported distances will decide.

    Where those are too many, all are settled at once, and from then on those that came in since the last time: then k are
    left. `settled` is how many are, at the front: none, or k. Returns how many are left, the k-th distance, and `settled`.
    """
    if settled == 0:
        limit = quickselect(distances, ids, places, count, k)
        kept = keep_near(distances, ids, places, count, k, tied_with(limit, near))
        if kept - k <= k >> 1:
            return kept, limit, 0
        count = kept
    settle(query, lists, centroids, codebook, metric, by_residual, distances, places, settled, count)
    return k, quickselect(distances, ids, places, count, k), k


@inlined
def score_survivors(
    query,
    list_no,
    coarse,
    lists,
    size,
    centroids,
    codebook,
    table,
    metric,
    by_residual,
    masks,
    wide_ids,
    mask,
    chosen,
    distances,
    ids,
    places,
    count,
    limit,
    near,
    settled,
    k,
):
    """Score what the masks left by the float table; returns the state of the candidates: how many, the k-th distance, `settled`."""
    m, ksub, _ = codebook.shape
    scale = np.float32(-2 if metric == L2 else -1)
    filtered = mask.shape[0] > 0 or chosen.shape[0] > 0
    blocks = (size + BLOCK - 1) // BLOCK
    width, bound = BLOCK * (1 if ksub <= 256 else 2), tied_with(limit, near)
    for block in range(blocks):
        left = masks[block]
        if block == blocks - 1:
            left &= _tail(size)
        if left == np.uint64(0):
            continue
        if count > 2 * k:  # there has to be room for a block
            count, limit, settled = cut(
                query, lists, centroids, codebook, metric, by_residual, distances, ids, places, count, k, near, settled
            )
            bound = tied_with(limit, near)
        while left != np.uint64(0):
            i = lowest_bit(left)
            left &= left - np.uint64(1)
            position = block * BLOCK + i
            number = id_at(lists[list_no, IDS], position, wide_ids)
            if filtered and not is_allowed(number, mask, chosen):
                continue
            code = lists[list_no, CODES] + block * m * width + lane_byte(i) * (width // BLOCK)
            product = table_sum(table, code) if table.shape[0] else scale * code_product(query, codebook, code)
            distance = load_f32(lists[list_no, BIASES] + 4 * position) + coarse + product
            if metric == COSINE:
                distance = max(distance, np.float32(0))
            if distance <= bound:
                distances[count], ids[count], places[count] = distance, number, (list_no << 32) | position
                count += 1
    return count, limit, settled


@kernel
def finish(
    query,
    lists,
    centroids,
    codebook,
    metric,
    by_residual,
    distances,
    ids,
    places,
    count,
    k,
    near,
    settled,
    out_d,
    out_i,
):
    """Cut to k by the distances that are reported, sort, write; the rest of the row is +inf and −1."""
    if count > k:
        count, _, settled = cut(
            query, lists, centroids, codebook, metric, by_residual, distances, ids, places, count, k, near, settled
        )
    settle(query, lists, centroids, codebook, metric, by_residual, distances, places, settled, count)
    sort_candidates(distances, ids, places, count)
    count = min(count, k)
    for c in range(count):
        out_d[c], out_i[c] = distances[c], ids[c]
    for c in range(count, k):
        out_d[c], out_i[c] = INFINITY, -1


@inlined
def prefetch_list(lists, list_no, m):
    ahead = lists[list_no, CODES]
    for line in range(min(512, (lists[list_no, SIZE] + BLOCK - 1) // BLOCK * m)):
        prefetch(ahead + 64 * line)


@kernel
def search_group(
    xq, probes, coarse, lists, centroids, codebook, columns, by_residual, metric, wide_ids, mask, chosen, k, work
):
    """Candidates of each query of a group, left in `work`: at least the k nearest. Arguments as in `search_lists`."""
    nq, nprobe = probes.shape
    m = codebook.shape[0]
    largest = min(255, 65535 // m)
    tables, steps, floors, masks = work.tables, work.steps, work.floors, work.masks
    counts, limits, near, settled = work.counts, work.limits, work.near, work.settled
    filtered = mask.shape[0] > 0 or chosen.shape[0] > 0
    counts[:nq], limits[:nq], settled[:nq] = 0, INFINITY, 0
    build_tables(xq, columns, np.float32(-2 if metric == L2 else -1), work.exact)
    for i in range(nq):
        steps[i], floors[i] = quantize_tables(work.exact[i], largest, tables[i])
        near[i] = near_ties(coarse[i], abs(floors[i]))
    for phase in range(2):
        first, last = (0, 1) if phase == 0 else (1, nprobe)
        pairs = visiting_order(probes, first, last, work.starts, work.order) if nq > 1 else last - first
        for pair in range(pairs):
            i, p = (work.order[pair] // nprobe, work.order[pair] % nprobe) if nq > 1 else (0, first + pair)
            list_no, size = probes[i, p], lists[probes[i, p], SIZE]
            if size == 0:
                continue
            if nq == 1 and p + 1 < nprobe:
                prefetch_list(lists, probes[i, p + 1], m)
            codes, biases, blocks = lists[list_no, CODES], lists[list_no, BIASES], (size + BLOCK - 1) // BLOCK
            # half a step for each sub-quantizer, and the rounding of float sums of this size
            slack = np.float32(0.5005 * m * steps[i] + ROUNDING * (abs(coarse[i, p]) + abs(floors[i])))
            table = tables[i].ctypes.data
            if limits[i] == INFINITY and not filtered:
                least = -coarse[i, p] - floors[i] if metric == COSINE else -INFINITY
                slack += near[i]
                first_masks(
                    codes, biases, size, m, table, steps[i], slack, least, k, work.estimates, work.minima, masks
                )
            else:
                threshold = tied_with(limits[i], near[i]) - coarse[i, p] - floors[i] + slack
                scan_masks(codes, blocks, m, table, biases, steps[i], threshold, masks)
            count, limit, done = score_survivors(
                xq[i], list_no, coarse[i, p], lists, size, centroids, codebook, work.exact[i], metric, by_residual, masks,
                wide_ids, mask, chosen, work.distances[i], work.ids[i], work.places[i], counts[i], limits[i], near[i],
                settled[i], k,
            )  # fmt: skip
            if count >= k and (limit == INFINITY or count >= k + (k >> 2)):
                count, limit, done = cut(
                    xq[i], lists, centroids, codebook, metric, by_residual, work.distances[i], work.ids[i],
                    work.places[i], count, k, near[i], done,
                )  # fmt: skip
            counts[i], limits[i], settled[i] = count, limit, done


@kernel
def search_lists(
    xq,
    probes,
    coarse,
    lists,
    longest,
    centroids,
    codebook,
    columns,
    by_residual,
    metric,
    wide_ids,
    mask,
    chosen,
    k,
    group,
    out_d,
    out_i,
):
    """The k nearest coded vectors of each query in the lists it probes; codes of up to 8 bits.

    xq (nq, d); probes int64 and coarse float32 (nq, nprobe), nearest first (`coarse.select_probes`), the part of the distance that
    a list gives, and 1 more for COSINE; lists int64 (nlist, 4);
    codebook float32 (m, ksub, dsub) and columns (m, dsub, 256), the same by columns, padded; group: queries that share the reading
    of a list; out_d (nq, k), out_i (nq, k).
    A query's nearest list comes first and sets its threshold; then all other pairs, grouped by list.
    """
    nq, nprobe = probes.shape
    group = max(1, min(nq, group))
    work = make_scratch(group, nprobe, lists.shape[0], codebook.shape[0], k, longest)
    for first in range(0, nq, group):
        last = min(first + group, nq)
        search_group(
            xq[first:last], probes[first:last], coarse[first:last], lists, centroids, codebook, columns, by_residual, metric,
            wide_ids, mask, chosen, k, work,
        )  # fmt: skip
        for i in range(first, last):
            w = i - first
            finish(
                xq[i], lists, centroids, codebook, metric, by_residual, work.distances[w], work.ids[w], work.places[w],
                work.counts[w], k, work.near[w], work.settled[w], out_d[i], out_i[i],
            )  # fmt: skip


@kernel
def search_one(
    xq,
    tiles,
    offsets,
    largest,
    nprobe,
    lists,
    longest,
    centroids,
    codebook,
    columns,
    by_residual,
    metric,
    wide_ids,
    k,
    out_d,
    out_i,
):
    """One query from its coarse search to its results, as a call costs as much as a list; xq (1, d), out_d (1, k), out_i (1, k).

    Lists are chosen by the metric of the search. Returns ‖q‖²: what is written holds if that is neither NaN nor too large.
    """
    probes, coarse = np.empty((1, nprobe), np.int64), np.empty((1, nprobe), np.float32)
    probe_lists(xq, tiles, offsets, centroids, largest, metric == L2, probes, coarse)
    norm = inner_product(xq[0], xq[0])
    if not by_residual:
        coarse[:] = norm if metric == L2 else np.float32(0)
    search_lists(
        xq, probes, coarse, lists, longest, centroids, codebook, columns, by_residual, metric, wide_ids,
        np.empty(0, np.bool_), np.empty(0, np.int64), k, 1, out_d, out_i,
    )  # fmt: skip
    return norm


@kernel
def search_lists_wide(
    xq,
    probes,
    coarse,
    lists,
    longest,
    centroids,
    codebook,
    columns,
    by_residual,
    metric,
    wide_ids,
    mask,
    chosen,
    k,
    group,
    out_d,
    out_i,
):
    """The same for codes of 9 to 16 bits: every vector that is allowed is scored exactly, query by query."""
    nq, nprobe = probes.shape
    capacity = 2 * k + LANES
    masks = np.full((longest + BLOCK - 1) // BLOCK, ~np.uint64(0))
    no_table = np.empty((0, 0), np.float32)
    for i in range(nq):
        distances, ids = np.empty(capacity, np.float32), np.empty(capacity, np.int64)
        places, count, limit, settled = np.empty(capacity, np.int64), 0, INFINITY, 0
        near = near_ties(coarse[i], inner_product(xq[i], xq[i]))
        for p in range(nprobe):
            list_no = probes[i, p]
            size = lists[list_no, SIZE]
            count, limit, settled = score_survivors(
                xq[i], list_no, coarse[i, p], lists, size, centroids, codebook, no_table, metric, by_residual, masks,
                wide_ids, mask, chosen, distances, ids, places, count, limit, near, settled, k,
            )  # fmt: skip
        finish(
            xq[i], lists, centroids, codebook, metric, by_residual, distances, ids, places, count, k, near, settled,
            out_d[i], out_i[i],
        )  # fmt: skip


@inlined
def _grown(array, count):
    """`array`, or a copy of twice the length if it is full."""
    if count < array.shape[0]:
        return array
    larger = np.empty(2 * array.shape[0], array.dtype)
    larger[:count] = array
    return larger


@kernel
def range_lists(
    xq,
    probes,
    coarse,
    lists,
    longest,
    centroids,
    codebook,
    columns,
    by_residual,
    metric,
    wide_ids,
    mask,
    chosen,
    radius,
):
    """Every coded vector that is nearer than `radius` in the lists that one query probes; xq (d,), probes and coarse (nprobe,).

    Returns distances float32 and ids int64, nearest first. The estimate only rejects; the direct distance decides.
    """
    m, ksub, _ = codebook.shape
    narrow = ksub <= 256
    width = BLOCK if narrow else 2 * BLOCK
    scale = np.float32(-2 if metric == L2 else -1)
    blocks = (longest + BLOCK - 1) // BLOCK
    masks = np.full(blocks, ~np.uint64(0))
    table, quantized = np.empty((m, 256), np.float32), aligned_bytes(m * 256).reshape(m, 256)
    step, floor = np.float32(0), np.float32(0)
    if narrow:
        build_tables(xq.reshape(1, -1), columns, scale, table.reshape(1, m, 256))
        step, floor = quantize_tables(table, min(255, 65535 // m), quantized)
    distances, ids, places = np.empty(256, np.float32), np.empty(256, np.int64), np.empty(256, np.int64)
    filtered = mask.shape[0] > 0 or chosen.shape[0] > 0
    zero = np.zeros(xq.shape[0], np.float32)
    count = 0
    for p in range(probes.shape[0]):
        list_no = probes[p]
        size = lists[list_no, SIZE]
        used = (size + BLOCK - 1) // BLOCK
        origin = centroids[list_no] if by_residual else zero
        if narrow:
            slack = 0.5005 * m * step + 1e-6 * (abs(coarse[p]) + abs(floor) + abs(radius)) + LOWEST
            threshold = np.float32(radius - coarse[p] - floor + slack)
            scan_masks(
                lists[list_no, CODES], used, m, quantized.ctypes.data, lists[list_no, BIASES], step, threshold, masks
            )
        for block in range(used):
            left = masks[block] & _tail(size) if block == used - 1 else masks[block]
            while left != np.uint64(0):
                i = lowest_bit(left)
                left &= left - np.uint64(1)
                number = id_at(lists[list_no, IDS], block * BLOCK + i, wide_ids)
                if filtered and not is_allowed(number, mask, chosen):
                    continue
                code = lists[list_no, CODES] + block * m * width + lane_byte(i) * (width // BLOCK)
                distance = reported_distance(xq, origin, codebook, code, metric)
                if distance < radius:
                    distances, ids, places = _grown(distances, count), _grown(ids, count), _grown(places, count)
                    distances[count], ids[count] = distance, number
                    count += 1
    sort_candidates(distances, ids, places, count)
    return distances[:count].copy(), ids[:count].copy()
