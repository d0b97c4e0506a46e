"""Writing rows of codes into the blocks of their lists."""

import numpy as np

from lookalike.kernels._jit import kernel
from lookalike.kernels.scan import BLOCK, lane_byte
from lookalike.kernels.simd import store_f32, store_i32, store_i64, store_u8, store_u16


@kernel
def append_rows(list_no, codes, biases, ids, wide_ids, table):
    """Append row i to list list_no[i]; codes (n, m); table int64 (nlist, 4): addresses of codes, biases, ids; size."""
    n, m = codes.shape
    element = codes.itemsize
    for i in range(n):
        row = table[list_no[i]]
        position = row[3]
        at = row[0] + ((position // BLOCK) * m * BLOCK + lane_byte(position % BLOCK)) * element
        for j in range(m):
            if element == 1:
                store_u8(at + j * BLOCK, np.uint8(codes[i, j]))
            else:
                store_u16(at + j * BLOCK * 2, np.uint16(codes[i, j]))
        store_f32(row[1] + 4 * position, biases[i])
        if wide_ids:
            store_i64(row[2] + 8 * position, ids[i])
        else:
            store_i32(row[2] + 4 * position, np.int32(ids[i]))
        row[3] = position + 1
