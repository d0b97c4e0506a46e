"""The native file of an index: metadata (format, version, kind, the constructor's arguments) and named arrays (`tensors`).

Here a file is plain data. What it says is checked as far as that goes without an index; `index.storage` makes one of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import lookalike
from lookalike._typing import Array
from lookalike.errors import FormatError, VersionError
from lookalike.files.tensors import Source, read_tensors, source_name
from lookalike.kernels.layout import BLOCK
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import LinearTransform
from lookalike.quantizers.signs import bits_for

__all__ = [
    "BASE",
    "KINDS",
    "VERSION",
    "Tensors",
    "check_codes",
    "check_flat",
    "check_nlist",
    "check_signs",
    "check_vectors",
    "metadata_of",
    "read_index",
    "rotation_of",
    "rotation_tensors",
]

FORMAT, VERSION = "lookalike-index", 1
KINDS = ("flat", "pq", "ivfflat", "ivfpq", "ivfsigns", "refined")
BASE = "base."  # begins the names of what a RefinedIndex refines
LARGE = (
    "vectors",
    "codes",
    "biases",
    "scales",
    "rows",
    "ranges",
    "ids",
)  # grow with the vectors: their checksums are not compared where they are mapped
UNREAD = frozenset([*LARGE, *(BASE + name for name in LARGE)])

Tensors = dict[str, Array]

# --- a file ----------------------------------------------------------------------------------------------------------


def metadata_of(kind: str, spec: dict[str, Any], d: int | None, ntotal: int, next_id: int) -> dict[str, Any]:
    """Metadata of a file; `spec` holds the constructor's arguments. A function for k-means is not kept."""
    if not isinstance(spec.get("kmeans", ""), str):
        spec = spec | {"kmeans": "custom"}
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
    vectors, n = tensors["vectors"], len(tensors["ids"])
    if d < 0 or (n and not d):
        raise FormatError(f"{n} vectors of d={d}")
    shape = (n, d) if n else (0, vectors.shape[1])  # older versions wrote (0, 0) for an empty index
    _check_arrays(tensors, {"vectors": ("float32", shape), "ids": ("int64", (n,))})


def check_vectors(tensors: Tensors, nlist: int, ntotal: int) -> None:
    """Check the tensors of an inverted file of whole vectors."""
    d = tensors["coarse_centroids"].shape[1]
    _check_lists(tensors, nlist, d, ntotal)
    _check_arrays(tensors, {"vectors": ("float32", (ntotal, d)), "ids": ("int64", (ntotal,))})


def check_codes(tensors: Tensors, nlist: int, ntotal: int, pq: ProductQuantizer, look: bool) -> None:
    """Check the tensors of PQ codes in one or many lists; `look` at the codes themselves, too."""
    _check_lists(tensors, nlist, pq.d, ntotal)
    blocks = int((-(-tensors["sizes"] // BLOCK)).sum())
    wanted = {
        "codes": (np.dtype(pq.code_dtype).name, (blocks, pq.m, BLOCK)),
        "biases": ("float32", (blocks * BLOCK,)),
        "ids": ("int32 or int64", (blocks * BLOCK,)),
    }
    _check_arrays(tensors, wanted)
    codes = tensors["codes"]
    if look and pq.nbits not in {8, 16} and codes.size and int(codes.max()) >= pq.ksub:
        raise FormatError(f"code {int(codes.max())} of {pq.ksub} centroids")


def check_signs(tensors: Tensors, nlist: int, ntotal: int, rows: str) -> None:
    """Check the tensors of sign codes and the rows beside them."""
    d = tensors["coarse_centroids"].shape[1]
    _check_lists(tensors, nlist, d, ntotal)
    bits, blocks = bits_for(d), int((-(-tensors["sizes"] // BLOCK)).sum())
    room = blocks * BLOCK
    rounds = 2 if bits & (bits - 1) == 0 else 4
    wanted = {
        "flips": ("uint8", (rounds, bits)),
        "codes": ("uint8", (blocks, bits // 8, BLOCK)),
        "scales": ("float32", (room,)),
        "biases": ("float32", (room,)),
        "rows": (rows if rows.startswith("float") else "uint8", (room, d)),
        "ids": ("int32 or int64", (room,)),
    }
    if rows == "sq8":
        wanted |= {"base": ("float32", (d,)), "widths": ("float32", (d,))}
    if rows == "lvq8":
        wanted |= {"ranges": ("float32", (room, 2))}
    _check_arrays(tensors, wanted)
    if tensors["flips"].max() > 1:
        raise FormatError("flips of signs other than 0 and 1")
    if rows == "sq8" and not (np.isfinite(tensors["base"]).all() and np.isfinite(tensors["widths"]).all()):
        raise FormatError("ranges of bytes that are not finite")


def _check_lists(tensors: Tensors, nlist: int, d: int, ntotal: int) -> None:
    """Check the centroids, and how many vectors each list holds."""
    _check_arrays(tensors, {"coarse_centroids": ("float32", (nlist, d)), "sizes": ("int64", (nlist,))})
    sizes, most = tensors["sizes"], len(tensors["ids"])
    if ((sizes < 0) | (sizes > most)).any() or int(sizes.sum()) != ntotal:  # no such sum overflows
        raise FormatError(f"{ntotal} vectors in lists of {sizes.min()} to {sizes.max()}, and {most} ids")
    if not np.isfinite(tensors["coarse_centroids"]).all():
        raise FormatError("centroids that are not finite")


def _check_arrays(tensors: Tensors, wanted: dict[str, tuple[str, tuple[int, ...]]]) -> None:
    """Check dtypes and shapes."""
    for name, (dtypes, shape) in wanted.items():
        dtype = tensors[name].dtype.name
        if dtype not in dtypes.split(" or ") or tensors[name].shape != shape:
            raise FormatError(f"{name}: expected {dtypes} {shape}, got {dtype} {tensors[name].shape}")


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
