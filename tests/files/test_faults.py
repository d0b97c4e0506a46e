"""Damaged, foreign and hostile index files: a typed error in one line, never a crash, a hang or a huge allocation."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

import lookalike as la
from lookalike.files.tensors import read_tensors, write_tensors
from tests.index.conftest import NLIST, base, empty, queries, same

CRASHES = """
import sys, resource
import numpy as np
import lookalike as la
resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))  # a huge allocation fails instead of filling the machine
xq = np.load(sys.argv[1])
for path in sys.stdin.read().splitlines():
    for mmap in (True, False):
        print(path, mmap, flush=True)
        try:
            index = la.load_index(path, mmap=mmap)
            for rows in (xq[:1], xq):
                index.search(rows, 10, nprobe=5)
                index.search(rows, 600, nprobe=10**6, allow=np.ones(1000, np.bool_))
                index.search(rows, 10, nprobe=5, allow=[1, 5])
            index.ids
            index.reconstruct(index.ids[:5])
        except la.LookalikeError as error:
            assert "\\n" not in str(error), error
print("done")
"""


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "a.lka"
    empty(nbits=4).add(base()[:300]).save(path)
    return path


@pytest.fixture
def survives(tmp_path) -> Callable[[list[Path]], None]:
    """Open and search files in another process, mapped and read, and see that it lives and raises typed errors only."""

    def check(paths: list[Path]) -> None:
        np.save(tmp_path / "xq.npy", queries()[:12])
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", CRASHES, str(tmp_path / "xq.npy")],
            input="\n".join(map(str, paths)),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (done.returncode, done.stdout.splitlines()[-1:], done.stderr[-2000:])
        assert done.stdout.endswith("done\n")

    return check


def changed(
    good: Path, path: Path, tensors: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None
) -> Path:
    """A copy of a good file with other tensors (None drops one) and metadata, its checksums right."""
    old, arrays = read_tensors(good)
    arrays = {name: np.array(array) for name, array in arrays.items()}
    for name, value in (tensors or {}).items():
        if value is None:
            del arrays[name]
        else:
            arrays[name] = value(arrays.get(name)) if callable(value) else value
    old = {key: value for key, value in old.items() if key not in ("shapes", "sha256")}
    for key, value in (metadata or {}).items():
        old[key] = {**old["spec"], **value} if key == "spec" and isinstance(value, dict) else value
    write_tensors(path, old, arrays)
    return path


def with_header(good: Path, path: Path, edit: Callable[[dict[str, Any]], Any], pad: int = 64) -> Path:
    """A copy with an edited header."""
    raw = good.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    text = edit(header)
    if not isinstance(text, bytes):
        if isinstance(header["__metadata__"], dict):
            header["__metadata__"].pop("header_sha256", None)
            rest = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
            header["__metadata__"]["header_sha256"] = hashlib.sha256(rest).hexdigest()
        text = json.dumps(header).encode()
    text += b" " * (-(8 + len(text)) % pad)
    path.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length :])
    return path


# --- accidents -------------------------------------------------------------------------------------------------------


def test_truncated_at_every_64_bytes(good, tmp_path) -> None:
    raw, path = good.read_bytes(), tmp_path / "cut.lka"
    for length in (*range(0, len(raw), 64), *range(20), len(raw) - 1):
        path.write_bytes(raw[:length])
        for mmap in (False, True):
            with pytest.raises(la.FormatError, match=r"cut\.lka"):
                la.load_index(path, mmap=mmap)
    path.write_bytes(raw + b"\0")
    with pytest.raises(la.FormatError, match=f"expected {len(raw)} bytes, got {len(raw) + 1}"):
        la.load_index(path)


def flips(size: int, count: int) -> list[tuple[int, int]]:
    """Positions spread over the file, and a bit of each."""
    rng = np.random.default_rng(0)
    return [(int(at), int(rng.integers(8))) for at in np.sort(rng.choice(size, count, replace=False))]


def test_a_flipped_bit_is_found_or_changes_nothing(good, tmp_path) -> None:
    """Read in whole, a file with one wrong bit is refused, unless the bit was in the padding."""
    raw, path = good.read_bytes(), tmp_path / "flipped.lka"
    whole = la.load_index(good)
    wanted, refused = whole.search(queries(), 10, nprobe=NLIST), 0
    header = 8 + int.from_bytes(raw[:8], "little")
    places = flips(len(raw), 500) + [(at, 0) for at in range(header)]  # the lowest bit makes another digit of a digit
    for at, bit in places:
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :])
        try:
            index = la.load_index(path)
        except la.FormatError as error:
            assert "\n" not in str(error)
            refused += 1
            continue
        same(index.search(queries(), 10, nprobe=NLIST), wanted)
        assert index.add(base()[:1]).ids.max() == 300, f"byte {at}: {raw[at - 20 : at + 20]!r}"
        assert index.seed == whole.seed, f"byte {at}: {raw[at - 20 : at + 20]!r}"
    assert refused > 0.9 * len(places)


def test_a_flipped_bit_never_crashes_a_mapped_search(good, tmp_path, survives) -> None:
    raw, paths = good.read_bytes(), []
    for at, bit in flips(len(raw), 300):
        path = tmp_path / f"{at}.lka"
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :])
        paths.append(path)
    survives(paths)


# --- other files -----------------------------------------------------------------------------------------------------


def foreign(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / kind
    if kind == "png":
        path.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("These are not the vectors you are looking for.\n" * 50)
    elif kind == "json":
        path.write_text(json.dumps({"__metadata__": {}}))
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"codes": np.zeros(100)}))
    elif kind == "npy":
        np.save(tmp_path / "x.npy", np.zeros((10, 10)))
        path = tmp_path / "x.npy"
    elif kind == "zeros":
        path.write_bytes(bytes(4096))
    elif kind == "ones":
        path.write_bytes(b"\xff" * 4096)
    elif kind == "safetensors":
        save_file({"weight": np.zeros((3, 4), np.float32)}, path)
    elif kind == "safetensors with metadata":
        save_file({"weight": np.zeros((3, 4), np.float32)}, path, metadata={"format": "pt"})
    elif kind == "safetensors of json":
        save_file({"codes": np.zeros(64, np.uint8)}, path, metadata={"shapes": "{}", "sha256": "{}", "format": '"x"'})
    return path


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(
    "kind",
    [
        *("png", "empty", "text", "json", "pickle", "npy", "zeros", "ones"),
        *("safetensors", "safetensors with metadata", "safetensors of json"),
    ],
)
def test_foreign_files(kind, mmap, tmp_path) -> None:
    path = foreign(tmp_path, kind)
    with pytest.raises(la.FormatError) as caught:
        la.load_index(path, mmap=mmap)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, la.VersionError)


def test_a_folder_is_not_a_file(tmp_path) -> None:
    with pytest.raises((la.FormatError, OSError)):
        la.load_index(tmp_path)


@pytest.mark.parametrize("version", [2, 99, 10**30])
def test_a_newer_version(version, good, tmp_path) -> None:
    path = changed(good, tmp_path / "new.lka", metadata={"version": version, "writer": "lookalike 9.1"})
    with pytest.raises(la.VersionError, match=rf"lookalike 9\.1.*version {version}.*up to 1.*upgrade"):
        la.load_index(path)


# --- malice ----------------------------------------------------------------------------------------------------------


def _deep(header: dict[str, Any]) -> bytes:
    return b'{"a":' + b"[" * 300_000 + b"]" * 300_000 + b"}"


HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "deep": _deep,
    "deep metadata": lambda h: h["__metadata__"].update(spec="[" * 200_000),
    "a list": lambda h: b"[1, 2, 3]",
    "null": lambda h: b"null",
    "not utf-8": lambda h: b'{"\xff\xfe": 1}',
    "metadata a list": lambda h: h.update(__metadata__=[]),
    "metadata numbers": lambda h: h.update(__metadata__={"shapes": 3, "sha256": None}),
    "negative offset": lambda h: h["codes"].update(data_offsets=[-64, 64]),
    "offsets swapped": lambda h: h["codes"].update(data_offsets=h["codes"]["data_offsets"][::-1]),
    "offset huge": lambda h: h["codes"].update(data_offsets=[0, 10**30]),
    "offset infinite": lambda h: h["codes"].update(data_offsets=[0, float("inf")]),
    "offset nan": lambda h: h["codes"].update(data_offsets=[float("nan"), 64]),
    "offset text": lambda h: h["codes"].update(data_offsets=["0", "64"]),
    "one offset": lambda h: h["codes"].update(data_offsets=[0]),
    "no offsets": lambda h: h["codes"].pop("data_offsets"),
    "overlap": lambda h: h["codes"].update(data_offsets=h["ids"]["data_offsets"]),
    "dtype unknown": lambda h: h["codes"].update(dtype="C128"),
    "dtype a list": lambda h: h["codes"].update(dtype=[]),
    "another dtype": lambda h: h["codes"].update(dtype="I64"),
    "tensor a number": lambda h: h.update(codes=3),
    "tensor dropped": lambda h: h.pop("codes"),
    "shape infinite": lambda h: h["__metadata__"].update(shapes='{"codes": [1e999]}'),
    "shape overflows": lambda h: h["__metadata__"].update(
        shapes=json.dumps({**json.loads(h["__metadata__"]["shapes"]), "codes": [2**62, 4, 64]})
    ),
    "shape negative": lambda h: h["__metadata__"].update(
        shapes=json.dumps({**json.loads(h["__metadata__"]["shapes"]), "codes": [-1, -4, 64]})
    ),
    "shape scalar": lambda h: h["__metadata__"].update(
        shapes=json.dumps({**json.loads(h["__metadata__"]["shapes"]), "codes": []})
    ),
    "shapes missing": lambda h: h["__metadata__"].pop("shapes"),
    "checksums missing": lambda h: h["__metadata__"].update(sha256="{}"),
    "checksums a list": lambda h: h["__metadata__"].update(sha256="[]"),
    "version missing": lambda h: h["__metadata__"].pop("version"),
    "version text": lambda h: h["__metadata__"].update(version='"one"'),
    "kind a list": lambda h: h["__metadata__"].update(kind="[]"),
    "kind unknown": lambda h: h["__metadata__"].update(kind='"hnsw"'),
    "kind another": lambda h: h["__metadata__"].update(kind='"flat"'),
    "header checksum wrong": lambda h: json.dumps(
        {**h, "__metadata__": {**h["__metadata__"], "next_id": "301"}}
    ).encode(),
    "spec missing": lambda h: h["__metadata__"].pop("spec"),
    "spec a number": lambda h: h["__metadata__"].update(spec="3"),
    "next id text": lambda h: h["__metadata__"].update(next_id='"x"'),
    "next id infinite": lambda h: h["__metadata__"].update(next_id="1e999"),
    "next id negative": lambda h: h["__metadata__"].update(next_id="-5"),
    "next id taken": lambda h: h["__metadata__"].update(next_id="7"),
    "ntotal wrong": lambda h: h["__metadata__"].update(ntotal="299"),
    "d wrong": lambda h: h["__metadata__"].update(d="17"),
}

UNREAD = {
    "checksums missing",
    "checksums a list",
    "next id taken",
}  # what a mapped file is not asked, as it cannot change


@pytest.mark.parametrize("name", HEADERS)
def test_hostile_headers(name, good, tmp_path) -> None:
    path = with_header(good, tmp_path / "bad.lka", HEADERS[name])
    for mmap in (False,) if name in UNREAD else (False, True):
        with pytest.raises(la.FormatError) as caught:
            la.load_index(path, mmap=mmap)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**9, 1 << 20, 1, 0])
def test_a_header_that_claims_to_be_long(length, good, tmp_path) -> None:
    path = tmp_path / "bad.lka"
    path.write_bytes(length.to_bytes(8, "little") + good.read_bytes()[8:])
    with pytest.raises(la.FormatError):
        la.load_index(path)


SPECS: dict[str, dict[str, Any]] = {
    "many lists": {"nlist": 10**9},
    "very many lists": {"nlist": 2**62},
    "lists of no number": {"nlist": "12"},
    "many pieces": {"m": 10**9},
    "more bits": {"nbits": 16},
    "other bits": {"nbits": 5},
    "unknown argument": {"colour": "red"},
    "unknown metric": {"metric": "hamming"},
    "metric a list": {"metric": []},
    "kmeans a number": {"kmeans": 3},
    "rotation of another kind": {"rotation": "spin"},
    "rotation a list": {"rotation": [1]},
}


@pytest.mark.parametrize("name", SPECS)
def test_hostile_arguments(name, good, tmp_path, survives) -> None:
    path = changed(good, tmp_path / "bad.lka", metadata={"spec": SPECS[name]})
    survives([path])  # first in another process, with a limit on memory
    with pytest.raises(la.FormatError):
        la.load_index(path)


def wrapping_sizes(sizes: np.ndarray) -> np.ndarray:
    """Sizes whose sum, and whose blocks' sum, are as before modulo 2**64."""
    out = sizes.copy()
    out[0] += 2**62
    out[1] += 2**62
    out[2] += 2**62
    out[3] += 2**62
    return out


