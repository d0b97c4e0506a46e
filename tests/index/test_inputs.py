"""Bad input: one typed error with both numbers, and nothing changed. Odd input: the same answer as for tidy arrays."""

from __future__ import annotations

import numpy as np
import pytest

import lookalike as la
from tests import reference
from tests.index.conftest import KINDS, METRICS, NLIST, D, N, base, empty, filled, queries, same, trained

ODD = {
    "read-only": lambda x: x,  # `base` is
    "Fortran": np.asfortranarray,
    "every other row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "every other column": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "float64": lambda x: x.astype(np.float64),
    "big-endian": lambda x: x.astype(">f4"),
    "unaligned": lambda x: np.frombuffer(b"\0" + x.tobytes(), np.uint8)[1:].view(np.float32).reshape(x.shape),
    "nested lists": lambda x: x.tolist(),
    "masked array": np.ma.masked_invalid,
}


@pytest.mark.parametrize("how", ODD)
@pytest.mark.parametrize("kind", ["flat", "ivfpq"])
def test_layouts_and_dtypes_make_no_difference(how, kind) -> None:
    index = la.FlatIndex() if kind == "flat" else empty()
    index.add(ODD[how](base()[:500]))
    tidy = (la.FlatIndex() if kind == "flat" else empty()).add(base()[:500].copy())
    same(index.search(ODD[how](queries()), 5, nprobe=3), tidy.search(queries().copy(), 5, nprobe=3))
    np.testing.assert_array_equal(index.reconstruct([3]), tidy.reconstruct([3]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.uint64, np.bool_, np.float16])
def test_whole_numbers_and_half_floats_are_cast(dtype) -> None:
    x = np.random.default_rng(0).integers(0, 2, (200, D)).astype(dtype)
    for index in (la.FlatIndex(), empty()):
        index.add(x)
        tidy = (la.FlatIndex() if isinstance(index, la.FlatIndex) else empty()).add(x.astype(np.float32))
        same(index.search(x[:20], 5), tidy.search(x[:20].astype(np.float32), 5))


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_array_is_does_not_change(kind) -> None:
    """Neither `add` nor `search` writes to what it is given, and an index does not share it."""
    x, xq = base()[:200].copy(), queries().copy()
    index = la.FlatIndex("cosine") if kind == "flat" else empty("cosine")
    index.add(x)
    before = index.search(xq, 3)
    np.testing.assert_array_equal(x, base()[:200])
    np.testing.assert_array_equal(xq, queries())
    x[:] = 0
    same(index.search(xq, 3), before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_infinities(kind, value) -> None:
    index, xq = trained(kind), queries().copy()
    xq[7, 3] = value
    with pytest.raises(la.InputError, match=r"xq.*NaN or infinity.*row 7"):
        index.search(xq)
    x = base()[:50].copy()
    x[49, 0] = value
    fresh = la.FlatIndex() if kind == "flat" else empty()
    with pytest.raises(la.InputError, match=r"xb.*row 49"):
        fresh.add(x)
    assert fresh.ntotal == 0
    with pytest.raises(la.InputError, match=r"xt.*row 49"):
        la.PQIndex(m=4, nbits=4).train(x)


def test_doubles_that_are_no_floats() -> None:
    with pytest.raises(la.InputError, match="NaN or infinity"):
        empty().add(np.full((1, D), 1e300))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, D - 1, D + 1, 2 * D])
