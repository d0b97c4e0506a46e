"""Indexes as metadata and tensors, and back: how they are saved, loaded, copied and pickled.

`files.native` checks what comes from a file.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lookalike._typing import Array
from lookalike.errors import FormatError, LookalikeError
from lookalike.files import native
from lookalike.files.native import Tensors
from lookalike.files.tensors import MappedFile, Source, source_name, tensor_bytes, write_tensors
from lookalike.index.cells import Cells, OneCell
from lookalike.index.codecs.pq import PQCodec
from lookalike.index.codecs.whole import WholeCodec
from lookalike.index.index import Index
from lookalike.index.kinds import FlatIndex, IVFFlatIndex, IVFPQIndex, PQIndex
from lookalike.index.lists import Column, Lists
from lookalike.index.refine import RefinedIndex
from lookalike.kernels.layout import aligned_empty
from lookalike.quantizers.pq import ProductQuantizer

__all__ = ["copied", "index_from_bytes", "index_to_bytes", "load_index", "reduced", "save_index"]

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
    with index._writing:  # nothing changes while it is written
        write_tensors(target, *_parts(index, "save"))


def index_to_bytes(index: Index) -> bytes:
    """See `Index.to_bytes`."""
    with index._writing:
        return tensor_bytes(*_parts(index, "to_bytes"))


def _parts(index: Index, what: str) -> tuple[dict[str, Any], Tensors]:
    """Metadata and tensors; the tensors may share memory with the index."""
    if KINDS.get(index.kind) is None or not isinstance(index, KINDS[index.kind]):
        raise LookalikeError(f"{what}: {type(index).__name__} has no file format of its own")
    index._check_trained()
    spec = index._arguments()
    if "kmeans" in spec and not isinstance(spec["kmeans"], str):
        spec["kmeans"] = "custom"
    tensors: Tensors
    if isinstance(index, RefinedIndex):
        spec["base"], inner = _parts(index.base, what)
        tensors = {native.BASE + name: array for name, array in inner.items()}
        tensors |= dict(zip(("vectors", "ids"), index._store._stored, strict=True))
    elif isinstance(index, FlatIndex):
        tensors = dict(zip(("vectors", "ids"), index._stored, strict=True))
    else:
        tensors = {"coarse_centroids": index._cells.centroids, **index._codec.tensors()}
        tensors |= index._codec.to_file(index._lists).flat() | native.rotation_tensors(index._transform)
    metadata = native.metadata_of(index.kind, spec, index.d, index.ntotal, index._next_id)
    if isinstance(index._codec, PQCodec):
        metadata["training"] = index.training
    return metadata, tensors


# --- copies and pickles ----------------------------------------------------------------------------------------------


def copied(index: Any) -> Any:
    """An equal index that shares no memory with this one."""
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
    """Give `copy` what a file does not hold: a class derived elsewhere, and a function for k-means."""
    copy.__class__ = type(index)
    if isinstance(copy, RefinedIndex) and isinstance(index, RefinedIndex):
        _take_names(copy.base, index.base)
    copy.kmeans = index.kmeans
    if isinstance(copy._codec, PQCodec) and isinstance(index._codec, PQCodec):
        copy._codec.pq.kmeans = index._codec.pq.kmeans


def reduced(index: Index) -> tuple[Any, ...]:
    """For pickle: the class, and the bytes of the file or, before training, the arguments of the constructor."""
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
    return _load(*native.read_index(path, mmap), source_name(path), mmap)


def index_from_bytes(data: bytes | bytearray | memoryview) -> Index:
    """See `Index.from_bytes`."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise FormatError(f"from_bytes: expected the bytes of to_bytes, got {type(data).__name__}")
    return _load(*native.read_index(data), source_name(data), False)


def _load(metadata: dict[str, Any], tensors: Tensors, name: str, mmap: bool) -> Index:
    """The index of what was read, or an error that begins with the name of the file."""
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


