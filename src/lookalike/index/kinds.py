"""The kinds of index: which cells, which codec, and what each is good for. A refined one is in `refine`."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np

from lookalike._typing import CodeArray, FloatArray, IdArray
from lookalike._validate import check_ids, check_lengths
from lookalike.errors import DimensionError, InputError
from lookalike.files import native
from lookalike.files.tensors import MappedFile
from lookalike.index.cells import Cells, OneCell, check_coarse_metric, train_cells
from lookalike.index.codecs.pq import PQCodec
from lookalike.index.codecs.whole import WholeCodec
from lookalike.index.index import Index, Progress, ignore_progress
from lookalike.index.large import LargeArray
from lookalike.index.lists import Lists
from lookalike.quantizers.kmeans import KMeansChoice, get_kmeans
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import parse_rotation

__all__ = ["Encoded", "FlatIndex", "IVFFlatIndex", "IVFPQIndex", "InvertedFile", "PQIndex", "WholeVectors"]


class WholeVectors(Index):
    """What the two kinds that keep whole vectors in one list share."""

    def _learn_dimension(self, d: int) -> None:
        self._take(WholeCodec(self.metric, OneCell(d)), None)

    def _replace(
        self, gone: IdArray, xb: FloatArray | LargeArray, ids: IdArray, progress: Progress = ignore_progress
    ) -> None:
        if self._codec.cells is None:
            self._learn_dimension(xb[:1].shape[1])
        super()._replace(gone, xb, ids, progress)

    def _tensors(self) -> native.Tensors:
        return dict(zip(("vectors", "ids"), self._lists.rows(0), strict=True))

    def _mark_loaded(self, mapped: MappedFile | None) -> None:
        super()._mark_loaded(mapped)
        self._is_fresh = False  # a small search needs no kernels anyhow


class FlatIndex(WholeVectors):
    """Exact nearest neighbours by comparing with every vector.

    Parameters
    ----------
    metric : {"l2", "ip", "cosine"}

    Notes
    -----
    Needs no training: the first `add` sets `d`. 4d + 8 bytes a vector. A search costs O(nq · n · d). Up to 8 million numbers are
    searched by numpy, so that nothing has to be compiled or loaded; more of them by kernels, a part in each thread.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> index = la.FlatIndex().add(np.eye(3))
    >>> distances, ids = index.search([[1, 0.1, 0]], k=2)
    >>> ids.tolist()
    [[0, 1]]
    """

    kind = "flat"
    _arguments = ("metric",)

    def __init__(self, metric: str = "l2") -> None:
        super().__init__(WholeCodec(metric))

    @property
    def is_trained(self) -> bool:
        return True

    def _train(self, xt: FloatArray, progress: Progress) -> None:
        self._learn_dimension(xt.shape[1])
        progress(1, 1)

    def _has_same_space(self, other: Index) -> bool:
        return (
            isinstance(other, FlatIndex) and other.metric == self.metric and (not self.d or other.d in {None, self.d})
        )

    @classmethod
    def _from_parts(cls, metadata: dict[str, Any], tensors: native.Tensors, look: bool) -> Self:
        index, d = cls(metadata["spec"]["metric"]), int(metadata["d"])
        native.check_flat(tensors, d)
        if look:
            check_lengths(tensors["vectors"], "vectors")
        if d:
            index._learn_dimension(d)
            whole = tensors | {"vectors": tensors["vectors"].reshape(-1, d)}
            index._lists = Lists.from_flat(index._codec.columns, whole, np.array([len(tensors["ids"])]))
        return index


class Encoded(NamedTuple):
    """Codes, and the lists that they belong to."""

    codes: CodeArray
    list_no: IdArray


class _Coded(Index):
    """What the two kinds with a product quantizer share."""

    _codec: PQCodec

    @property
    def pq(self) -> ProductQuantizer:
        """The product quantizer. Do not change it."""
        return self._codec.pq

    @property
    def m(self) -> int:
        """Number of sub-quantizers."""
        return self.pq.m

    @property
    def nbits(self) -> int:
        """Bits of a sub-code."""
        return self.pq.nbits

    @property
    def ksub(self) -> int:
        """Centroids of each sub-quantizer, 2**nbits."""
        return self.pq.ksub

    @property
    def dsub(self) -> int:
        """Dimension of each sub-space, d // m."""
        return self.pq.dsub

    @property
    def by_residual(self) -> bool:
        """Whether x − q_c(x) is encoded, or x itself."""
        return self._codec.by_residual

    @property
    def pq_centroids(self) -> FloatArray:
        """float32, shape (m, ksub, dsub), read-only."""
        self._check_trained()
        return self.pq.pq_centroids

    @property
    def codes(self) -> CodeArray:
        """Codes of all vectors, uint8 or uint16, shape (ntotal, m), in the order of `ids`."""
        return self._codec.codes(self._lists.all_rows()[1])

    def encode(self, x: Any) -> Encoded:
        """What `add` would store of vectors, without storing them.

        Returns
        -------
        Encoded
            ``codes``, uint8 or uint16 (n, m), and ``list_no``, int64 (n,).
        """
        self._check_trained()
        list_no, rows = self._encoded(self._vectors(x, "x", empty_ok=True))
        return Encoded(self._codec.codes(rows), list_no)

    def decode(self, codes: Any, list_no: Any = None) -> FloatArray:
        """The vectors that codes stand for, float32, shape (n, d): ``index.decode(*index.encode(x))``.

        Parameters
        ----------
        codes : array of integers, shape (n, m)
        list_no : array of int64, shape (n,), optional
            Needed where residuals are encoded.

        Raises
        ------
        InputError
            If a code or a list is not one of this index, or lists are not given and needed.
        """
        self._check_trained()
        decoded = self.pq.decode(codes)
        if self.by_residual:
            if list_no is None:
                raise InputError("list_no: expected the list of each code, as this index encodes residuals; got None")
            lists = check_ids(list_no, len(decoded), "list_no")
            if len(lists) and lists.max() >= self.nlist:
                raise InputError(f"list_no: expected 0 to {self.nlist - 1}, got {int(lists.max())}")
            decoded += self._cells.centroids[lists]
        return self._unrotated(decoded)

    def _has_same_space(self, other: Index) -> bool:
        return super()._has_same_space(other) and self.by_residual == getattr(other, "by_residual", None)

    def _metadata(self) -> dict[str, Any]:
        return super()._metadata() | {"training": self.training}

    def _codec_of(self, tensors: native.Tensors, ntotal: int, look: bool) -> PQCodec:
        pq = ProductQuantizer(self.m, self.nbits, self.pq.kmeans, self.pq.seed).set_centroids(tensors["pq_centroids"])
        native.check_codes(tensors, self.nlist, ntotal, pq, look)
        return PQCodec(pq, self.by_residual, self.metric, self._cells_of(tensors["coarse_centroids"]))

    def _cells_of(self, centroids: FloatArray) -> Cells | OneCell:
        return OneCell(centroids.shape[1])


