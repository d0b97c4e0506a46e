"""Files made to harm: what they announce takes no memory, and what loads can be lived with. Seeded mutations of every reader."""

from __future__ import annotations

import io
import itertools
import os
import struct
import subprocess
import sys
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

import lookalike as la
from lookalike.files.tensors import read_tensors, write_tensors
from lookalike.viz.hnsw_graph import read_hnsw
from tests.files.test_faiss import FLAT, header, linear, vector
from tests.index.conftest import base, empty

HNSW = Path(__file__).parents[1] / "golden" / "hnsw"

# --- memory ----------------------------------------------------------------------------------------------------------


def peak_of(read: Callable[[], Any]) -> int:
    """Bytes that Python and numpy held at once."""
    tracemalloc.start()
    try:
        with pytest.raises(la.FormatError) as caught:
            read()
        assert "\n" not in str(caught.value)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def rewritten(index: Any, path: Path, tensors: dict[str, Any], **metadata: Any) -> Path:
    """The file of `index` with other tensors and metadata, its checksums right."""
    about, arrays = read_tensors(io.BytesIO(index.to_bytes()))  # type: ignore[arg-type]
    about = {key: value for key, value in about.items() if key not in ("shapes", "sha256")}
    about["spec"] |= metadata.pop("spec", {})
    write_tensors(path, about | metadata, arrays | tensors)
    return path


@pytest.mark.parametrize("kind", ["pq", "ivfflat", "ivfpq"])
def test_lists_that_a_header_announces_take_no_room(kind: str, tmp_path: Path) -> None:
    """A shape of (10¹², 0) weighs nothing in the file, and 8 GB as a table of lists."""
    make = {
        "pq": lambda: la.PQIndex(4, 4),
        "ivfflat": lambda: la.IVFFlatIndex(4),
        "ivfpq": lambda: la.IVFPQIndex(4, 4, 4),
    }
    index = make[kind]().train(base())
    many = 10**9
    hollow = {"coarse_centroids": np.empty((many, 0), np.float32)}
    path = rewritten(index, tmp_path / "a.lka", hollow, spec={} if kind == "pq" else {"nlist": many})
    for mmap in (False, True):
        assert peak_of(lambda mmap=mmap: la.load_index(path, mmap=mmap)) < 1 << 20
    assert peak_of(lambda: la.load_index(io.BytesIO(path.read_bytes()))) < 1 << 20


def test_a_stream_gives_memory_for_what_comes_only(tmp_path: Path) -> None:
    """A header of 10¹² bytes behind which little comes."""
    raw = la.FlatIndex().add(base()[:20]).to_bytes()
    length = int.from_bytes(raw[:8], "little")
    text = raw[8 : 8 + length].replace(b'"data_offsets":[0,', b'"data_offsets":[0,1000000000000000'[:18] + b"")
    far = text.replace(b'"data_offsets":[', b'"data_offsets":[0,99999999999,')[:length].ljust(length)
    for bad in (raw[:8] + far + raw[8 + length :], raw[:-64]):
        assert peak_of(lambda bad=bad: la.load_index(io.BytesIO(bad))) < 1 << 20


def refined_many_times(n: int, d: int) -> bytes:
    """Lists that name the one vector of their refinement n times."""
    lists = struct.pack("<BQ", 0, 0) + b"ilar" + struct.pack("<QQ", 1, 8) + b"full" + vector(np.array([n]))
    quantizer = b"IxF2" + header(2, 1) + vector(np.zeros(2, np.float32))
    inside = b"IwFl" + header(2, n) + struct.pack("<QQ", 1, 1) + quantizer + lists
    inside += np.zeros((n, 2), np.float32).tobytes() + np.zeros(n, np.int64).tobytes()
    chain = b"IxPT" + header(d, n) + struct.pack("<i", 1) + linear(np.zeros((2, d))) + inside
    return (
        b"IxRF" + header(d, n) + chain + b"IxF2" + header(d, 1) + vector(np.zeros(d, np.float32)) + struct.pack("<f", 1)
    )


