"""Addresses stay whole numbers: a variable that is uint64 here and int64 there is float64 to Numba, and three times as slow."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit, typeof, types

from lookalike.kernels import distances, scan
from lookalike.kernels.target import available

AT, WHOLE, FLOAT = types.uint64, types.int64, types.float32  # AT: what array.ctypes.data is
VECTOR, MASKS = typeof(np.empty(1, np.float32)), typeof(np.empty(1, np.uint64))
CODEBOOK = typeof(np.empty((1, 1, 1), np.float32))

KERNELS = {
    "masks_plain": (scan.masks_plain, (AT, WHOLE, WHOLE, AT, AT, FLOAT, FLOAT, MASKS)),
    "estimates_plain": (scan.estimates_plain, (AT, WHOLE, WHOLE, AT, AT, FLOAT, AT)),
} | (
    {
        "masks_simd": (scan.masks_simd, (AT, WHOLE, WHOLE, AT, AT, FLOAT, FLOAT, MASKS)),
        "direct_distance_simd": (
            distances.direct_distance_simd,
            (VECTOR, VECTOR, CODEBOOK, WHOLE, types.boolean),
        ),
    }
    if available()
    else {}
)


@pytest.mark.parametrize("name", KERNELS)
def test_no_address_is_a_float(name) -> None:
    kernel, arguments = KERNELS[name]
    compiled = njit(error_model="numpy")(kernel.py_func)
    compiled.compile(arguments)
    typed = compiled.overloads[arguments].type_annotation.typemap
    assert [variable for variable, kind in typed.items() if kind == types.float64] == []
