"""Indexes as metadata and tensors, and back: how they are saved, loaded, copied and pickled.

Each kind gives its parts (`Index._metadata`, `Index._tensors`) and is made of them again (`Index._from_parts`).
`files.native` checks what comes from a file.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from lookalike._typing import Array
from lookalike._validate import check_distinct, check_ids
from lookalike.errors import FormatError, LookalikeError
from lookalike.files import native
from lookalike.files.native import Tensors
from lookalike.files.tensors import MappedFile, Source, source_name
from lookalike.index.codecs.pq import PQCodec
from lookalike.kernels.layout import aligned_empty

if TYPE_CHECKING:
    from lookalike.index.index import Index

__all__ = ["KINDS", "copied", "index_from_bytes", "index_of", "load_index", "parts", "reduced"]

KINDS: dict[str, type[Index]] = {}
"""The class of each kind; classes register themselves when they are defined."""

AnyIndex = TypeVar("AnyIndex", bound="Index")


def parts(index: Index, what: str) -> tuple[dict[str, Any], Tensors]:
    """Metadata and tensors; the tensors may share memory with the index."""
    if index.kind not in native.KINDS:
        raise LookalikeError(f"{what}: {type(index).__name__} has no file format of its own")
    index._check_trained()
    return index._metadata(), index._tensors()


# --- copies and pickles ----------------------------------------------------------------------------------------------


def copied(index: AnyIndex) -> AnyIndex:
    """An equal index that shares no memory with this one."""
    with index._writing:
        if not index.is_trained:
            arguments = _arguments(index)
            if "base" in arguments:
                arguments["base"] = copied(arguments["base"])
            return type(index)(**arguments)
        metadata, tensors = parts(index, "copy")
        copy = index_of(metadata, {name: _aligned_copy(array) for name, array in tensors.items()}, index._readonly)
        _take_names(copy, index)
        return copy  # type: ignore[return-value]


def _arguments(index: Index) -> dict[str, Any]:
    """What the constructor was given."""
    return {name: getattr(index, name) for name in index._arguments}


def _take_names(copy: Any, index: Any) -> None:
    """Give `copy` what a file does not hold: the class, if it is a user's own, and a function for k-means."""
    copy.__class__ = type(index)
    copy.kmeans = index.kmeans
    if isinstance(index._codec, PQCodec):
        copy._codec.pq.kmeans = index._codec.pq.kmeans
    if hasattr(index, "base"):
        _take_names(copy.base, index.base)


def reduced(index: Index) -> tuple[Any, ...]:
    """For pickle: the class, and the bytes of the file or, before training, the arguments of the constructor."""
    with index._writing:
        if index.is_trained:
            return _unpickled, (type(index), index.to_bytes())
        return partial(type(index), **_arguments(index)), ()


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
        What ``index.save`` wrote. An open file is read from its position to the end of the index.
    mmap : bool
        Map the vectors instead of reading them: opens at once, shares memory between processes, and is read-only.
        The checksums of what is mapped are then not compared; those of the centroids are.

    Returns
    -------
    FlatIndex, PQIndex, IVFFlatIndex, IVFPQIndex, IVFSignsIndex or RefinedIndex

    Raises
    ------
    FormatError
        If the file is truncated, damaged or of another kind.
    VersionError
        If it was written by a newer lookalike.
    OSError
        If there is no such file (FileNotFoundError), or it cannot be read now; that does not mean that it is damaged.
    """
    return _load(path, mmap)


def index_from_bytes(data: bytes | bytearray | memoryview) -> Index:
    """See `Index.from_bytes`."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise FormatError(f"from_bytes: expected the bytes of to_bytes, got {type(data).__name__}")
    return _load(data, False)


def _load(source: Source | bytes | bytearray | memoryview, mmap: bool) -> Index:
    """The index of a file or bytes, or an error that begins with the name of the file."""
    metadata, tensors = native.read_index(source, mmap)
    try:
        index = index_of(metadata, tensors, not mmap)
    except (LookalikeError, KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
        raise FormatError(f"{source_name(source)}: its parts do not fit each other ({error})") from None
    index._mark_loaded(MappedFile(tensors.values(), source_name(source)) if mmap else None)
    return index


def _class_of(kind: str) -> type[Index]:
    """The class of a kind, which its module makes known."""
    homes = {"refined": "lookalike.index.refine", "ivfsigns": "lookalike.index.signs"}
    importlib.import_module(homes.get(kind, "lookalike.index.kinds"))
    return KINDS[kind]


def index_of(metadata: dict[str, Any], tensors: Tensors, look: bool) -> Index:
    """An index that takes over these tensors; `look` reads all of them, so that none holds what no index could."""
    index, next_id = _class_of(metadata["kind"])._from_parts(metadata, tensors, look), int(metadata["next_id"])
    index._next_id = next_id
    if look:
        ids = check_ids(index.ids)
        check_distinct(ids, "ids")
    if next_id < 0 or (look and next_id <= ids.max(initial=-1)):
        raise FormatError(f"next_id={next_id}, which is taken")
    return index
