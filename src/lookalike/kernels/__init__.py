"""Everything hot: module-level functions over arrays, compiled by Numba.

Read `simd` for the vocabulary, `scan` for the heart of the search, `ivf` for the whole of it.
"""
