"""Graphs of hnswlib and FAISS: read from their files, searched step by step with their own results, damaged and hostile."""

from __future__ import annotations

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import faiss
import hnswlib
import numpy as np
import pytest

import lookalike as la
from lookalike.viz.hnsw_graph import HNSWGraph, read_hnsw

GOLDEN = Path(__file__).parents[1] / "golden" / "hnsw"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
D, N, M, K = 12, 900, 6, 10
RNG = np.random.default_rng(0)
XB, XQ = RNG.normal(size=(N, D)).astype(np.float32), RNG.normal(size=(12, D)).astype(np.float32)
IDS = RNG.permutation(N) * 7 + 2**40


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(threads)


def theirs_hnswlib(metric: str) -> Any:
    index = hnswlib.Index(metric, D)
    index.init_index(N + 50, ef_construction=30, M=M, random_seed=1)
    index.add_items(XB, IDS, num_threads=1)
    return index


def same(trace: Any, distances: Any, ids: Any) -> None:
    found = ids >= 0
    np.testing.assert_array_equal(trace.ids, ids[found])
    np.testing.assert_allclose(trace.distances, distances[found], rtol=1e-4, atol=1e-4)


def test_every_golden_file_is_there() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {*EXPECTED, "make.py", "expected.json"}
    assert len(EXPECTED) == 8


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_golden_files_give_what_their_library_found(name: str) -> None:
    wanted = EXPECTED[name]
    graph = read_hnsw(GOLDEN / name)
    assert (graph.metric, graph.M, graph.ef_construction, graph.ntotal, graph.d) == (wanted["metric"], 4, 20, 60, 4)
    assert graph.ef == (wanted["ef"] if "faiss" in name else None)
    for query, distances, ids in zip(wanted["queries"], wanted["distances"], wanted["ids"], strict=True):
        same(graph.trace(query, 5, wanted["ef"]), np.array(distances), np.array(ids))


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_searches_of_hnswlib(metric: str, deleted: bool, tmp_path: Path) -> None:
    index = theirs_hnswlib(metric)
    for number in IDS[::4] if deleted else ():
        index.mark_deleted(int(number))
    index.save_index(str(tmp_path / "graph.bin"))
    graph = read_hnsw(tmp_path / "graph.bin", metric)
    assert sorted(graph.ids) == sorted(IDS)
    assert (graph.library, graph.M, graph.ef_construction) == ("hnswlib", M, 30)
    assert graph.deleted.sum() == (len(IDS[::4]) if deleted else 0)
    for ef in (K, 60):
        index.set_ef(ef)
        for query in XQ:
            ids, distances = index.knn_query(query, K, num_threads=1)
            same(graph.trace(query, K, ef), 1 - distances[0] if metric == "ip" else distances[0], ids[0].astype(int))


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("wrap", [None, faiss.IndexIDMap, faiss.IndexIDMap2])
def test_searches_of_faiss(wrap: Any, metric: str, tmp_path: Path) -> None:
    graph_of = faiss.IndexHNSWFlat(D, M, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)
    graph_of.hnsw.efConstruction = 30
    index = graph_of if wrap is None else wrap(graph_of)
    index.add(XB) if wrap is None else index.add_with_ids(XB, IDS)
    faiss.write_index(index, str(tmp_path / "graph.faiss"))
    graph = read_hnsw(tmp_path / "graph.faiss")
    assert (graph.library, graph.metric, graph.M, graph.ef, graph.ef_construction) == ("faiss", metric, M, 16, 30)
    for ef in (1, 5, K, 60):  # narrower than k is allowed
        graph_of.hnsw.efSearch = ef
        for query in XQ:
            distances, ids = index.search(query[None], K)
            same(graph.trace(query, K, ef), distances[0], ids[0])


