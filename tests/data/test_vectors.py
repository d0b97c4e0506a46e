"""Files of vectors, good and bad, and SIFT vectors of pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike._typing import Array
from lookalike.data.vectors import read_vectors, sift_descriptors, sift_set
from lookalike.errors import FormatError, InputError

RNG = np.random.default_rng(3)


def _write_vecs(path: Path, x: Array) -> Path:
    """The TEXMEX layout, byte by byte."""
    path.write_bytes(b"".join(np.int32(len(row)).tobytes() + row.tobytes() for row in x))
    return path


@pytest.mark.parametrize(("suffix", "dtype"), [(".fvecs", np.float32), (".ivecs", np.int32), (".bvecs", np.uint8)])
@pytest.mark.parametrize("mmap", [False, True])
def test_reading_what_was_written(tmp_path: Path, suffix: str, dtype: Any, mmap: bool) -> None:
    x = RNG.integers(0, 200, (7, 5)).astype(dtype)
    read = read_vectors(_write_vecs(tmp_path / f"x{suffix}", x), mmap=mmap)
    assert read.dtype == dtype
    assert np.array_equal(read, x)
    assert read.flags.writeable is not mmap
    assert read.flags.c_contiguous or mmap


def test_only_the_first_rows(tmp_path: Path) -> None:
    x = RNG.random((9, 4)).astype(np.float32)
    assert np.array_equal(read_vectors(_write_vecs(tmp_path / "x.fvecs", x), limit=3), x[:3])
    np.save(tmp_path / "x.npy", x)
    assert np.array_equal(read_vectors(tmp_path / "x.npy", limit=100), x)


def test_npy_larger_than_wanted_is_mapped(tmp_path: Path) -> None:
    x = RNG.random((9, 4)).astype(np.float16)
    np.save(tmp_path / "x.npy", x)
    mapped = read_vectors(tmp_path / "x.npy", mmap=True)
    assert isinstance(mapped, np.memmap)
    assert mapped.dtype == np.float16
    assert np.array_equal(mapped, x)


def test_damaged_vecs(tmp_path: Path) -> None:
    x = RNG.random((4, 6)).astype(np.float32)
    path = _write_vecs(tmp_path / "x.fvecs", x)
    whole = path.read_bytes()
    for cut in (1, 3, 5, 28, len(whole) - 1):
        path.write_bytes(whole[:cut])
        if cut == 28:  # one whole row is a file of its own
            assert len(read_vectors(path)) == 1
            continue
        with pytest.raises(FormatError, match=r"x\.fvecs: expected"):
            read_vectors(path)
    for d in (0, -1, 2**31 - 1):
        path.write_bytes(np.int32(d).tobytes() + whole[4:])
        with pytest.raises(FormatError, match="dimension"):
            read_vectors(path)
    path.write_bytes(whole[:28] + np.int32(5).tobytes() + whole[32:])
    with pytest.raises(FormatError, match="got 5 in row 1"):
        read_vectors(path)
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="at least one vector"):
        read_vectors(path)


def test_damaged_npy(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, RNG.random((40, 6)))
    whole = path.read_bytes()
    for broken in (
        b"",
        whole[:5],
        whole[:-1],
        b"PK\x03\x04" + whole,
        b"\x80\x04K\x01.",
        whole[:70] + b"((" + whole[72:],
    ):
        path.write_bytes(broken)
        with pytest.raises(FormatError, match=r"x\.npy"):
            read_vectors(path)
    for wrong in (np.zeros(3), np.zeros((2, 2, 2)), np.zeros((0, 4)), np.zeros((2, 2), complex), np.array([["a"]])):
        np.save(path, wrong)
        with pytest.raises(FormatError, match="expected"):
            read_vectors(path)
    np.save(path, np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(FormatError, match=r"not an \.npy file of numbers"):
        read_vectors(path)


def test_what_is_no_file_of_vectors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected a file of vectors"):
        read_vectors(tmp_path / "x.csv")
    with pytest.raises(InputError, match="limit"):
        read_vectors(tmp_path / "x.npy", limit=0)
    for suffix in (".npy", ".fvecs"):
        with pytest.raises(FileNotFoundError):
            read_vectors(tmp_path / f"missing{suffix}")


def test_descriptors_of_a_picture() -> None:
    yy, xx = np.mgrid[0:120, 0:160]
    grey = (127 + 100 * np.sin(xx / 5) * np.cos(yy / 7)).astype(np.uint8)
    found = sift_descriptors(grey)
    assert found.dtype == np.uint8
    assert found.shape[1] == 128
    assert len(found) > 20
    assert np.array_equal(found, sift_descriptors(grey))
    assert sift_descriptors(np.zeros((100, 100), np.uint8)).shape == (0, 128)
    assert sift_descriptors(grey[:15]).shape == (0, 128)
    with pytest.raises(InputError, match="uint8"):
        sift_descriptors(grey.astype(np.float32))


def _pictures(count: int) -> Iterator[Array]:
    """Made-up descriptors: those of each picture share two rows with every other."""
    rng = np.random.default_rng(0)
    shared = rng.integers(0, 255, (2, 128), np.uint8)
    for _ in range(count):
        yield np.concatenate([rng.integers(0, 255, (10, 128), np.uint8), shared])


def test_base_has_no_duplicates_and_queries_come_from_other_pictures() -> None:
    pictures = list(_pictures(60))
    found = sift_set(pictures, limit=10_000, queries=30)
    assert found.base.dtype == found.queries.dtype == np.float32
    assert len(np.unique(found.base, axis=0)) == len(found.base) == 57 * 10 + 2
    assert len(found.queries) == 30
    asked = {row.tobytes() for number in (0, 25, 50) for row in pictures[number]}
    assert {row.astype(np.uint8).tobytes() for row in found.queries} <= asked


def test_the_set_depends_on_the_seed_only() -> None:
    a, b = (sift_set(_pictures(60), limit=200, queries=10, seed=1) for _ in range(2))
    assert np.array_equal(a.base, b.base)
    assert np.array_equal(a.queries, b.queries)
    assert a.base.shape == (200, 128)
    assert not np.array_equal(a.base, sift_set(_pictures(60), limit=200, queries=10, seed=2).base)


def test_no_more_pictures_are_read_than_needed() -> None:
    read = []

    def counted() -> Iterator[Array]:
        for number, found in enumerate(_pictures(1000)):
            read.append(number)
            yield found

    sift_set(counted(), limit=100, queries=5)
    assert len(read) < 30


def test_no_pictures_give_an_empty_set() -> None:
    found = sift_set([], limit=5, queries=5)
    assert found.base.shape == found.queries.shape == (0, 128)