TENSORS: dict[str, dict[str, Any]] = {
    "a code too large": {"codes": lambda a: np.full_like(a, 255)},
    "negative ids": {"ids": lambda a: np.full(a.shape, -(10**15), np.int64)},
    "equal ids": {"ids": lambda a: np.full_like(a, 3)},
    "biases that are no numbers": {"biases": lambda a: np.full_like(a, np.nan)},
    "biases of minus infinity": {"biases": lambda a: np.full_like(a, -np.inf)},
    "long centroids": {"coarse_centroids": lambda a: np.full_like(a, 3e38)},
    "centroids that are no numbers": {"coarse_centroids": lambda a: np.full_like(a, np.nan)},
    "a long codebook": {"pq_centroids": lambda a: np.full_like(a, 1e19)},
    "a codebook that overflows": {"pq_centroids": lambda a: np.full_like(a, 3e38)},
    "sizes that wrap around": {"sizes": wrapping_sizes},
    "the largest sizes": {"sizes": lambda a: np.full_like(a, 2**63 - 1)},
    "negative sizes": {"sizes": lambda a: -a},
    "sizes of one list more": {"sizes": lambda a: np.append(a, 0)},
    "sizes in 32 bits": {"sizes": lambda a: a.astype(np.int32)},
    "sizes moved": {"sizes": lambda a: a + np.eye(len(a), dtype=np.int64)[0] - np.eye(len(a), dtype=np.int64)[1]},
    "codes in 16 bits": {"codes": lambda a: a.astype(np.uint16)},
    "codes of one block less": {"codes": lambda a: a[:-1]},
    "no codes": {"codes": None},
    "ids shorter": {"ids": lambda a: a[:-64]},
    "biases in half floats": {"biases": lambda a: a.astype(np.float16)},
    "a rotation that overflows": {
        "rotation": lambda a: np.full((16, 16), 3e38, np.float32),
        "rotation_offset": lambda a: np.zeros(16, np.float32),
    },
    "a rotation without offset": {"rotation": lambda a: np.eye(16, dtype=np.float32)},
    "a rotation to elsewhere": {
        "rotation": lambda a: np.eye(15, 16, dtype=np.float32),
        "rotation_offset": lambda a: np.zeros(15, np.float32),
    },
    "a rotation that is no matrix": {
        "rotation": lambda a: np.zeros((2, 2, 4), np.float32),
        "rotation_offset": lambda a: np.zeros(2, np.float32),
    },
}