def test_another_dimension(kind, d) -> None:
    index = trained(kind)
    for call in (index.search, index.add):
        with pytest.raises(la.DimensionError, match=rf"d={D}.*{d}"):
            call(np.zeros((3, d)))
    assert index.ntotal == N
    with pytest.raises(la.DimensionError):
        index.search(np.empty((0, d)))


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (np.zeros((2, D), np.complex64), la.DTypeError),
        (np.full((2, D), "a"), la.DTypeError),
        (np.full((2, D), None), la.DTypeError),
        (np.zeros((2, D), "M8[s]"), la.DTypeError),
        ([[1.0] * D, [1.0]], la.InputError),
        (np.zeros((2, 2, D)), la.InputError),
        (np.zeros(()), la.InputError),
        (3, la.InputError),
        ([], la.InputError),
        (None, la.DTypeError),
        ("text", la.DTypeError),
        (np.zeros((2, 0)), la.InputError),
    ],
)
def test_what_is_not_an_array_of_vectors(x, error) -> None:
    for index in (trained("flat"), trained("ivfpq")):
        with pytest.raises(error) as caught:
            index.search(x)
        assert "\n" not in str(caught.value)
        with pytest.raises(error):
            index.add(x)
        assert index.ntotal == N


@pytest.mark.parametrize("kind", KINDS)
def test_one_vector_is_a_row(kind) -> None:
    same(trained(kind).search(queries()[3], 5), trained(kind).search(queries()[3:4], 5))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("k", [0, -1, 1.5, True, "3", None, 10**9])
def test_k_is_a_whole_number_of_at_least_one(kind, k) -> None:
    with pytest.raises(la.InputError, match="k: expected"):
        trained(kind).search(queries(), k)


@pytest.mark.parametrize("kind", ["pq", "ivfpq"])
@pytest.mark.parametrize("nprobe", [0, -3, 2.0, "all", True])
def test_nprobe_is_a_whole_number_of_at_least_one(kind, nprobe) -> None:
    with pytest.raises(la.InputError, match="nprobe: expected"):
        trained(kind).search(queries(), nprobe=nprobe)
    with pytest.raises(la.InputError, match="threads: expected"):
        trained(kind).search(queries(), threads=nprobe)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
def test_k_above_ntotal_is_padded(kind, metric) -> None:
    result = trained(kind, metric).search(queries(), N + 3, nprobe=NLIST)
    assert (result.ids[:, :N] >= 0).all()
    assert (np.sort(result.ids[:, :N], axis=1) == np.arange(N)).all()
    assert (result.ids[:, N:] == -1).all()
    assert (result.distances[:, N:] == (-np.inf if metric == "ip" else np.inf)).all()
    assert result.distances.dtype == np.float32
    assert result.ids.dtype == np.int64


@pytest.mark.parametrize("kind", KINDS)
def test_no_queries_and_nothing_to_add(kind) -> None:
    index = trained(kind)
    result = index.search(np.empty((0, D)), 7)
    assert result.ids.shape == result.distances.shape == (0, 7)
    assert index.add(np.empty((0, D), np.float32)) is index
    assert index.add(np.empty((0, D)), ids=[]) is index
    assert index.ntotal == N
    assert index.reconstruct([]).shape == (0, D)
    assert index.remove([]) == 0


@pytest.mark.parametrize("metric", METRICS)
def test_an_empty_index_finds_nothing(metric) -> None:
    for index in (la.FlatIndex(metric), empty(metric)):
        result = index.search(np.zeros((2, D)), 3)
        assert (result.ids == -1).all()
        assert (result.distances == (-np.inf if metric == "ip" else np.inf)).all()
        assert index.ids.shape == (0,)


@pytest.mark.parametrize("index", [la.PQIndex(m=4), la.IVFPQIndex(nlist=4, m=4)])
def test_untrained(index) -> None:
    for call in (
        lambda: index.add(base()),
        lambda: index.search(base()),
        lambda: index.reconstruct([0]),
        lambda: index.pq_centroids,
        lambda: index.save("nowhere"),
    ):
        with pytest.raises(la.NotTrainedError, match="train"):
            call()
    assert not index.is_trained
    assert index.ntotal == 0


def test_training_that_cannot_work() -> None:
    with pytest.raises(la.TrainingError, match=r"50.*20"):
        la.IVFPQIndex(nlist=50, m=4).train(base()[:20])
    with pytest.warns(la.LookalikeWarning), pytest.raises(la.TrainingError, match=r"256.*100"):
        la.IVFPQIndex(nlist=4, m=4).train(base()[:100])
    with pytest.raises(la.DimensionError, match=r"m=5.*d=16.*m=4"):
        la.IVFPQIndex(nlist=4, m=5).train(base())
    with pytest.raises(la.InputError, match="at least one vector"):
        la.IVFPQIndex(nlist=4, m=4).train(np.empty((0, D)))
    with pytest.raises(la.InputError, match=f"holds {N} vectors"):
        filled().train(base())