class PQIndex(_Coded):
    """Product quantization without an inverted file: m bytes a vector, all of them scanned.

    It is an inverted file of one list whose centroid is the origin.

    Parameters
    ----------
    m : int
        Sub-quantizers; must divide d.
    nbits : int
        Bits of a sub-code, 4 to 16; 8 is the fast one.
    metric : {"l2", "ip", "cosine"}
    kmeans : {"native", "k-means++", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    rotation : {None, "opq", "opq:64", "pca:128"}
    seed : int

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((2000, 16), np.float32)
    >>> index = la.PQIndex(m=8, nbits=4).train(xb).add(xb)
    >>> index.search(xb[:2], k=3).ids.shape
    (2, 3)
    """

    kind = "pq"
    _arguments = ("m", "nbits", "metric", "kmeans", "rotation", "seed")

    def __init__(
        self,
        m: int = 16,
        nbits: int = 8,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
    ) -> None:
        parse_rotation(rotation)
        pq = ProductQuantizer(m, nbits, kmeans, seed)
        super().__init__(PQCodec(pq, False, metric), 1, kmeans, rotation, seed)


class InvertedFile(Index):
    """What the kinds with many cells share."""

    coarse_metric: str

    @property
    def coarse_centroids(self) -> FloatArray:
        """float32, shape (nlist, d), read-only; in the rotated space if there is a rotation."""
        self._check_trained()
        return self._cells.centroids

    @property
    def list_sizes(self) -> IdArray:
        """Vectors in each list, int64, shape (nlist,)."""
        return self._lists.counts

    def _trained_cells(self, x: FloatArray) -> Cells:
        return train_cells(x, self.nlist, self.coarse_metric, self.kmeans, self.seed)

    def _cells_of(self, centroids: Any) -> Cells:
        return Cells(np.array(centroids, np.float32, order="C"), self.coarse_metric)

    def _given_cells(self, coarse_centroids: Any) -> Cells:
        """Cells for `set_centroids`."""
        if self.ntotal:
            raise InputError(f"set_centroids: expected an empty index, it holds {self.ntotal} vectors")
        shape = np.shape(coarse_centroids)
        if len(shape) != 2 or shape[0] != self.nlist or not shape[1]:
            raise DimensionError(f"coarse_centroids: expected ({self.nlist}, d), got {shape}")
        if not np.isfinite(coarse_centroids).all():
            raise InputError("coarse_centroids: expected finite numbers, got NaN or infinity")
        return self._cells_of(coarse_centroids)


