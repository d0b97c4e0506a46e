"""The native file of an index (`tensorfile`): metadata with the format, its version and the constructor's arguments; the arrays.

The same parts in memory are how an index is copied, pickled and sent elsewhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import lookalike
from lookalike._typing import Array
from lookalike._validate import LARGEST_NORM
from lookalike.errors import FormatError, LookalikeError, VersionError
from lookalike.files.tensors import MappedFile, Source, read_tensors, source_name, tensor_bytes, write_tensors
from lookalike.index.cells import Cells, OneCell
from lookalike.index.codecs.pq import PQCodec
from lookalike.index.codecs.whole import WholeCodec
from lookalike.index.index import Index
from lookalike.index.kinds import FlatIndex, IVFFlatIndex, IVFPQIndex, PQIndex
from lookalike.index.lists import Column, Lists
from lookalike.index.refine import RefinedIndex
from lookalike.quantizers.pq import ProductQuantizer
from lookalike.quantizers.rotation import LinearTransform
from lookalike.quantizers.tiles import aligned_empty

__all__ = [
    "copied",
    "index_from_bytes",
    "index_to_bytes",
    "load_index",
    "reduced",
    "save_index",
]

FORMAT, VERSION = "lookalike-index", 1
BASE = "base."  # before the names of what a RefinedIndex refines
LARGE = ("vectors", "codes", "biases", "ids")  # of each vector: left in the file where it is mapped
UNREAD = frozenset([*LARGE, *(BASE + name for name in LARGE)])
DENSE = 16  # ids up to so many times their number are counted in a table of bits, others are sorted
KINDS: dict[str, type[Index]] = {
    "flat": FlatIndex,
    "pq": PQIndex,
    "ivfflat": IVFFlatIndex,
    "ivfpq": IVFPQIndex,
    "refined": RefinedIndex,
}

# --- indexes to tensors ----------------------------------------------------------------------------------------------


def save_index(index: Index, target: Source) -> None:
    """Write `index` to one file, atomically if `target` is a path."""
    with index._writing:  # what is written belongs together
        write_tensors(target, *_parts(index, "save"))


def index_to_bytes(index: Index) -> bytes:
    """See `Index.to_bytes`."""
    with index._writing:
        return tensor_bytes(*_parts(index, "to_bytes"))


def _parts(index: Index, what: str) -> tuple[dict[str, Any], dict[str, Array]]:
    """Metadata and tensors; the tensors may share memory with the index."""
    if KINDS.get(index.kind) is None or not isinstance(index, KINDS[index.kind]):
        raise LookalikeError(f"{what}: {type(index).__name__} has no file format of its own")
    index._check_trained()
    spec = index._arguments()
    if "kmeans" in spec and not isinstance(spec["kmeans"], str):
        spec["kmeans"] = "custom"
    tensors: dict[str, Array]
    if isinstance(index, RefinedIndex):
        tensors = _refined_tensors(index, spec, what)
    elif isinstance(index, FlatIndex):
        tensors = dict(zip(("vectors", "ids"), index._stored, strict=True))
    else:
        tensors = {"coarse_centroids": index._cells.centroids, **index._codec.tensors()}
        tensors |= index._codec.to_file(index._lists).flat()
        if index._transform is not None:
            tensors |= {"rotation": index._transform.matrix, "rotation_offset": index._transform.offset}
            if index._transform.centre is not None:
                tensors["rotation_centre"] = index._transform.centre
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
    if isinstance(index._codec, PQCodec):
        metadata["training"] = index.training
    return metadata, tensors


def _refined_tensors(index: RefinedIndex, spec: dict[str, Any], what: str) -> dict[str, Array]:
    """Those of the base, renamed, and the vectors; what the base says of itself goes into the spec."""
    spec["base"], inner = _parts(index.base, what)
    tensors = {BASE + name: array for name, array in inner.items()}
    return tensors | {"vectors": index._store._stored[0], "ids": index._store._stored[1]}


# --- copies and pickles ----------------------------------------------------------------------------------------------


def copied(index: Any) -> Any:
    """An index that is equal and shares nothing."""
    with index._writing:
        if not index.is_trained:
            arguments = index._arguments()  # the base of a RefinedIndex is among them
            own = {name: copied(value) if isinstance(value, Index) else value for name, value in arguments.items()}
            return _constructed(type(index), own)
        metadata, tensors = _parts(index, "copy")
        copy = _index_of(metadata, {name: _aligned_copy(array) for name, array in tensors.items()}, index._readonly)
        _take_names(copy, index)
        return copy


def _take_names(copy: Index, index: Index) -> None:
    """What a file does not keep: the class of somebody else's index, and a function for k-means."""
    copy.__class__ = type(index)
    if isinstance(copy, RefinedIndex) and isinstance(index, RefinedIndex):
        _take_names(copy.base, index.base)
    copy.kmeans = index.kmeans
    if isinstance(copy._codec, PQCodec) and isinstance(index._codec, PQCodec):
        copy._codec.pq.kmeans = index._codec.pq.kmeans