def ids_twice() -> bytes:
    inner = b"IxM2" + header(2, 3) + FLAT + vector(np.array([2, 2, 2]))
    return b"IxM2" + header(2, 3) + inner + vector(np.arange(3))


def by_way_of_one_dimension() -> bytes:
    maps = linear(np.ones((1, 4000))) + linear(np.ones((4000, 1)))
    return b"IxPT" + header(4000, 0) + struct.pack("<i", 2) + maps + b"IxF2" + header(4000, 0) + vector(np.empty(0))


HUNGRY = {
    "one vector for many ids": lambda: refined_many_times(16_000, 10_000),
    "ids twice in a map": ids_twice,
    "maps by way of few dimensions": by_way_of_one_dimension,
}


@pytest.mark.parametrize("name", HUNGRY)
def test_a_faiss_file_takes_a_few_times_its_size(name: str, tmp_path: Path) -> None:
    data = HUNGRY[name]()
    (tmp_path / "a.faiss").write_bytes(data)
    assert peak_of(lambda: la.read_faiss(tmp_path / "a.faiss")) < 4 * len(data) + (1 << 20)


def test_many_lists_that_hold_nothing_share_it(tmp_path: Path) -> None:
    index = la.IVFFlatIndex(20_000).set_centroids(np.random.default_rng(0).normal(size=(20_000, 2)))
    la.write_faiss(index, tmp_path / "a.faiss")
    size = (tmp_path / "a.faiss").stat().st_size
    tracemalloc.start()
    la.read_faiss(tmp_path / "a.faiss")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * size


# --- what only a reader may raise ------------------------------------------------------------------------------------


def test_maps_that_overflow_are_named(tmp_path: Path) -> None:
    large = linear(np.full((2, 2), 4e18))
    chain = b"IxPT" + header(2, 3) + struct.pack("<i", 3) + large + large + large + FLAT
    (tmp_path / "a.faiss").write_bytes(chain)
    with pytest.raises(la.FormatError, match=r"a\.faiss: rotation: expected finite numbers"):
        la.read_faiss(tmp_path / "a.faiss")


def test_normalisation_behind_a_refinement_is_named(tmp_path: Path) -> None:
    theirs = faiss.index_factory(16, "L2norm,IVF6,PQ4x4,RFlat", faiss.METRIC_INNER_PRODUCT)
    theirs.train(base())
    theirs.add(base())
    faiss.write_index(theirs, str(tmp_path / "a.faiss"))
    with pytest.raises(la.FormatError, match=r"L2norm behind RFlat.*normalise the vectors yourself"):
        la.read_faiss(tmp_path / "a.faiss")


def test_maps_of_ids_inside_each_other(tmp_path: Path) -> None:
    inner = faiss.IndexIDMap2(faiss.IndexHNSWFlat(16, 4))
    inner.add_with_ids(base()[:20], np.arange(20))
    faiss.write_index(inner, str(tmp_path / "a.faiss"))
    data = (tmp_path / "a.faiss").read_bytes()[: -8 * 20]
    outer = b"IxMp" + data[4:37]
    for ids, message in ((np.arange(20) + 1, "around id 20"), (np.arange(20) - 1, "at least 0, got -1")):
        (tmp_path / "b.faiss").write_bytes(outer + data + ids.tobytes() + vector(np.arange(20)))
        with pytest.raises(la.FormatError, match=message):
            read_hnsw(tmp_path / "b.faiss")
    (tmp_path / "b.faiss").write_bytes(outer + data + np.arange(20)[::-1].tobytes() + vector(np.arange(20) + 7))
    assert read_hnsw(tmp_path / "b.faiss").ids.tolist() == list(range(26, 6, -1))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a system without pipes that have names")
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        for read in (la.load_index, la.read_faiss, read_hnsw, lambda path: la.load_index(path, mmap=True)):
            with pytest.raises(la.FormatError, match="regular file"):
                read(path)


