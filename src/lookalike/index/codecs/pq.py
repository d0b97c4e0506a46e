"""Codes of a product quantizer (Jégou et al. 2011), of vectors or of their residuals, and a bias for each.

encode    q_p(r) of the residual r = x − q_c(x)       equations (28), (29); without residuals q_p(x)
distance  ‖q − q_c(x) − q_p(r)‖², by look-up tables   equation (30); how it is opened: `kernels.distances`
"""

from __future__ import annotations

from typing import Self

import numpy as np

from lookalike._threads import run_all, shares
from lookalike._typing import Array, CodeArray, FloatArray, IdArray
from lookalike.index.cells import Cells, OneCell
from lookalike.index.codecs.codec import POINTS, Codec
from lookalike.index.filters import as_allow
from lookalike.index.lists import Column, Lists, Rows
from lookalike.index.plain import best, distances_to, opened, product_table
from lookalike.kernels.layout import METRIC_NUMBERS, ONE_ROUNDING, SUM_ROUNDING, Space, group_size
from lookalike.quantizers.kmeans import POINTS_PER_CENTROID
from lookalike.quantizers.origin import far_origin
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import LinearTransform, train_opq

__all__ = ["PQCodec"]

SCANNED = 5e4  # codes in a microsecond, about


class PQCodec(Codec):
    """m codes of nbits bits, and a float32.

    Parameters
    ----------
    pq : ProductQuantizer
        Not changed here.
    by_residual : bool
        Encode x − q_c(x), or x itself.
    metric : {"l2", "ip", "cosine"}
    cells : Cells or OneCell, optional
        With a trained `pq`: what the codes belong to.

    Attributes
    ----------
    origin : ndarray of float32, shape (d,), or None
        Where vectors lie far from 0, a point among them. ‖q − c − r̂‖² = ‖(q − o) − (c − o) − r̂‖², and without residuals
        ‖q − p‖² = ‖(q − o) − (p − o)‖²: the distance is the same, and the terms that it is opened into are no longer large
        beside it. Inner products have no such freedom. It is not stored: it follows from the centroids.
    """

    def __init__(
        self, pq: ProductQuantizer, by_residual: bool, metric: str, cells: Cells | OneCell | None = None
    ) -> None:
        self.pq, self.by_residual, self.metric, self.cells = pq, by_residual, metric, cells
        self.origin: FloatArray | None = None
        if cells is None:
            return
        centroids, codebook = cells.centroids, pq.pq_centroids
        self._moved_pq = pq
        if metric == "l2":
            if by_residual:  # the cells have looked, if they compare by distance too
                self.origin = cells.origin if cells.metric == "l2" else far_origin(centroids)
            else:
                self.origin = far_origin(codebook.transpose(1, 0, 2).reshape(pq.ksub, -1))
        if self.origin is not None and by_residual:
            centroids = centroids - self.origin
            centroids.flags.writeable = False
        elif self.origin is not None:
            moved = codebook - self.origin.reshape(pq.m, 1, -1)
            self._moved_pq = ProductQuantizer(pq.m, pq.nbits).set_centroids(moved)
        tiles = self._moved_pq.tiles
        self.space = Space(centroids, tiles.centroids, tiles.columns, by_residual, METRIC_NUMBERS[metric])
        self._for_kernels = tuple(self.space)

    @property
    def columns(self) -> dict[str, Column]:
        return {
            "codes": Column(np.dtype(self.pq.code_dtype), self.pq.m, is_blocked=True),
            "biases": Column(np.dtype(np.float32)),
            "ids": Column(np.dtype(np.int32)),  # until an id needs more
        }

    @property
    def numbers_per_query(self) -> int:  # type: ignore[override]
        return self.pq.pq_centroids.size

    @property
    def numbers_per_vector(self) -> int:  # type: ignore[override]
        return self.pq.m

    @property
    def nbytes(self) -> int:
        if self.cells is None:
            return 0
        moved = 0 if self.origin is None else self.cells.centroids.nbytes if self.by_residual else self.pq.tiles.nbytes
        return self.cells.nbytes + self.pq.tiles.nbytes + moved

    # --- codes -------------------------------------------------------------------------------------------------------

    def fitted(self, x: FloatArray, cells: Cells | OneCell) -> Self:
        limit = POINTS_PER_CENTROID * self.pq.ksub
        if len(x) > limit:
            x = x[np.sort(np.random.default_rng(self.pq.seed + 1).choice(len(x), limit, replace=False))]
        if self.by_residual:
            x = x - cells.centroids[cells.assign(x)]
        pq = ProductQuantizer(self.pq.m, self.pq.nbits, self.pq.kmeans, self.pq.seed).train(x)
        return type(self)(pq, self.by_residual, self.metric, cells)

    def check_dimension(self, d: int) -> None:
        self.pq.check_dimension(d)

    def trains_on(self, nlist: int) -> int:
        return POINTS * max(nlist, self.pq.ksub)

    def trained_opq(self, xt: FloatArray, d_out: int | None, *, centre: bool) -> LinearTransform | None:
        return train_opq(xt, self.pq.m, d_out, nbits=self.pq.nbits, seed=self.pq.seed, centre=centre)

    def encode(self, x: FloatArray, list_no: IdArray) -> Rows:
        from lookalike.kernels.assign import residuals

        to_encode = x = self._moved(x)
        if self.by_residual:
            to_encode = np.empty_like(x)
            residuals(x, list_no, self.space.centroids, to_encode)
        codes = self._moved_pq.encode(to_encode)
        return codes, self._biases(codes, list_no, self.space.centroids, self.space.codebook)

    def decode(self, rows: Rows, list_no: IdArray) -> FloatArray:
        decoded = self.pq.decode(self.codes(rows))
        if self.by_residual:
            assert self.cells is not None
            decoded += self.cells.centroids[list_no]
        return decoded

    def codes(self, rows: Rows) -> CodeArray:
        """Masked by ksub − 1 as kernels do, since nobody looks through a mapped file when it is opened."""
        codes: CodeArray = np.bitwise_and(rows[0], rows[0].dtype.type(self.pq.ksub - 1))
        return codes

    def tensors(self) -> dict[str, Array]:
        return {"pq_centroids": self.pq.pq_centroids}

    def to_file(self, lists: Lists) -> Lists:
        """With biases around 0, whatever origin they are searched from."""
        if self.origin is None:
            return lists
        assert self.cells is not None
        centroids = self.cells.centroids
        return lists.with_column(
            "biases", lambda list_no, rows: self._biases(self.codes(rows), list_no, centroids, self.pq.pq_centroids)
        )

    def from_file(self, lists: Lists) -> Lists:
        if self.origin is None:
            return lists
        return lists.with_column("biases", lambda list_no, rows: self.biases(self.codes(rows), list_no))

    def biases(self, codes: CodeArray, list_no: IdArray) -> FloatArray:
        """The part of each distance that depends on the stored vector only (see `kernels.distances`)."""
        return self._biases(codes, list_no, self.space.centroids, self.space.codebook)

    def _biases(self, codes: CodeArray, list_no: IdArray, centroids: FloatArray, codebook: FloatArray) -> FloatArray:
        from lookalike.kernels.distances import code_biases

        biases = np.zeros(len(codes), np.float32)
        if self.metric == "l2":
            code_biases(codes, list_no, centroids, codebook, self.by_residual, biases)
        return biases

    def _moved(self, x: FloatArray) -> FloatArray:
        """Vectors as centroids and codes have to be compared with."""
        return x if self.origin is None else x - self.origin

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
        from lookalike.kernels.ivf import search_lists

        allow = as_allow(permitted)
        distances, ids = np.empty((len(xq), k), np.float32), np.empty((len(xq), k), np.int64)

        def run(rows: slice) -> None:
            search_lists(
                self._moved(xq[rows]),
                probes[rows],
                self._terms(xq[rows], probes[rows], coarse[rows]),
                self._for_kernels,
                lists.for_kernels,
                allow,
                distances[rows],
                ids[rows],
            )

        if len(xq) == 1:  # every microsecond counts
            run(slice(0, 1))
        else:
            each = 3 + probes.shape[1] * lists.ntotal / len(lists) * self.pq.m / SCANNED
            run_all(run, shares(len(xq), group_size(self.pq.m, self.pq.ksub, k), threads, each), threads)
        return distances, ids

    def search_one(self, lists: Lists, xq: FloatArray, k: int, nprobe: int) -> tuple[FloatArray, IdArray, float] | None:
        cells = self.cells
        if cells is None or not lists.ntotal or self.origin is not None or cells.origin is not None:
            return None
        if isinstance(cells, Cells) and cells.metric != ("ip" if self.metric == "ip" else "l2"):
            return None
        from lookalike.kernels.ivf import search_one

        distances, ids = np.empty((1, k), np.float32), np.empty((1, k), np.int64)
        norm = search_one(xq, cells.for_kernels, nprobe, self._for_kernels, lists.for_kernels, distances, ids)
        return distances, ids, norm

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
        from lookalike.kernels.ivf import range_lists

        terms, xq, allow = self._terms(xq, probes, coarse), self._moved(xq), as_allow(permitted)

        def run(i: int) -> tuple[FloatArray, IdArray]:
            found: tuple[FloatArray, IdArray] = range_lists(
                xq[i], probes[i], terms[i], self._for_kernels, lists.for_kernels, allow, np.float32(radius)
            )
            return found

        return run_all(run, range(len(xq)), threads)

    def _terms(self, xq: FloatArray, probes: IdArray, coarse: FloatArray) -> FloatArray:
        """The part of each distance that depends on query and list only (see `kernels.distances`); for cosine, 1 more.

        xq is not moved; shape (nq, nprobe).
        """
        assert self.cells is not None
        is_l2, least = self.metric == "l2", np.float32(1 if self.metric == "cosine" else 0)
        if not self.by_residual:
            own = np.full(len(xq), least)
            if is_l2:
                moved = self._moved(xq)
                own = np.asarray(np.einsum("qd,qd->q", moved, moved), np.float32)
            return np.repeat(own[:, None], coarse.shape[1], axis=1)
        if is_l2 == (self.cells.metric == "l2"):
            return coarse if self.metric != "cosine" else coarse + least
        from lookalike.kernels.ivf import list_terms

        terms = np.empty_like(coarse)
        list_terms(xq, probes, self.cells.centroids, METRIC_NUMBERS[self.metric], terms)
        return terms

    # --- by definition -----------------------------------------------------------------------------------------------

    def search_plain(
        self, lists: Lists, q: FloatArray, probes: IdArray, k: int, permitted: Array | None
    ) -> tuple[FloatArray, IdArray]:
        q, codebook = self._moved(q), self.space.codebook
        origins = self.space.centroids[probes] if self.by_residual else np.zeros((len(probes), len(q)), np.float32)
        parts = [lists.rows(list_no) for list_no in probes.tolist()]
        codes, biases, ids = (np.concatenate(column) for column in zip(*parts, strict=True))
        codes = self.codes((codes,))
        place = np.repeat(np.arange(len(probes)), [len(part[-1]) for part in parts])
        # the distance opened into list, vector and table (`kernels.distances`)
        table = (-2 if self.metric == "l2" else -1) * product_table(codebook, q)
        coarse = opened(q, origins, self.metric)
        distances = coarse[place] + biases
        for scores, column in zip(table, codes.T, strict=True):
            distances += scores[column]
        if self.metric == "cosine":
            distances = np.maximum(distances, 0)
        # by how much sums of such terms may differ: `kernels.ivf.rounding_of_terms`
        rounding = 2 * SUM_ROUNDING * float(np.abs(coarse).max() + np.abs(table.min(axis=1).sum())) + ONE_ROUNDING
        kept = best(distances, ids, k, permitted, rounding if np.isfinite(rounding) else ONE_ROUNDING)
        decoded = codebook[np.arange(self.pq.m), codes[kept]].reshape(len(kept), len(q))
        return distances_to(q, origins[place[kept]] + decoded, self.metric), ids[kept]

    def lookup_table(self, q: FloatArray) -> FloatArray:
        return (-2 if self.metric == "l2" else 1) * product_table(self.space.codebook, self._moved(q))
