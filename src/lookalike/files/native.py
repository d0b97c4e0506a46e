"""The native file of an index: metadata (format, version, kind, the constructor's arguments) and named arrays (`tensors`).

Here a file is plain data. What it says is checked as far as that goes without an index; `index.storage` makes one of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import lookalike
from lookalike._typing import Array
from lookalike._validate import LARGEST_NORM
from lookalike.errors import FormatError, VersionError
from lookalike.files.tensors import Source, read_tensors, source_name
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import LinearTransform

__all__ = [
    "BASE",
    "KINDS",
    "VERSION",
    "Tensors",
    "check_codes",
    "check_flat",
    "check_ids",
    "check_lengths",
    "check_nlist",
    "check_vectors",
    "metadata_of",
    "read_index",
    "rotation_of",
    "rotation_tensors",
]

FORMAT, VERSION = "lookalike-index", 1
KINDS = ("flat", "pq", "ivfflat", "ivfpq", "refined")
BASE = "base."  # begins the names of what a RefinedIndex refines
LARGE = (
    "vectors",
    "codes",
    "biases",
    "ids",
)  # grow with the vectors: a mapped file is not read through for their checksums
UNREAD = frozenset([*LARGE, *(BASE + name for name in LARGE)])
BLOCK = 64  # vectors of a block of codes
ROWS = 1 << 16  # vectors checked at a time
DENSE = 16  # ids below this many times their number are marked in a table; others are sorted

Tensors = dict[str, Array]

# --- a file ----------------------------------------------------------------------------------------------------------


def metadata_of(kind: str, spec: dict[str, Any], d: int | None, ntotal: int, next_id: int) -> dict[str, Any]:
    """Metadata of a file; `spec` holds the constructor's arguments."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "writer": f"lookalike {lookalike.__version__}",
        "kind": kind,
        "spec": spec,
        "d": d or 0,
        "ntotal": ntotal,
        "next_id": next_id,
    }


def read_index(source: Source | bytes | bytearray | memoryview, mmap: bool = False) -> tuple[dict[str, Any], Tensors]:
    """Metadata and tensors of an index of one of `KINDS`; with `mmap` the large tensors are mapped and not read.

    Raises
    ------
    FormatError, VersionError
        If it is damaged or of another kind, or was written by a newer lookalike.
    """
    metadata, tensors = read_tensors(source, mmap, UNREAD)
    name, version, kind = source_name(source), metadata.get("version"), metadata.get("kind")
    if metadata.get("format") != FORMAT:
        raise FormatError(f"{name}: not a lookalike index (its format is {metadata.get('format')!r})")
    if not isinstance(version, int) or version > VERSION:
        raise VersionError(
            f"{name}: written by {metadata.get('writer', 'a newer lookalike')}, file version {version}; "
            f"this one reads up to {VERSION}; upgrade lookalike"
        )
    if kind not in KINDS:
        raise FormatError(f"{name}: unknown kind of index {kind!r}; expected one of {', '.join(KINDS)}")
    return metadata, tensors


# --- its parts -------------------------------------------------------------------------------------------------------


def check_nlist(spec: dict[str, Any], tensors: Tensors) -> None:
    """Check the number of lists against the centroids, before room is made for the lists."""
    centroids, seed = tensors["coarse_centroids"], spec.get("seed", 0)
    if centroids.ndim != 2 or not centroids.size or spec.get("nlist", 1) != len(centroids):
        raise FormatError(f"nlist={spec.get('nlist', 1)}, centroids {centroids.shape}")
    if not isinstance(seed, int) or seed < 0:
        raise FormatError(f"seed={seed!r}")


def check_flat(tensors: Tensors, d: int) -> None:
    """Check the tensors of a flat index."""
    vectors, ids = tensors["vectors"], tensors["ids"]
    shape = (len(ids), d) if len(ids) else (0, vectors.shape[1])  # older versions wrote (0, 0) for an empty index
    if vectors.dtype != np.float32 or ids.dtype != np.int64 or vectors.shape != shape or ids.ndim != 1 or d < 0:
        raise FormatError(f"vectors {vectors.dtype} {vectors.shape}, ids {ids.dtype} {ids.shape}, d={d}")
    if len(ids) and not d:
        raise FormatError(f"{len(ids)} vectors of d=0")


