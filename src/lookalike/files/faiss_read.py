"""Files of FAISS 1.7 to 1.15: their format, and what a file holds as plain arrays.

A file is a tree of records, all little-endian. A record is a code of four letters, then its fields; a "vector" is a u64 count and
that many elements::

    header     d i32 · ntotal i64 · 2 unused i64 · is_trained u8 · metric i32 (0 inner product, 1 L2)
    IxF2 IxFI  header · vector of float32 (n d); in the older IxFl the metric says which of the two it is
    IxPq       header · pq · vector of u8 (n code_size) · search_type i32 · encode_signs u8 · polysemous_ht i32
    IwFl       header · nlist u64 · nprobe u64 · record of the coarse quantizer · direct map · inverted lists
    IwPQ       as IwFl up to the direct map · by_residual u8 · code_size u64 · pq · inverted lists
    IxPT       header · count i32 · that many transforms · record of the index behind them
    IxMp IxM2  header · record of the index · vector of i64: the id of each position
    IxRF       header · record of the index · record of the flat index that refines it · k_factor f32
    pq         d u64 · m u64 · nbits u64 · vector of float32 (m ksub dsub)
    direct map type u8 (0 none, 1 array, 2 hash table) · vector of i64 · for type 2 a vector of pairs of i64
    lists      ilar · nlist u64 · code_size u64 · full | sprs · vector of u64: all sizes | pairs (list, size)
               · for each list that is not empty: codes u8 (size code_size) · ids i64 (size)
    transform  LTra | rrot | PcAm | Pcam … · have_bias u8 · vector of float32 A (d_out d_in) · vector of float32 b
               or VNrm · norm f32; then d_in i32 · d_out i32 · is_trained u8

Tables that FAISS precomputes are not in its files. Older spellings (IvPQ, IvFl, IvFL, IxPQ, IxPo) are read as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike.errors import InputError
from lookalike.files.codebits import code_bytes
from lookalike.files.reader import Reader, open_reader
from lookalike.quantizers.rotation import LinearTransform

__all__ = ["DEEPEST", "Codebook", "Record", "read_flat", "read_header", "read_records"]

DEEPEST = 8  # records inside each other
PCA = {"PCAm": "f?", "PcAm": "f?i", "Pcam": "ff?i"}  # eigen_power, epsilon, random_rotation, balanced_bins
LINEAR = ("LTra", "rrot", *PCA)
UNDERSTOOD = (
    "Flat (IxF2, IxFI, IxFl), IVFFlat (IwFl), PQ (IxPq), IVFPQ (IwPQ), PreTransform (IxPT), IDMap (IxMp, IxM2), "
    "RFlat (IxRF)"
)


class Codebook(NamedTuple):
    """A product quantizer as stored."""

    m: int
    nbits: int
    centroids: FloatArray  # (m, ksub, dsub)


@dataclass
class Record:
    """What a record holds, with the records inside it."""

    d: int
    metric: str  # "l2" or "ip"
    rows: list[Array]  # for each list float32 (n, d), or packed codes, uint8 (n, code_size)
    ids: list[IdArray]  # for each list
    codebook: Codebook | None = None
    centroids: FloatArray | None = None  # if it is an inverted file
    coarse_metric: str = "l2"
    by_residual: bool = False
    normalise: bool = False
    transform: LinearTransform | None = None  # behind the normalisation
    rotation: str | None = None  # how the constructors here name the transform
    refinement: FloatArray | None = None  # vectors, in the order of `ids`
    k_factor: float = 1.0
    code_size: int = 0

    @property
    def outer_d(self) -> int:
        return self.d if self.transform is None else self.transform.d_in

    def of_each(self, values: Array, fail: Callable[[str], NoReturn]) -> list[Array]:
        """``values[id]`` for each id, list by list. Ids must be distinct, so that the result is not larger than `values`."""
        seen = np.zeros(len(values), np.bool_)
        for ids in self.ids:
            if len(ids) and (ids.min() < 0 or ids.max() >= len(values)):
                fail(f"ids {int(ids.min())} to {int(ids.max())} do not fit the {len(values)} things that they number")
            seen[ids] = True
        count = sum(map(len, self.ids))
        if np.count_nonzero(seen) != count:
            fail(f"expected distinct ids, got {count} of which {np.count_nonzero(seen)} are distinct")
        return [values[ids] for ids in self.ids]

    def is_flat(self) -> bool:
        """Whether it is a flat index alone, so that ids are row numbers."""
        wrapped = self.normalise or self.transform is not None or self.refinement is not None
        plain = self.codebook is None and self.centroids is None and not wrapped
        return plain and np.array_equal(self.ids[0], np.arange(len(self.rows[0])))


def read_records(path: Path) -> Record:
    """What a FAISS file describes.

    Raises
    ------
    FormatError
        If it is damaged, or holds something that no index here can be made of.
    """
    with open_reader(path) as reader:
        return _record(reader, 0)


# --- records ---------------------------------------------------------------------------------------------------------


def _record(reader: Reader, depth: int) -> Record:
    """The next record, of any type."""
    if depth == DEEPEST:
        reader.fail(f"more than {DEEPEST} records inside each other")
    kind = reader.fourcc("record")
    if kind not in RECORDS:
        reader.fail(f"a FAISS index of type {kind} is not understood; expected {UNDERSTOOD}")
    return RECORDS[kind](reader, kind, depth)


def read_header(reader: Reader) -> tuple[int, int, str]:
    """d, ntotal and metric, with which the record of every index begins."""
    d, ntotal, _, _, is_trained, metric = reader.numbers("iqqq?i", "header")
    if d < 1 or ntotal < 0:
        reader.fail(f"expected d of at least 1 and ntotal of at least 0, got {d} and {ntotal}; it is damaged")
    if metric not in {0, 1}:
        reader.fail(f"expected metric 0 (inner product) or 1 (L2), got {metric}")
    if not is_trained:
        reader.fail("the index is not trained; train it before it is written")
    return d, ntotal, "l2" if metric else "ip"


def read_flat(reader: Reader, kind: str, depth: int) -> Record:
    """A flat index, from behind its code on."""
    d, ntotal, metric = read_header(reader)
    vectors = reader.floats("vectors", ntotal * d, d).reshape(ntotal, d)
    return Record(d, metric, [vectors], [np.arange(ntotal)])


def _codebook(reader: Reader, d: int) -> Codebook:
    own_d, m, nbits = reader.numbers("QQQ", "d, m and nbits of the PQ")
    if own_d != d or not 1 <= m <= d or d % m:
        reader.fail(f"expected a PQ of d={d} and an m that divides it, got d={own_d}, m={m}")
    if not 4 <= nbits <= 16:
        reader.fail(f"expected PQ codes of 4 to 16 bits, got {nbits}")
    centroids = reader.floats("centroids of the PQ", d << nbits, d)
    return Codebook(m, nbits, centroids.reshape(m, 1 << nbits, d // m))


def _pq(reader: Reader, kind: str, depth: int) -> Record:
    d, ntotal, metric = read_header(reader)
    codebook = _codebook(reader, d)
    size = code_bytes(codebook.m, codebook.nbits)
    codes = reader.vector(np.uint8, "codes", ntotal * size).reshape(ntotal, size)
    if kind != "IxPQ":
        search_type, _, _ = reader.numbers("i?i", "options of the PQ index")
        if search_type:
            reader.fail(f"expected a PQ index that searches by distances (search_type 0), got {search_type}")
    if kind != "IxPq":
        metric = "l2"  # those versions computed it, whatever they wrote
    return Record(d, metric, [codes], [np.arange(ntotal)], codebook)


def _inverted_file(reader: Reader, kind: str, depth: int) -> Record:
    d, _, metric = read_header(reader)
    nlist, _ = reader.numbers("QQ", "nlist and nprobe")
    quantizer = _record(reader, depth + 1)
    if not quantizer.is_flat():
        reader.fail("expected a flat coarse quantizer, got another")
    centroids = quantizer.rows[0]
    if centroids.shape != (nlist, d) or nlist < 1:
        reader.fail(f"expected {nlist} centroids of d={d}, got {centroids.shape}; it is damaged")
    old = kind.startswith("Iv")
    ids = [reader.vector(np.int64, "ids") for _ in range(nlist)] if old else []
    _direct_map(reader)
    record = Record(d, metric, [], ids, centroids=centroids, coarse_metric=quantizer.metric)
    if kind.endswith("PQ"):
        record.by_residual = reader.flag("by_residual")
        record.code_size = reader.number("Q", "code_size")
        record.codebook = _codebook(reader, d)
        if record.code_size != code_bytes(record.codebook.m, record.codebook.nbits):
            reader.fail(f"codes of {record.code_size} bytes do not fit m={record.codebook.m}; it is damaged")
    else:
        record.code_size = 4 * d
    if old:
        counted = np.float32 if kind == "IvFl" else np.uint8
        for numbers in ids:
            _add_list(reader, record, reader.vector(counted, "codes").view(np.uint8), numbers)
    else:
        _inverted_lists(reader, record, nlist)
    return record


def _direct_map(reader: Reader) -> None:
    """Skip the table of where each id is stored; the lists hold the ids."""
    kind = reader.number("B", "direct map")
    if kind > 2:
        reader.fail(f"expected a direct map of type 0, 1 or 2, got {kind}; it is damaged")
    reader.vector(np.int64, "direct map")
    if kind == 2:
        reader.array(np.int64, 2 * reader.number("Q", "direct map"), "direct map")


def _inverted_lists(reader: Reader, record: Record, nlist: int) -> None:
    kind = reader.fourcc("inverted lists")
    if kind != "ilar":
        reader.fail(
            f"inverted lists of type {kind} are not understood; expected ilar, those that are in the file itself"
        )
    if (reader.number("Q", "nlist"), reader.number("Q", "code_size")) != (nlist, record.code_size):
        reader.fail("its inverted lists do not fit the index; it is damaged")
    layout = reader.fourcc("sizes of the lists")
    sizes = np.zeros(nlist, np.uint64)
    if layout == "full":
        sizes[:] = reader.vector(np.uint64, "sizes of the lists", nlist)
    elif layout == "sprs":
        pairs = reader.vector(np.uint64, "sizes of the lists")
        if len(pairs) % 2 or (len(pairs) and pairs[::2].max() >= nlist):
            reader.fail("sizes of the lists: expected pairs of list and size; it is damaged")
        sizes[pairs[::2].astype(np.int64)] = pairs[1::2]
    else:
        reader.fail(f"sizes of the lists: expected full or sprs, got {layout}")
    no_codes, no_ids = np.empty(0, np.uint8), np.empty(0, np.int64)  # shared by all empty lists
    no_rows = no_codes.reshape(0, record.code_size) if record.codebook else np.empty((0, record.d), np.float32)
    for size in sizes.tolist():
        if not size:
            record.ids.append(no_ids)
            record.rows.append(no_rows)
            continue
        codes = reader.array(np.uint8, size * record.code_size, "inverted list")
        ids = reader.array(np.int64, size, "inverted list")
        record.ids.append(ids)
        _add_list(reader, record, codes, ids)


def _add_list(reader: Reader, record: Record, codes: Array, ids: IdArray) -> None:
    if codes.nbytes != len(ids) * record.code_size:
        reader.fail(f"a list of {len(ids)} ids has codes of {codes.nbytes} bytes; it is damaged")
    if record.codebook:
        record.rows.append(codes.reshape(len(ids), record.code_size))
    else:
        vectors = codes.view("<f4").astype(np.float32, copy=False).reshape(len(ids), record.d)
        record.rows.append(reader.usable(vectors, "vectors", record.d))


def _refined(reader: Reader, kind: str, depth: int) -> Record:
    d, _, metric = read_header(reader)
    base, fine = _record(reader, depth + 1), _record(reader, depth + 1)
    k_factor = reader.number("f", "k_factor")
    if base.normalise:
        reader.fail(
            "L2norm behind RFlat: it finds candidates by their direction and orders them by vectors of any length, which no "
            "index here does; normalise the vectors yourself, or put RFlat behind L2norm"
        )
    if not fine.is_flat() or base.refinement is not None:
        reader.fail("expected a refinement by a flat index (RFlat), got another")
    if (base.outer_d, fine.d) != (d, d) or fine.metric != metric:
        reader.fail(f"its refinement of d={fine.d} does not fit d={d} of the index")
    if not 1 <= k_factor <= 1e6:
        reader.fail(f"k_factor: expected at least 1, got {k_factor}")
    base.refinement, base.k_factor = np.concatenate(base.of_each(fine.rows[0], reader.fail)), k_factor
    return base


def _id_map(reader: Reader, kind: str, depth: int) -> Record:
    read_header(reader)
    inner = _record(reader, depth + 1)
    inner.ids = inner.of_each(reader.vector(np.int64, "map of ids"), reader.fail)
    return inner


# --- transforms ------------------------------------------------------------------------------------------------------


def _pre_transform(reader: Reader, kind: str, depth: int) -> Record:
    d, _, _ = read_header(reader)
    count = reader.number("i", "number of transforms")
    if not 0 <= count <= DEEPEST:
        reader.fail(f"expected 0 to {DEEPEST} transforms, got {count}")
    chain = [_transform(reader) for _ in range(count)]
    inner = _record(reader, depth + 1)
    for transform, rotation in reversed(chain):  # the last one stands directly before the index
        if transform is None:
            inner.normalise = True
        elif inner.normalise or inner.refinement is not None:
            reader.fail("expected normalisation or refinement in front of linear maps, got it behind them")
        elif transform.d_out != inner.outer_d:
            reader.fail(f"a transform to {transform.d_out} dimensions stands before an index of {inner.outer_d}")
        elif inner.transform is None:
            inner.transform, inner.rotation = transform, rotation
        else:
            inner.transform, inner.rotation = _composed(reader, transform, inner.transform), None
    if inner.outer_d != d:
        reader.fail(f"its transforms take d={inner.outer_d}, the index d={d}; it is damaged")
    return inner


def _composed(reader: Reader, first: LinearTransform, second: LinearTransform) -> LinearTransform:
    """x → A₂ (A₁ x + b₁) + b₂ as one map."""
    if second.d_out * first.d_in > first.matrix.size + second.matrix.size + (1 << 16):
        reader.fail(f"linear maps from {first.d_in} by way of {first.d_out} to {second.d_out} dimensions are too large")
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = second.matrix.astype(np.float64) @ first.matrix
        return _linear(reader, matrix, second.matrix.astype(np.float64) @ first.offset + second.offset)


def _linear(reader: Reader, matrix: Array, offset: Array | None) -> LinearTransform:
    try:
        return LinearTransform(matrix, offset)
    except InputError as error:
        reader.fail(str(error))


def _transform(reader: Reader) -> tuple[LinearTransform | None, str | None]:
    """A linear map and its name here, or None for a normalisation."""
    kind = reader.fourcc("transform")
    if kind == "VNrm":
        norm, d_in, d_out, _ = reader.numbers("fii?", "normalisation")
        if norm != 2 or d_in != d_out:
            reader.fail(f"expected a normalisation to length 1 in L2, got L{norm:g} from {d_in} to {d_out} dimensions")
        return None, None
    if kind not in LINEAR:
        reader.fail(f"a transform of type {kind} is not understood; expected {', '.join(LINEAR)} or VNrm")
    if kind in PCA:  # skip what it learnt beside the map
        reader.numbers(PCA[kind], "options of the PCA")
        for what in ("mean", "eigenvalues", "principal directions"):
            reader.vector(np.float32, what)
    have_bias = reader.flag("have_bias")
    matrix, bias = reader.vector(np.float32, "matrix"), reader.vector(np.float32, "bias")
    d_in, d_out, is_trained = reader.numbers("ii?", "d_in, d_out and is_trained")
    if not is_trained:
        reader.fail("a transform is not trained")
    if d_in < 1 or d_out < 1 or matrix.size != d_in * d_out or (have_bias and bias.size != d_out):
        reader.fail(f"a map from {d_in} to {d_out} dimensions has {matrix.size} elements and {bias.size} of bias")
    reader.usable(matrix, "matrix", d_in)
    reader.usable(bias, "bias", d_out)
    linear = _linear(reader, matrix.reshape(d_out, d_in), bias if have_bias else None)
    return linear, f"pca:{d_out}" if kind in PCA else f"opq:{d_out}"


RECORDS: dict[str, Callable[[Reader, str, int], Record]] = {
    **dict.fromkeys(["IxF2", "IxFI", "IxFl"], read_flat),
    **dict.fromkeys(["IxPq", "IxPQ", "IxPo"], _pq),
    **dict.fromkeys(["IwFl", "IwPQ", "IvFl", "IvFL", "IvPQ"], _inverted_file),
    **dict.fromkeys(["IxMp", "IxM2"], _id_map),
    "IxPT": _pre_transform,
    "IxRF": _refined,
}
