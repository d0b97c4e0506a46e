"""Files of FAISS: both ways, of old versions, damaged and hostile."""

from __future__ import annotations

import contextlib
import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import lookalike as la
from lookalike.files.codebits import code_bytes, pack_codes, unpack_codes

GOLDEN = Path(__file__).parents[1] / "golden" / "faiss"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
D, N, NLIST, K = 16, 700, 8, 10
METRICS = ["l2", "ip", "cosine"]
FAISS_METRIC = {"l2": faiss.METRIC_L2, "ip": faiss.METRIC_INNER_PRODUCT, "cosine": faiss.METRIC_INNER_PRODUCT}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


def clustered(n: int, seed: int) -> Any:
    rng = np.random.default_rng(7)
    centres = rng.normal(size=(12, D))
    rng = np.random.default_rng(seed)
    return (centres[rng.integers(12, size=n)] + 0.4 * rng.normal(size=(n, D))).astype(np.float32)


XB, XQ = clustered(N, 0), clustered(20, 1)


def same(ours: la.SearchResult, theirs: Any, metric: str) -> None:
    """Distances close, ids equal up to ties, in what FAISS returns."""
    distances, ids = np.asarray(theirs[0], np.float32), np.asarray(theirs[1])
    if metric == "cosine":
        distances = np.maximum(1 - distances, 0)  # a decoded vector may be longer than 1
    distances = np.where(ids < 0, ours.distances, distances)
    np.testing.assert_allclose(ours.distances, distances, rtol=1e-4, atol=2e-4)
    np.testing.assert_array_equal(ours.ids < 0, ids < 0)
    for row, (own, other) in enumerate(zip(ours.ids, ids, strict=True)):
        for place in np.flatnonzero(~np.isin(own, other)):
            assert abs(ours.distances[row, place] - distances[row, -1]) < 4e-4  # a tie with the last


def set_nprobe(index: Any, nprobe: int) -> Any:
    inner = faiss.downcast_index(index.base_index) if isinstance(index, faiss.IndexRefine) else index
    with contextlib.suppress(RuntimeError):  # not an inverted file
        faiss.extract_index_ivf(inner).nprobe = nprobe
    return index


# --- files of FAISS --------------------------------------------------------------------------------------------------


def test_every_golden_file_is_there() -> None:
    assert {path.name for path in GOLDEN.glob("*.faiss")} == set(EXPECTED)
    assert {name.rsplit("-", 1)[1] for name in EXPECTED} == {"1.7.4.faiss", "1.9.0.faiss", "1.15.1.faiss"}


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_golden_files_give_what_their_version_found(name: str) -> None:
    wanted = EXPECTED[name]
    index = la.read_faiss(GOLDEN / name)
    assert index.metric == wanted["metric"]
    found = index.search(np.asarray(wanted["queries"], np.float32), 5, nprobe=wanted["nprobe"])
    same(found, (wanted["distances"], wanted["ids"]), wanted["metric"])


