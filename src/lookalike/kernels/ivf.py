"""One search of inverted lists: tables, scans, survivors, and the k that are kept.

The lists are given by address (`layout.ListTable`), so that they can grow one by one: columns codes, biases, ids, and the size.
Blocks of codes are laid out as in `scan.py`; ids are int32 or int64. A kernel's `i` is the query of its group, in `Scratch`.
"""

import numpy as np

from lookalike.kernels import layout
from lookalike.kernels.distances import code_product, inner_product, reported_distance, squared_distance, table_sum
from lookalike.kernels.layout import BLOCK, COSINE, L2, ONE_ROUNDING, SUM_ROUNDING, Allow, ListTable, Space
from lookalike.kernels.probe import probe_lists
from lookalike.kernels.scan import lane_byte, masks_below, scan_estimates, scan_masks
from lookalike.kernels.scratch import aligned_bytes, aligned_floats, make_scratch
from lookalike.kernels.simd import load_f32, load_i32, load_i64, lowest_bit, prefetch
from lookalike.kernels.tables import build_tables, quantize_tables
from lookalike.kernels.target import NONE, inlined, kernel
from lookalike.kernels.topk import BINS, bound_by_bins, bound_of_kth, keep_near, quickselect, sort_candidates

CODES, BIASES, IDS, SIZE = 0, 1, 2, 3  # columns of `ListTable.table`
AHEAD = 4  # candidates between asking for a code and reading it
SEEDED = 32  # up to this k, lane minima give the first threshold
INFINITY = np.float32(np.inf)
ALL = ~np.uint64(0)  # every vector of a block

group_size = inlined(layout.group_size)


@inlined
def id_at(ids, position, wide_ids):
    return load_i64(ids + 8 * position) if wide_ids else np.int64(load_i32(ids + 4 * position))


@inlined
def is_filter(allow):
    return allow.mask.shape[0] > 0 or allow.chosen.shape[0] > 0


@inlined
def is_allowed(number, allow):
    """Whether a filter lets an id pass."""
    if allow.mask.shape[0]:
        return 0 <= number < allow.mask.shape[0] and allow.mask[number]
    at = np.searchsorted(allow.chosen, number)
    return at < allow.chosen.shape[0] and allow.chosen[at] == number


@inlined
def blocks_of(size):
    return (size + BLOCK - 1) // BLOCK


@inlined
def row_bytes(ksub):
    """Bytes of a row of a block: one for each code, or two."""
    return BLOCK if ksub <= 256 else 2 * BLOCK


