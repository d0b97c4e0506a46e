"""Files of FAISS 1.7 to 1.15, read and written without FAISS.

A file is a tree of records, all little-endian. A record is a code of four letters, then its fields; "vector" is an uint64 count and
so many elements::

    header     d i32 · ntotal i64 · 2 unused i64 · is_trained u8 · metric i32 (0 inner product, 1 L2)
    IxF2 IxFI  header · vector of float32 (n d); older IxFl says by its metric which one it is
    IxPq       header · pq · vector of u8 (n code_size) · search_type i32 · encode_signs u8 · polysemous_ht i32
    IwFl       header · nlist u64 · nprobe u64 · record of the coarse quantizer · direct map · inverted lists
    IwPQ       as IwFl up to the direct map · by_residual u8 · code_size u64 · pq · inverted lists
    IxPT       header · count i32 · so many transforms · record of the index behind them
    IxMp IxM2  header · record of the index · vector of i64: the id of each position
    IxRF       header · record of the index · record of the flat index that refines it · k_factor f32
    pq         d u64 · m u64 · nbits u64 · vector of float32 (m ksub dsub)
    direct map type u8 (0 none, 1 array, 2 hash table) · vector of i64 · for type 2 a vector of pairs of i64
    lists      ilar · nlist u64 · code_size u64 · full | sprs · vector of u64: all sizes | pairs (list, size)
               · of each list that is not empty: codes u8 (size code_size) · ids i64 (size)
    transform  LTra | rrot | PcAm | Pcam … · have_bias u8 · vector of float32 A (d_out d_in) · vector of float32 b
               or VNrm · norm f32; then d_in i32 · d_out i32 · is_trained u8

Tables that FAISS precomputes are not in its files. Older spellings (IvPQ, IvFl, IvFL, IxPQ, IxPo) are read as well.
"""

from __future__ import annotations

from lookalike._typing import PathLike
from lookalike.index.base import Index

__all__ = ["read_faiss", "write_faiss"]


def read_faiss(path: PathLike) -> Index:
    """Open an index that FAISS wrote.

    Parameters
    ----------
    path : path
        A file of ``faiss.write_index``: Flat, IVFFlat, PQ or IVFPQ, alone or behind PCA, OPQ, rotations and normalisation, with
        or without a map of ids and an exact refinement (RFlat).

    Returns
    -------
    FlatIndex, PQIndex, IVFFlatIndex, IVFPQIndex or RefinedIndex
        It finds what FAISS finds, with equal distances up to rounding. Linear maps before a flat index give an
        `IVFFlatIndex` of one list.

    Raises
    ------
    FormatError
        If the file is damaged, or holds something else; the message says what.
    FileNotFoundError

    Notes
    -----
    Normalisation before an inner-product index is read as ``metric="cosine"``: where FAISS returns the inner product,
    descending, lookalike returns one minus it, ascending. FAISS stores nprobe; here it is an argument of each search.
    Ids must be distinct and not negative.
    """
    from lookalike.files.faiss_read import read_index

    return read_index(path)


def write_faiss(index: Index, path: PathLike) -> None:
    """Write an index to a file that ``faiss.read_index`` opens, atomically.

    Parameters
    ----------
    index : FlatIndex, PQIndex, IVFFlatIndex, IVFPQIndex or RefinedIndex
        Trained. ``"cosine"`` becomes a normalisation (VNrm) before an inner-product index.
    path : path

    Raises
    ------
    NotTrainedError
    InputError
        If `index` is of another kind.

    Notes
    -----
    Flat and PQ indexes with ids other than 0 to n − 1 are wrapped in an IndexIDMap2. What only this library knows, such as the
    seed of the training, is not kept.
    """
    from lookalike.files.faiss_write import write_index

    write_index(index, path)
