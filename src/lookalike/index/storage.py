"""The native file: one safetensors file that can be mapped.

Metadata holds the format, its version, the constructor's arguments, logical shapes and checksums. The header and every
tensor are padded to 64 bytes, so each tensor can be mapped aligned; a tensor is stored flat, its logical shape
stands in the metadata. Any safetensors reader opens the file.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import numpy as np

import lookalike
from lookalike._files import atomic_write
from lookalike._typing import Array, PathLike
from lookalike.errors import FormatError, LookalikeError, VersionError
from lookalike.index.base import Index
from lookalike.index.coded import CodedIndex
from lookalike.index.flat import FlatIndex
from lookalike.index.invlists import InvertedLists
from lookalike.index.ivfflat import IVFFlatIndex
from lookalike.index.ivfpq import IVFPQIndex
from lookalike.index.listed import ListedIndex
from lookalike.index.pq import PQIndex
from lookalike.index.vectorlists import VectorLists
from lookalike.quantizers.rotation import LinearTransform

__all__ = ["load_index", "read_tensors", "save_index", "write_tensors"]

FORMAT, VERSION = "lookalike-index", 1
ALIGNMENT = 64
MAX_HEADER = 1 << 20
DTYPES = {"F32": np.float32, "U8": np.uint8, "U16": np.uint16, "I32": np.int32, "I64": np.int64, "F16": np.float16}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
KINDS: dict[str, type[Index]] = {
    "flat": FlatIndex,
    "pq": PQIndex,
    "ivfflat": IVFFlatIndex,
    "ivfpq": IVFPQIndex,
}

# --- tensors in a file -----------------------------------------------------------------------------------------------


def write_tensors(path: PathLike, metadata: dict[str, Any], tensors: dict[str, Array]) -> None:
    """Write named arrays and metadata to one safetensors file, atomically, every tensor 64-byte aligned."""
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    header: dict[str, Any] = {"__metadata__": {key: json.dumps(value) for key, value in metadata.items()}}
    header["__metadata__"]["shapes"] = json.dumps({name: list(array.shape) for name, array in arrays.items()})
    header["__metadata__"]["sha256"] = json.dumps({name: _checksum(array) for name, array in arrays.items()})
    at = 0
    for name, array in arrays.items():
        length = -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        header[name] = {
            "dtype": NAMES[array.dtype],
            "shape": [length // array.itemsize],
            "data_offsets": [at, at + length],
        }
        at += length
    header["__metadata__"]["header_sha256"] = _header_checksum(header)
    text = _compact(header)
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.reshape(-1).view(np.uint8).data)
            file.write(b"\0" * (-array.nbytes % ALIGNMENT))


def _compact(header: dict[str, Any]) -> bytes:
    return json.dumps(header, separators=(",", ":"), sort_keys=True).encode()


def _header_checksum(header: dict[str, Any]) -> str:
    """Of everything in a header but this checksum itself."""
    metadata = {key: value for key, value in header["__metadata__"].items() if key != "header_sha256"}
    return hashlib.sha256(_compact({**header, "__metadata__": metadata})).hexdigest()


def _checksum(array: Array) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data).hexdigest()


def read_tensors(path: PathLike, mmap: bool = False) -> tuple[dict[str, Any], dict[str, Array]]:
    """Metadata and arrays of a file of `write_tensors`.

    Parameters
    ----------
    path : path
    mmap : bool
        Map the file read-only instead of reading it. Checksums are then not compared, since that would read all of it.

    Raises
    ------
    FormatError
        If the file is truncated, damaged or of another kind.
    """
    path = Path(path)
    header, start = _read_header(path)
    size = path.stat().st_size
    memory = np.memmap(path, np.uint8, "r") if mmap else _read_all(path)
    try:
        if header["__metadata__"].pop("header_sha256") != _header_checksum(header):
            raise FormatError(f"{path}: the checksum of its header differs; the file is damaged")
        metadata = {key: json.loads(value) for key, value in header.pop("__metadata__").items()}
        shapes, checksums = metadata["shapes"], dict(metadata["sha256"])
        arrays, end = {}, start
        for name, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"][0]):
            first, last = (start + int(offset) for offset in entry["data_offsets"])
            dtype, shape = np.dtype(DTYPES[entry["dtype"]]), tuple(int(side) for side in shapes[name])
            length = math.prod(shape) * dtype.itemsize
            if first != end or last > size or min(shape, default=0) < 0 or first + length > last or first % ALIGNMENT:
                raise FormatError(f"{path}: tensor {name!r} does not fit the file; it is truncated or damaged")
            arrays[name], end = memory[first : first + length].view(dtype).reshape(shape), last
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError) as error:
        raise FormatError(f"{path}: not a lookalike index, or damaged ({error!r})") from None
    if end != size:
        raise FormatError(f"{path}: expected {end} bytes, got {size}; the file is truncated or damaged")
    if not mmap:
        for name, array in arrays.items():
            if _checksum(array) != checksums.get(name):
                raise FormatError(f"{path}: the checksum of {name!r} differs; the file is damaged")
    return metadata, arrays


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= MAX_HEADER:
            raise FormatError(f"{path}: not a lookalike index (its first bytes are not a header)")
        text = file.read(length)
    try:
        header = json.loads(text)
    except (ValueError, RecursionError):
        raise FormatError(f"{path}: not a lookalike index (its header cannot be read)") from None
    if not isinstance(header, dict) or len(text) < length:
        raise FormatError(f"{path}: not a lookalike index (its header cannot be read)")
    return header, 8 + length


def _read_all(path: Path) -> Array:
    """The whole file in memory that is 64-byte aligned."""
    size = path.stat().st_size
    memory = np.empty(size + ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % ALIGNMENT
    with path.open("rb") as file:
        if file.readinto(memory[start : start + size].data) != size:
            raise FormatError(f"{path}: the file changed while it was read; try again")
    return memory[start : start + size]


# --- indexes in tensors ----------------------------------------------------------------------------------------------


def save_index(index: Index, path: PathLike) -> None:
    """Write `index` to one file, atomically."""
    with index._writing:  # what is written belongs together
        spec: dict[str, Any] = {"metric": index.metric}
        if isinstance(index, CodedIndex):
            index._check_trained()
            kmeans = index.kmeans if isinstance(index.kmeans, str) else "custom"
            spec |= {
                "m": index.m,
                "nbits": index.nbits,
                "kmeans": kmeans,
                "rotation": index.rotation,
                "seed": index.seed,
            }
            if isinstance(index, IVFPQIndex):
                spec |= {"nlist": index.nlist, "by_residual": index.by_residual, "coarse_metric": index.coarse_metric}
            tensors = _coded_tensors(index)
        elif isinstance(index, IVFFlatIndex):
            index._check_trained()
            kmeans = index.kmeans if isinstance(index.kmeans, str) else "custom"
            spec |= {"nlist": index.nlist, "kmeans": kmeans, "rotation": index.rotation, "seed": index.seed}
            spec |= {"coarse_metric": index.coarse_metric}
            tensors = {"coarse_centroids": index.coarse_centroids, **index._lists.flat(), **_rotation_tensors(index)}
        elif isinstance(index, FlatIndex):
            tensors = {"vectors": index._stored.vectors, "ids": index._stored.ids}
        else:
            raise LookalikeError(f"save: {type(index).__name__} has no file format of its own")
        metadata = {
            "format": FORMAT,
            "version": VERSION,
            "writer": f"lookalike {lookalike.__version__}",
            "kind": index.kind,
            "spec": spec,
            "d": index.d or 0,
            "ntotal": index.ntotal,
            "next_id": index._next_id,
        }
        if isinstance(index, CodedIndex):
            metadata["training"] = index.training
        write_tensors(path, metadata, tensors)


def _coded_tensors(index: CodedIndex) -> dict[str, Array]:
    lists = index._lists_to_store().flat()
    return {
        "coarse_centroids": index._trained(),
        "pq_centroids": index.pq_centroids,
        **lists,
        **_rotation_tensors(index),
    }


def _rotation_tensors(index: CodedIndex | IVFFlatIndex) -> dict[str, Array]:
    transform = index._transform
    if transform is None:
        return {}
    centre = {} if transform.centre is None else {"rotation_centre": transform.centre}
    return {"rotation": transform.matrix, "rotation_offset": transform.offset, **centre}


def _rotation(tensors: dict[str, Array]) -> LinearTransform:
    return LinearTransform(tensors["rotation"], tensors["rotation_offset"], tensors.get("rotation_centre"))


def load_index(path: PathLike, mmap: bool = False) -> Index:
    """Open an index file.

    Parameters
    ----------
    path : path
        A file of ``index.save(path)``.
    mmap : bool
        Map the vectors instead of reading them: opens at once, shares memory between processes, and is read-only.
        Checksums are then not compared.

    Returns
    -------
    FlatIndex, PQIndex, IVFFlatIndex or IVFPQIndex

    Raises
    ------
    FormatError
        If the file is truncated, damaged or of another kind.
    VersionError
        If it was written by a newer lookalike.
    FileNotFoundError
    """
    metadata, tensors = read_tensors(path, mmap)
    if metadata.get("format") != FORMAT:
        raise FormatError(f"{path}: not a lookalike index (its format is {metadata.get('format')!r})")
    version = metadata.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise VersionError(
            f"{path}: written by {metadata.get('writer', 'a newer lookalike')}, file version {version}; "
            f"this one reads up to {VERSION}; upgrade lookalike"
        )
    kind = metadata.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise FormatError(f"{path}: unknown kind of index {kind!r}; expected one of {', '.join(KINDS)}")
    try:
        spec = dict(metadata["spec"])
        if spec.get("nlist", 1) != len(tensors.get("coarse_centroids", "?")):  # before room is made for so many lists
            raise FormatError(f"nlist={spec['nlist']}, centroids {tensors['coarse_centroids'].shape}")
        spec["kmeans"] = "native" if spec.get("kmeans") == "custom" else spec.get("kmeans")
        if kind == "flat":
            index: Index = _load_flat(FlatIndex(spec["metric"]), metadata, tensors)
        elif kind == "ivfflat":
            index = _load_ivfflat(IVFFlatIndex(**spec), metadata, tensors)
        else:
            index = _load_coded(KINDS[kind](**spec), metadata, tensors)
        index._next_id, index._readonly = int(metadata["next_id"]), mmap
        if index._next_id < 0 or (not mmap and index._next_id <= int(index.ids.max(initial=-1))):
            raise FormatError(f"next_id={index._next_id}, which is taken")
        if isinstance(index, ListedIndex):
            index._cold = True
    except (LookalikeError, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise FormatError(f"{path}: its parts do not fit each other ({error})") from None
    return index


def _load_flat(index: FlatIndex, metadata: dict[str, Any], tensors: dict[str, Array]) -> FlatIndex:
    vectors, ids, d = tensors["vectors"], tensors["ids"], int(metadata["d"])
    if vectors.dtype != np.float32 or ids.dtype != np.int64 or vectors.shape != (len(ids), d):
        raise FormatError(f"vectors {vectors.dtype} {vectors.shape}, ids {ids.dtype} {ids.shape}, d={d}")
    index._restore(vectors, ids, d)
    return index


def _load_ivfflat(index: IVFFlatIndex, metadata: dict[str, Any], tensors: dict[str, Array]) -> IVFFlatIndex:
    centroids, vectors, ids, sizes = (tensors[name] for name in ("coarse_centroids", "vectors", "ids", "sizes"))
    fits = (
        centroids.ndim == vectors.ndim == 2
        and centroids.shape == (index.nlist, vectors.shape[1])
        and centroids.dtype == vectors.dtype == np.float32
        and ids.dtype == sizes.dtype == np.int64
        and sizes.shape == (index.nlist,)
        and not ((sizes < 0) | (sizes > len(vectors))).any()
        and ids.shape == (len(vectors),)
        and int(sizes.sum()) == len(vectors) == metadata["ntotal"]
        and bool(np.isfinite(centroids).all())
    )
    if not fits:
        raise FormatError(f"nlist={index.nlist}, centroids {centroids.shape}, vectors {vectors.shape}, ids {ids.shape}")
    transform = None
    if "rotation" in tensors:
        transform = _rotation(tensors)
        if transform.d_out != vectors.shape[1]:
            raise FormatError(f"rotation to {transform.d_out} dimensions, centroids of {vectors.shape[1]}")
    index._set_trained(np.array(centroids), transform)
    index._lists = VectorLists.from_flat(vectors, ids, sizes.copy())
    if index.d != metadata["d"]:
        raise FormatError(f"d={metadata['d']}, vectors of {index.d}")
    return index


def _load_coded(index: Index, metadata: dict[str, Any], tensors: dict[str, Array]) -> CodedIndex:
    assert isinstance(index, CodedIndex)
    centroids, codes, sizes = tensors["coarse_centroids"], tensors["codes"], tensors["sizes"]
    biases, ids = tensors["biases"], tensors["ids"]
    index.pq.set_centroids(tensors["pq_centroids"])
    blocks = -(-sizes // 64)
    fits = (
        centroids.shape == (index.nlist, index.pq.d)
        and sizes.shape == (index.nlist,)
        and sizes.dtype == np.int64
        and not ((sizes < 0) | (sizes > len(ids))).any()  # so that no sum below overflows
        and codes.shape == (int(blocks.sum()), index.m, 64)
        and codes.dtype == np.dtype(index.pq.code_dtype)
        and biases.shape == ids.shape == (len(codes) * 64,)
        and centroids.dtype == biases.dtype == np.float32
        and ids.dtype in (np.int32, np.int64)
        and int(sizes.sum()) == metadata["ntotal"]
        and bool(np.isfinite(centroids).all())
    )
    if not fits:
        raise FormatError(f"nlist={index.nlist}, m={index.m}, centroids {centroids.shape}, codes {codes.shape}")
    if "rotation" in tensors:
        index._transform = _rotation(tensors)
        if index._transform.d_out != index.pq.d:
            raise FormatError(f"rotation to {index._transform.d_out} dimensions, centroids of {index.pq.d}")
    index._set_centroids(np.array(centroids))
    index._take_lists(InvertedLists.from_flat(codes, biases, ids, sizes.copy()))
    index.training = dict(metadata.get("training", {}))
    if index.d != metadata["d"]:
        raise FormatError(f"d={metadata['d']}, centroids of {index.d}")
    return index