def test_the_trace_holds_together(tmp_path: Path) -> None:
    theirs_hnswlib("l2").save_index(str(tmp_path / "graph.bin"))
    graph = read_hnsw(tmp_path / "graph.bin")
    trace = graph.trace(XQ[0], K, 40)
    levels = [step.level for step in trace.steps]
    assert levels == sorted(levels, reverse=True)
    assert trace.steps[0].node == trace.entry == graph.entry
    assert levels[0] == graph.levels.max() == graph.levels[graph.entry]
    nearest = np.inf
    for step in trace.steps:
        np.testing.assert_array_equal(step.links, graph.links[step.level].of(step.node))
        np.testing.assert_allclose(step.distances, np.square(graph.vectors[step.new] - XQ[0]).sum(1), rtol=1e-5)
        assert graph.levels[step.new].min(initial=99) >= step.level
        assert step.nearest <= nearest
        nearest = step.nearest
    ground = trace.visited()[0]
    assert len(set(ground.tolist())) == len(ground)
    assert set(trace.nodes) <= set(ground)
    assert trace.path()[0] == (levels[0], graph.entry)
    assert json.loads(json.dumps(trace.to_json()))["steps"][0]["level"] == levels[0]


def test_a_full_width_finds_everything(tmp_path: Path) -> None:
    theirs_hnswlib("l2").save_index(str(tmp_path / "graph.bin"))
    graph = read_hnsw(tmp_path / "graph.bin")
    exact = la.FlatIndex().add(XB).search(XQ, K)
    for query, places in zip(XQ[:3], exact.ids, strict=False):
        np.testing.assert_array_equal(graph.trace(query, K, N).ids, IDS[places])


def test_the_metric_of_hnswlib_is_guessed_by_lengths(tmp_path: Path) -> None:
    for metric in ("l2", "ip", "cosine"):
        theirs_hnswlib(metric).save_index(str(tmp_path / metric))
        assert read_hnsw(tmp_path / metric).metric == ("cosine" if metric == "cosine" else "l2")
        assert read_hnsw(tmp_path / metric, "ip").metric == "ip"


def test_empty_and_tiny_graphs(tmp_path: Path) -> None:
    index = hnswlib.Index("l2", 2)
    index.init_index(10)
    index.save_index(str(tmp_path / "empty.bin"))
    faiss.write_index(faiss.IndexHNSWFlat(2, 4), str(tmp_path / "empty.faiss"))
    for name in ("empty.bin", "empty.faiss"):
        graph = read_hnsw(tmp_path / name)
        assert (graph.ntotal, graph.links) == (0, ())
        with pytest.raises(la.InputError, match="empty"):
            graph.trace([0, 0])
    index.add_items([[1, 2]], [9])
    index.save_index(str(tmp_path / "one.bin"))
    trace = read_hnsw(tmp_path / "one.bin").trace([1, 3])
    assert (trace.ids.tolist(), trace.distances.tolist()) == ([9], [1.0])
    index.mark_deleted(9)
    index.save_index(str(tmp_path / "none.bin"))
    assert not len(read_hnsw(tmp_path / "none.bin").trace([1, 3]).ids)


def test_bad_queries_are_named() -> None:
    graph = read_hnsw(GOLDEN / "l2-hnswlib-0.8.0.bin")
    with pytest.raises(la.DimensionError, match="expected d=4, got 3"):
        graph.trace([1, 2, 3])
    with pytest.raises(la.InputError, match="expected one vector, got 2"):
        graph.trace(np.zeros((2, 4)))
    with pytest.raises(la.InputError, match="ef: expected 1 to"):
        graph.trace(np.zeros(4), ef=0)
    with pytest.raises(la.InputError, match="NaN"):
        graph.trace([1, 2, 3, np.nan])
    with pytest.raises(la.InputError, match="not on this level"):
        graph.links[-1].of(int(np.argmin(graph.levels)))


# --- what is refused -------------------------------------------------------------------------------------------------

BASES = ["l2-hnswlib-0.8.0.bin", "l2-faiss-1.15.1.faiss", "ip-faiss-1.15.1.faiss"]


def refused(path: Path, message: str) -> None:
    with pytest.raises(la.FormatError, match=message) as caught:
        read_hnsw(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("Flat", "got an index of type IxF2"),
        ("HNSW8_PQ4x4", "got an index of type IHNp"),
        ("IVF8,Flat", "got an index of type IwFl"),
        ("IDMap,Flat", "got a FAISS index of type IxF2"),
    ],
)
def test_other_indexes_are_named(description: str, message: str, tmp_path: Path) -> None:
    index = faiss.index_factory(D, description)
    index.train(XB)
    faiss.write_index(index, str(tmp_path / "a.faiss"))
    refused(tmp_path / "a.faiss", message)