def test_hostile_tensors(good, tmp_path, survives) -> None:
    paths = []
    for name, tensors in TENSORS.items():
        paths.append(changed(good, tmp_path / f"{name}.lka", tensors))
    paths.append(
        changed(good, tmp_path / "wrapped to nothing.lka", {
            "sizes": np.full(128, 2**63 - 1), "coarse_centroids": np.zeros((128, 16), np.float32),
            "codes": np.zeros((0, 4, 64), np.uint8), "biases": np.zeros(0, np.float32), "ids": np.zeros(0, np.int32),
        }, {"spec": {"nlist": 128}, "ntotal": -128})
    )  # fmt: skip
    survives(paths)


@pytest.mark.parametrize(
    "name",
    [
        *("long centroids", "centroids that are no numbers", "a codebook that overflows", "negative sizes"),
        *(
            "sizes that wrap around",
            "the largest sizes",
            "sizes of one list more",
            "sizes in 32 bits",
            "codes in 16 bits",
        ),
        *("codes of one block less", "no codes", "ids shorter", "biases in half floats"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(name, good, tmp_path) -> None:
    path = changed(good, tmp_path / "bad.lka", TENSORS[name])
    for mmap in (True, False):
        with pytest.raises(la.FormatError):
            la.load_index(path, mmap=mmap)


def test_tensors_that_are_not_aligned_are_refused(good, tmp_path, survives) -> None:
    """Vector loads of blocks need 64-byte addresses; a header of another length would move them."""
    paths = []
    for extra in (1, 8, 16, 32):
        raw = good.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        moved = (length + extra).to_bytes(8, "little") + raw[8 : 8 + length] + b" " * extra + raw[8 + length :]
        paths.append(tmp_path / f"{extra}.lka")
        paths[-1].write_bytes(moved)
    survives(paths)
    for path in paths:
        with pytest.raises(la.FormatError):
            la.load_index(path)


def test_writers_never_pickle(tmp_path) -> None:
    """An array of objects is refused, and leaves no file."""
    with pytest.raises((KeyError, TypeError)):
        write_tensors(tmp_path / "a.lka", {}, {"x": np.array([object()])})
    assert not list(tmp_path.iterdir())
