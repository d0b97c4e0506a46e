"""Features on disk."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from lookalike.collection.segments import FeatureStore, Segment, check_segment, open_segment, write_segment
from lookalike.errors import FormatError


def unit(n: int, d: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "features").mkdir()
    return tmp_path


def write(folder: Path, name: str, rows: np.ndarray, first: int) -> Segment:
    sha256 = write_segment(folder / "features" / name, [rows[:3], rows[3:]], *rows.shape)
    return Segment(first, name, first, len(rows), sha256)


def test_segment_is_a_safetensors_file_and_can_be_mapped(folder: Path) -> None:
    rows = unit(10, 7)
    segment = write(folder, "a.safetensors", rows, 0)
    path = folder / "features" / "a.safetensors"
    assert np.array_equal(load_file(path)["features"], rows)
    mapped = open_segment(path, 10, 7)
    assert mapped.dtype == np.float16
    assert mapped.ctypes.data % 64 == 0
    assert not mapped.flags.writeable
    assert np.array_equal(mapped, rows)
    assert check_segment(folder, segment, 7) is None


def test_wrong_number_of_rows_is_not_written(folder: Path) -> None:
    with pytest.raises(FormatError):
        write_segment(folder / "features" / "a", [unit(3, 4)], 5, 4)
    assert list((folder / "features").iterdir()) == []


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7), cut=st.booleans())
def test_any_damage_is_noticed(tmp_path_factory: pytest.TempPathFactory, at: int, bit: int, cut: bool) -> None:
    folder = tmp_path_factory.mktemp("damage")
    (folder / "features").mkdir()
    segment = write(folder, "a", unit(20, 8), 0)
    path = folder / "features" / "a"
    data = bytearray(path.read_bytes())
    if cut:
        damaged = bytes(data[: at % len(data)])
    else:
        data[at % len(data)] ^= 1 << bit
        damaged = bytes(data)
    path.write_bytes(damaged)
    intact = not cut and np.array_equal(_rows(path), unit(20, 8))
    assert (check_segment(folder, segment, 8) is None) <= intact


def _rows(path: Path) -> np.ndarray | None:
    try:
        return np.asarray(open_segment(path, 20, 8))
    except FormatError:
        return None


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 8, b"\xff" * 100, (100).to_bytes(8, "little") + b"[" * 100, (2).to_bytes(8, "little") + b"{}"],
)
def test_hostile_headers_are_refused(folder: Path, content: bytes) -> None:
    (folder / "features" / "a").write_bytes(content)
    with pytest.raises(FormatError):
        open_segment(folder / "features" / "a", 1, 1)


def test_store_gathers_over_segments_with_gaps(folder: Path) -> None:
    parts = {5: unit(10, 6, 1), 15: unit(4, 6, 2), 30: unit(300, 6, 3)}
    store = FeatureStore(folder, [write(folder, f"{first}", rows, first) for first, rows in parts.items()], 6)
    whole = {first + at: row for first, rows in parts.items() for at, row in enumerate(rows)}
    assert len(store) == 330
    assert store.shape == (330, 6)
    every = np.arange(340)
    assert np.flatnonzero(store.holds(every)).tolist() == sorted(whole)
    ids = np.random.default_rng(0).permutation(sorted(whole))
    for chosen in (ids, ids[:7], np.array([14, 15]), np.array([5, 6, 7]), np.array([329, 5, 329])):
        expected = np.stack([whole[number] for number in chosen]).astype(np.float32)
        assert np.array_equal(store.raw(chosen).astype(np.float32), expected)
        rows = store[chosen]
        assert rows.dtype == np.float32
        assert np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
        assert np.allclose(rows, expected, atol=1e-3)


def test_store_without_segments_holds_nothing(folder: Path) -> None:
    store = FeatureStore(folder, [], 6)
    assert len(store) == 0
    assert not store.holds(np.array([0, 1])).any()


@pytest.fixture
def store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FeatureStore:
    """Three segments and a gap, with a row that is damaged and one that is zero; too large for numpy, as it were."""
    rows = unit(700, 24, 3)
    rows[40], rows[70, 3], rows[71] = 0, np.nan, rows[5]
    parts = [(0, rows[:300]), (310, rows[300:301]), (320, rows[301:])]
    segments = [write(folder, f"s{first}", part, first) for first, part in parts]
    monkeypatch.setattr("lookalike.collection.segments.CACHED_ELEMENTS", 0)
    monkeypatch.setattr("lookalike.collection.segments.ONCE", 0)
    return FeatureStore(folder, segments, 24)


@pytest.mark.parametrize("nq", [1, 30])
def test_kernels_and_numpy_find_the_same(store: FeatureStore, nq: int, monkeypatch: pytest.MonkeyPatch) -> None:
    held = np.flatnonzero(store.holds(np.arange(len(store))))
    xq = unit(nq, 24, 4).astype(np.float32)
    xq /= np.linalg.norm(xq, axis=1, keepdims=True)
    xq[0] = store[np.array([5])][0]
    for ids in (held, held[::3], held[-20:]):
        for k in (1, 12, len(ids)):
            assert store._wants_kernels(ids)
            distances, found = store.nearest(xq, k, ids)
            with monkeypatch.context() as patch:
                patch.setattr(FeatureStore, "_wants_kernels", lambda self, ids: False)
                wanted_distances, wanted = store.nearest(xq, k, ids)
            np.testing.assert_allclose(distances, wanted_distances, atol=1e-6)
            assert np.isin(found, ids).all()
            if k < len(ids):
                assert (found == wanted).mean() > 0.98, "all but ties"
            else:
                np.testing.assert_array_equal(np.sort(found), np.sort(wanted))
    assert store.nearest(xq[:1], 2, held)[1].tolist() == [[5, 71]], "equal rows by id"
    at = store.nearest(xq[:1], len(held), held)
    for damaged in (40, 70):
        assert at[0][0, at[1][0] == damaged] == 1


def test_few_of_many_are_gathered(store: FeatureStore) -> None:
    held = np.flatnonzero(store.holds(np.arange(len(store))))
    assert not store._wants_kernels(held[:5])
    assert store.nearest(store[held[:1]], 5, held[:5])[1][0, 0] == held[0]


def test_the_first_search_of_a_middling_store_needs_no_kernels(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lookalike.collection.segments.ONCE", 1 << 40)
    monkeypatch.delitem(sys.modules, "numba", raising=False)
    ids = np.arange(300)
    assert [store._wants_kernels(ids) for _ in range(3)] == [False, True, True]
