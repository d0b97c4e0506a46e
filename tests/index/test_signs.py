"""IVFSignsIndex: its estimates, its rows, what it finds, and what it refuses."""

from __future__ import annotations

import functools
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lookalike as la
from lookalike.files.tensors import read_tensors, write_tensors
from lookalike.index import plain
from tests.index.conftest import METRICS, NLIST, N, base, queries, same

ROWS = ["float32", "float16", "sq8", "lvq8"]


@functools.cache
def filled(metric: str = "l2", rows: str = "lvq8") -> la.IVFSignsIndex:
    return la.IVFSignsIndex(NLIST, metric, rows).train(base()).add(base())


@functools.cache
def exact(metric: str, k: int = 10) -> la.SearchResult:
    return la.FlatIndex(metric).add(base()).search(queries(), k)


def recall(found: la.SearchResult, wanted: la.SearchResult) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(found.ids, wanted.ids, strict=True)]))


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", ROWS)
def test_it_finds_the_neighbours(rows: str, metric: str) -> None:
    index = filled(metric, rows)
    found = index.search(queries(), 10, nprobe=NLIST)
    assert recall(found, exact(metric)) > 0.95
    loss = 1e-6 if rows == "float32" else 1e-3 if rows == "float16" else 0.02
    everything = index.search(queries(), 10, nprobe=NLIST, candidates=N)
    np.testing.assert_allclose(everything.distances, exact(metric).distances, rtol=loss, atol=3 * loss)
    if rows == "float32":
        np.testing.assert_array_equal(everything.ids, exact(metric).ids)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("rows", ROWS)
