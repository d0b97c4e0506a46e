"""Writing rows into the columns of their lists."""

from lookalike.kernels.layout import BLOCK
from lookalike.kernels.scan import lane_byte
from lookalike.kernels.simd import store_u8, store_u16
from lookalike.kernels.target import kernel


@kernel
def next_positions(list_no, sizes, position):
    """Where rows stand that are appended to their lists in this order; sizes (nlist,) is counted up."""
    for i in range(list_no.shape[0]):
        position[i] = sizes[list_no[i]]
        sizes[list_no[i]] += 1


@kernel
def store_rows(columns, list_no, position, rows, is_blocked):
    """Write row i to position[i] of list list_no[i], whose column begins at address columns[list_no[i]].

    rows: uint8 or uint16 (n, width). In a column of blocks, number j of vector p lies in block p // 64 at row j and `lane_byte`.
    """
    n, width = rows.shape
    element = rows.itemsize
    for i in range(n):
        at, step = columns[list_no[i]], element
        if is_blocked:
            at += ((position[i] // BLOCK) * width * BLOCK + lane_byte(position[i] % BLOCK)) * element
            step *= BLOCK
        else:
            at += position[i] * width * element
        for j in range(width):
            if element == 1:
                store_u8(at + j * step, rows[i, j])
            else:
                store_u16(at + j * step, rows[i, j])
