"""Sign codes of residuals, and rows: the codes choose candidates, the rows decide.

encode    the signs of R (x − c), one bit a dimension, with a scale and a bias        `quantizers.signs`
distance  by table for all vectors of a list; of the best of them, to their rows      `kernels.signs`
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Self

import numpy as np

from lookalike._threads import run_all, shares
from lookalike._typing import Array, CodeArray, FloatArray, IdArray
from lookalike.errors import InputError
from lookalike.index.cells import Cells, OneCell
from lookalike.index.codecs.codec import Codec, near_in_lists
from lookalike.index.filters import as_allow
from lookalike.index.lists import Column, Lists, Rows
from lookalike.index.plain import best, distances_to, opened
from lookalike.kernels.layout import METRIC_NUMBERS, SignSpace
from lookalike.quantizers.origin import middle
from lookalike.quantizers.signs import SignRotation, bits_for, unpacked

__all__ = ["ROWS", "SignsCodec"]

ROWS = ("float32", "float16", "sq8", "lvq8")  # in the order of their numbers in `kernels.signs`
GROUP = 256  # queries that search the lists together
SCANNED = 5e5  # signs in a microsecond, about
LONGEST = 1 << 16
LARGEST_HALF = 65504  # of float16
LEVELS = 255  # of a byte
FACTOR = 10  # candidates for each result, unless told


@functools.cache
def _search_one_kernel() -> Any:
    """Looked up once: an import inside a function takes half a microsecond each time."""
    from lookalike.kernels.signs import search_signs_one

    return search_signs_one


class Learnt(NamedTuple):
    """What training gives beside the cells."""

    flips: Array  # uint8 (rounds, bits): `SignRotation.of`
    base: FloatArray  # (d,): of "sq8" what 0 stands for in each dimension; else zeros
    widths: FloatArray  # (d,): and what a unit is worth; else ones


class SignsCodec(Codec):
    """bits / 8 bytes, two float32, and a row.

    Parameters
    ----------
    rows : {"float32", "float16", "sq8", "lvq8"}
    metric : {"l2", "ip", "cosine"}
    seed : int
        Of the random rotation.
    cells : Cells or OneCell, optional
    learnt : Learnt, optional
        Together with `cells`.
    """

    def __init__(
        self,
        rows: str,
        metric: str,
        seed: int = 0,
        cells: Cells | OneCell | None = None,
        learnt: Learnt | None = None,
    ) -> None:
        self.rows, self.metric, self.seed, self.cells = rows, metric, seed, cells
        self.candidates: int | None = None
        self._last: SignsCodec | None = None
        if cells is None or learnt is None:
            return
        self.learnt, self.rotation = learnt, SignRotation.of(learnt.flips)
        centroids = cells.centroids
        # around their middle, products of a query and its residuals are small; inner products have to stay where they are
        origin = np.zeros(centroids.shape[1], np.float32)
        if metric != "ip":
            origin = middle(centroids)
        self.origin = origin
        self._moved = np.empty((0, self.rotation.bits), np.float32)
        if metric != "ip":
            self._moved = self.rotation.apply(centroids, origin)
        kind, number = ROWS.index(rows), METRIC_NUMBERS[metric]
        flips, windows = self.rotation
        at = [array.ctypes.data for array in (centroids, origin, flips, windows, learnt.base, learnt.widths)]
        rounds, bits = flips.shape
        space = SignSpace(at[0], at[1], at[2], at[3], rounds, bits, at[4], at[5], kind, number)
        self._space = np.array(space, np.int64)

    def with_candidates(self, candidates: int | None) -> SignsCodec:
        """The same, which orders so many candidates of each query by their rows; the last one is kept for the next call."""
        last = self._last  # once, as another thread may replace it
        if last is None or last.candidates != candidates:
            last = object.__new__(type(self))
            vars(last).update(vars(self) | {"candidates": candidates, "_last": None})
            self._last = last
        return last

    @property
    def bits(self) -> int:
        """How long a code is."""
        return self.rotation.bits if self.cells is not None else 0

    @property
    def _d(self) -> int:
        return 0 if self.cells is None else self.cells.centroids.shape[1]

    @property
    def columns(self) -> dict[str, Column]:
        dtypes = {"float32": np.float32, "float16": np.float16, "sq8": np.uint8, "lvq8": np.uint8}
        ranges = {"ranges": Column(np.dtype(np.float32), 2)} if self.rows == "lvq8" else {}
        return {
            "codes": Column(np.dtype(np.uint8), self.bits // 8, is_blocked=True),
            "scales": Column(np.dtype(np.float32)),
            "biases": Column(np.dtype(np.float32)),
            "rows": Column(np.dtype(dtypes[self.rows]), self._d),
            **ranges,
            "ids": Column(np.dtype(np.int32)),  # until an id needs more
        }

    @property
    def numbers_per_vector(self) -> int:  # type: ignore[override]
        return self.bits

    @property
    def nbytes(self) -> int:
        if self.cells is None:
            return 0
        return self.cells.nbytes + self._moved.nbytes + self.rotation.flips.nbytes + 2 * self.learnt.base.nbytes

    def check_dimension(self, d: int) -> None:
        """Up to so many bits that their sums fit in 16."""
        if d > LONGEST:
            raise InputError(
                f"IVFSignsIndex: expected at most {LONGEST} dimensions, got {d}; reduce them by rotation='pca:1024'"
            )

    # --- codes -------------------------------------------------------------------------------------------------------

    def fitted(self, x: FloatArray, cells: Cells | OneCell) -> Self:
        d = x.shape[1]
        base, widths = np.zeros(d, np.float32), np.ones(d, np.float32)
        if self.rows == "sq8":
            low, high = x.min(axis=0), x.max(axis=0)
            if low.min() < 0 or high.max() > LEVELS or (x != np.rint(x)).any():  # else bytes hold them exactly
                base, widths = low, np.maximum((high - low) / LEVELS, np.float32(1e-30))
        flips = SignRotation.drawn(bits_for(d), self.seed)
        return type(self)(self.rows, self.metric, self.seed, cells, Learnt(flips, base, widths))

    def encode(self, x: FloatArray, list_no: IdArray) -> Rows:
        from lookalike.kernels.assign import residuals
        from lookalike.kernels.signs import encode_signs

        assert self.cells is not None
        n, rest = len(x), np.empty_like(x)
        residuals(x, list_no, self.cells.centroids, rest)
        codes = np.empty((n, self.bits // 8), np.uint8)
        scales, biases = np.empty(n, np.float32), np.empty(n, np.float32)
        nowhere = np.zeros(self._d, np.float32)
        encode_signs(rest, list_no, self._moved, nowhere, *self.rotation, (codes, scales, biases))
        return codes, scales, biases, *self._rows_of(x, rest)

    def _rows_of(self, x: FloatArray, rest: FloatArray) -> Rows:
        """What stands for vectors x of residuals `rest`."""
        if self.rows == "float32":
            return (x,)
        if self.rows == "float16":
            if len(x) and float(np.abs(x).max()) > LARGEST_HALF:
                raise InputError(
                    f"xb: rows='float16' holds numbers up to {LARGEST_HALF}, got {np.abs(x).max():g}; use 'lvq8' or 'float32'"
                )
            return (x.astype(np.float16),)
        if self.rows == "sq8":
            units = (x - self.learnt.base) / self.learnt.widths
            return (np.clip(np.rint(units), 0, LEVELS).astype(np.uint8),)
        low, high = rest.min(axis=1, initial=np.inf), rest.max(axis=1, initial=-np.inf)
        step = (high - low) / np.float32(LEVELS)
        units = (rest - low[:, None]) / np.where(step > 0, step, 1)[:, None]
        ranges = np.stack([low, step], axis=1).astype(np.float32)
        return np.clip(np.rint(units), 0, LEVELS).astype(np.uint8), ranges

    def decode(self, rows: Rows, list_no: IdArray) -> FloatArray:
        held = rows[3]
        if self.rows in {"float32", "float16"}:
            return held.astype(np.float32)
        if self.rows == "sq8":
            return np.asarray(self.learnt.base + self.learnt.widths * held, np.float32)
        assert self.cells is not None
        low, step = rows[4][:, :1], rows[4][:, 1:]
        return np.asarray(self.cells.centroids[list_no] + low + step * held, np.float32)

    def codes(self, rows: Rows) -> CodeArray:
        """Four signs each, shape (n, bits / 4)."""
        return np.stack([rows[0] & 15, rows[0] >> 4], axis=2).reshape(len(rows[0]), 2 * rows[0].shape[1])

    def tensors(self) -> dict[str, Array]:
        learnt: dict[str, Array] = {"flips": self.learnt.flips}
        return learnt | ({"base": self.learnt.base, "widths": self.learnt.widths} if self.rows == "sq8" else {})

    # --- search ------------------------------------------------------------------------------------------------------

    def search(
        self,
        lists: Lists,
        xq: FloatArray,
        probes: IdArray,
        coarse: FloatArray,
        k: int,
        permitted: Array | None,
        threads: int,
    ) -> tuple[FloatArray, IdArray]:
        from lookalike.kernels.signs import search_signs

        allow, keep, terms = as_allow(permitted), self._keep(lists, k), self._terms(xq, probes, coarse)
        distances, ids = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)

        def run(rows: slice) -> None:
            search_signs(
                xq[rows],
                probes[rows],
                terms[rows],
                self._space,
                lists.for_kernels,
                allow,
                keep,
                (distances[rows], ids[rows]),
            )

        each = 3 + probes.shape[1] * lists.ntotal / len(lists) * self.bits / SCANNED
        run_all(run, shares(len(xq), GROUP, threads, each), threads)
        return distances, ids

    def search_one(self, lists: Lists, xq: FloatArray, k: int, nprobe: int) -> tuple[FloatArray, IdArray, float] | None:
        cells = self.cells
        if not isinstance(cells, Cells) or not lists.ntotal or cells.origin is not None:
            return None
        if cells.metric != self._coarse_metric:
            return None
        distances, ids = np.empty((1, k), np.float32), np.empty((1, k), np.int64)
        keep, search = self._keep(lists, k), _search_one_kernel()
        norm = search(xq, cells.for_kernels, nprobe, self._space, lists.for_kernels, keep, distances, ids)
        return distances, ids, norm

    def _keep(self, lists: Lists, k: int) -> int:
        """How many candidates to order by their rows: no more than there are, and at least k."""
        wanted = FACTOR * k if self.candidates is None else self.candidates
        return max(k, min(wanted, lists.ntotal))

    @property
    def _coarse_metric(self) -> str:
        """What estimates need of a query and a centroid: ‖q − c‖² or −⟨q, c⟩."""
        return "ip" if self.metric == "ip" else "l2"

    def _terms(self, xq: FloatArray, probes: IdArray, coarse: FloatArray) -> FloatArray:
        assert self.cells is not None
        if isinstance(self.cells, Cells) and self.cells.metric == self._coarse_metric:
            return coarse
        from lookalike.kernels.ivf import list_terms

        terms = np.empty_like(coarse)
        list_terms(xq, probes, self.cells.centroids, METRIC_NUMBERS[self._coarse_metric], terms)
        return terms

    def within(
        self,
        lists: Lists,
        xq: FloatArray,
        probes: IdArray,
        coarse: FloatArray,
        radius: float,
        permitted: Array | None,
        threads: int,
    ) -> list[tuple[FloatArray, IdArray]]:
        """All rows of the lists are compared: an estimate may be wrong about any of them."""
        from lookalike.kernels.signs import compare_list

        def run(i: int) -> tuple[FloatArray, IdArray]:
            def distances(number: int) -> FloatArray:
                near = np.empty(int(lists.sizes[number]), np.float32)
                compare_list(xq[i], self._space, lists.table, number, near)
                return near

            return near_in_lists(lists, probes[i], radius, permitted, distances)

        return run_all(run, range(len(xq)), threads)

    # --- by definition -----------------------------------------------------------------------------------------------

    def search_plain(
        self, lists: Lists, q: FloatArray, probes: IdArray, k: int, permitted: Array | None
    ) -> tuple[FloatArray, IdArray]:
        assert self.cells is not None
        parts = [lists.rows(list_no) for list_no in probes.tolist()]
        *rows, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
        list_no = np.repeat(probes, [len(part[-1]) for part in parts])
        estimates = self.estimates(q, tuple(rows), list_no)
        kept = best(estimates, ids, self._keep(lists, k), permitted)
        decoded = self.decode(tuple(row[kept] for row in rows), list_no[kept])
        return distances_to(q, decoded, self.metric), ids[kept]

    def _turned(self, q: FloatArray) -> FloatArray:
        """u of a query: −2 R (q − o), or −R q."""
        turned: FloatArray = self.rotation.apply(q[None], self.origin)[0]
        return turned * np.float32(-1 if self.metric == "ip" else -2)

    def estimates(self, q: FloatArray, rows: Rows, list_no: IdArray) -> FloatArray:
        """Of squared distances, or of inner products, negated: what tables give, before they are rounded to bytes."""
        assert self.cells is not None
        u = self._turned(q)
        near = opened(q, self.cells.centroids, self._coarse_metric)
        return np.asarray(near[list_no] + rows[1] * (unpacked(rows[0]) @ u) + rows[2], np.float32)

    def lookup_table(self, q: FloatArray) -> FloatArray:
        """Sums ±u ±u ±u ±u, shape (bits / 4, 16)."""
        u = self._turned(q)
        return np.asarray(u.reshape(-1, 4) @ unpacked(np.arange(16, dtype=np.uint8)[:, None])[:, :4].T, np.float32)