def test_distances_are_those_of_its_rows(rows: str, metric: str) -> None:
    index = filled(metric, rows)
    decoded, found = index.reconstruct(np.arange(N)), index.search(queries(), 20, nprobe=4)
    unit = queries() / np.linalg.norm(queries(), axis=1, keepdims=True) if metric == "cosine" else queries()
    for q, distances, ids in zip(unit, *found, strict=True):
        wanted = plain.distances_to(q, decoded[ids], metric) * (-1 if metric == "ip" else 1)
        np.testing.assert_allclose(distances, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_estimates_choose_what_the_definition_chooses(metric: str) -> None:
    """The kernel's tables are rounded: of the candidates by definition it finds nearly all."""
    index = filled(metric, "float32")
    x = index._vectors(queries(), "xq")
    _, ids = plain.search(index, x, 10, 5, None)
    found = index.search(queries(), 10, nprobe=5)
    assert np.mean([np.isin(a, b).mean() for a, b in zip(ids, found.ids, strict=True)]) > 0.99
    true = plain.search(index, x, 100, NLIST, None)[0][:, 50]
    list_no, (*rows, _) = index._lists.all_rows()
    for q, median in zip(x[:5], true, strict=False):
        estimates = index._codec.estimates(q, tuple(rows), list_no)
        whole = plain.distances_to(q, index._codec.decode(tuple(rows), list_no), "ip" if metric == "ip" else "l2")
        assert np.abs(estimates - whole).mean() < 0.35 * abs(median) + 0.1


@pytest.mark.parametrize("metric", METRICS)
def test_more_candidates_find_more(metric: str) -> None:
    shares = [
        recall(filled(metric).search(queries(), 10, nprobe=NLIST, candidates=c), exact(metric)) for c in (10, 30, 300)
    ]
    assert shares[0] < shares[2]
    assert shares[0] <= shares[1] + 0.02
    assert shares[2] > 0.98


def test_k_may_be_more_than_candidates_and_vectors() -> None:
    index = filled()
    found = index.search(queries()[:3], 50, nprobe=NLIST, candidates=5)
    assert (found.ids >= 0).all()
    assert (np.diff(found.distances, axis=1) >= 0).all()
    few = la.IVFSignsIndex(NLIST).train(base()).add(base()[:7])
    found = few.search(queries()[:3], 10, nprobe=NLIST)
    assert ((found.ids >= 0).sum(axis=1) == 7).all()
    assert (found.ids[:, 7:] == -1).all()
    assert np.isinf(found.distances[:, 7:]).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_filter_that_lets_few_through_finds_them(metric: str) -> None:
    index = filled(metric)
    for allow in (np.arange(0, N, 150), np.isin(np.arange(N), [3, 700, 1200])):
        wanted = np.flatnonzero(allow) if allow.dtype == bool else allow
        found = index.search(queries(), 10, nprobe=NLIST, allow=allow)
        assert ((found.ids >= 0).sum(axis=1) == min(10, len(wanted))).all()
        assert np.isin(found.ids[found.ids >= 0], wanted).all()
        near = index.search(queries(), 10, nprobe=NLIST, deny=np.setdiff1d(np.arange(N), wanted))
        same(near, found)
    true = la.FlatIndex(metric).add(base()[::3], np.arange(0, N, 3)).search(queries(), 10)
    assert recall(index.search(queries(), 10, nprobe=NLIST, allow=np.arange(0, N, 3)), true) > 0.95


def test_after_removing_most_it_is_as_good_as_a_fresh_one() -> None:
    index = la.IVFSignsIndex(NLIST).train(base()).add(base())
    kept = np.arange(0, N, 10)
    index.remove(np.setdiff1d(np.arange(N), kept))
    fresh = index._like().add(base()[kept], kept)
    same(index.search(queries(), 10, nprobe=3), fresh.search(queries(), 10, nprobe=3))


@pytest.mark.parametrize(("times", "more"), [(1.5, 0.5), (10, 30)])
def test_vectors_of_another_kind_than_it_was_trained_on(times: float, more: float) -> None:
    """Longer, and elsewhere: ranges of their own go with them. Codes around far centroids are poor, and take more candidates."""
    other, asked = (np.float32(times) * x + np.float32(more) for x in (base()[::-1], queries()))
    index = la.IVFSignsIndex(NLIST).train(base()).add(base()).add(other)
    fresh = la.IVFSignsIndex(NLIST).train(np.concatenate([base(), other])).add(base()).add(other)
    true = la.FlatIndex().add(base()).add(other).search(asked, 10)
    few = 100 if times < 2 else 1000
    ours, theirs = (recall(one.search(asked, 10, nprobe=NLIST, candidates=few), true) for one in (index, fresh))
    assert ours > theirs - 0.02


def test_whole_numbers_are_kept_exactly_in_bytes() -> None:
    x = np.random.default_rng(3).integers(0, 256, (600, 20)).astype(np.float32)
    index = la.IVFSignsIndex(6, rows="sq8").train(x).add(x)
    np.testing.assert_array_equal(index.reconstruct(np.arange(600)), x)
    np.testing.assert_array_equal(
        index.search(x[:9], 3, nprobe=6, candidates=600).distances, la.FlatIndex().add(x).search(x[:9], 3).distances
    )


def test_equal_vectors_and_vectors_at_their_centroid() -> None:
    x = np.repeat(base()[:8], 100, axis=0)
    index = la.IVFSignsIndex(8).train(x).add(x)
    found = index.search(x[::100], 5, nprobe=8, candidates=800)
    np.testing.assert_array_equal(found.ids, 100 * np.arange(8)[:, None] + np.arange(5))
    np.testing.assert_allclose(found.distances, 0, atol=1e-4)


@pytest.mark.parametrize("d", [1, 3, 17, 64, 100, 300])
def test_any_dimension(d: int) -> None:
    x = np.random.default_rng(d).normal(size=(400, d)).astype(np.float32)
    for rows in ROWS:
        index = la.IVFSignsIndex(4, rows=rows).train(x).add(x)
        assert index.bits == -(-d // 64) * 64
        found = index.search(x[:20], 1, nprobe=4, candidates=60)
        assert (found.ids[:, 0] == np.arange(20)).mean() > 0.9


@pytest.mark.parametrize("rows", ROWS)
def test_a_file_gives_the_same_index(rows: str, tmp_path: Path) -> None:
    index = filled("cosine", rows)
    index.save(tmp_path / "a.lka")
    for mmap in (False, True):
        again = la.load_index(tmp_path / "a.lka", mmap=mmap)
        assert isinstance(again, la.IVFSignsIndex)
        assert (again.rows, again.bits, again.metric) == (rows, 64, "cosine")
        same(again.search(queries(), 5, nprobe=3, candidates=40), index.search(queries(), 5, nprobe=3, candidates=40))
        assert again.to_bytes() == index.to_bytes()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: la.IVFSignsIndex(rows="int8"), "rows: expected one of"),
        (lambda: la.IVFSignsIndex(rotation="opq"), "OPQ prepares"),
        (lambda: la.IVFSignsIndex(seed=-1), "seed"),
        (lambda: la.IVFSignsIndex(metric="l1"), "metric"),
        (lambda: filled().search(queries(), candidates=0), "candidates"),
        (lambda: filled().search(queries(), candidates=1.5), "candidates"),
        (lambda: la.IVFSignsIndex(4, rows="float16").train(base()).add(base() * 1e5), "up to 65504"),
        (lambda: la.index_factory("RaBitQ"), "has to follow IVF"),
        (lambda: la.index_factory("OPQ8,IVF8,RaBitQ"), "without OPQ"),
        (lambda: la.index_factory("IVF8,PQ4,Refine(SQ8)"), "only beside RaBitQ"),
        (lambda: la.write_faiss(filled(), "nowhere"), "IVFSignsIndex"),
    ],
)
def test_what_it_refuses(call: Any, said: str) -> None:
    with pytest.raises(la.LookalikeError, match=said) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_the_trace_tells_why_a_neighbour_was_missed() -> None:
    index = filled("l2", "float32")
    wanted = exact("l2", 20).ids[0]
    trace = index.trace(queries()[0], k=5, nprobe=NLIST, exact_ids=wanted)
    assert trace.lookup_table.shape == (16, 16)
    assert trace.probed[0].codes.shape[1] == 16
    reasons = {miss.id: miss.reason for miss in trace.missed}
    assert set(reasons.values()) <= {"beyond k", "code too coarse"}
    assert "beyond k" in reasons.values()


