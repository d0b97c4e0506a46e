"""Indexes from the strings that FAISS users write, such as ``"OPQ16_64,IVF1024,PQ16,RFlat"``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NoReturn

from lookalike._validate import check_metric
from lookalike.errors import InputError
from lookalike.index.kinds import FlatIndex, IVFFlatIndex, IVFPQIndex, PQIndex
from lookalike.index.refine import RefinedIndex
from lookalike.index.signs import IVFSignsIndex
from lookalike.quantizers.kmeans import KMeansChoice

__all__ = ["index_factory"]

UNDERSTOOD = (
    "Flat, PQ8, PQ8x4, RaBitQ, IVF100, PCA128, OPQ16, OPQ16_64, L2norm, RFlat, Refine(SQ8), Refine(SQfp16) and IDMap"
)
REFINEMENTS = {"RFlat": "float32", "Refine(Flat)": "float32", "Refine(SQfp16)": "float16", "Refine(SQ8)": "sq8"}
THOUSANDS = {"": 1, "k": 1 << 10, "M": 1 << 20}


@dataclass
class _Spec:
    """What the parts read so far say."""

    text: str
    normalise: bool = False
    rotation: str | None = None
    opq_m: int | None = None
    nlist: int | None = None
    m: int | None = None  # None for whole vectors
    nbits: int = 8
    signs: bool = False
    encoded: bool = False
    refinement: str | None = None  # how rows are kept beside codes

    def fail(self, message: str) -> NoReturn:
        raise InputError(f"index_factory: {message} in {self.text!r}")


def index_factory(
    description: str, metric: str = "l2", *, kmeans: KMeansChoice = "native", seed: int = 0
) -> FlatIndex | PQIndex | IVFFlatIndex | IVFPQIndex | IVFSignsIndex | RefinedIndex:
    """An empty index from its description.

    Parameters
    ----------
    description : str
        Parts separated by commas, in the order in which a vector passes them:

        ``L2norm``
            Normalise: the metric becomes ``"cosine"``.
        ``PCA128``, ``OPQ16``, ``OPQ16_64``
            Reduce to 128 dimensions; rotate for a PQ of 16 pieces; the same, to 64 dimensions.
        ``IVF1024``, ``IVF16k``
            So many inverted lists.
        ``Flat``, ``PQ16``, ``PQ16x4``
            Keep vectors whole; in 16 codes of 8 bits; of 4 bits.
        ``RaBitQ``, ``RaBitQfs``
            Keep signs of the residual, and rows for refinement; only after ``IVF``.
        ``RFlat``, ``Refine(Flat)``
            Keep the vectors, too, and order candidates by exact distance.
        ``Refine(SQfp16)``, ``Refine(SQ8)``
            Keep them in float16, or in a byte for each dimension; only after ``RaBitQ``, whose rows are ``"lvq8"`` by default.
        ``IDMap``, ``IDMap2``
            Accepted; every index here takes its own ids.
    metric : {"l2", "ip", "cosine"}
    kmeans : str or function
        As in `IVFPQIndex`.
    seed : int

    Returns
    -------
    FlatIndex, PQIndex, IVFFlatIndex, IVFPQIndex, IVFSignsIndex or RefinedIndex
        ``PCA64,Flat`` is an `IVFFlatIndex` of one list.

    Raises
    ------
    InputError
        If a part is not understood or does not fit the others; the message names it and lists what is understood.

    Notes
    -----
    The dimension is learnt in `train` and is no argument. nprobe is one of `search`.

    Examples
    --------
    >>> import lookalike as la
    >>> index = la.index_factory("OPQ16_64,IVF1024,PQ16")
    >>> type(index).__name__, index.nlist, index.m, index.rotation
    ('IVFPQIndex', 1024, 16, 'opq:64')
    """
    if not isinstance(description, str):
        raise InputError(
            f"index_factory: expected a string such as 'IVF1024,PQ16', got {description!r}; "
            "the dimension is no argument, it is learnt in train"
        )
    spec = _Spec(description)
    for part in description.split(","):
        _read_part(spec, part.strip())
    if not spec.encoded:
        spec.fail("expected Flat, PQ or RaBitQ, which say how vectors are kept, got none of them")
    if spec.opq_m is not None and spec.m is not None and spec.opq_m != spec.m:
        spec.fail(f"OPQ{spec.opq_m} rotates for {spec.opq_m} pieces, PQ{spec.m} has {spec.m}; give the same number")
    metric = "cosine" if spec.normalise else check_metric(metric)
    index = _make(spec, {"metric": metric, "kmeans": kmeans, "seed": seed})
    return RefinedIndex(index) if spec.refinement and not spec.signs else index


def _make(spec: _Spec, common: dict[str, Any]) -> Any:
    if spec.signs:
        if spec.nlist is None or spec.opq_m is not None:
            spec.fail("RaBitQ has to follow IVF, without OPQ")
        return IVFSignsIndex(spec.nlist, rows=spec.refinement or "lvq8", rotation=spec.rotation, **common)
    if spec.refinement not in {None, "float32"}:
        spec.fail("vectors are kept in float16 or bytes only beside RaBitQ; expected RFlat")
    if spec.m is not None:
        common |= {"m": spec.m, "nbits": spec.nbits, "rotation": spec.rotation}
        return PQIndex(**common) if spec.nlist is None else IVFPQIndex(spec.nlist, **common)
    if spec.opq_m is not None:
        spec.fail("OPQ prepares vectors for PQ, which is not there")
    if spec.nlist is None and spec.rotation is None:
        return FlatIndex(common["metric"])
    return IVFFlatIndex(spec.nlist or 1, rotation=spec.rotation, **common)


def _read_part(spec: _Spec, part: str) -> None:
    """Add one part to the specification."""
    if part in {"IDMap", "IDMap2"}:
        return
    if part in REFINEMENTS and spec.encoded and not spec.refinement:
        spec.refinement = REFINEMENTS[part]
    elif spec.encoded:
        after = "a refinement" if spec.refinement else "Flat, PQ or RaBitQ"
        spec.fail(f"{part!r} after {after} is not understood; expected {UNDERSTOOD}")
    elif part == "L2norm":
        if spec.rotation or spec.nlist is not None:
            spec.fail("L2norm has to come first, other positions are not understood")
        spec.normalise = True
    elif found := re.fullmatch(r"PCA([1-9]\d{0,8})", part):
        _rotate(spec, part, f"pca:{found[1]}")
    elif found := re.fullmatch(r"OPQ([1-9]\d{0,8})(?:_([1-9]\d{0,8}))?", part):
        _rotate(spec, part, f"opq:{found[2]}" if found[2] else "opq")
        spec.opq_m = int(found[1])
    elif found := re.fullmatch(r"IVF([1-9]\d{0,8})([kM]?)", part):
        if spec.nlist is not None:
            spec.fail(f"{part!r} is a second inverted file")
        spec.nlist = int(found[1]) * THOUSANDS[found[2]]
    elif not _read_codec(spec, part):
        spec.fail(f"{part!r} is not understood; expected {UNDERSTOOD}")


def _read_codec(spec: _Spec, part: str) -> bool:
    """Add how vectors are kept, if that is what a part says."""
    if part in {"RaBitQ", "RaBitQfs"}:
        spec.signs = True
    elif found := re.fullmatch(r"PQ([1-9]\d{0,8})(?:x(\d{1,2}))?(?:np)?", part):
        spec.m, spec.nbits = int(found[1]), int(found[2] or 8)
    elif part != "Flat":
        return False
    spec.encoded = True
    return True


def _rotate(spec: _Spec, part: str, rotation: str) -> None:
    if spec.rotation or spec.nlist is not None:
        spec.fail(f"{part!r} has to be the only linear map and to come before IVF")
    spec.rotation = rotation
