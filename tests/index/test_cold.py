"""The first search after loading, which does without the kernels: in a new process, against the kernels' answers here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookalike as la
from lookalike.index import plain
from tests import reference
from tests.index.conftest import METRICS, M, N, base, centroids, empty, filled, queries, trained

FIRST = """
import json, sys
import numpy as np
import lookalike as la
for path, mmap, number in json.loads(sys.argv[1]):
    case = np.load(path + ".npz")
    options = {"k": int(case["k"]), "nprobe": int(case["nprobe"])} | ({"allow": case["allow"]} if "allow" in case else {})
    index = la.load_index(path, mmap=mmap)
    first = index.search(case["xq"][:number], **options)
    assert "numba" not in sys.modules, path
    np.savez(path + ".first.npz", ids=first.ids, distances=first.distances)
"""
THEN = """
second = index.search(case["xq"][:number], **options)
assert "numba" in sys.modules
np.savez(path + ".second.npz", ids=second.ids, distances=second.distances)
"""
FILTERS = {
    "ids": np.random.default_rng(1).choice(N, 90, replace=False),
    "mask": np.random.default_rng(2).random(N - 100) < 0.3,
    "nobody": np.array([N + 5]),
}


def _ivfflat(metric: str, coarse_metric: str | None = None) -> la.IVFFlatIndex:
    index = la.IVFFlatIndex(nlist=12, metric=metric, coarse_metric=coarse_metric)
    return index.set_centroids(centroids(6, metric, True)[0]).add(base())


def _with_gaps(index: Any) -> Any:
    """Without what its first lists held, so that some that are visited are empty; with wide ids and with two equal vectors."""
    for number in range(4):
        index.remove(index._lists.rows(number)[-1])
    return index.add(np.stack([base()[0], base()[0]]), ids=[2**40 + 1, 2**40])


def _cases() -> dict[str, tuple[Any, dict[str, Any]]]:
    usual: dict[str, Any] = {"k": 10, "nprobe": 4}
    cases = {}
    for metric in METRICS:
        for by_residual in (True, False):
            cases[f"{metric}-{by_residual}"] = (filled(metric, 6, by_residual), usual)
        for name, allow in FILTERS.items():
            cases[f"{metric}-{name}"] = (filled(metric), usual | {"allow": allow})
        cases[f"pq-{metric}"] = (trained("pq", metric), usual)
        cases[f"flat-{metric}"] = (_ivfflat(metric), usual)
    cases["other coarse metric"] = (empty("l2", coarse_metric="ip").add(base()), usual)
    cases["ip by l2"] = (empty("ip", coarse_metric="l2").add(base()), usual)
    cases["flat, ip by l2"] = (_ivfflat("ip", "l2"), usual | {"allow": FILTERS["ids"]})
    cases["rotated"] = (trained("ivfpq", "l2", "opq"), usual)
    for nbits in (4, 8, 9):
        cases[f"{nbits} bits"] = (filled("l2", nbits), usual)
    cases["all of them"] = (filled(), {"k": N + 7, "nprobe": 99})
    cases["more than a list holds"] = (filled(), {"k": 400, "nprobe": 1})
    cases["gaps"] = (_with_gaps(empty().add(base())), {"k": 30, "nprobe": 6})
    cases["flat with gaps"] = (_with_gaps(_ivfflat("l2")), {"k": 30, "nprobe": 6})
    cases["nothing stored"] = (empty(), usual)
    return cases


def _run(code: str, arguments: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, json.dumps(arguments)],
        env=os.environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_first_search_gives_what_the_kernels_give(tmp_path: Path) -> None:
    """For every kind of request, loaded and mapped, without the compiler; and the second search brings the compiler."""
    cases, files = _cases(), []
    for i, (index, options) in enumerate(cases.values()):
        path = str(tmp_path / f"{i}.lka")
        index.save(path)
        np.savez(path + ".npz", xq=queries(), **options)
        files.append((path, i % 2 == 0, 1 if i % 5 == 0 else 20))
    _run(FIRST, files)
    for (name, (index, options)), (path, _, number) in zip(cases.items(), files, strict=True):
        wanted = index.search(queries()[:number], **options)
        first = np.load(path + ".first.npz")
        assert (first["ids"] >= 0).any() == (name != "nothing stored" and "nobody" not in name), name
        assert (first["ids"].dtype, first["distances"].dtype) == (np.int64, np.float32), name
        vectors = (queries()[:number], base())
        slack = reference.tolerance(
            wanted.distances, *map(reference.unit, vectors) if index.metric == "cosine" else vectors
        )
        reference.assert_same_results((first["distances"], first["ids"]), wanted, slack)


def test_the_second_search_brings_the_kernels(tmp_path: Path) -> None:
    """A program that searches on must not stay with numpy; and its answer is the kernels', to the last bit."""
    path = str(tmp_path / "index.lka")
    filled().save(path)
    np.savez(path + ".npz", xq=queries(), k=10, nprobe=4)
    _run(FIRST + THEN, [(path, False, 1)])
    second, wanted = np.load(path + ".second.npz"), filled().search(queries()[:1], 10, nprobe=4)
    np.testing.assert_array_equal(second["ids"], wanted.ids)
    np.testing.assert_array_equal(second["distances"], wanted.distances)


def test_equal_distances_come_by_id() -> None:
    codes_twice = empty().add(np.concatenate([base()[:300], base()[:300]]), ids=np.arange(600)[::-1].copy())
    for k in (1, 2, 3, 7):
        got = plain.search(codes_twice, queries()[:5], k, 12, None)
        np.testing.assert_array_equal(got[1], codes_twice.search(queries()[:5], k, nprobe=12).ids)


def test_a_large_search_is_left_to_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "numba")
    index = filled()
    one = index.coarse_centroids.size + index.pq_centroids.size + 12 * plain.LIST + N * M
    for enough, worthwhile in ((one, True), (one - 1, False)):
        monkeypatch.setattr(plain, "WORK", enough)
        assert plain.is_worthwhile(index, 1, 12) is worthwhile
        assert not plain.is_worthwhile(index, 2, 12)
    monkeypatch.undo()
    assert not plain.is_worthwhile(index, 1, 1)  # the compiler is loaded here


def test_damaged_codes_and_biases_point_nowhere_else() -> None:
    """What a mapped file may hold, as checksums are not compared then; nothing warns either."""
    index = _with_gaps(empty().add(base()))
    for codes, biases, _ in index._lists.arrays:
        codes[:] = 255
        biases[::2] = np.nan
        biases[1::4] = np.inf
    distances, ids = plain.search(index, queries()[:3], N, 12, None)
    assert ((ids >= 0).sum(axis=1) < index.ntotal).all()
    assert (ids >= 0).any()
    assert not np.isnan(distances).any()