def test_training_that_failed_leaves_an_index_as_it_was() -> None:
    index = empty()
    with pytest.raises(la.TrainingError):
        index.train(base()[:3])
    same(index.add(base()).search(queries(), 5, nprobe=4), filled().search(queries(), 5, nprobe=4))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"metric": "hamming"}, "metric"),
        ({"metric": None}, "metric"),
        ({"nlist": 0}, "nlist"),
        ({"m": 0}, "m: expected"),
        ({"nbits": 3}, "nbits.*4 to 16"),
        ({"nbits": 17}, "nbits"),
        ({"kmeans": "fast"}, "kmeans"),
        ({"rotation": "spin"}, "rotation"),
    ],
)
def test_what_an_index_cannot_be(arguments, match) -> None:
    with pytest.raises(la.InputError, match=match):
        la.IVFPQIndex(**{"nlist": 4, "m": 4, **arguments})


def test_centroids_of_ones_own() -> None:
    coarse, codebook = empty().coarse_centroids, empty().pq_centroids
    index = la.IVFPQIndex(nlist=NLIST, m=4, nbits=6)
    with pytest.raises(la.DimensionError, match=rf"\({NLIST}, d\).*\(3, 16\)"):
        index.set_centroids(coarse[:3], codebook)
    with pytest.raises(la.DimensionError, match=r"\(4, 64, dsub\)"):
        index.set_centroids(coarse, codebook[:, :7])
    with pytest.raises(la.DimensionError, match=r"16.*12"):
        index.set_centroids(coarse, codebook[:, :, :3])
    for bad in (np.nan, np.inf, 1e30):  # the last one overflows when it is squared
        with pytest.raises(la.InputError):
            index.set_centroids(np.full_like(coarse, bad), codebook)
    with pytest.raises(la.InputError, match="holds"):
        filled().set_centroids(coarse, codebook)
    with pytest.raises(ValueError, match="read-only"):
        empty().coarse_centroids[0] = 0


# --- odd vectors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_zero_vectors_have_no_cosine(kind) -> None:
    """A zero vector is at distance 1 from everything, and finds all of it at distance 1; nothing is NaN."""
    index = trained(kind, "cosine")
    result = index.search(np.zeros((2, D)), 5, nprobe=NLIST)
    assert (result.distances == 1).all()
    fresh = la.FlatIndex("cosine") if kind == "flat" else empty("cosine")
    fresh.add(np.zeros((3, D))).add(base()[:20])
    result = fresh.search(queries(), 23, nprobe=NLIST)
    assert np.isfinite(result.distances).all()
    if kind == "flat":
        assert (result.distances[result.ids < 3] == 1).all()
    assert np.isfinite(fresh.reconstruct([0, 1])).all()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_equal_vectors(kind, metric) -> None:
    x = np.repeat(base()[:1], 10_000, axis=0)
    index = la.FlatIndex(metric) if kind == "flat" else empty(metric)
    if kind == "pq":
        index = la.PQIndex(m=4, nbits=4, metric=metric).train(x)
    index.add(x)
    for xq in (x[:1], x[:30]):
        for k in (1, 10, 40, 1000):
            result = index.search(xq, k, nprobe=NLIST)
            assert (result.ids == np.arange(k)).all()  # equal distances by id
            assert (result.distances == result.distances[0, 0]).all()
    assert index.remove(np.arange(0, 10_000, 2)) == 5000
    assert index.search(x[:1], 3, nprobe=NLIST).ids.tolist() == [[1, 3, 5]]


