"""Rows of codes into blocks."""

from __future__ import annotations

import numpy as np
import pytest

from lookalike.kernels.blocks import next_positions, store_rows
from tests import reference


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("wide", [False, True])
def test_rows_go_to_their_lists_in_order(dtype, wide, rng) -> None:
    n, m, nlist = 300, 5, 3
    list_no = rng.integers(0, nlist, n)
    codes = rng.integers(0, np.iinfo(dtype).max + 1, (n, m)).astype(dtype)
    biases, ids = rng.normal(size=n).astype(np.float32), np.arange(n) + (2**40 if wide else 0)
    memory = [
        (
            reference.aligned(np.zeros((5, m, 64), dtype)),
            reference.aligned(np.zeros(320, np.float32)),
            reference.aligned(np.zeros(320, np.int64 if wide else np.int32)),
        )
        for _ in range(nlist)
    ]
    table = np.array([[part.ctypes.data for part in one] + [0] for one in memory], np.int64)
    position = np.full(n, -1)
    next_positions(list_no, np.zeros(nlist, np.int64), position)
    np.testing.assert_array_equal(position, [np.count_nonzero(list_no[:i] == list_no[i]) for i in range(n)])
    named = ids.astype(np.int64 if wide else np.int32)
    for rows in (slice(0, 1), slice(1, 140), slice(140, n)):  # in three batches
        place = list_no[rows], position[rows]
        store_rows(table[:, 0], *place, codes[rows], True)
        store_rows(table[:, 1], *place, biases[rows].reshape(-1, 1).view(np.uint16), False)
        store_rows(table[:, 2], *place, named[rows].reshape(-1, 1).view(np.uint16), False)
    for number, (blocks, near, names) in enumerate(memory):
        here = list_no == number
        np.testing.assert_array_equal(reference.from_blocks(blocks, here.sum()), codes[here])
        np.testing.assert_array_equal(near[: here.sum()], biases[here])
        np.testing.assert_array_equal(names[: here.sum()], ids[here])
        assert not names[here.sum() :].any()  # nothing is written behind the last