@pytest.mark.parametrize("number", [5, 13, 24])
def test_what_cannot_be_read_now_is_not_damaged(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO, EACCES and EMFILE, at the opening and at each read."""
    la.FlatIndex().add(base()[:20]).save(tmp_path / "a.lka")
    la.write_faiss(la.FlatIndex().add(base()[:20]), tmp_path / "a.faiss")
    opened = Path.open

    class Failing(io.BufferedReader):
        left = 0

        def read(self, *arguments: Any) -> bytes:
            self.count()
            return super().read(*arguments)

        def readinto(self, *arguments: Any) -> int:
            self.count()
            return super().readinto(*arguments)

        def count(self) -> None:
            Failing.left -= 1
            if Failing.left < 0:
                raise OSError(number, os.strerror(number))

    def failing(path: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if path.suffix not in {".lka", ".faiss"}:
            return opened(path, mode, *arguments, **options)
        if Failing.left < 0:
            raise OSError(number, os.strerror(number))
        return Failing(io.FileIO(path, "r"))

    monkeypatch.setattr(Path, "open", failing)
    for reads in range(-1, 3):
        for read in (lambda: la.load_index(tmp_path / "a.lka"), lambda: la.read_faiss(tmp_path / "a.faiss")):
            Failing.left = reads
            with pytest.raises(OSError, match=os.strerror(number)):
                read()
    Failing.left = 10**6
    assert la.load_index(tmp_path / "a.lka").ntotal == la.read_faiss(tmp_path / "a.faiss").ntotal == 20


def test_a_file_that_is_replaced_while_it_is_opened_is_one_of_the_two(tmp_path: Path) -> None:
    """A writer renames its file over the old one at any time; half of each would be taken for damage."""
    import threading

    path, stop = tmp_path / "a.lka", threading.Event()
    indexes = [empty().add(base()[:n]) for n in (40, 700)]
    indexes[0].save(path)

    def write() -> None:
        while not stop.is_set():
            for index in indexes:
                index.save(path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for turn in range(300):
            assert la.load_index(path, mmap=turn % 2 == 0).ntotal in (40, 700)
    finally:
        stop.set()
        writer.join()


# --- what loads can be lived with ------------------------------------------------------------------------------------

BAD_PARTS: dict[str, dict[str, Any]] = {
    "an id twice": {"ids": lambda ids: np.where(ids >= 0, 3, ids)},
    "a negative id": {"ids": lambda ids: np.where(ids == 3, -7, ids)},
    "a code that names no centroid": {"codes": lambda codes: codes | 128},
    "centroids that are no numbers": {"coarse_centroids": lambda centroids: centroids * np.float32(np.nan)},
}


@pytest.mark.parametrize("name", BAD_PARTS)
def test_a_native_file_whose_checksums_are_right_is_looked_through(name: str, tmp_path: Path) -> None:
    index = empty(nbits=4).add(base()[:300])
    _, arrays = read_tensors(io.BytesIO(index.to_bytes()))  # type: ignore[arg-type]
    tensors = {key: change(np.array(arrays[key])) for key, change in BAD_PARTS[name].items()}
    path = rewritten(index, tmp_path / "a.lka", tensors)
    with pytest.raises(la.FormatError):
        la.load_index(path)
    if "centroid" in name and "code" not in name:
        return
    mapped = la.load_index(path, mmap=True)  # it is not read; searching and decoding bear it
    mapped.search(base()[:5], 10, nprobe=12)
    mapped.reconstruct(mapped.ids[mapped.ids >= 0][:5])
    mapped.trace(base()[0], nprobe=3)


@pytest.mark.parametrize("kind", ["flat", "ivfflat"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_vectors_that_no_add_takes_are_refused(kind: str, bad: float, tmp_path: Path) -> None:
    index = (la.FlatIndex() if kind == "flat" else la.IVFFlatIndex(4).train(base())).add(base()[:50])
    _, arrays = read_tensors(io.BytesIO(index.to_bytes()))  # type: ignore[arg-type]
    vectors = np.array(arrays["vectors"])
    vectors[7] = bad
    path = rewritten(index, tmp_path / "a.lka", {"vectors": vectors})
    with pytest.raises(la.FormatError, match="not finite, or too long"):
        la.load_index(path)
    with np.errstate(all="ignore"):
        la.load_index(path, mmap=True).search(base()[:5], 3, nprobe=4)


def test_a_mapped_file_whose_centroids_were_hurt_is_found_out(tmp_path: Path) -> None:
    """Small parts are read when a file is mapped, so their checksums are compared."""
    index = empty().add(base()[:300])
    index.save(tmp_path / "a.lka")
    raw = bytearray((tmp_path / "a.lka").read_bytes())
    for name in ("coarse_centroids", "pq_centroids", "sizes"):
        _, arrays = read_tensors(tmp_path / "a.lka")
        at = bytes(raw).index(arrays[name].tobytes())
        hurt = bytearray(raw)
        hurt[at + 2] ^= 1
        (tmp_path / "b.lka").write_bytes(hurt)
        with pytest.raises(la.FormatError, match=f"checksum of '{name}'"):
            la.load_index(tmp_path / "b.lka", mmap=True)


HURT = ["IVF4,Flat", "PCA8,IVF4,Flat", "PQ4x4", "IVF4,PQ4x4", "IVF4,PQ2x9", "OPQ4_8,IVF4,PQ4x4", "IVF4,PQ4x4,RFlat"]
BAD_NUMBERS = [np.nan, np.inf, -np.inf, 3e38, 4e18, 1e10]


def lived(index: Any) -> None:
    """Searched and added to; whatever is refused is refused by name, and what was added is found again."""
    x = base()
    steps: list[Callable[[], Any]] = [
        lambda: index.search(x[:1], 5, nprobe=2),
        lambda: index.search(x[:5], 300, nprobe=100),
        lambda: index.trace(x[0], nprobe=2) if not isinstance(index, la.RefinedIndex) else None,
        lambda: index.add(x[300:400]),
        lambda: index.add(x[400:401]),
        lambda: index.remove([1, 2]),
        lambda: index.search(x[:5], 5, nprobe=3),
    ]
    with np.errstate(all="ignore"):
        for step in steps:
            try:
                step()
            except la.LookalikeError as error:
                assert "\n" not in str(error)
    if not index._readonly:
        assert index.from_bytes(index.to_bytes()).ntotal == index.ntotal, "what can be stored can be loaded"


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("description", HURT)
def test_huge_and_infinite_parameters_are_refused_or_lived_with(description: str, metric: str, tmp_path: Path) -> None:
    """Centroids, code books and rotations that somebody wrote into a file whose checksums are right."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", la.LookalikeWarning)  # few training points
        index = la.index_factory(description, metric=metric).train(base()).add(base()[:300])
    _, arrays = read_tensors(io.BytesIO(index.to_bytes()))  # type: ignore[arg-type]
    la.write_faiss(index, tmp_path / "whole.faiss")
    theirs = (tmp_path / "whole.faiss").read_bytes()
    parameters = [key for key in arrays if "centroids" in key or "rotation" in key]
    refused = 0
    for key, bad, rows in itertools.product(parameters, BAD_NUMBERS, (1, 2**60)):
        array = np.array(arrays[key])
        if not array.size:
            continue
        array[:rows] = bad
        path = rewritten(index, tmp_path / "a.lka", {key: array})
        (tmp_path / "a.faiss").write_bytes(theirs.replace(arrays[key].tobytes(), array.tobytes()))
        reads: list[Callable[[], Any]] = [
            lambda path=path, mmap=mmap: la.load_index(path, mmap=mmap) for mmap in (0, 1)
        ]  # type: ignore[misc]
        for read in (*reads, lambda: la.read_faiss(tmp_path / "a.faiss")):
            try:
                loaded = read()
            except la.FormatError:
                refused += 1
                continue
            lived(loaded)
    assert refused > 10