@pytest.mark.parametrize("metric", METRICS)
def test_training_on_equal_vectors(metric) -> None:
    x = np.repeat(base()[:1], 2000, axis=0)
    index = la.IVFPQIndex(nlist=8, m=4, nbits=5, metric=metric).train(x).add(x)
    result = index.search(x[:3], 4, nprobe=8)
    assert np.isfinite(result.distances).all()
    assert (result.ids == np.arange(4)).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("metric", METRICS)
def test_one_vector(kind, metric) -> None:
    if kind == "pq":
        index = la.PQIndex(m=4, nbits=5, metric=metric).train(base())
    else:
        index = la.FlatIndex(metric) if kind == "flat" else empty(metric)
    index.add(base()[5], ids=[77])
    result = index.search(queries(), 3, nprobe=NLIST)
    assert (result.ids == [77, -1, -1]).all()
    assert index.reconstruct([77]).shape == (1, D)
    assert index.remove([77]) == 1
    assert (index.search(queries(), 3, nprobe=NLIST).ids == -1).all()


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_too_long_to_compare(kind) -> None:
    for metric in ("l2", "ip"):
        index = la.FlatIndex(metric) if kind == "flat" else empty(metric)
        index.add(base()[:20])
        x = base()[:20].copy()
        x[13] *= np.float32(1e19)
        for call in (index.add, index.search):
            with pytest.raises(la.InputError, match=r"row 13.*overflows.*scale"):
                call(x)
        assert index.ntotal == 20


@pytest.mark.parametrize("scale", [5e17, 1e10, 1e-10, 1e-15])
@pytest.mark.parametrize("metric", METRICS)
def test_long_and_short_vectors_are_ordered_like_others(scale, metric) -> None:
    """Powers of two scale everything exactly, until squares overflow or vanish."""
    scale = np.float32(2.0 ** round(np.log2(scale)))
    factor = {"l2": scale * scale, "ip": scale * scale, "cosine": np.float32(1)}[metric]
    small = filled(metric).search(queries(), 10, nprobe=NLIST)
    index = la.IVFPQIndex(nlist=NLIST, m=4, nbits=6, metric=metric)
    if metric == "cosine":
        index.set_centroids(filled(metric).coarse_centroids, filled(metric).pq_centroids)
    else:
        index.set_centroids(filled(metric).coarse_centroids * scale, filled(metric).pq_centroids * scale)
    index.add(base() * scale)
    large = index.search(queries() * scale, 10, nprobe=NLIST)
    np.testing.assert_array_equal(large.ids, small.ids)
    np.testing.assert_allclose(large.distances, small.distances * factor, rtol=1e-6)


def test_cosine_takes_vectors_of_any_length() -> None:
    unit = reference.unit(queries()).astype(np.float32)
    index = filled("cosine")
    wanted = index.search(unit, 10, nprobe=NLIST)
    for length in (1e-30, 1e30):
        got = index.search((unit * length).astype(np.float32), 10, nprobe=NLIST)
        np.testing.assert_allclose(got.distances, wanted.distances, atol=1e-5)


def test_distances_are_never_negative() -> None:
    for kind in KINDS:
        for metric in ("l2", "cosine"):
            assert (trained(kind, metric).search(base()[:200], 5, nprobe=NLIST).distances >= 0).all()


@pytest.mark.parametrize("power", [-40, -52])
def test_tiny_vectors_are_found_like_larger_ones(power: int) -> None:
    """Scaled by a power of two, everything is as before, but for numbers whose inverse would overflow."""
    xb = np.random.default_rng(5).normal(size=(800, 8)).astype(np.float32)
    large = la.IVFPQIndex(nlist=2, m=4, nbits=4).train(xb).add(xb)
    scale = np.float32(2.0**power)
    tiny = la.IVFPQIndex(nlist=2, m=4, nbits=4)
    tiny.set_centroids(large.coarse_centroids * scale, large.pq_centroids * scale).add(xb * scale)
    wanted, found = large.search(xb[:50], k=5, nprobe=2), tiny.search(xb[:50] * scale, k=5, nprobe=2)
    np.testing.assert_array_equal(found.ids, wanted.ids)
