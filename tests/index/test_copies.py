"""An index of every kind in every state, empty ones too: saved, mapped, grown, copied, pickled, sent, written as FAISS's."""

from __future__ import annotations

import copy
import io
import multiprocessing
import pickle
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import lookalike as la
from tests.index.conftest import D, base, queries, same

KINDS = {
    "flat": "Flat",
    "ivfflat": "IVF6,Flat",
    "ivfflat, rotated": "PCA8,IVF6,Flat",
    "pq": "PQ4x4",
    "pq, rotated": "OPQ4_8,PQ4x4",
    "pq of 9 bits": "PQ2x9",
    "ivfpq": "IVF6,PQ4x4",
    "ivfpq, rotated": "PCA8,IVF6,PQ4x4",
    "ivfsigns": "IVF6,RaBitQ",
    "ivfsigns, rotated": "PCA8,IVF6,RaBitQ,Refine(SQ8)",
    "ivfsigns of floats": "IVF6,RaBitQ,Refine(SQfp16)",
    "refined flat": "Flat,RFlat",
    "refined pq": "PQ4x4,RFlat",
    "refined ivfpq": "OPQ4_8,IVF6,PQ4x4,RFlat",
}
STATES = ["empty", "one", "emptied", "some"]
CASES = [(kind, state) for kind in KINDS for state in STATES]

pytestmark = pytest.mark.filterwarnings("ignore:.*training points")


@pytest.fixture(scope="module")
def made() -> dict[tuple[str, str], Any]:
    """Every kind in every state; not to be changed."""
    indexes = {}
    for kind, description in KINDS.items():
        for state in STATES:
            index = la.index_factory(description).train(base()[:600])
            if state == "one":
                index.add(base()[:1], ids=[7])
            elif state != "empty":
                index.add(base()[:100]).remove(np.arange(0, 100, 1 if state == "emptied" else 3))
            indexes[kind, state] = index
    return indexes


