"""Index files of every version of the format stay readable, and searching them gives what it gave."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import lookalike as la
from lookalike.files.native import VERSION

GOLDEN = Path(__file__).parent.parent / "golden"
NAMES = {1: ["flat", "ivfflat", "ivfpq", "ivfpq-ip", "ivfpq-rotation", "pq"]}
LATER = {
    1: ["refined", "ivfsigns"]
}  # kinds that a version came to hold after its files were written; what they gave is in a file of their own
KINDS = {
    "refined": la.RefinedIndex,
    "flat": la.FlatIndex,
    "ivfflat": la.IVFFlatIndex,
    "ivfpq": la.IVFPQIndex,
    "ivfsigns": la.IVFSignsIndex,
    "pq": la.PQIndex,
}
FILES = [(version, name) for version, names in NAMES.items() for name in [*names, *LATER.get(version, [])]]


def test_every_version_has_its_golden_files() -> None:
    """A new version of the format needs new ones: tools/make_golden.py."""
    assert sorted(NAMES) == list(range(1, VERSION + 1))
    for version, names in NAMES.items():
        found = sorted(path.name for path in (GOLDEN / f"v{version}").iterdir())
        later = LATER.get(version, [])
        expected = ["expected.npz", *(f"expected-{name}.npz" for name in later)]
        assert found == sorted([*(f"{name}.lka" for name in [*names, *later]), *expected])


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(("version", "name"), FILES)
def test_what_was_written_is_read_and_found(version, name, mmap) -> None:
    folder = GOLDEN / f"v{version}"
    results = f"expected-{name}.npz" if name in LATER.get(version, []) else "expected.npz"
    expected = np.load(folder / results, allow_pickle=False)
    index = la.load_index(folder / f"{name}.lka", mmap=mmap)
    assert type(index) is KINDS[name.split("-")[0]]
    assert (index.ntotal, index.d) == (298, 16)
    distances, ids = index.search(expected["xq"], int(expected["k"]), nprobe=int(expected["nprobe"]))
    np.testing.assert_array_equal(ids, expected[f"{name}/ids"])
    np.testing.assert_allclose(distances, expected[f"{name}/distances"], rtol=1e-5, atol=1e-6)
    alone = index.search(expected["xq"][3], int(expected["k"]), nprobe=int(expected["nprobe"]))
    np.testing.assert_array_equal(alone.ids[0], ids[3])
    np.testing.assert_allclose(index.reconstruct(index.ids[:10]), expected[f"{name}/decoded"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("version", "name"), [file for file in FILES if "pq" in file[1]])
def test_adding_the_same_vectors_gives_the_same_codes(version, name) -> None:
    folder = GOLDEN / f"v{version}"
    xb = np.load(folder / "expected.npz", allow_pickle=False)["xb"]
    index = la.load_index(folder / f"{name}.lka")
    codes = dict(zip(index.ids.tolist(), index.codes.tolist(), strict=True))
    wide = max(codes) >= 2**33
    names = np.concatenate([np.arange(150), np.arange(150) + (2**33 if wide else 150)])
    index.remove(names)
    assert index.ntotal == 0
    index.add(xb, ids=names)
    again = dict(zip(index.ids.tolist(), index.codes.tolist(), strict=True))
    assert {number: again[number] for number in codes} == codes