@inlined
def code_address(codes, position, codebook):
    """Where the first code of a vector lies; `codes` is the address of its list's."""
    m, row = codebook.shape[0], row_bytes(codebook.shape[1])
    return codes + (position // BLOCK) * m * row + lane_byte(position % BLOCK) * (row // BLOCK)


@inlined
def mask_of(masks, block, size):
    """The mask of a block, without the lanes behind the last vector: they may be half written by an `add`."""
    mask = masks[block]
    if block == size // BLOCK:  # the last one, and not full
        mask &= (np.uint64(1) << np.uint64(size % BLOCK)) - np.uint64(1)
    return mask


@inlined
def hide(gone, list_no, masks):
    """Take the vectors of a list that have been removed, and stand there still, out of its masks."""
    for at in range(np.searchsorted(gone, list_no << 32), np.searchsorted(gone, (list_no + 1) << 32)):
        position = gone[at] & 0xFFFFFFFF
        masks[position // BLOCK] &= ~(np.uint64(1) << np.uint64(position % BLOCK))


@inlined
def table_scale(metric):
    return np.float32(-2 if metric == L2 else -1)


@inlined
def largest_byte(m):
    """Of a table whose m rows are summed up in 16 bits."""
    return min(255, 65535 // m)


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
def first_masks(lists, list_no, work, i, slack, least):
    """Masks of the first list that a query visits, where no threshold is known: the k best estimates set it.

    True distances are within `slack` of the estimates, so what may be among the k nearest lies below the k-th estimate plus twice
    the slack. Estimates below `least` are all the same distance.
    """
    size, k, estimates = lists.table[list_no, SIZE], work.k, work.estimates
    blocks, at = blocks_of(size), np.int64(estimates.ctypes.data)
    codes, biases = lists.table[list_no, CODES], lists.table[list_no, BIASES]
    scan_estimates(codes, blocks, work.tables.shape[1], work.tables[i].ctypes.data, biases, work.steps[i], at)
    for lane in range(size, blocks * BLOCK):
        estimates[lane] = INFINITY
    gone, bound = lists.gone, INFINITY
    first, last = np.searchsorted(gone, list_no << 32), np.searchsorted(gone, (list_no + 1) << 32)
    if k <= min(SEEDED, size):
        for g in range(first, last):
            estimates[gone[g] & 0xFFFFFFFF] = INFINITY
        bound = bound_of_kth(estimates, blocks * BLOCK, k, work.minima)
    elif k + last - first < size:  # at the worst all that are gone are among the nearest; infinite ones have no bin
        bound = bound_by_bins(estimates, size, k + last - first, np.empty(BINS, np.int32))
    bound = max(bound, least)
    bound += np.float32(2) * slack + np.float32(SUM_ROUNDING) * abs(bound)
    masks_below(at, blocks, bound, work.masks)


@inlined
def rounding_of_terms(terms, size):
    """By how much two distances of one query may differ and be equal, as sums of terms as large as `terms` and `size`."""
    largest = max(abs(terms[0]), abs(terms[-1])) + size
    rounding = np.float32(2) * np.float32(SUM_ROUNDING) * largest + np.float32(ONE_ROUNDING)
    return rounding if rounding < INFINITY else np.float32(0)  # of a damaged file


@inlined
def tied_with(limit, rounding):
    """Up to here a distance may be as small as the k-th: rounding of the terms, and of a sum with a large bias."""
    return limit + rounding + np.float32(2) * np.float32(SUM_ROUNDING) * abs(limit)


@kernel
def settle(query, space, lists, work, i, first):
    """Replace the distances of candidates, from the one numbered `first` on, by those that a search reports, summed directly."""
    distances, places, count, codebook = work.distances[i], work.places[i], work.counts[i], space.codebook
    m, row, zero = codebook.shape[0], row_bytes(codebook.shape[1]), np.zeros(query.shape[0], np.float32)
    for c in range(first - AHEAD, count):
        if first <= c + AHEAD < count:  # a code lies in m cache lines: they are asked for before they are read
            place = places[c + AHEAD]
            code = code_address(lists.table[place >> 32, CODES], place & 0xFFFFFFFF, codebook)
            for j in range(m):
                prefetch(code + j * row)
        if c >= first:
            list_no = places[c] >> 32
            code = code_address(lists.table[list_no, CODES], places[c] & 0xFFFFFFFF, codebook)
            centroid = space.centroids[list_no] if space.by_residual else zero
            distances[c] = reported_distance(query, centroid, codebook, code, space.metric)


@kernel
def cut(query, space, lists, work, i):
    """Cut candidates back to the k nearest and what is within rounding of the k-th, among which reported distances will decide.

    Where those are too many, all are settled at once, and from then on those that came in since the last time: then k are left.
    """
    distances, ids, places, k = work.distances[i], work.ids[i], work.places[i], work.k
    if work.settled[i] == 0:
        limit = work.limits[i] = quickselect(distances, ids, places, work.counts[i], k)
        work.counts[i] = keep_near(distances, ids, places, work.counts[i], k, tied_with(limit, work.rounding[i]))
        if work.counts[i] - k <= k >> 1:
            return
    settle(query, space, lists, work, i, work.settled[i])
    work.limits[i] = quickselect(distances, ids, places, work.counts[i], k)
    work.counts[i] = work.settled[i] = k


@kernel
def finish(query, space, lists, work, i, out_d, out_i):
    """Cut to k by the distances that are reported, sort, write; the rest of the row is +inf and −1."""
    distances, ids, places, k = work.distances[i], work.ids[i], work.places[i], work.k
    if work.counts[i] > k:
        cut(query, space, lists, work, i)
    settle(query, space, lists, work, i, work.settled[i])
    sort_candidates(distances, ids, places, work.counts[i])
    count = min(work.counts[i], k)
    for c in range(count):
        out_d[c], out_i[c] = distances[c], ids[c]
    for c in range(count, k):
        out_d[c], out_i[c] = INFINITY, -1


@inlined
def prefetch_list(table, list_no, m):
    codes = table[list_no, CODES]
    for line in range(min(512, blocks_of(table[list_no, SIZE]) * m)):
        prefetch(codes + 64 * line)


@kernel
def prepare(xq, terms, space, work):
    """Nothing is found yet, and nothing known but the tables of each query; all of them at once, as they share the codebook."""
    m, ksub, _ = space.codebook.shape
    work.counts[:], work.limits[:], work.settled[:], work.floors[:] = 0, INFINITY, 0, 0
    if ksub <= 256:
        build_tables(xq, space.columns, table_scale(space.metric), work.exact)
    for i in range(xq.shape[0]):
        size = inner_product(xq[i], xq[i])
        if ksub <= 256:
            work.steps[i], work.floors[i] = quantize_tables(work.exact[i], largest_byte(m), work.tables[i])
            size = abs(work.floors[i])
        work.rounding[i] = rounding_of_terms(terms[i], size)


@kernel
def search_group(xq, probes, terms, space, lists, allow, work):
    """Candidates of each query of a group, left in `work`: at least the k nearest. Arguments as in `search_lists`."""
    nq, nprobe = probes.shape
    m, ksub, _ = space.codebook.shape
    prepare(xq, terms, space, work)
    # parts of a tuple, and rows of an array, cost two atomic operations wherever they are named: parts are named here, once, and
    # rows are found by address or by two indices
    table, gone, wide_ids, codebook, metric = lists.table, lists.gone, lists.wide_ids, space.codebook, space.metric
    k, tables, exact, steps, floors, masks = work.k, work.tables, work.exact, work.steps, work.floors, work.masks
    counts, limits, rounding, order = work.counts, work.limits, work.rounding, work.order
    distances, ids, places = work.distances, work.ids, work.places
    has_tables, filtered, row, scale = ksub <= 256, is_filter(allow), row_bytes(ksub), table_scale(metric)
    has_gone = gone.shape[0] > 0
    all_tables, all_floats = np.int64(tables.ctypes.data), np.int64(exact.ctypes.data)
    if not has_tables:
        masks[:] = ALL
    for phase in range(2):
        first, last = (0, 1) if phase == 0 else (1, nprobe)
        pairs = visiting_order(probes, first, last, work.starts, order) if nq > 1 else last - first
        for pair in range(pairs):
            i, p = (order[pair] // nprobe, order[pair] % nprobe) if nq > 1 else (0, first + pair)
            list_no, term = probes[i, p], terms[i, p]
            codes, biases, names, size = (
                table[list_no, CODES],
                table[list_no, BIASES],
                table[list_no, IDS],
                table[list_no, SIZE],
            )
            if size == 0:
                continue
            if nq == 1 and p + 1 < nprobe:
                prefetch_list(table, probes[i, p + 1], m)
            if has_tables:
                # half a step for each sub-quantizer, and the rounding of float sums of this size
                slack = np.float32(0.5005 * m * steps[i] + np.float32(SUM_ROUNDING) * (abs(term) + abs(floors[i])))
                if limits[i] == INFINITY and not filtered:
                    least = -term - floors[i] if metric == COSINE else -INFINITY
                    first_masks(lists, list_no, work, i, slack + rounding[i], least)
                else:
                    threshold = tied_with(limits[i], rounding[i]) - term - floors[i] + slack
                    at = all_tables + i * m * 256
                    scan_masks(codes, blocks_of(size), m, at, biases, steps[i], threshold, masks)
            elif has_gone:
                masks[:] = ALL
            if has_gone:
                hide(gone, list_no, masks)
            # what the masks left is scored by the float table, and kept if it may be among the k nearest
            floats, count, bound = all_floats + i * m * 1024, counts[i], tied_with(limits[i], rounding[i])
            for block in range(blocks_of(size)):
                left = mask_of(masks, block, size)
                if left == np.uint64(0):
                    continue
                if count > 2 * k:  # there has to be room for a block
                    counts[i] = count
                    cut(xq[i], space, lists, work, i)
                    count, bound = counts[i], tied_with(limits[i], rounding[i])
                while left != np.uint64(0):
                    lane = lowest_bit(left)
                    left &= left - np.uint64(1)
                    position = block * BLOCK + lane
                    number = id_at(names, position, wide_ids)
                    if filtered and not is_allowed(number, allow):
                        continue
                    code = codes + block * m * row + lane_byte(lane) * (row // BLOCK)
                    product = table_sum(floats, m, code) if has_tables else scale * code_product(xq[i], codebook, code)
                    distance = load_f32(biases + 4 * position) + term + product
                    if metric == COSINE:
                        distance = max(distance, np.float32(0))
                    if distance <= bound:
                        distances[i, count], ids[i, count] = distance, number
                        places[i, count] = (list_no << 32) | position
                        count += 1
            counts[i] = count
            if count >= k and (limits[i] == INFINITY or count >= k + (k >> 2)):
                cut(xq[i], space, lists, work, i)


@kernel
def search_lists(xq, probes, terms, space, lists, allow, out_d, out_i):
    """The k nearest coded vectors of each query in the lists it probes.

    xq (nq, d); probes int64 (nq, nprobe), nearest first (`probe.select_probes`); terms float32 (nq, nprobe): the part of the
    distance that a list gives, and 1 more for COSINE; space, lists, allow: tuples of `layout`; out_d (nq, k), out_i (nq, k).
    A query's nearest list comes first and sets its threshold; then all other pairs, grouped by list.
    """
    space, lists, allow = Space(*space), ListTable(*lists), Allow(*allow)
    nq, nprobe = probes.shape
    (m, ksub, _), k = space.codebook.shape, out_d.shape[1]
    group = min(nq, group_size(m, ksub, k))
    work = make_scratch(group, nprobe, lists.table.shape[0], m if ksub <= 256 else 0, k, lists.longest)
    for first in range(0, nq, max(1, group)):
        last = min(first + group, nq)
        search_group(xq[first:last], probes[first:last], terms[first:last], space, lists, allow, work)
        for i in range(first, last):
            finish(xq[i], space, lists, work, i - first, out_d[i], out_i[i])


@kernel
def list_terms(xq, probes, centroids, metric, terms):
    """terms[i, p] = ‖q − c‖², −⟨q, c⟩ or 1 − ⟨q, c⟩ of query i and the centroid of the p-th list that it probes."""
    for i in range(xq.shape[0]):
        query = xq[i]
        for p in range(probes.shape[1]):
            centroid = centroids[probes[i, p]]
            if metric == L2:
                terms[i, p] = squared_distance(query, centroid)
            else:
                terms[i, p] = np.float32(1 if metric == COSINE else 0) - inner_product(query, centroid)


@kernel
def search_one(xq, tiles, nprobe, space, lists, out_d, out_i):
    """One query from its coarse search to its results, as a call costs as much as a list; xq (1, d), out_d (1, k), out_i (1, k).

    Lists are chosen by the metric of the search, or by distance for COSINE, which takes unit vectors. Returns ‖q‖²: what is
    written holds if that is neither NaN nor too large.
    """
    probes, terms = np.zeros((1, nprobe), np.int64), np.empty((1, nprobe), np.float32)
    norm = inner_product(xq[0], xq[0])
    centroids, _, _, by_residual, metric = space
    if by_residual or tiles[0].shape[1] > 1:
        probe_lists(xq, tiles, probes, terms)
    if not by_residual:
        terms[:] = norm if metric == L2 else np.float32(1 if metric == COSINE else 0)
    elif metric == COSINE:
        list_terms(xq, probes, centroids, metric, terms)
    everything = np.empty(0, np.bool_), np.empty(0, np.int64)
    search_lists(xq, probes, terms, space, lists, everything, out_d, out_i)
    return norm


@inlined
def _grown(array, count):
    """`array`, or a copy of twice the length if it is full."""
    if count < array.shape[0]:
        return array
    larger = np.empty(2 * array.shape[0], array.dtype)
    larger[:count] = array
    return larger


@kernel
def range_lists(xq, probes, terms, space, lists, allow, radius):
    """Every coded vector that is nearer than `radius` in the lists that one query probes; xq (d,), probes and terms (nprobe,).

    Returns distances float32 and ids int64, nearest first. The estimate only rejects; the direct distance decides.
    """
    space, lists, allow = Space(*space), ListTable(*lists), Allow(*allow)
    m, ksub, _ = space.codebook.shape
    has_tables, filtered, zero = ksub <= 256, is_filter(allow), np.zeros(xq.shape[0], np.float32)
    masks, quantized = np.full(blocks_of(lists.longest), ALL), aligned_bytes(m * 256)
    step, floor = np.float32(0), np.float32(0)
    if has_tables:
        table = aligned_floats(m, 256)
        build_tables(xq.reshape(1, -1), space.columns, table_scale(space.metric), table.reshape(1, m, 256))
        step, floor = quantize_tables(table, largest_byte(m), quantized.reshape(m, 256))
    distances, ids, places = np.empty(256, np.float32), np.empty(256, np.int64), np.empty(256, np.int64)
    count = NONE
    for p in range(probes.shape[0]):
        row = lists.table[probes[p]]
        codes, biases, names, size = row[CODES], row[BIASES], row[IDS], row[SIZE]
        centroid = space.centroids[probes[p]] if space.by_residual else zero
        if has_tables:
            slack = 0.5005 * m * step + SUM_ROUNDING * (abs(terms[p]) + abs(floor) + abs(radius)) + ONE_ROUNDING
            threshold = np.float32(radius - terms[p] - floor + slack)
            scan_masks(codes, blocks_of(size), m, quantized.ctypes.data, biases, step, threshold, masks)
        elif lists.gone.shape[0]:
            masks[:] = ALL
        hide(lists.gone, probes[p], masks)
        for block in range(blocks_of(size)):
            left = mask_of(masks, block, size)
            while left != np.uint64(0):
                position = block * BLOCK + lowest_bit(left)
                left &= left - np.uint64(1)
                number = id_at(names, position, lists.wide_ids)
                if filtered and not is_allowed(number, allow):
                    continue
                code = code_address(codes, position, space.codebook)
                distance = reported_distance(xq, centroid, space.codebook, code, space.metric)
                if distance < radius:
                    distances, ids, places = _grown(distances, count), _grown(ids, count), _grown(places, count)
                    distances[count], ids[count] = distance, number
                    count += 1
    sort_candidates(distances, ids, places, count)
    return distances[:count].copy(), ids[:count].copy()