def test_two_threads_and_batches_of_any_size_give_one_answer() -> None:
    index, xq = filled(), np.concatenate([queries()] * 5)
    whole = index.search(xq, 7, nprobe=5, threads=1)
    same(index.search(xq, 7, nprobe=5, threads=2), whole)
    same(index.search(xq[:130], 7, nprobe=5), la.SearchResult(whole.distances[:130], whole.ids[:130]))


@pytest.mark.parametrize("rows", ["float32", "lvq8"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_that_are_none_are_nobodys_neighbours(rows: str, value: float, tmp_path: Path) -> None:
    """A mapped file is not read when it is opened, so that anything may stand in it."""
    index, names = filled("l2", rows), ["scales", "biases", "rows" if rows == "float32" else "ranges"]
    for name in names:
        about, arrays = read_tensors(io.BytesIO(index.to_bytes()))  # type: ignore[arg-type]
        damaged = arrays[name].copy()
        damaged[::7] = value
        head = {key: part for key, part in about.items() if key not in ("shapes", "sha256")}
        write_tensors(tmp_path / "a.lka", head, arrays | {name: damaged})
        again = la.load_index(tmp_path / "a.lka", mmap=True)
        for k, candidates in ((1, 1), (10, 40), (50, N)):
            found = again.search(queries(), k, nprobe=NLIST, candidates=candidates)  # type: ignore[call-arg]
            assert ((found.ids >= -1) & (found.ids < N)).all()
            assert not np.isnan(found.distances).any()
            one = again.search(queries()[:1], k, nprobe=NLIST, candidates=candidates)  # type: ignore[call-arg]
            same(one, la.SearchResult(found.distances[:1], found.ids[:1]))


def test_a_file_whose_parts_do_not_fit_is_refused(tmp_path: Path) -> None:
    index = filled("l2", "sq8")
    about, arrays = read_tensors(io.BytesIO(index.to_bytes()))  # type: ignore[arg-type]
    head = {key: part for key, part in about.items() if key not in ("shapes", "sha256")}
    bad: dict[str, Any] = {
        "flips": arrays["flips"] + 7,
        "widths": arrays["widths"] * np.nan,
        "rows": arrays["rows"][:, :-1],
        "codes": arrays["codes"][:, :4],
        "scales": arrays["scales"][:-1],
    }
    for name, array in bad.items():
        write_tensors(tmp_path / "a.lka", head, arrays | {name: np.asarray(array, arrays[name].dtype)})
        for mmap in (False, True):
            with pytest.raises(la.FormatError):
                la.load_index(tmp_path / "a.lka", mmap=mmap)
    write_tensors(tmp_path / "a.lka", head, {name: array for name, array in arrays.items() if name != "flips"})
    with pytest.raises(la.FormatError):
        la.load_index(tmp_path / "a.lka")
    head["spec"]["rows"] = "lvq8"
    write_tensors(tmp_path / "a.lka", head, arrays)
    with pytest.raises(la.FormatError):
        la.load_index(tmp_path / "a.lka")


@pytest.mark.parametrize("metric", METRICS)
def test_many_results_and_many_candidates(metric: str) -> None:
    """k beyond what is sorted by insertion, and all vectors as candidates: what comparing with everything gives."""
    index = filled(metric, "float32")
    found = index.search(queries()[:5], 700, nprobe=NLIST, candidates=N)
    wanted = la.FlatIndex(metric).add(base()).search(queries()[:5], 700)
    np.testing.assert_allclose(found.distances, wanted.distances, rtol=1e-5, atol=1e-5)
    assert np.mean([np.isin(a, b).mean() for a, b in zip(found.ids, wanted.ids, strict=True)]) > 0.999