def check_vectors(tensors: Tensors, nlist: int, ntotal: int) -> None:
    """Check the tensors of an inverted file of whole vectors."""
    centroids, vectors, ids, sizes = (tensors[name] for name in ("coarse_centroids", "vectors", "ids", "sizes"))
    fits = (
        centroids.ndim == vectors.ndim == 2
        and centroids.shape == (nlist, vectors.shape[1])
        and centroids.dtype == vectors.dtype == np.float32
        and ids.dtype == sizes.dtype == np.int64
        and sizes.shape == (nlist,)
        and not ((sizes < 0) | (sizes > len(vectors))).any()
        and ids.shape == (len(vectors),)
        and int(sizes.sum()) == len(vectors) == ntotal
        and bool(np.isfinite(centroids).all())
    )
    if not fits:
        raise FormatError(f"nlist={nlist}, centroids {centroids.shape}, vectors {vectors.shape}, ids {ids.shape}")


def check_codes(tensors: Tensors, nlist: int, ntotal: int, pq: ProductQuantizer, look: bool) -> None:
    """Check the tensors of PQ codes in one or many lists; `look` at the codes themselves, too."""
    names = ("coarse_centroids", "codes", "biases", "ids", "sizes")
    centroids, codes, biases, ids, sizes = (tensors[name] for name in names)
    fits = (
        centroids.shape == (nlist, pq.d)
        and sizes.shape == (nlist,)
        and sizes.dtype == np.int64
        and not ((sizes < 0) | (sizes > len(ids))).any()  # so that no sum below overflows
        and codes.shape == (int((-(-sizes // BLOCK)).sum()), pq.m, BLOCK)
        and codes.dtype == np.dtype(pq.code_dtype)
        and biases.shape == ids.shape == (len(codes) * BLOCK,)
        and centroids.dtype == biases.dtype == np.float32
        and ids.dtype in (np.int32, np.int64)
        and int(sizes.sum()) == ntotal
        and bool(np.isfinite(centroids).all())
    )
    if not fits:
        raise FormatError(f"nlist={nlist}, m={pq.m}, centroids {centroids.shape}, codes {codes.shape}")
    if look and pq.nbits not in {8, 16} and codes.size and int(codes.max()) >= pq.ksub:
        raise FormatError(f"code {int(codes.max())} of {pq.ksub} centroids")


def check_ids(ids: Array) -> int:
    """The largest of the ids, −1 if there are none; they must be distinct and not negative."""
    if not len(ids):
        return -1
    low, high = int(ids.min()), int(ids.max())
    if low < 0:
        raise FormatError(f"id {low}, which is negative")
    if high < DENSE * len(ids):
        seen = np.zeros(high + 1, np.bool_)
        seen[ids] = True
        distinct = int(np.count_nonzero(seen))
    else:
        distinct = len(np.unique(ids))
    if distinct != len(ids):
        raise FormatError(f"{len(ids)} ids, of which {len(ids) - distinct} are there twice")
    return high


def check_lengths(vectors: Array) -> None:
    """Refuse vectors that `add` would not take: not finite, or so long that a distance could overflow."""
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(vectors), ROWS):
            block = vectors[first : first + ROWS]
            if not (np.einsum("nd,nd->n", block, block) < LARGEST_NORM).all():
                raise FormatError("vectors that are not finite, or too long to be compared")


def rotation_tensors(transform: LinearTransform | None) -> Tensors:
    """A linear map as a file holds it."""
    if transform is None:
        return {}
    tensors: Tensors = {"rotation": transform.matrix, "rotation_offset": transform.offset}
    return tensors if transform.centre is None else tensors | {"rotation_centre": transform.centre}


def rotation_of(tensors: Tensors, d_out: int) -> LinearTransform | None:
    """The linear map of a file, which must lead to `d_out` dimensions; None if there is none."""
    if "rotation" not in tensors:
        return None
    transform = LinearTransform(tensors["rotation"], tensors["rotation_offset"], tensors.get("rotation_centre"))
    if transform.d_out != d_out:
        raise FormatError(f"rotation to {transform.d_out} dimensions, centroids of {d_out}")
    return transform