def reduced(index: Index) -> tuple[Any, ...]:
    """How pickle takes an index apart: its class, and its file or, before it is trained, what it was made with."""
    with index._writing:
        if index.is_trained:
            return _unpickled, (type(index), index_to_bytes(index))
        return _constructed, (type(index), index._arguments())


def _constructed(cls: type[Any], arguments: dict[str, Any]) -> Any:
    return cls(**arguments)


def _unpickled(cls: type[Any], data: bytes) -> Any:
    index = index_from_bytes(data)
    if type(index) is not cls and issubclass(cls, type(index)):
        index.__class__ = cls
    return index


def _aligned_copy(array: Array) -> Array:
    copy = aligned_empty(array.shape, array.dtype)
    copy[:] = array
    return copy


# --- tensors to indexes ----------------------------------------------------------------------------------------------


def load_index(path: Source, mmap: bool = False) -> Index:
    """Open an index file.

    Parameters
    ----------
    path : path, or binary file
        What ``index.save`` wrote. A file that is open is read from where it stands to the end of the index.
    mmap : bool
        Map the vectors instead of reading them: opens at once, shares memory between processes, and is read-only.
        The checksums of what is mapped are then not compared; those of the centroids are.

    Returns
    -------
    FlatIndex, PQIndex, IVFFlatIndex, IVFPQIndex or RefinedIndex

    Raises
    ------
    FormatError
        If the file is truncated, damaged or of another kind.
    VersionError
        If it was written by a newer lookalike.
    OSError
        If there is no such file (FileNotFoundError), or it cannot be read now, which does not mean that it is damaged.
    """
    metadata, tensors = read_tensors(path, mmap, UNREAD)
    return _load(metadata, tensors, source_name(path), mmap)


