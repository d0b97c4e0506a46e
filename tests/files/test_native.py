"""Index files: what is saved is what is loaded, to the last bit, mapped or not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

import lookalike as la
from lookalike.files.tensors import read_tensors
from tests.index.conftest import KINDS, METRICS, NLIST, N, base, empty, filled, queries, same, trained

VARIANTS = [(kind, metric, None) for kind in KINDS for metric in METRICS] + [
    ("ivfpq", "l2", "opq"),
    ("ivfpq", "cosine", "pca:8"),
    ("pq", "ip", "opq:8"),
]


@pytest.mark.parametrize(("kind", "metric", "rotation"), VARIANTS)
@pytest.mark.parametrize("mmap", [False, True])
def test_saved_and_loaded_is_the_same(kind, metric, rotation, mmap, tmp_path) -> None:
    index = trained(kind, metric, rotation)
    index.save(tmp_path / "a.lka")
    loaded = la.load_index(tmp_path / "a.lka", mmap=mmap)
    assert type(loaded) is type(index)
    assert (loaded.metric, loaded.d, loaded.ntotal, loaded.is_trained) == (metric, 16, N, True)
    np.testing.assert_array_equal(loaded.ids, index.ids)
    same(loaded.search(queries(), 20, nprobe=4), index.search(queries(), 20, nprobe=4))
    same(loaded.search(queries()[0], 20, nprobe=4), index.search(queries()[0], 20, nprobe=4))
    same(
        loaded.search(queries(), 5, nprobe=NLIST, allow=[3, 9, 11]),
        index.search(queries(), 5, nprobe=NLIST, allow=[3, 9, 11]),
    )
    np.testing.assert_array_equal(loaded.reconstruct([7, 3]), index.reconstruct([7, 3]))
    if kind != "flat":
        np.testing.assert_array_equal(loaded.codes, index.codes)
        np.testing.assert_array_equal(loaded.pq_centroids, index.pq_centroids)
        assert (loaded.rotation, loaded.nbits, loaded.m, loaded.seed) == (rotation, 5, 4, 0)
    loaded.save(tmp_path / "b.lka")
    assert (tmp_path / "a.lka").read_bytes() == (tmp_path / "b.lka").read_bytes()


@pytest.mark.parametrize(("nbits", "by_residual"), [(4, True), (8, False), (9, True), (12, False)])
def test_every_width_of_code(nbits, by_residual, tmp_path) -> None:
    index = filled("l2", nbits, by_residual)
    index.save(tmp_path / "a.lka")
    for mmap in (False, True):
        loaded = la.load_index(tmp_path / "a.lka", mmap=mmap)
        assert loaded.by_residual is by_residual
        same(loaded.search(queries(), 20, nprobe=5), index.search(queries(), 20, nprobe=5))


@pytest.mark.parametrize("kind", ["flat", "ivfpq"])
def test_a_loaded_index_lives_on(kind, tmp_path) -> None:
    index = la.FlatIndex() if kind == "flat" else empty()
    index.add(base()[:500]).remove([100, 499])
    index.save(tmp_path / "a.lka")
    loaded = la.load_index(tmp_path / "a.lka")
    for one in (index, loaded):
        one.add(base()[500:900]).remove([3, 600])
        assert one.ids.max() == 899
        with pytest.raises(la.IdError):
            one.add(base()[:1], ids=[5])
    same(loaded.search(queries(), 50, nprobe=NLIST), index.search(queries(), 50, nprobe=NLIST))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mapped_index_is_read_only(kind, tmp_path) -> None:
    trained(kind).save(tmp_path / "a.lka")
    mapped = la.load_index(tmp_path / "a.lka", mmap=True)
    calls = [
        lambda: mapped.add(base()[:1]),
        lambda: mapped.add(np.empty((0, 16))),
        lambda: mapped.remove([0]),
        lambda: mapped.train(base()),
    ]
    if kind != "flat":
        calls += [mapped.compact, lambda: mapped.update([0], base()[:1]), lambda: mapped.split([0])]
        calls += [lambda: mapped.merge(trained(kind), add_id=N)]
    if kind == "ivfpq":
        calls += [lambda: mapped.set_centroids(mapped.coarse_centroids, mapped.pq_centroids)]
    for call in calls:
        with pytest.raises(la.ReadOnlyError, match="mmap=False"):
            call()
    same(mapped.search(queries(), 5, nprobe=3), trained(kind).search(queries(), 5, nprobe=3))


@pytest.mark.parametrize("index", [la.FlatIndex("cosine"), empty("ip"), empty(nbits=12)])
def test_an_empty_index(index, tmp_path) -> None:
    index.save(tmp_path / "a.lka")
    for mmap in (True, False):
        loaded = la.load_index(tmp_path / "a.lka", mmap=mmap)
        assert loaded.ntotal == 0
        assert (loaded.search(queries(), 3).ids == -1).all()
    assert loaded.add(base()).ntotal == N


def test_a_custom_kmeans_does_not_stop_saving(tmp_path) -> None:
    index = la.IVFPQIndex(nlist=4, m=4, nbits=4, kmeans=lambda x, k, seed: x[:k]).train(base()).add(base())
    index.save(tmp_path / "a.lka")
    same(la.load_index(tmp_path / "a.lka").search(queries(), 5), index.search(queries(), 5))


def test_any_safetensors_reader_opens_it(tmp_path) -> None:
    """And every tensor, in the file, begins at a multiple of 64 bytes."""
    filled().save(tmp_path / "a.lka")
    others, (_, ours) = load_file(tmp_path / "a.lka"), read_tensors(tmp_path / "a.lka")
    assert set(others) == set(ours)
    for name, array in ours.items():
        np.testing.assert_array_equal(others[name][: array.size], array.ravel())
    raw = (tmp_path / "a.lka").read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    metadata = header.pop("__metadata__")
    assert start % 64 == 0
    assert all(entry["data_offsets"][0] % 64 == 0 for entry in header.values())
    assert (json.loads(metadata["format"]), json.loads(metadata["version"])) == ("lookalike-index", 1)
    assert b"pickle" not in raw


def test_paths_of_every_kind(tmp_path) -> None:
    folder = tmp_path / "été — 写真"
    folder.mkdir()
    for path in (folder / "a b.lka", str(folder / "-c.lka"), folder / "no suffix"):
        filled().save(path)
        assert la.load_index(path).ntotal == N
    with pytest.raises(FileNotFoundError):
        la.load_index(tmp_path / "nothing.lka")
    with pytest.raises(FileNotFoundError):
        filled().save(tmp_path / "nowhere" / "a.lka")


def test_saving_over_an_index_that_is_mapped(tmp_path) -> None:
    path = tmp_path / "a.lka"
    filled().save(path)
    mapped = la.load_index(path, mmap=True)
    wanted = filled().search(queries(), 5, nprobe=4)
    empty().add(base()[:10]).save(path)
    same(mapped.search(queries(), 5, nprobe=4), wanted)
    assert la.load_index(path).ntotal == 10


def test_a_failed_save_leaves_the_old_file_and_no_other(tmp_path, monkeypatch) -> None:
    path = tmp_path / "a.lka"
    filled().save(path)
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        empty().save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.lka"]


def test_a_killed_writer_leaves_the_old_file_or_the_new(tmp_path) -> None:
    """A process that saves two indexes in turn, killed at odd moments, never leaves anything else behind."""
    path = tmp_path / "a.lka"
    filled().save(path)
    empty().add(base()[:100]).save(tmp_path / "small.lka")
    filled().save(tmp_path / "large.lka")
    whole = {(tmp_path / name).read_bytes() for name in ("small.lka", "large.lka")}
    script = f"""
        import lookalike as la
        indexes = [la.load_index(r"{tmp_path / "small.lka"}"), la.load_index(r"{tmp_path / "large.lka"}")]
        print("ready", flush=True)
        while True:
            for index in indexes:
                index.save(r"{path}")
    """
    for wait in (0.0, 0.003, 0.011, 0.03):
        writer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True)
        with writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "ready\n"
            time.sleep(wait)
            os.kill(writer.pid, signal.SIGKILL)
        assert path.read_bytes() in whole
        assert la.load_index(path).ntotal in (100, N)
        for left in Path(tmp_path).glob(".a.lka.*.part"):
            left.unlink()


def test_a_class_of_somebody_else_takes_no_kind_of_ours(tmp_path: Path) -> None:
    la.FlatIndex().add(np.eye(3)).save(tmp_path / "flat.lka")
    code = (
        "from lookalike.index.index import Index\n"
        "class Mine(Index):\n    kind = 'flat'\n"
        f"import lookalike; print(type(lookalike.load_index({str(tmp_path / 'flat.lka')!r})).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "FlatIndex", done.stderr