def _index_of(metadata: dict[str, Any], tensors: Tensors, look: bool) -> Index:
    """An index that takes over these tensors; `look` reads all of them, so that none holds what no index could."""
    kind, spec, next_id = metadata["kind"], dict(metadata["spec"]), int(metadata["next_id"])
    if kind == "refined":
        index: Index = _load_refined(spec, metadata, tensors, look)
    elif kind == "flat":
        index = _load_flat(FlatIndex(spec["metric"]), metadata, tensors, look)
    else:
        native.check_nlist(spec, tensors)
        spec["kmeans"] = "native" if spec.get("kmeans") == "custom" else spec.get("kmeans")
        load = _load_ivfflat if kind == "ivfflat" else _load_coded
        index = load(KINDS[kind](**spec), metadata, tensors, look)
    index._next_id = next_id
    if next_id < 0 or (look and next_id <= native.check_ids(index.ids)):
        raise FormatError(f"next_id={next_id}, which is taken")
    return index


def _load_flat(index: FlatIndex, metadata: dict[str, Any], tensors: Tensors, look: bool) -> FlatIndex:
    d = int(metadata["d"])
    native.check_flat(tensors, d)
    if look:
        native.check_lengths(tensors["vectors"])
    if d:
        index._take(WholeCodec(index.metric, OneCell(d)), None)
        columns = {"vectors": tensors["vectors"].reshape(-1, d), "ids": tensors["ids"]}
        index._lists = _lists(index, columns, np.array([len(tensors["ids"])]))
    return index


def _lists(index: Index, tensors: Tensors, sizes: Array) -> Lists:
    """Lists that share the memory of the tensors."""
    columns = index._codec.columns
    columns["ids"] = Column(tensors["ids"].dtype)
    return Lists.from_flat(columns, tensors, sizes)


def _load_refined(spec: dict[str, Any], metadata: dict[str, Any], tensors: Tensors, look: bool) -> RefinedIndex:
    inner = {name.removeprefix(native.BASE): array for name, array in tensors.items() if name.startswith(native.BASE)}
    about = dict(spec["base"])
    if about["kind"] not in KINDS or about["kind"] == "refined":
        raise FormatError(f"a refinement of an index of kind {about['kind']!r}")
    base = _index_of(about, inner, look)
    index = RefinedIndex(FlatIndex(base.metric), spec["k_factor"])
    index._hold(base, index._store)
    _load_flat(index._store, metadata, tensors, look)
    index._store._next_id = int(metadata["next_id"])
    if base.ntotal != index._store.ntotal or (
        look and not np.array_equal(np.sort(base.ids), np.sort(index._store.ids))
    ):
        raise FormatError(f"{index._store.ntotal} vectors that refine {base.ntotal} others")
    return index


def _load_ivfflat(index: Any, metadata: dict[str, Any], tensors: Tensors, look: bool) -> IVFFlatIndex:
    assert isinstance(index, IVFFlatIndex)
    native.check_vectors(tensors, index.nlist, metadata["ntotal"])
    vectors = tensors["vectors"]
    if look:
        native.check_lengths(vectors)
    cells = Cells(np.array(tensors["coarse_centroids"]), index.coarse_metric)
    index._take(WholeCodec(index.metric, cells), native.rotation_of(tensors, vectors.shape[1]))
    index._lists = _lists(index, tensors, tensors["sizes"].copy())
    if index.d != metadata["d"]:
        raise FormatError(f"d={metadata['d']}, vectors of {index.d}")
    return index


def _load_coded(index: Any, metadata: dict[str, Any], tensors: Tensors, look: bool) -> PQIndex | IVFPQIndex:
    assert isinstance(index, PQIndex | IVFPQIndex)
    pq = ProductQuantizer(index.m, index.nbits, index.kmeans, index.seed).set_centroids(tensors["pq_centroids"])
    native.check_codes(tensors, index.nlist, metadata["ntotal"], pq, look)
    centroids = np.array(tensors["coarse_centroids"])
    cells = Cells(centroids, index.coarse_metric) if isinstance(index, IVFPQIndex) else OneCell(pq.d)
    index._take(PQCodec(pq, index.by_residual, index.metric, cells), native.rotation_of(tensors, pq.d))
    index._lists = index._codec.from_file(_lists(index, tensors, tensors["sizes"].copy()))
    index.training = dict(metadata.get("training", {}))
    if index.d != metadata["d"]:
        raise FormatError(f"d={metadata['d']}, centroids of {index.d}")
    return index