class IVFFlatIndex(InvertedFile):
    """Inverted file of float32 vectors: as `IVFPQIndex`, without the loss of codes and with 4d + 8 bytes a vector.

    Parameters
    ----------
    nlist : int
        Inverted lists; about 4·sqrt(n) to 16·sqrt(n).
    metric : {"l2", "ip", "cosine"}
    kmeans : {"native", "k-means++", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    rotation : {None, "pca:128"}
        Reduce vectors by PCA first; distances are those of the reduced vectors.
    seed : int
        Training is repeatable on one machine.
    coarse_metric : {None, "l2", "ip"}
        How lists are assigned and chosen: by default by inner product for ``"ip"``, else by L2 distance, as in FAISS. Lists that
        are chosen by inner product have centroids of length 1 (spherical k-means).

    Notes
    -----
    A search costs O(d · nlist) and O(d) for each vector of the nprobe lists.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((4000, 16), np.float32)
    >>> index = la.IVFFlatIndex(nlist=16).train(xb).add(xb)
    >>> index.search(xb[:2], k=1, nprobe=4).ids.tolist()
    [[0], [1]]
    """

    kind = "ivfflat"
    _arguments = ("nlist", "metric", "kmeans", "rotation", "seed", "coarse_metric")

    def __init__(
        self,
        nlist: int = 1024,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
        coarse_metric: str | None = None,
    ) -> None:
        get_kmeans(kmeans)
        if parse_rotation(rotation)[0] == "opq":
            raise InputError(
                f'rotation: expected None or "pca:128", got {rotation!r}; OPQ prepares vectors for codes, this index has none'
            )
        super().__init__(WholeCodec(metric), nlist, kmeans, rotation, seed)
        self.coarse_metric = check_coarse_metric(coarse_metric, metric)

    def set_centroids(self, coarse_centroids: Any) -> Self:
        """Use these centroids, float, shape (nlist, d), instead of training. Returns the index itself.

        Raises
        ------
        DimensionError
            If there are not nlist of them.
        InputError
            If they are not finite, or the index holds vectors already.
        """
        with self._changing():
            self._take(WholeCodec(self.metric, self._given_cells(coarse_centroids)), None)
        return self

    def _codec_of(self, tensors: native.Tensors, ntotal: int, look: bool) -> WholeCodec:
        native.check_vectors(tensors, self.nlist, ntotal)
        if look:
            check_lengths(tensors["vectors"], "vectors")
        return WholeCodec(self.metric, self._cells_of(tensors["coarse_centroids"]))