CUT = """
import os, sys
import numpy as np
import lookalike as la

path, x = sys.argv[1], np.load(sys.argv[2])
index = la.load_index(path, mmap=True)
warm = la.load_index(path, mmap=True)
warm.search(x[:3], 5, nprobe=4)
os.truncate(path, 8192)
for step in (
    lambda: index.search(x[:1], 5, nprobe=4),
    lambda: warm.search(x[:1], 5, nprobe=4),
    lambda: warm.search(x[:9], 5, nprobe=4),
    lambda: getattr(warm, "range_search", warm.search)(x[:2], 1),
    lambda: warm.reconstruct([3]),
    lambda: warm.to_bytes(),
):
    try:
        step()
    except la.FormatError as error:
        assert "was cut to 8,192 bytes" in str(error), error
    else:
        raise AssertionError("an answer from a file that is gone")
print("done")
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows cuts no file that is mapped")
@pytest.mark.parametrize("description", ["Flat", "IVF4,Flat", "IVF4,PQ8x4", "PQ8x4", "IVF4,PQ8x4,RFlat"])
def test_a_mapped_file_that_is_cut_short_ends_no_process(description: str, tmp_path: Path) -> None:
    """To read a page that is gone is SIGBUS; in another process, so that it would be seen."""
    x = np.random.default_rng(0).normal(size=(5000, 16)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    la.index_factory(description).train(x).add(x).save(tmp_path / "a.lka")
    arguments = [sys.executable, "-c", CUT, str(tmp_path / "a.lka"), str(tmp_path / "x.npy")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr[-2000:]


# --- mutations -------------------------------------------------------------------------------------------------------

FUZZ = """
import sys, warnings, resource, struct
import numpy as np
import lookalike as la
from lookalike.viz.hnsw_graph import read_hnsw

warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
folder, turns, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
from pathlib import Path
xq = np.load(Path(folder, "xq.npy"))
rng = np.random.default_rng(seed)
files = [path for path in sorted(Path(folder).iterdir()) if path.suffix != ".npy"]
NUMBERS = [0, 1, 2, 7, 63, 64, 255, 2**15, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
FLOATS = [np.nan, np.inf, -np.inf, 3e38, -3e38, 1e30, 1e-45]

def mutated(data):
    data = bytearray(data)
    head = rng.random() < 0.6
    at = int(rng.integers(min(len(data), 200) if head else len(data)))
    how = rng.integers(6)
    if how == 0:
        data[at] ^= 1 << int(rng.integers(8))
    elif how == 1:
        data[at : at + 8] = struct.pack("<Q", NUMBERS[rng.integers(len(NUMBERS))])
    elif how == 2:
        data[at : at + 4] = struct.pack("<I", NUMBERS[rng.integers(len(NUMBERS))] % 2**32)
    elif how == 3:
        data[at // 4 * 4 : at // 4 * 4 + 4] = struct.pack("<f", FLOATS[rng.integers(len(FLOATS))])
    elif how == 4:
        del data[at : at + int(rng.integers(1, 40))]
    else:
        other = int(rng.integers(len(data)))
        data[at : at + 24] = data[other : other + 24]
    return bytes(data)

def resealed(path, name):
    # A native file whose checksums are right again after one of its arrays, or its metadata, was changed.
    from lookalike.files.tensors import read_tensors, write_tensors
    metadata, arrays = read_tensors(path)
    metadata = {key: value for key, value in metadata.items() if key not in ("shapes", "sha256")}
    key = sorted(arrays)[rng.integers(len(arrays))]
    array = np.array(arrays[key])
    how = rng.integers(5)
    if how == 0 and array.size:
        flat = array.reshape(-1)
        value = FLOATS[rng.integers(len(FLOATS))] if array.dtype.kind == "f" else NUMBERS[rng.integers(len(NUMBERS))]
        info = np.iinfo(array.dtype) if array.dtype.kind != "f" else None
        flat[rng.integers(len(flat))] = value if info is None else min(value, info.max)
    elif how == 1:
        array = array[: len(array) // 2]
    elif how == 2:
        array = np.concatenate([array, array])
    elif how == 3:
        array = array.reshape(-1, 1) if rng.random() < 0.5 else np.empty((10**9, 0), array.dtype)
    else:
        spec = metadata["spec"]
        option = sorted(spec)[rng.integers(len(spec))]
        spec[option] = [None, -1, 0, 10**9, 2**70, "x", [], {}, 1e300, True][rng.integers(10)]
        metadata["ntotal" if rng.random() < 0.2 else "writer"] = 5
    write_tensors(name, metadata, {**arrays, key: array})

def live(index):
    if isinstance(index, la.FlatIndex | la.IVFFlatIndex | la.PQIndex | la.IVFPQIndex | la.RefinedIndex):
        q = np.resize(xq, (4, index.d)) if index.d else xq
        steps = [
            lambda: index.search(q[:1], 5, nprobe=3),
            lambda: index.search(q, 300, nprobe=100),
            lambda: index.search(q, 5, nprobe=3, allow=[1, 2, 3]),
            lambda: index.search(q, 5, nprobe=3, allow=np.ones(70, bool)),
            lambda: index.range_search(q, 3.0, nprobe=4),
            lambda: index.reconstruct(index.ids[:7]),
            lambda: index.trace(q[0], nprobe=2),
            lambda: index.add(q),
            lambda: index.remove(index.ids[::3]),
            lambda: index.search(q, 5, nprobe=3),
            lambda: index.to_bytes(),
        ]
    else:
        steps = [lambda: index.trace(np.resize(xq, index.d), 3, 20)]
    for step in steps:
        try:
            step()
        except (la.LookalikeError, AttributeError) as error:
            if isinstance(error, AttributeError) and "RefinedIndex" not in str(error):
                raise

read, refused, lived = 0, 0, 0
for turn in range(turns):
    source = files[turn % len(files)]
    bad = Path(folder, "bad.npy")
    native = source.suffix == ".lka"
    print(turn, source.name, flush=True)
    if native and turn % 3:
        resealed(source, bad)
    else:
        bad.write_bytes(mutated(source.read_bytes()))
    for mmap in (False, True) if native else (False,):
        try:
            if native:
                index = la.load_index(bad, mmap=mmap)
            else:
                index = read_hnsw(bad) if source.suffix == ".hnsw" else la.read_faiss(bad)
        except la.FormatError as error:
            assert "\\n" not in str(error), error
            refused += 1
            continue
        live(index)
        lived += 1
print("done", refused, lived)
"""


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small file of each kind and format."""
    folder = tmp_path_factory.mktemp("seeds")
    np.save(folder / "xq.npy", base()[:4])
    few = base()[:70]
    with pytest.warns(la.LookalikeWarning):
        for number, description in enumerate(
            [
                "Flat",
                "IVF4,Flat",
                "PCA8,IVF4,Flat",
                "PQ4x4",
                "IVF4,PQ4x4",
                "OPQ4_8,IVF4,PQ4x4",
                "PQ2x9",
                "IVF4,PQ4x4,RFlat",
            ]
        ):
            index = la.index_factory(description).train(base()).add(few)
            index.save(folder / f"{number}.lka")
            la.write_faiss(index, folder / f"{number}.faiss")
    graph = faiss.IndexIDMap2(faiss.IndexHNSWFlat(16, 4))
    graph.add_with_ids(few, np.arange(70) + 5)
    faiss.write_index(graph, str(folder / "faiss.hnsw"))
    for path in list(HNSW.glob("*.bin"))[:1]:
        (folder / "hnswlib.hnsw").write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("seed", [0])
def test_a_mutated_file_is_refused_or_can_be_lived_with(seed: int, seeds: Path) -> None:
    """In another process, so that an access outside of its memory would be seen. LOOKALIKE_FUZZ is the number of files."""
    arguments = [sys.executable, "-c", FUZZ, str(seeds), os.environ.get("LOOKALIKE_FUZZ", "700"), str(seed)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.returncode, done.stdout.splitlines()[-1:], done.stderr[-3000:])
    word, refused, lived = done.stdout.splitlines()[-1].split()
    assert word == "done"
    assert int(refused) > 100
    assert int(lived) > 100
