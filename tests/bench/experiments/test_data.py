"""Where vectors come from, and what is said where they cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import lookalike as la
from lookalike.errors import DatasetError, FormatError, InputError
from lookalike_bench.data import Prepared, prepare
from lookalike_bench.experiments.spec import DataSpec

RNG = np.random.default_rng(0)
BASE = RNG.normal(size=(300, 8)).astype(np.float32)
QUERIES = RNG.normal(size=(20, 8)).astype(np.float32)
TRUE = np.square(QUERIES[:, None] - BASE[None]).sum(axis=2)


def made(tmp_path: Path, kind: str, **more: object) -> list[Prepared]:
    return prepare(DataSpec("x", kind, **more), tmp_path / "keep", [], lambda _: None)  # type: ignore[arg-type]


def write_vecs(path: Path, x: np.ndarray) -> str:
    head = np.full((len(x), 1), x.shape[1], np.int32).view(x.dtype)
    np.hstack([head, x]).tofile(path)
    return str(path)


def test_files_with_their_ground_truth(tmp_path: Path) -> None:
    base, queries = write_vecs(tmp_path / "b.fvecs", BASE), write_vecs(tmp_path / "q.fvecs", QUERIES)
    truth = write_vecs(tmp_path / "t.ivecs", np.argsort(TRUE)[:, :10].astype(np.int32))
    (one,) = made(tmp_path, "files", base=base, queries_file=queries, truth=truth)
    assert (one.n, one.d, one.queries) == (300, 8, 20)
    x, xq, exact = one.load()
    np.testing.assert_array_equal(x, BASE)
    np.testing.assert_array_equal(xq, QUERIES)
    np.testing.assert_allclose(exact, np.sort(TRUE)[:, :100], rtol=1e-5)
    other = write_vecs(tmp_path / "o.ivecs", np.argsort(-TRUE)[:, :10].astype(np.int32))
    with pytest.raises(InputError, match=r"ground truth is of other vectors or another metric: .* 20 of 20"):
        made(tmp_path, "files", base=base, queries_file=queries, truth=other)
    few = write_vecs(tmp_path / "f.ivecs", np.argsort(TRUE)[:5, :10].astype(np.int32))
    with pytest.raises(InputError, match="ground truth for 5 queries, but there are 20"):
        made(tmp_path, "files", base=base, queries_file=queries, truth=few)
    far = write_vecs(tmp_path / "g.ivecs", np.full((20, 3), 300, np.int32))
    with pytest.raises(InputError, match="names row 300, the base has 300"):
        made(tmp_path, "files", base=base, queries_file=queries, truth=far)


def test_files_that_are_missing_or_do_not_fit(tmp_path: Path) -> None:
    base = write_vecs(tmp_path / "b.fvecs", BASE)
    with pytest.raises(DatasetError, match=r"queries_file: there is no file .*q.fvecs"):
        made(tmp_path, "files", base=base, queries_file=str(tmp_path / "q.fvecs"))
    narrow = write_vecs(tmp_path / "n.fvecs", QUERIES[:, :4])
    with pytest.raises(InputError, match="d=8, queries d=4"):
        made(tmp_path, "files", base=base, queries_file=narrow)
    np.save(tmp_path / "nan.npy", np.full((5, 8), np.nan, np.float32))
    with pytest.raises(InputError, match="expected finite numbers"):
        made(tmp_path, "files", base=base, queries_file=str(tmp_path / "nan.npy"))
    np.save(tmp_path / "one.npy", BASE[:1])
    with pytest.raises(InputError, match="too few to take queries from"):
        made(tmp_path, "files", base=str(tmp_path / "one.npy"))


def test_queries_are_taken_out_and_sizes_are_swept(tmp_path: Path) -> None:
    np.save(tmp_path / "all.npy", BASE)
    said: list[str] = []
    spec = DataSpec("x", "files", rows=(100, 200, 5000), queries=30, base=str(tmp_path / "all.npy"))
    sets = prepare(spec, tmp_path / "keep", [], said.append)
    assert [(p.name, p.n, p.queries) for p in sets] == [("x-100", 100, 30), ("x-200", 200, 30)]
    assert any("5,000 rows are more than the 270" in line for line in said)
    base, queries, _ = sets[1].load()
    assert not (base[:, None] == queries[None]).all(axis=2).any()
    again = prepare(spec, tmp_path / "keep", [], said.append)
    assert again == sets
    (sets[0].folder / "exact.npy").write_bytes(b"damaged")
    assert prepare(spec, tmp_path / "keep", [], said.append)[0].load()[2].shape == (30, 100)


@pytest.mark.parametrize("distance", ["euclidean", "angular"])
def test_hdf5_of_ann_benchmarks(distance: str, tmp_path: Path) -> None:
    path = tmp_path / "set.hdf5"
    unit, unit_q = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (BASE, QUERIES))
    far = TRUE if distance == "euclidean" else 1 - unit_q @ unit.T
    with h5py.File(path, "w") as file:
        file.attrs["distance"] = distance
        file["train"], file["test"], file["neighbors"] = BASE, QUERIES, np.argsort(far)[:, :10]
    (one,) = made(tmp_path, "hdf5", path=str(path))
    base, _, _ = one.load()
    np.testing.assert_allclose(base, BASE if distance == "euclidean" else unit, rtol=1e-6)


def _hdf5(tmp_path: Path, change: Callable[[h5py.File], None]) -> str:
    path = tmp_path / "bad.hdf5"
    with h5py.File(path, "w") as file:
        file["train"], file["test"] = BASE, QUERIES
        change(file)
    return str(path)


def test_hdf5_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no file"):
        made(tmp_path, "hdf5", path=str(tmp_path / "none.hdf5"))
    (tmp_path / "text.hdf5").write_text("not at all")
    with pytest.raises(FormatError, match="not an HDF5 file"):
        made(tmp_path, "hdf5", path=str(tmp_path / "text.hdf5"))
    with pytest.raises(InputError, match="distance 'jaccard': expected euclidean or angular"):
        made(tmp_path, "hdf5", path=_hdf5(tmp_path, lambda file: file.attrs.update(distance="jaccard")))

    def without_queries(file: h5py.File) -> None:
        del file["test"]

    with pytest.raises(FormatError, match="expected a data set 'test'"):
        made(tmp_path, "hdf5", path=_hdf5(tmp_path, without_queries))

    def of_text(file: h5py.File) -> None:
        del file["train"]
        file["train"] = [[b"a", b"b"]]

    with pytest.raises(FormatError, match="train: expected a table of numbers"):
        made(tmp_path, "hdf5", path=_hdf5(tmp_path, of_text))


def test_features_of_a_collection(tmp_path: Path) -> None:
    paths = [f"{number}.jpg" for number in range(60)]
    x = np.vstack([BASE[:59], BASE[:1]])  # one picture twice
    with la.Collection.create(tmp_path / "mine.lookalike") as photos:
        photos.add_vectors(x, paths=paths, model="mine")
    (one,) = made(tmp_path, "collection", collection=str(tmp_path / "mine.lookalike"), queries=10)
    assert (one.n, one.d, one.queries) == (49, 8, 10)
    with pytest.raises(la.CollectionError):
        made(tmp_path, "collection", collection=str(tmp_path / "other.lookalike"))


def test_pictures_of_a_folder(tmp_path: Path, starter: Path) -> None:
    with pytest.raises(DatasetError, match="images: there is no folder"):
        made(tmp_path, "sift", images=str(tmp_path / "none"))
    (one,) = made(tmp_path, "sift", images=str(starter / "photos" / "fish"), rows=(2000,), queries=50)
    assert (one.n, one.d, one.queries) == (2000, 128, 50)