@pytest.mark.parametrize("data", [b"", b"IHN", bytes(8), bytes(96), bytes(4000), b"\xff" * 500, b"PK\3\4" + bytes(99)])
def test_foreign_files(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    refused(tmp_path / "a.bin", "expected|truncated")


@pytest.mark.parametrize("name", BASES)
def test_truncated_files(name: str, tmp_path: Path) -> None:
    data, path = (GOLDEN / name).read_bytes(), tmp_path / "cut"
    for length in [*range(0, 300, 3), *range(300, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:length])
        refused(path, ".")
    path.write_bytes(data + b"\0\0\0\0")
    refused(path, "bytes more")


@pytest.mark.parametrize("name", BASES)
def test_flipped_bits_are_refused_or_do_no_harm(name: str, tmp_path: Path) -> None:
    data, path = (GOLDEN / name).read_bytes(), tmp_path / "bad"
    rng = np.random.default_rng(5)
    everywhere = rng.integers((len(data), 8), size=(120, 2)).tolist()
    places = [*((byte, bit) for byte in range(100) for bit in (0, 7)), *everywhere]
    refusals = 0
    for byte, bit in places:
        damaged = bytearray(data)
        damaged[byte] ^= 1 << bit
        path.write_bytes(damaged)
        try:
            graph = read_hnsw(path)
        except la.FormatError:
            refusals += 1
            continue
        assert len(graph.trace(np.ones(graph.d), 5, 20).ids) <= 5
    assert refusals > 100


def hostile(**changes: Any) -> bytes:
    """The head of a file of hnswlib with fields that were changed, and some bytes behind it."""
    fields = {"level0": 0, "room": 4, "n": 4, "size": 28, "label": 20, "vector": 12, "highest": 0, "entry": 0, "M": 2,
              "M0": 2, "m": 2, "mult": 1.0, "efc": 10} | changes  # fmt: skip
    return struct.pack("<QQQQQQiIQQQdQ", *fields.values()) + bytes(128)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 1 << 40, "room": 1 << 41}, "announced"),
        ({"n": 5}, "in room for 4"),
        ({"M0": 1 << 31, "vector": 4 + (4 << 31)}, "expected M of"),
        ({"M": 1 << 31, "m": 1 << 31}, "expected M of"),
        ({"n": 0, "label": 1 << 40, "size": (1 << 40) + 8}, "sizes do not fit"),
        ({"entry": 9}, "entry point 9"),
        ({"highest": 3}, "entry point 0 on level 3"),
        ({"size": 40}, "sizes do not fit"),
    ],
)
def test_hostile_numbers(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(hostile(**changes))
    tracemalloc.start()
    refused(tmp_path / "a.bin", message)
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_the_hostile_head_is_fine_when_nothing_is_changed(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(hostile())  # 4 vectors of 2 dimensions, all zero, without links
    graph: HNSWGraph = read_hnsw(tmp_path / "a.bin")
    assert (graph.ntotal, graph.d, graph.trace([0, 0], 4).ids.tolist()) == (4, 2, [0])


def test_links_out_of_the_graph_or_their_level(tmp_path: Path) -> None:
    data = bytearray((GOLDEN / "l2-hnswlib-0.8.0.bin").read_bytes())
    struct.pack_into("<I", data, 96 + 4, 4_000_000_000)  # the first link of the first vector
    (tmp_path / "a.bin").write_bytes(data)
    refused(tmp_path / "a.bin", "leads to a vector that is not there")
    data = bytearray((GOLDEN / "l2-hnswlib-0.8.0.bin").read_bytes())
    graph = read_hnsw(GOLDEN / "l2-hnswlib-0.8.0.bin")
    low = int(np.flatnonzero(graph.levels == 0)[0])
    at = 96 + 60 * 60  # behind the vectors: the upper links of each
    for _ in range(60):
        length = struct.unpack_from("<I", data, at)[0]
        if length and struct.unpack_from("<H", data, at + 4)[0]:
            struct.pack_into("<I", data, at + 8, low)
            break
        at += 4 + length
    (tmp_path / "a.bin").write_bytes(data)
    refused(tmp_path / "a.bin", "a link of level 1 leads to a vector that is not there")