def alike(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    assert (one.metric, one.d, one.ntotal, one.is_trained) == (other.metric, other.d, other.ntotal, other.is_trained)
    np.testing.assert_array_equal(one.ids, other.ids)
    same(one.search(queries()[:3], 5, nprobe=6), other.search(queries()[:3], 5, nprobe=6))
    np.testing.assert_array_equal(one.reconstruct(one.ids[:5]), other.reconstruct(one.ids[:5]))


def lives_on(index: Any, before: Any) -> None:
    """It takes vectors as the one that it was made of would, and nothing of that one changes."""
    kept, next_id = before.to_bytes(), before._next_id
    index.add(base()[200:300])
    assert index.ids.max() == next_id + 99
    assert index.search(queries()[:3], 5, nprobe=6).ids.min() >= 0
    index.remove(index.ids[::2])
    assert before.to_bytes() == kept


@pytest.mark.parametrize(("kind", "state"), CASES)
def test_a_file_holds_it_all(kind: str, state: str, made: Any, tmp_path: Path) -> None:
    index = made[kind, state]
    index.save(tmp_path / "a.lka")
    mapped, read = la.load_index(tmp_path / "a.lka", mmap=True), la.load_index(tmp_path / "a.lka")
    for loaded in (mapped, read):
        alike(loaded, index)
        assert loaded.to_bytes() == index.to_bytes() == (tmp_path / "a.lka").read_bytes()
    with pytest.raises(la.ReadOnlyError):
        mapped.add(base()[:1])
    lives_on(read, index)
    lives_on(copy.copy(mapped), index)  # a copy of what is mapped is in memory


@pytest.mark.parametrize(("kind", "state"), CASES)
def test_what_changes_nothing_changes_nothing(kind: str, state: str, made: Any) -> None:
    index = made[kind, state]
    before, nothing = index.to_bytes(), np.empty((0, D), np.float32)
    assert index.add(nothing) is index
    assert index.remove([]) == index.remove([10**6]) == 0
    assert index.reconstruct([]).shape == (0, D)
    assert index.search(nothing, 3).ids.shape == (0, 3)
    if not isinstance(index, la.RefinedIndex):
        assert index.update([], nothing) is index
        assert index.split([]).ntotal == 0
        assert index.merge(index.split([])) is index
        assert index.range_search(queries()[:3], -1.0).lims.tolist() == [0, 0, 0, 0]
        assert len(index.trace(queries()[0], 5, nprobe=6).ids) == min(5, index.ntotal)
    index.search(queries()[:2], 5, allow=[3])
    assert index.to_bytes() == before


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_stored_is_nothing_found(kind: str, made: Any) -> None:
    for state in ("empty", "emptied"):
        distances, ids = made[kind, state].search(queries()[:3], 4, nprobe=6)
        assert (ids == -1).all()
        assert np.isposinf(distances).all()


@pytest.mark.parametrize(("kind", "state"), [case for case in CASES if "signs" not in case[0]])
def test_faiss_has_it_too(kind: str, state: str, made: Any, tmp_path: Path) -> None:
    index = made[kind, state]
    la.write_faiss(index, tmp_path / "a.faiss")
    theirs, again = faiss.read_index(str(tmp_path / "a.faiss")), la.read_faiss(tmp_path / "a.faiss")
    assert (theirs.ntotal, theirs.d, again.ntotal, again.d) == (index.ntotal, D, index.ntotal, D)
    assert type(again) is type(index)
    assert set(again.ids) == set(index.ids)
    np.testing.assert_array_equal(
        np.sort(again.search(queries()[:3], 5, nprobe=6).ids), np.sort(index.search(queries()[:3], 5, nprobe=6).ids)
    )
    again.add(base()[200:300])
    assert again.ntotal == index.ntotal + 100


# --- copies ----------------------------------------------------------------------------------------------------------


def through_a_file_object(index: Any) -> Any:
    file = io.BytesIO()
    file.write(b"before")
    index.save(file)
    index.save(file)  # one behind the other
    file.write(b"behind")
    file.seek(len(b"before"))
    la.load_index(file)
    loaded = la.load_index(file)
    assert file.read() == b"behind"
    return loaded


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda index: pickle.loads(pickle.dumps(index)),
    "bytes": lambda index: type(index).from_bytes(index.to_bytes()),
    "bytearray": lambda index: type(index).from_bytes(memoryview(bytearray(index.to_bytes()))),
    "file object": through_a_file_object,
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_is_equal_and_independent(kind: str, how: str, made: Any) -> None:
    for state in STATES:
        index = made[kind, state]
        other = COPIES[how](index)
        alike(other, index)
        lives_on(other, index)


@pytest.mark.parametrize("kind", KINDS)
def test_copies_do_not_write_into_each_others_spare_room(kind: str, made: Any) -> None:
    one = copy.deepcopy(made[kind, "some"])
    for first in range(100, 500, 20):  # lists that have grown have room to spare
        one.add(base()[first : first + 20])
    other = copy.copy(one)
    wanted = copy.deepcopy(one).add(base()[600:640])
    one.add(base()[600:640])
    other.add(base()[1000:1040])
    same(one.search(queries(), 20, nprobe=6), wanted.search(queries(), 20, nprobe=6))


@pytest.mark.parametrize("kind", KINDS)
def test_untrained_it_is_copied_as_it_was_made(kind: str) -> None:
    index = la.index_factory(KINDS[kind], "cosine", seed=5)
    for how in ("copy", "deepcopy", "pickle"):
        other = COPIES[how](index)
        assert (type(other), other.metric, other.ntotal) == (type(index), "cosine", 0)
        assert other.train(base()[:600]).add(base()[:50]).ntotal == 50
        assert index.ntotal == 0
        assert index.is_trained == (kind in {"flat", "refined flat"})


def learn_first(x: np.ndarray, k: int, seed: int) -> np.ndarray:
    return x[:k].copy()


def test_a_function_for_k_means_is_copied_and_is_pickled_until_it_is_used() -> None:
    index = la.IVFPQIndex(nlist=4, m=4, nbits=4, kmeans=learn_first)
    for other in (copy.copy(index), pickle.loads(pickle.dumps(index))):
        np.testing.assert_array_equal(other.train(base()).coarse_centroids, base()[:4])
    trained = la.IVFPQIndex(nlist=4, m=4, nbits=4, kmeans=lambda x, k, seed: x[:k]).train(base()).add(base()[:9])
    assert copy.copy(trained).kmeans is trained.kmeans
    alike(pickle.loads(pickle.dumps(trained)), trained)


class Named(la.FlatIndex):
    """Somebody else's index."""


def test_the_class_of_somebody_elses_index_is_kept() -> None:
    index = Named().add(base()[:5])
    for other in (copy.copy(index), pickle.loads(pickle.dumps(index))):
        assert type(other) is Named


def test_bytes_of_another_class_or_of_no_index() -> None:
    data = la.FlatIndex().add(base()[:5]).to_bytes()
    with pytest.raises(la.FormatError, match="a PQIndex, got those of a FlatIndex"):
        la.PQIndex.from_bytes(data)
    for bad in (b"", b"x" * 100, data[:-1], data + b"\0", data[:-70] + b"\xff" + data[-69:]):
        with pytest.raises(la.FormatError):
            la.FlatIndex.from_bytes(bad)
        with pytest.raises(la.FormatError):
            if bad != data + b"\0":  # behind an index, a file object may hold what it likes
                la.load_index(io.BytesIO(bad))
            raise la.FormatError
    for nothing in (None, "text", 3):
        with pytest.raises(la.LookalikeError):
            la.FlatIndex.from_bytes(nothing)  # type: ignore[arg-type]
    with pytest.raises(la.InputError, match="mmap"):
        la.load_index(io.BytesIO(data), mmap=True)
    with pytest.raises(la.InputError, match="binary"):
        la.load_index(io.StringIO("text " * 100))  # type: ignore[arg-type]
    with pytest.raises(la.InputError, match="binary"):
        la.FlatIndex().save(io.StringIO())  # type: ignore[arg-type]
    for nothing in (None, 3):
        with pytest.raises(la.InputError, match="expected a path"):
            la.FlatIndex().save(nothing)  # type: ignore[arg-type]
        with pytest.raises(la.InputError, match="expected a path"):
            la.load_index(nothing)  # type: ignore[arg-type]
    with pytest.raises(la.NotTrainedError):
        la.PQIndex().to_bytes()


class Sparing(io.RawIOBase):
    """A file that takes and gives a little at a time, as sockets and pipes do."""

    def __init__(self) -> None:
        self.data, self.at = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data[:1000])
        return min(len(data), 1000)

    def read(self, size: int = -1) -> bytes:
        start, self.at = self.at, self.at + min(size, 777)
        return bytes(self.data[start : self.at])