class IVFPQIndex(InvertedFile, _Coded):
    """Inverted file with product quantization: m bytes a vector, sub-linear search.

    Parameters
    ----------
    nlist : int
        Inverted lists; about 4·sqrt(n) to 16·sqrt(n).
    m : int
        Sub-quantizers; must divide d. A vector takes m bytes (2 m for nbits > 8) and 8 more, for its bias and its id.
    nbits : int
        Bits of a sub-code, 4 to 16; 8 is the fast one.
    metric : {"l2", "ip", "cosine"}
    kmeans : {"native", "k-means++", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    rotation : {None, "opq", "opq:64", "pca:128"}
        A linear map in front, learnt in `train`; the number is the dimension behind it, which m must divide.
    by_residual : bool
        Encode x − q_c(x) (default) or x itself.
    seed : int
        Training is repeatable on one machine.
    coarse_metric : {None, "l2", "ip"}
        How lists are assigned and chosen: by default by L2 distance for ``"l2"`` and ``"cosine"``, and by inner product for
        ``"ip"``, as in FAISS. Lists that are chosen by inner product have centroids of length 1 (spherical k-means).

    Notes
    -----
    Search costs O(d · nlist + d · ksub) once and O(m) for each vector of the nprobe lists.

    References
    ----------
    H. Jégou, M. Douze, C. Schmid, "Product quantization for nearest neighbor search", IEEE TPAMI 33(1), 2011.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((4000, 16), np.float32)
    >>> index = la.IVFPQIndex(nlist=16, m=4, nbits=6).train(xb).add(xb)
    >>> distances, ids = index.search(xb[:2], k=3, nprobe=4)
    >>> distances.shape
    (2, 3)
    """

    kind = "ivfpq"
    _arguments = (*PQIndex._arguments, "nlist", "by_residual", "coarse_metric")

    def __init__(
        self,
        nlist: int = 1024,
        m: int = 16,
        nbits: int = 8,
        metric: str = "l2",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
        by_residual: bool = True,
        coarse_metric: str | None = None,
    ) -> None:
        parse_rotation(rotation)
        pq = ProductQuantizer(m, nbits, kmeans, seed)
        super().__init__(PQCodec(pq, bool(by_residual), metric), nlist, kmeans, rotation, seed)
        self.coarse_metric = check_coarse_metric(coarse_metric, metric)

    def set_centroids(self, coarse_centroids: Any, pq_centroids: Any) -> Self:
        """Use these centroids instead of training; float, shapes (nlist, d) and (m, ksub, dsub). Returns the index itself.

        Raises
        ------
        DimensionError
            If the shapes do not fit the index or each other.
        InputError
            If they are not finite, or the index holds vectors already.
        """
        with self._changing():
            cells = self._given_cells(coarse_centroids)
            d = cells.centroids.shape[1]
            if self._transform is not None and self._transform.d_out != d:
                raise DimensionError(
                    f"coarse_centroids: expected d={self._transform.d_out} behind the rotation, got {d}"
                )
            pq = ProductQuantizer(self.m, self.nbits, self.pq.kmeans, self.pq.seed)
            pq.check_dimension(d)
            pq.set_centroids(pq_centroids)
            if pq.d != d:
                raise DimensionError(f"pq_centroids: expected m · dsub = {d}, got {pq.d}")
            self._take(PQCodec(pq, self.by_residual, self.metric, cells), self._transform)
            self.training = {}
        return self