DESCRIPTIONS = {
    "Flat": la.FlatIndex,
    "PQ4x4np": la.PQIndex,
    "PQ4x5np": la.PQIndex,
    "IVF8,Flat": la.IVFFlatIndex,
    "IVF8,PQ4np": la.IVFPQIndex,
    "IVF8,PQ4x6np": la.IVFPQIndex,
    "PCA8,IVF8,PQ4x4np": la.IVFPQIndex,
    "PCAW8,IVF8,Flat": la.IVFFlatIndex,
    "PCAR8,Flat": la.IVFFlatIndex,
    "RR16,PQ4x4np": la.PQIndex,
    "PCA12,OPQ4_8,IVF8,PQ4x4np": la.IVFPQIndex,
    "IDMap,Flat": la.FlatIndex,
    "IDMap2,PQ4x4np": la.PQIndex,
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("description", DESCRIPTIONS)
def test_read_search_write_and_back(description: str, metric: str, tmp_path: Path) -> None:
    text = description
    if metric == "cosine":
        text = text.replace(",", ",L2norm,", 1) if text.startswith("IDMap") else f"L2norm,{text}"
    theirs = faiss.index_factory(D, text, FAISS_METRIC[metric])
    theirs.verbose = False
    theirs.train(XB)
    ids = np.arange(N, dtype=np.int64) * 5 + 2**35
    theirs.add_with_ids(XB, ids) if "IDMap" in text or text.startswith("IVF") else theirs.add(XB)
    faiss.write_index(theirs, str(tmp_path / "a.faiss"))
    ours = la.read_faiss(tmp_path / "a.faiss")
    assert type(ours) is DESCRIPTIONS[description]
    assert (ours.ntotal, ours.d, ours.metric) == (N, D, metric)
    la.write_faiss(ours, tmp_path / "b.faiss")
    back = faiss.read_index(str(tmp_path / "b.faiss"))
    assert (back.ntotal, back.d) == (N, D)
    again = la.read_faiss(tmp_path / "b.faiss")
    for nprobe in (1, 3, 100):
        found = ours.search(XQ, K, nprobe=nprobe)
        same(found, set_nprobe(theirs, nprobe).search(XQ, K), metric)
        same(found, set_nprobe(back, nprobe).search(XQ, K), metric)
        np.testing.assert_array_equal(found.ids, again.search(XQ, K, nprobe=nprobe).ids)


@pytest.mark.parametrize(
    ("metric", "coarse", "by_residual"),
    [  # not l2, ip, True: there FAISS takes inner products with the centroids for distances
        ("l2", "l2", True),
        ("l2", "l2", False),
        ("l2", "ip", False),
        ("ip", "l2", True),
        ("ip", "l2", False),
        ("ip", "ip", True),
        ("ip", "ip", False),
    ],
)
def test_coarse_metric_residuals_and_precomputed_tables(
    metric: str, coarse: str, by_residual: bool, tmp_path: Path
) -> None:
    quantizer = faiss.IndexFlat(D, FAISS_METRIC[coarse])
    theirs = faiss.IndexIVFPQ(quantizer, D, NLIST, 4, 4, FAISS_METRIC[metric])
    theirs.by_residual = by_residual
    theirs.use_precomputed_table = -1
    theirs.train(XB)
    theirs.add(XB)
    faiss.write_index(theirs, str(tmp_path / "a.faiss"))
    ours = la.read_faiss(tmp_path / "a.faiss")
    assert isinstance(ours, la.IVFPQIndex)
    assert (ours.coarse_metric, ours.by_residual) == (coarse, by_residual)
    for nprobe in (1, 3, NLIST):
        theirs.nprobe = nprobe
        same(ours.search(XQ, K, nprobe=nprobe), theirs.search(XQ, K), metric)
    theirs.use_precomputed_table = 1
    if by_residual and metric == "l2":
        theirs.precompute_table()
        same(ours.search(XQ, K, nprobe=NLIST), theirs.search(XQ, K), metric)


@pytest.mark.parametrize("nbits", [4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 16])
@pytest.mark.parametrize("m", [3, 4])
def test_codes_of_every_width(m: int, nbits: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(nbits)
    coarse, codebook = rng.normal(size=(NLIST, 2 * m)), 0.5 * rng.normal(size=(m, 1 << nbits, 2))
    xb, xq = rng.normal(size=(300, 2 * m)).astype(np.float32), rng.normal(size=(9, 2 * m)).astype(np.float32)
    ours = la.IVFPQIndex(NLIST, m, nbits).set_centroids(coarse, codebook).add(xb[:150])
    la.write_faiss(ours, tmp_path / "a.faiss")
    theirs = faiss.read_index(str(tmp_path / "a.faiss"))
    theirs.nprobe = 3
    same(ours.search(xq, K, nprobe=3), theirs.search(xq, K), "l2")
    theirs.add_with_ids(xb[150:], np.arange(150, 300))  # coded and packed by FAISS
    faiss.write_index(theirs, str(tmp_path / "b.faiss"))
    more = la.read_faiss(tmp_path / "b.faiss")
    same(more.search(xq, K, nprobe=3), theirs.search(xq, K), "l2")
    whole = ours.add(xb[150:])
    for one, other in zip(whole.search(xq, K, nprobe=3), more.search(xq, K, nprobe=3), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("nbits", range(4, 17))
def test_packing_is_lowest_bit_first_and_can_be_undone(nbits: int) -> None:
    codes = np.random.default_rng(0).integers(0, 1 << nbits, (50, 5)).astype(np.uint16 if nbits > 8 else np.uint8)
    packed = pack_codes(codes, nbits)
    assert packed.shape == (50, code_bytes(5, nbits))
    for row, stream in zip(codes, packed, strict=True):
        number = sum(int(code) << (nbits * j) for j, code in enumerate(row))
        assert int.from_bytes(stream.tobytes(), "little") == number
    np.testing.assert_array_equal(unpack_codes(packed, 5, nbits), codes)


@pytest.mark.parametrize("kind", [faiss.DirectMap.Array, faiss.DirectMap.Hashtable])
@pytest.mark.parametrize("description", ["IVF8,Flat", "IVF8,PQ4x4"])
def test_direct_maps_are_read_over(description: str, kind: int, tmp_path: Path) -> None:
    theirs = faiss.index_factory(D, description)
    theirs.train(XB)
    theirs.add(XB)
    theirs.set_direct_map_type(kind)
    theirs.nprobe = 2
    faiss.write_index(theirs, str(tmp_path / "a.faiss"))
    same(la.read_faiss(tmp_path / "a.faiss").search(XQ, K, nprobe=2), theirs.search(XQ, K), "l2")


def test_few_vectors_in_many_lists_are_stored_sparsely(tmp_path: Path) -> None:
    theirs = faiss.index_factory(D, "IVF64,Flat")
    theirs.train(XB)
    theirs.add(XB[:10])
    theirs.nprobe = 64
    faiss.write_index(theirs, str(tmp_path / "a.faiss"))
    assert b"sprs" in (tmp_path / "a.faiss").read_bytes()
    ours = la.read_faiss(tmp_path / "a.faiss")
    same(ours.search(XQ, 12, nprobe=64), theirs.search(XQ, 12), "l2")
    la.write_faiss(ours, tmp_path / "b.faiss")
    assert (tmp_path / "b.faiss").read_bytes()[-800:] == (tmp_path / "a.faiss").read_bytes()[-800:]


def test_an_empty_index_is_an_index(tmp_path: Path) -> None:
    for description in ("Flat", "IVF8,Flat", "IVF8,PQ4x4", "PQ4x4"):
        theirs = faiss.index_factory(D, description)
        theirs.train(XB)
        faiss.write_index(theirs, str(tmp_path / "a.faiss"))
        ours = la.read_faiss(tmp_path / "a.faiss")
        assert ours.ntotal == 0
        assert (ours.search(XQ, 2).ids == -1).all()
        ours.add(XB[:3])
        assert sorted(ours.ids) == [0, 1, 2]


# --- indexes of this library -----------------------------------------------------------------------------------------

OWN: dict[str, Any] = {
    "flat": la.FlatIndex,
    "pq": lambda metric: la.PQIndex(4, 4, metric=metric),
    "ivfflat": lambda metric: la.IVFFlatIndex(NLIST, metric),
    "ivfflat pca": lambda metric: la.IVFFlatIndex(NLIST, metric, rotation="pca:8"),
    "ivfpq": lambda metric: la.IVFPQIndex(NLIST, 4, 4, metric),
    "ivfpq opq": lambda metric: la.IVFPQIndex(NLIST, 4, 4, metric, rotation="opq:8"),
    "refined": lambda metric: la.RefinedIndex(la.IVFPQIndex(NLIST, 4, 4, metric), k_factor=100),
    "refined pq": lambda metric: la.RefinedIndex(la.PQIndex(4, 4, metric=metric), k_factor=100),
}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", OWN)
def test_own_ids_after_removal(kind: str, metric: str, tmp_path: Path) -> None:
    ids = np.random.default_rng(3).permutation(N) + 2**40
    ours = OWN[kind](metric).train(XB).add(XB, ids=ids)
    ours.remove(ids[::7])
    la.write_faiss(ours, tmp_path / "a.faiss")
    theirs = faiss.read_index(str(tmp_path / "a.faiss"))
    assert theirs.ntotal == ours.ntotal == N - len(ids[::7])
    found = ours.search(XQ, K, nprobe=3)
    assert not np.isin(found.ids, ids[::7]).any()
    if kind.startswith("refined"):
        inner = faiss.downcast_index(theirs.index)  # the map of ids
        inner = faiss.downcast_index(inner.index) if metric == "cosine" else inner
        set_nprobe(inner, 3)
    else:
        set_nprobe(theirs, 3)
    same(found, theirs.search(XQ, K), metric)
    again = la.read_faiss(tmp_path / "a.faiss")
    assert type(again) is type(ours)
    assert again.metric == metric
    np.testing.assert_array_equal(again.search(XQ, K, nprobe=3).ids, found.ids)
    np.testing.assert_allclose(again.reconstruct(ids[1:3]), ours.reconstruct(ids[1:3]), atol=1e-6)
    again.add(XB[:1])
    assert again.ids.max() == ours.ids.max() + 1


@pytest.mark.parametrize(
    "description", ["IVF8,PQ4x4,RFlat", "PCA8,IVF8,PQ4x4,RFlat", "PQ4x4,RFlat", "IDMap,IVF8,PQ4x4,RFlat"]
)
def test_refined_by_faiss(description: str, tmp_path: Path) -> None:
    theirs = faiss.index_factory(D, description)
    theirs.train(XB)
    theirs.add_with_ids(XB, np.arange(N) + 9) if "IDMap" in description else theirs.add(XB)
    refined = faiss.downcast_index(theirs.index) if "IDMap" in description else theirs
    refined.k_factor = 100  # fewer would cut among equal codes
    set_nprobe(refined, 3)
    faiss.write_index(theirs, str(tmp_path / "a.faiss"))
    ours = la.read_faiss(tmp_path / "a.faiss")
    assert isinstance(ours, la.RefinedIndex)
    assert ours.k_factor == 100
    same(ours.search(XQ, K, nprobe=3), theirs.search(XQ, K), "l2")


def test_cosine_is_normalisation_before_inner_products(tmp_path: Path) -> None:
    ours = la.FlatIndex("cosine").add(XB)
    la.write_faiss(ours, tmp_path / "a.faiss")
    theirs = faiss.read_index(str(tmp_path / "a.faiss"))
    assert isinstance(theirs, faiss.IndexPreTransform)
    assert faiss.downcast_VectorTransform(theirs.chain.at(0)).norm == 2
    assert faiss.downcast_index(theirs.index).metric_type == faiss.METRIC_INNER_PRODUCT
    products, ids = theirs.search(XQ, K)
    distances, own_ids = ours.search(XQ, K)
    np.testing.assert_allclose(distances, 1 - products, atol=1e-5)
    assert (own_ids == ids).mean() > 0.99


def test_whitening_can_be_undone(tmp_path: Path) -> None:
    theirs = faiss.index_factory(D, "PCAW16,Flat")
    theirs.train(XB)
    theirs.add(XB)
    faiss.write_index(theirs, str(tmp_path / "a.faiss"))
    np.testing.assert_allclose(la.read_faiss(tmp_path / "a.faiss").reconstruct([3, 5]), XB[[3, 5]], atol=1e-3)


# --- older spellings -------------------------------------------------------------------------------------------------


def header(d: int, n: int, metric: int = 1, trained: int = 1) -> bytes:
    return struct.pack("<iqqqBi", d, n, 1 << 20, 1 << 20, trained, metric)


def vector(array: Any) -> bytes:
    array = np.ascontiguousarray(array)
    return struct.pack("<Q", array.size) + array.tobytes()


def inverted(code: bytes, index: Any, rows: list[Any], unit: Any) -> bytes:
    """A file of the time when lists were stored one vector after the other."""
    parts = [index._lists.rows(number) for number in range(index.nlist)]
    d = index.coarse_centroids.shape[1]
    head = code + header(d, index.ntotal) + struct.pack("<QQ", index.nlist, 1)
    head += b"IxF2" + header(d, index.nlist) + vector(index.coarse_centroids)
    head += b"".join(vector(part[-1]) for part in parts) + b"\0" + vector(np.empty(0, np.int64))
    if code == b"IvPQ":
        head += struct.pack("<BQQQQ", 1, 4, d, index.m, index.nbits) + vector(index.pq_centroids)
    return head + b"".join(vector(np.ascontiguousarray(row).view(unit)) for row in rows)


@pytest.mark.filterwarnings("ignore:PQ. 700 training points")
@pytest.mark.parametrize("code", [b"IvPQ", b"IvFl", b"IvFL"])
def test_lists_as_faiss_once_stored_them(code: bytes, tmp_path: Path) -> None:
    if code == b"IvPQ":
        index: Any = la.IVFPQIndex(NLIST, 4, 8).train(XB).add(XB)
    else:
        index = la.IVFFlatIndex(NLIST).train(XB).add(XB)
    rows = [index._lists.rows(number)[0] for number in range(NLIST)]
    path = tmp_path / "a.faiss"
    path.write_bytes(inverted(code, index, rows, np.float32 if code == b"IvFl" else np.uint8))
    ours, theirs = la.read_faiss(path), faiss.read_index(str(path))
    theirs.nprobe = 3
    found = ours.search(XQ, K, nprobe=3)
    np.testing.assert_array_equal(found.ids, index.search(XQ, K, nprobe=3).ids)
    same(found, theirs.search(XQ, K), "l2")


@pytest.mark.parametrize("code", [b"IxPQ", b"IxPo"])
def test_pq_as_faiss_once_stored_it(code: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.faiss"
    la.write_faiss(la.PQIndex(4, 4, metric="ip").train(XB).add(XB), path)
    data = path.read_bytes()
    path.write_bytes(code + (data[4:-9] if code == b"IxPQ" else data[4:]))
    ours = la.read_faiss(path)
    assert ours.metric == "l2"  # what FAISS makes of it
    same(ours.search(XQ, K), faiss.read_index(str(path)).search(XQ, K), "l2")


@pytest.mark.parametrize("code", [b"PCAm", b"PcAm"])
def test_pca_as_faiss_once_stored_it(code: bytes, tmp_path: Path) -> None:
    theirs = faiss.index_factory(D, "PCA8,Flat")
    theirs.train(XB)
    theirs.add(XB)
    path = tmp_path / "a.faiss"
    faiss.write_index(theirs, str(path))
    before, after = path.read_bytes().split(b"Pcam")
    power, rotated, bins, rest = after[:4], after[8:9], after[9:13], after[13:]
    path.write_bytes(before + code + power + rotated + (bins if code == b"PcAm" else b"") + rest)
    same(la.read_faiss(path).search(XQ, K), faiss.read_index(str(path)).search(XQ, K), "l2")


def test_flat_whose_metric_is_in_its_header(tmp_path: Path) -> None:
    path = tmp_path / "a.faiss"
    path.write_bytes(b"IxFl" + header(D, N, 0) + vector(XB))
    same(la.read_faiss(path).search(XQ, K), la.FlatIndex("ip").add(XB).search(XQ, K), "ip")


# --- what is refused -------------------------------------------------------------------------------------------------


def refused(data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.faiss"
    path.write_bytes(data)
    with pytest.raises(la.FormatError, match=message) as caught:
        la.read_faiss(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


FLAT = b"IxF2" + header(2, 3) + vector(np.arange(6, dtype=np.float32))
NORM = b"VNrm" + struct.pack("<fiiB", 2, 2, 2, 1)


def chain(*transforms: bytes, inner: bytes = FLAT, d: int = 2) -> bytes:
    return b"IxPT" + header(d, 3) + struct.pack("<i", len(transforms)) + b"".join(transforms) + inner


def linear(matrix: Any, bias: Any = (), trained: int = 1) -> bytes:
    matrix, bias = np.asarray(matrix, np.float32), np.asarray(bias, np.float32)
    fields = struct.pack("<B", len(bias) > 0) + vector(matrix) + vector(bias)
    return b"LTra" + fields + struct.pack("<iiB", matrix.shape[1], matrix.shape[0], trained)


@pytest.mark.parametrize(
    ("description", "named"), [("SQ8", "IxSQ"), ("HNSW8", "IHNf"), ("IVF8,SQ8", "IwSq"), ("IVF8,PQ4x4fs", "IwPf")]
)
def test_other_indexes_are_named(description: str, named: str, tmp_path: Path) -> None:
    theirs = faiss.index_factory(D, description)
    theirs.train(XB)
    faiss.write_index(theirs, str(tmp_path / "a.faiss"))
    refused((tmp_path / "a.faiss").read_bytes(), f"type {named} is not understood; expected Flat", tmp_path)


def test_other_quantizers_transforms_and_metrics_are_named(tmp_path: Path) -> None:
    for description, message in [
        ("IVF8_HNSW8,Flat", "type IHNf is not understood"),
        ("ITQ8,Flat", "type Viqt is not understood; expected LTra"),
        ("PCA8,L2norm,Flat", "normalisation or refinement in front of linear maps"),
        ("L2norm,Flat", "normalisation before an index by L2"),
    ]:
        theirs = faiss.index_factory(D, description)
        theirs.train(XB)
        faiss.write_index(theirs, str(tmp_path / "a.faiss"))
        refused((tmp_path / "a.faiss").read_bytes(), message, tmp_path)
    faiss.write_index(faiss.IndexFlat(4, faiss.METRIC_L1), str(tmp_path / "a.faiss"))
    refused((tmp_path / "a.faiss").read_bytes(), "expected metric 0 .* got 2", tmp_path)
    faiss.write_index(faiss.index_factory(D, "IVF8,Flat"), str(tmp_path / "a.faiss"))
    refused((tmp_path / "a.faiss").read_bytes(), "not trained", tmp_path)


HUGE = 1 << 62
BAD = {
    "empty": (b"", "record: 4 bytes expected, 0 left"),
    "another file": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is not understood"),
    "huge ntotal": (b"IxF2" + header(2, HUGE) + struct.pack("<Q", 2 * HUGE), "elements of 4 bytes announced, 0 bytes left"),
    "count that does not fit": (b"IxF2" + header(2, 3) + struct.pack("<Q", HUGE) + bytes(24), "expected 6 elements"),
    "negative ntotal": (b"IxF2" + header(2, -3) + vector(np.zeros(6, np.float32)), "ntotal of at least 0"),
    "no dimension": (b"IxF2" + header(0, 3) + vector(np.zeros(0, np.float32)), "d of at least 1"),
    "NaN": (b"IxF2" + header(2, 1) + vector(np.array([np.nan, 0], np.float32)), "got NaN"),
    "trained is 7": (b"IxF2" + header(2, 3, trained=7) + FLAT[37:], "expected 0 or 1, got 7"),
    "bytes behind": (FLAT + b"x", "found 1 bytes more"),
    "ids that are not there": (b"IxM2" + header(2, 3) + FLAT + vector(np.arange(2)), "do not fit the 2 things"),
    "ids twice": (b"IxM2" + header(2, 3) + FLAT + vector(np.array([4, 5, 4])), "distinct ids, got 4"),
    "negative ids": (b"IxM2" + header(2, 3) + FLAT + vector(np.array([4, -5, 6])), "ids of at least 0, got -5"),
    "too deep": (b"".join(b"IxPT" + header(2, 3) + struct.pack("<i", 0) for _ in range(50)) + FLAT, "more than 8 records"),
    "many transforms": (b"IxPT" + header(2, 3) + struct.pack("<i", 10**9), "0 to 8 transforms"),
    "L1 norm": (chain(b"VNrm" + struct.pack("<fiiB", 1, 2, 2, 1)), "got L1 from 2 to 2"),
    "matrix of another size": (chain(linear(np.eye(3))), "stands before an index of 2"),
    "bias of another size": (chain(linear(np.eye(2), [1])), "1 of bias"),
    "d of another size": (chain(linear(np.eye(2)), d=5), "take d=2, the index d=5"),
    "untrained transform": (chain(linear(np.eye(2), trained=0)), "a transform is not trained"),
    "maps that multiply": (
        chain(linear(np.ones((1, 20_000))), linear(np.ones((20_000, 1))), d=20_000,
              inner=b"IxF2" + header(20_000, 0) + vector(np.empty(0, np.float32))),
        "are too large",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_hostile_files_are_refused(name: str, tmp_path: Path) -> None:
    data, message = BAD[name]
    refused(data, message, tmp_path)


def ivf(nlist: int = 1, quantizer: bytes = b"", lists: bytes = b"") -> bytes:
    quantizer = quantizer or b"IxF2" + header(2, 1) + vector(np.zeros(2, np.float32))
    return b"IwFl" + header(2, 0) + struct.pack("<QQ", nlist, 1) + quantizer + struct.pack("<BQ", 0, 0) + lists


BAD_LISTS = {
    "more lists than centroids": (ivf(HUGE), "centroids of d=2"),
    "coarse quantizer with ids": (ivf(1, b"IxM2" + header(2, 3) + FLAT + vector(np.array([2, 1, 0]))), "flat coarse"),
    "lists elsewhere": (ivf(lists=b"ilod"), "type ilod are not understood"),
    "other lists": (ivf(lists=b"ilar" + struct.pack("<QQ", 2, 8)), "do not fit the index"),
    "huge list": (ivf(lists=b"ilar" + struct.pack("<QQ", 1, 8) + b"full" + vector(np.array([HUGE]))), "0 bytes left"),
    "sizes of another kind": (ivf(lists=b"ilar" + struct.pack("<QQ", 1, 8) + b"wrld"), "full or sprs, got wrld"),
    "odd pairs": (
        ivf(lists=b"ilar" + struct.pack("<QQ", 1, 8) + b"sprs" + vector(np.array([0]))),
        "pairs of list and size",
    ),
    "no such list": (
        ivf(lists=b"ilar" + struct.pack("<QQ", 1, 8) + b"sprs" + vector(np.array([7, 1]))),
        "pairs of list",
    ),
    "direct map": (ivf()[:-9] + b"\x09" + bytes(8), "type 0, 1 or 2, got 9"),
}


@pytest.mark.parametrize("name", BAD_LISTS)
def test_hostile_lists_are_refused(name: str, tmp_path: Path) -> None:
    data, message = BAD_LISTS[name]
    refused(data, message, tmp_path)


def pq(d: int = 4, m: int = 2, nbits: int = 4, count: int = 64, search_type: int = 0) -> bytes:
    book = struct.pack("<QQQ", d, m, nbits) + vector(np.zeros(count, np.float32))
    return b"IxPq" + header(4, 0) + book + vector(np.empty(0, np.uint8)) + struct.pack("<iBi", search_type, 0, 0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pq(d=5), "got d=5, m=2"),
        (pq(m=3), "an m that divides it"),
        (pq(m=HUGE), "an m that divides it"),
        (pq(nbits=3), "4 to 16 bits, got 3"),
        (pq(nbits=60), "4 to 16 bits, got 60"),
        (pq(nbits=5), "expected 128 elements, got 64"),
        (pq(search_type=4), r"search_type 0\), got 4"),
    ],
)
def test_hostile_codebooks_are_refused(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "good.faiss").write_bytes(pq())
    assert la.read_faiss(tmp_path / "good.faiss").d == 4
    refused(data, message, tmp_path)


@pytest.mark.parametrize("name", sorted(name for name in EXPECTED if "1.15.1" in name))
def test_truncated_anywhere(name: str, tmp_path: Path) -> None:
    data = (GOLDEN / name).read_bytes()
    path = tmp_path / "bad.faiss"
    for length in [*range(0, len(data), 13), *range(len(data) - 40, len(data))]:
        path.write_bytes(data[:length])
        with pytest.raises(la.FormatError):
            la.read_faiss(path)


@pytest.mark.parametrize("name", sorted(name for name in EXPECTED if "1.15.1" in name))
def test_flipped_bits_are_refused_or_harmless(name: str, tmp_path: Path) -> None:
    data = (GOLDEN / name).read_bytes()
    queries = np.asarray(EXPECTED[name]["queries"], np.float32)
    path, rng = tmp_path / "bad.faiss", np.random.default_rng(5)
    bits = [*range(0, 8 * 60, 3), *rng.integers(0, 8 * len(data), 250).tolist()]  # the header, and anywhere
    outcomes = set()
    tracemalloc.start()
    for bit in bits:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            index = la.read_faiss(path)
        except la.FormatError:
            outcomes.add("refused")
            continue
        outcomes.add("read")
        if index.d == queries.shape[1]:
            with np.errstate(all="ignore"):
                found = index.search(queries, 5, nprobe=2)
            assert np.isin(found.ids, [*index.ids, -1]).all()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert outcomes == {"refused", "read"}
    assert peak < 32 << 20


def test_what_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(la.NotTrainedError, match="no dimension yet"):
        la.write_faiss(la.FlatIndex(), tmp_path / "a.faiss")
    with pytest.raises(la.NotTrainedError):
        la.write_faiss(la.IVFPQIndex(), tmp_path / "a.faiss")
    with pytest.raises(la.InputError, match="got list"):
        la.write_faiss([], tmp_path / "a.faiss")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        la.read_faiss(tmp_path / "a.faiss")