def test_files_that_take_and_give_a_little_at_a_time() -> None:
    index, file = la.FlatIndex().add(base()[:200]), Sparing()
    index.save(file)
    assert bytes(file.data) == index.to_bytes()
    alike(la.load_index(file), index)
    with pytest.raises(BlockingIOError):
        index.save(type("Full", (Sparing,), {"write": lambda self, data: None})())
    with pytest.raises(BlockingIOError):
        la.load_index(type("Dry", (Sparing,), {"read": lambda self, size=-1: None})())


def _searched(index: Any, queue: Any) -> None:
    queue.put(index.search(queries()[:3], 5, nprobe=6, threads=1))


def test_sent_to_another_process(made: Any) -> None:
    context = multiprocessing.get_context("spawn")
    fine = la.Reranked(made["ivfpq", "some"], base())
    for index in (made["ivfpq, rotated", "some"], fine):
        queue = context.Queue()
        process = context.Process(target=_searched, args=(index, queue))
        process.start()
        found = queue.get(timeout=120)
        process.join()
        wanted = index.search(queries()[:3], 5, nprobe=6)
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_allclose(
            found.distances, wanted.distances, rtol=1e-5
        )  # the first search: without the kernels


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_a_copy_of_a_re_ranked_index_reads_its_own_vectors(dtype: Any, made: Any) -> None:
    vectors = base().astype(dtype)
    fine = la.Reranked(made["ivfpq", "some"], vectors)
    wanted = fine.search(queries(), 5, nprobe=6)
    copies = [copy.deepcopy(fine), pickle.loads(pickle.dumps(fine))]
    vectors[:] = 0
    del fine
    for other in copies:
        same(other.search(queries(), 5, nprobe=6), wanted)


# --- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "refined" not in kind])
def test_a_part_that_learns_anew_leaves_the_whole_alone(kind: str, made: Any) -> None:
    index = copy.deepcopy(made[kind, "some"])
    part = index.split(index.ids[:10])
    before = index.to_bytes()
    part.remove(part.ids)
    part.train(base()[700:1400] * 3)
    part.add(base()[:20])
    if kind == "ivfpq":
        part.remove(part.ids)
        part.set_centroids(base()[:6], np.random.default_rng(0).normal(size=(4, 16, 4)))
    assert index.to_bytes() == before
    assert index.merge(la.load_index(io.BytesIO(before)).split(index.ids[:0])).to_bytes() == before


@pytest.mark.parametrize("description", ["Flat", "IVF6,Flat"])
def test_files_that_earlier_versions_wrote_of_empty_indexes_open(description: str, tmp_path: Path) -> None:
    """They were right but for the reader, or had no dimension at all."""
    from lookalike.files.tensors import read_tensors, write_tensors

    index = la.index_factory(description).train(base())
    index.save(tmp_path / "a.lka")
    metadata, tensors = read_tensors(tmp_path / "a.lka")
    metadata = {key: value for key, value in metadata.items() if key not in ("shapes", "sha256")}
    if description == "Flat":
        tensors["vectors"] = np.empty((0, 0), np.float32)
    write_tensors(tmp_path / "b.lka", metadata, tensors)
    assert la.load_index(tmp_path / "b.lka").add(base()[:5]).ntotal == 5
