"""An inverted file of sign codes that choose candidates, and rows that order them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike._typing import CodeArray, SearchResult
from lookalike._validate import MAX_K, check_count
from lookalike.errors import InputError
from lookalike.files import native
from lookalike.files.tensors import MappedFile
from lookalike.index.cells import check_coarse_metric
from lookalike.index.codecs.signs import ROWS, Learnt, SignsCodec
from lookalike.index.index import Index
from lookalike.index.kinds import InvertedFile
from lookalike.quantizers.kmeans import KMeansChoice, get_kmeans
from lookalike.quantizers.rotation import parse_rotation

__all__ = ["IVFSignsIndex"]


class IVFSignsIndex(InvertedFile):
    """Inverted file of sign codes, with rows that order what they find: the fastest search at a recall of 0.9 and more.

    Parameters
    ----------
    nlist : int
        Inverted lists; about 4·sqrt(n) to 16·sqrt(n).
    metric : {"l2", "ip", "cosine"}
    rows : {"lvq8", "sq8", "float16", "float32"}
        What the nearest candidates are compared with. ``"lvq8"``: a byte for each dimension of the residual, between the smallest
        and the largest of that vector. ``"sq8"``: a byte for each dimension, between the smallest and the largest of the training
        vectors; beyond these it is cut off; whole numbers from 0 to 255 are kept exactly. Or the vectors themselves.
    kmeans : {"native", "k-means++", "faiss", "sklearn", "minibatch"} or function ``(x, k, seed) -> centroids``
    rotation : {None, "pca:128"}
        Reduce vectors by PCA first; distances are those of the reduced vectors.
    seed : int
        Training is repeatable on one machine.
    coarse_metric : {None, "l2", "ip"}
        How lists are assigned and chosen, as in `IVFPQIndex`.

    Notes
    -----
    A vector takes d / 8 bytes for its code (d rounded up to a multiple of 64), its row, 8 bytes for scale and bias, 8 more for the
    range of ``"lvq8"``, and 4 or 8 for its id. A search costs O(d · nlist) once, d / 4 look-ups in tables of 16 bytes for each
    vector of the nprobe lists, and O(d) for each candidate.

    References
    ----------
    J. Gao, C. Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate Nearest Neighbor
    Search", SIGMOD 2024. C. Aguerrebere et al., "Similarity Search in the Blink of an Eye with Compressed Indices", VLDB 2023, for
    ``"lvq8"``.

    Examples
    --------
    >>> import numpy as np, lookalike as la
    >>> xb = np.random.default_rng(0).random((4000, 16), np.float32)
    >>> index = la.IVFSignsIndex(nlist=16).train(xb).add(xb)
    >>> index.search(xb[:2], k=1, nprobe=4).ids.tolist()
    [[0], [1]]
    """

    kind = "ivfsigns"
    _arguments = ("nlist", "metric", "rows", "kmeans", "rotation", "seed", "coarse_metric")
    _codec: SignsCodec

    def __init__(
        self,
        nlist: int = 1024,
        metric: str = "l2",
        rows: str = "lvq8",
        kmeans: KMeansChoice = "native",
        rotation: str | None = None,
        seed: int = 0,
        coarse_metric: str | None = None,
    ) -> None:
        get_kmeans(kmeans)
        if rows not in ROWS:
            raise InputError(f"rows: expected one of {', '.join(ROWS)}, got {rows!r}")
        if parse_rotation(rotation)[0] == "opq":
            raise InputError(
                f'rotation: expected None or "pca:128", got {rotation!r}; OPQ prepares vectors for product codes'
            )
        super().__init__(SignsCodec(rows, metric, check_count(seed, "seed", 0)), nlist, kmeans, rotation, seed)
        self.rows = rows
        self.coarse_metric = check_coarse_metric(coarse_metric, metric)

    @property
    def bits(self) -> int:
        """How many signs stand for a vector: d, rounded up to a multiple of 64."""
        self._check_trained()
        return self._codec.bits

    @property
    def codes(self) -> CodeArray:
        """The signs of all vectors, four in a number, uint8, shape (ntotal, bits / 4), in the order of `ids`."""
        return self._codec.codes(self._lists.all_rows()[1])

    def search(
        self,
        xq: Any,
        k: int = 10,
        *,
        nprobe: int | None = None,
        allow: Any = None,
        deny: Any = None,
        threads: int | None = None,
        candidates: int | None = None,
    ) -> SearchResult:
        """The k nearest rows among the candidates whose codes say that they are near.

        Parameters
        ----------
        xq, k, nprobe, allow, deny, threads
            As in `IVFPQIndex.search`.
        candidates : int, optional
            How many vectors of the visited lists are compared by their rows; 10 k by default, at least k. Fewer are faster, more
            find more: for 10 neighbours and a recall of 0.9 some 40 are enough.

        Returns
        -------
        SearchResult
            Distances to the rows (nq, k) float32 and ids (nq, k) int64, best first, equal distances by id.
        """
        codec = self._codec
        if candidates is not None:
            codec = codec.with_candidates(check_count(candidates, "candidates", 1, MAX_K))
        return self._searched(codec, xq, k, nprobe, allow, deny, threads)

    def _has_same_space(self, other: Index) -> bool:
        return super()._has_same_space(other) and self.rows == getattr(other, "rows", None)

    def _metadata(self) -> dict[str, Any]:
        return super()._metadata() | {"training": self.training}

    def _codec_of(self, tensors: native.Tensors, ntotal: int, look: bool) -> SignsCodec:
        native.check_signs(tensors, self.nlist, ntotal, self.rows)
        d = tensors["coarse_centroids"].shape[1]
        base, widths = np.zeros(d, np.float32), np.ones(d, np.float32)
        if self.rows == "sq8":  # only then they were checked
            base, widths = tensors["base"], tensors["widths"]
        learnt = Learnt(tensors["flips"], base, widths)
        return SignsCodec(self.rows, self.metric, self.seed, self._cells_of(tensors["coarse_centroids"]), learnt)

    def _mark_loaded(self, mapped: MappedFile | None) -> None:
        super()._mark_loaded(mapped)
        self._is_fresh = False  # by the definitions alone it would choose other candidates