def index_from_bytes(data: bytes | bytearray | memoryview) -> Index:
    """See `Index.from_bytes`."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise FormatError(f"from_bytes: expected the bytes of to_bytes, got {type(data).__name__}")
    return _load(*read_tensors(data), source_name(data), False)


def _load(metadata: dict[str, Any], tensors: dict[str, Array], name: str, mmap: bool) -> Index:
    """The index of what was read, or an error that begins with the name of the file."""
    if metadata.get("format") != FORMAT:
        raise FormatError(f"{name}: not a lookalike index (its format is {metadata.get('format')!r})")
    version = metadata.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise VersionError(
            f"{name}: written by {metadata.get('writer', 'a newer lookalike')}, file version {version}; "
            f"this one reads up to {VERSION}; upgrade lookalike"
        )
    kind = metadata.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise FormatError(f"{name}: unknown kind of index {kind!r}; expected one of {', '.join(KINDS)}")
    try:
        index = _index_of(metadata, tensors, not mmap)
    except (LookalikeError, KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise FormatError(f"{name}: its parts do not fit each other ({error})") from None
    _settle(index, MappedFile(tensors.values(), name) if mmap else None)
    return index


def _settle(index: Index, mapped: MappedFile | None) -> None:
    index._readonly, index._mapped = mapped is not None, mapped
    if not isinstance(index, FlatIndex):
        index._is_fresh = True
    if isinstance(index, RefinedIndex):
        _settle(index.base, mapped)
        _settle(index._store, mapped)


def _index_of(metadata: dict[str, Any], tensors: dict[str, Array], look: bool) -> Index:
    """An index that takes over these tensors; `look` reads all of them, to see that they can be lived with."""
    kind, spec, next_id = metadata["kind"], dict(metadata["spec"]), int(metadata["next_id"])
    if kind == "refined":
        index: Index = _load_refined(spec, metadata, tensors, look)
    elif kind == "flat":
        index = _load_flat(FlatIndex(spec["metric"]), metadata, tensors, look)
    else:
        _check_lists(spec, tensors)
        spec["kmeans"] = "native" if spec.get("kmeans") == "custom" else spec.get("kmeans")
        load = _load_ivfflat if kind == "ivfflat" else _load_coded
        index = load(KINDS[kind](**spec), metadata, tensors, look)
    index._next_id = next_id
    if next_id < 0 or (look and next_id <= _check_ids(index.ids)):
        raise FormatError(f"next_id={next_id}, which is taken")
    return index


def _check_lists(spec: dict[str, Any], tensors: dict[str, Array]) -> None:
    """Before room is made for the lists: that there are so many, each with a centroid that has a length."""
    centroids, seed = tensors["coarse_centroids"], spec.get("seed", 0)
    if centroids.ndim != 2 or not centroids.size or spec.get("nlist", 1) != len(centroids):
        raise FormatError(f"nlist={spec.get('nlist', 1)}, centroids {centroids.shape}")
    if not isinstance(seed, int) or seed < 0:
        raise FormatError(f"seed={seed!r}")


def _check_ids(ids: Array) -> int:
    """The largest of distinct ids that are not negative; −1 if there are none."""
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


def _check_usable(vectors: Array, metric: str) -> None:
    """Whole vectors as `add` takes them: finite, and short enough to be compared."""
    with np.errstate(over="ignore", invalid="ignore"):
        for first in range(0, len(vectors), 1 << 16):
            block = vectors[first : first + (1 << 16)]
            if not (np.einsum("nd,nd->n", block, block) < LARGEST_NORM).all():
                raise FormatError("vectors that are not finite, or too long to be compared")


def _load_flat(index: FlatIndex, metadata: dict[str, Any], tensors: dict[str, Array], look: bool) -> FlatIndex:
    vectors, ids, d = tensors["vectors"], tensors["ids"], int(metadata["d"])
    shape = (len(ids), d) if len(ids) else (0, vectors.shape[1])  # of an empty index older versions wrote (0, 0)
    if vectors.dtype != np.float32 or ids.dtype != np.int64 or vectors.shape != shape or ids.ndim != 1 or d < 0:
        raise FormatError(f"vectors {vectors.dtype} {vectors.shape}, ids {ids.dtype} {ids.shape}, d={d}")
    if len(ids) and not d:
        raise FormatError(f"{len(ids)} vectors of d=0")
    if look:
        _check_usable(vectors, index.metric)
    if d:
        index._take(WholeCodec(index.metric, OneCell(d)), None)
        index._lists = _lists(
            index, {"vectors": vectors if len(ids) else vectors.reshape(0, d), "ids": ids}, np.array([len(ids)])
        )
    return index


def _lists(index: Index, tensors: dict[str, Array], sizes: Array) -> Lists:
    """Lists that share the memory of the tensors."""
    columns = index._codec.columns
    columns["ids"] = Column(tensors["ids"].dtype)
    return Lists.from_flat(columns, tensors, sizes)


def _load_refined(
    spec: dict[str, Any], metadata: dict[str, Any], tensors: dict[str, Array], look: bool
) -> RefinedIndex:
    inner = {name.removeprefix(BASE): array for name, array in tensors.items() if name.startswith(BASE)}
    about = dict(spec["base"])
    if about["kind"] not in KINDS or about["kind"] == "refined":
        raise FormatError(f"a refinement of an index of kind {about['kind']!r}")
    base = _index_of(about, inner, look)
    index = RefinedIndex(FlatIndex(base.metric), spec["k_factor"])
    index.base, index.d = base, base.d
    _load_flat(index._store, metadata, tensors, look)
    index._store._next_id = int(metadata["next_id"])
    if base.ntotal != index._store.ntotal or (
        look and not np.array_equal(np.sort(base.ids), np.sort(index._store.ids))
    ):
        raise FormatError(f"{index._store.ntotal} vectors that refine {base.ntotal} others")
    return index


def _rotation(tensors: dict[str, Array], d_out: int) -> LinearTransform | None:
    if "rotation" not in tensors:
        return None
    transform = LinearTransform(tensors["rotation"], tensors["rotation_offset"], tensors.get("rotation_centre"))
    if transform.d_out != d_out:
        raise FormatError(f"rotation to {transform.d_out} dimensions, centroids of {d_out}")
    return transform


def _load_ivfflat(index: Any, metadata: dict[str, Any], tensors: dict[str, Array], look: bool) -> IVFFlatIndex:
    assert isinstance(index, IVFFlatIndex)
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
    if look:
        _check_usable(vectors, index.metric)
    cells = Cells(np.array(centroids), index.coarse_metric)
    index._take(WholeCodec(index.metric, cells), _rotation(tensors, vectors.shape[1]))
    index._lists = _lists(index, tensors, sizes.copy())
    if index.d != metadata["d"]:
        raise FormatError(f"d={metadata['d']}, vectors of {index.d}")
    return index


def _load_coded(index: Any, metadata: dict[str, Any], tensors: dict[str, Array], look: bool) -> PQIndex | IVFPQIndex:
    assert isinstance(index, PQIndex | IVFPQIndex)
    centroids, codes, sizes = tensors["coarse_centroids"], tensors["codes"], tensors["sizes"]
    biases, ids = tensors["biases"], tensors["ids"]
    pq = ProductQuantizer(index.m, index.nbits, index.kmeans, index.seed).set_centroids(tensors["pq_centroids"])
    blocks = -(-sizes // 64)
    fits = (
        centroids.shape == (index.nlist, pq.d)
        and sizes.shape == (index.nlist,)
        and sizes.dtype == np.int64
        and not ((sizes < 0) | (sizes > len(ids))).any()  # so that no sum below overflows
        and codes.shape == (int(blocks.sum()), index.m, 64)
        and codes.dtype == np.dtype(pq.code_dtype)
        and biases.shape == ids.shape == (len(codes) * 64,)
        and centroids.dtype == biases.dtype == np.float32
        and ids.dtype in (np.int32, np.int64)
        and int(sizes.sum()) == metadata["ntotal"]
        and bool(np.isfinite(centroids).all())
    )
    if not fits:
        raise FormatError(f"nlist={index.nlist}, m={index.m}, centroids {centroids.shape}, codes {codes.shape}")
    if look and index.nbits not in {8, 16} and codes.size and int(codes.max()) >= index.ksub:
        raise FormatError(f"code {int(codes.max())} of {index.ksub} centroids")
    cells = Cells(np.array(centroids), index.coarse_metric) if isinstance(index, IVFPQIndex) else OneCell(pq.d)
    index._take(PQCodec(pq, index.by_residual, index.metric, cells), _rotation(tensors, pq.d))
    index._lists = index._codec.from_file(_lists(index, tensors, sizes.copy()))
    index.training = dict(metadata.get("training", {}))
    if index.d != metadata["d"]:
        raise FormatError(f"d={metadata['d']}, centroids of {index.d}")
    return index
