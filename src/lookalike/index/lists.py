"""The lists of an index: named columns of each list, which compiled code finds by address.

A `Lists` is a snapshot. Every change gives a new one that shares the memory of the lists that did not change, so a search that has
begun sees the lists as they were. Lists have spare room: appending writes behind the sizes that older snapshots know. Only the
newest snapshot may be appended to.

A column is either rows, one after the other, or blocks: the codes of 64 vectors in m rows of 64 numbers (`kernels.scan`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lookalike._typing import Array, IdArray
from lookalike.kernels.layout import BLOCK, aligned_empty

__all__ = ["POSITION", "Column", "Lists", "Rows"]

GROWTH = 1.5
INT32_MAX = 2**31 - 1
POSITION = 0xFFFFFFFF  # a place is list_no << 32 | position
MANY = 16  # lists; compiled code appends to more than these

Rows = tuple[Array, ...]
"""What some vectors have in each column but the ids, row by row."""


class Column(NamedTuple):
    """How one thing that lists hold of each vector is stored."""

    dtype: Any
    width: int | None = None  # numbers of a vector; None is one, in an array of one dimension
    is_blocked: bool = False

    def empty(self, room: int) -> Array:
        """An array for `room` vectors. Blocks are filled with zeros, as lanes that hold nothing are scanned along."""
        if self.width is None:
            return aligned_empty((room,), self.dtype)
        if not self.is_blocked:
            return aligned_empty((room, self.width), self.dtype)
        blocks = aligned_empty((room // BLOCK, self.width, BLOCK), self.dtype)
        blocks[:] = 0
        return blocks

    def held(self, array: Array, size: int) -> Array:
        """The part of an array that holds `size` vectors; blocks are whole."""
        return array[: -(-size // BLOCK)] if self.is_blocked else array[:size]

    def read(self, array: Array, at: IdArray | slice) -> Array:
        """Row by row what stands at these positions."""
        rows: Array = array[self._where(at)]
        return rows

    def write(self, array: Array, at: IdArray | slice, rows: Array | int) -> None:
        """Put rows at these positions."""
        array[self._where(at)] = rows

    def _where(self, at: IdArray | slice) -> Any:
        """What to index an array with."""
        if not self.is_blocked:
            return at
        position = np.arange(at.start, at.stop) if isinstance(at, slice) else at
        return position // BLOCK, slice(None), _lanes(position % BLOCK)


class Lists:
    """What an index stores, list by list.

    Attributes
    ----------
    columns : dict of str to Column
        Those of the codec, and ``"ids"``, which is the last.
    arrays : tuple of tuples of ndarray
        Of each list one array for each column, with room for more than it holds.
    table : ndarray of int64, shape (nlist, columns + 1)
        For compiled code: the address of each array, and how many vectors the list holds.
    longest, ntotal : int
        Vectors of the longest list, and of all.
    """

    def __init__(self, columns: dict[str, Column], arrays: tuple[Rows, ...], table: IdArray) -> None:
        self.columns, self.arrays, self.table = columns, arrays, table
        self.longest, self.ntotal = int(self.sizes.max(initial=0)), int(self.sizes.sum())
        self.for_kernels = table, self.longest, self.wide_ids  # kernels.layout.ListTable

    @classmethod
    def empty(cls, nlist: int, columns: dict[str, Column]) -> Lists:
        nothing = tuple(column.empty(0) for column in columns.values())
        table = np.zeros((nlist, len(columns) + 1), np.int64)
        return cls(columns, (nothing,) * nlist, table)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def sizes(self) -> IdArray:
        """Vectors in each list, int64, shape (nlist,)."""
        return self.table[:, -1]

    @property
    def wide_ids(self) -> bool:
        """Whether ids take eight bytes each, and not four."""
        return bool(self.columns["ids"].dtype == np.int64)

    # --- reading -----------------------------------------------------------------------------------------------------

    def rows(self, number: int) -> Rows:
        """All columns of one list, row by row, the ids last and in int64. Without a copy where rows are stored as such."""
        size = int(self.sizes[number])
        *rows, ids = (
            column.read(array, slice(0, size))
            for column, array in zip(self.columns.values(), self.arrays[number], strict=True)
        )
        return (*rows, ids.astype(np.int64, copy=False))

    def ids_of(self, number: int) -> IdArray:
        return self.arrays[number][-1][: self.sizes[number]]

    def at(self, places: IdArray) -> Rows:
        """What stands at these places, without the ids."""
        columns = list(self.columns.values())[:-1]
        rows = tuple(np.empty(len(places) if c.width is None else (len(places), c.width), c.dtype) for c in columns)
        list_no, position = places >> 32, places & POSITION
        for number in np.unique(list_no).tolist():
            here = list_no == number
            for out, column, array in zip(rows, columns, self.arrays[number], strict=False):
                out[here] = column.read(array, position[here])
        return rows

    def all_rows(self) -> tuple[IdArray, Rows]:
        """List numbers, and all columns, row by row, of everything, list by list."""
        parts = [self.rows(number) for number in range(len(self))]
        return np.repeat(np.arange(len(self)), self.sizes), tuple(map(np.concatenate, zip(*parts, strict=True)))

    def all_ids(self) -> IdArray:
        """Every id, int64, list by list."""
        return np.concatenate([self.ids_of(number) for number in range(len(self))]).astype(np.int64, copy=False)

    def all_places(self) -> IdArray:
        """``list_no << 32 | position`` of every vector, in the order of `all_ids`."""
        list_no = np.repeat(np.arange(len(self)), self.sizes)
        starts = np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
        return (list_no << 32) | (np.arange(len(list_no)) - starts)

    def nbytes(self) -> dict[str, int]:
        """Bytes of each column in use (whole blocks), and of the spare room (``"slack"``)."""
        used = {
            name: sum(
                column.held(one[c], self._whole(int(size))).nbytes
                for one, size in zip(self.arrays, self.sizes, strict=True)
            )
            for c, (name, column) in enumerate(self.columns.items())
        }
        held = sum(array.nbytes for one in self.arrays for array in one)
        return {**used, "slack": held - sum(used.values())}

    # --- changing ----------------------------------------------------------------------------------------------------

    def append(self, list_no: IdArray, rows: Rows, ids: IdArray) -> tuple[Lists, IdArray]:
        """With these rows added, each list's in the order given; and the places where they stand."""
        if not self.wide_ids and len(ids) and int(ids.max()) > INT32_MAX:
            return self._widened().append(list_no, rows, ids)
        counts = np.bincount(list_no, minlength=len(self))
        touched = np.flatnonzero(counts)
        sizes, grown = self.sizes[touched].tolist(), {}
        for number, size, more in zip(touched.tolist(), sizes, counts[touched].tolist(), strict=True):
            if size + more > len(self.arrays[number][-1]):
                grown[number] = self._copy(number, size + more if size == 0 else max(size + more, int(GROWTH * size)))
        larger = self._with(grown, self.sizes + counts)
        columns = list(self.columns.values())
        values = (*rows, ids.astype(columns[-1].dtype, copy=False))
        position = np.empty(len(list_no), np.int64)
        if len(touched) > MANY:
            _scatter(larger.table, columns, list_no, self.sizes.copy(), position, values)
        else:
            for number, size in zip(touched.tolist(), sizes, strict=True):
                mine = np.flatnonzero(list_no == number)
                fresh = slice(size, size + len(mine))
                position[mine] = np.arange(fresh.start, fresh.stop)
                for column, array, value in zip(columns, larger.arrays[number], values, strict=True):
                    column.write(array, fresh, value[mine])
        return larger, (list_no << 32) | position

    def remove(self, places: IdArray) -> Lists:
        """Without the vectors at these places; the others of a list keep their order."""
        list_no, position = places >> 32, places & POSITION
        fewer, sizes = {}, self.sizes.copy()
        for number in np.unique(list_no).tolist():
            keep = np.ones(int(sizes[number]), np.bool_)
            keep[position[list_no == number]] = False
            kept = np.flatnonzero(keep)
            fewer[number], sizes[number] = self._copy(number, len(kept), kept), len(kept)
        return self._with(fewer, sizes)

    def compact(self) -> Lists:
        """Without spare room."""
        sizes = self.sizes.tolist()
        spare = [n for n, size in enumerate(sizes) if len(self.arrays[n][-1]) > self._whole(size)]
        return self._with({number: self._copy(number, sizes[number]) for number in spare}, self.sizes)

    def with_column(self, name: str, values_of: Callable[[IdArray, Rows], Array]) -> Lists:
        """The same with other values in one column: ``values_of(list_no, rows)`` of all rows of a list."""
        changed, at = {}, list(self.columns).index(name)
        for number in np.flatnonzero(self.sizes).tolist():
            size, own = int(self.sizes[number]), self.arrays[number]
            values = self.columns[name].empty(self._whole(size))
            values[size:] = 0
            values[:size] = values_of(np.full(size, number), self.rows(number)[:-1])
            changed[number] = (*own[:at], values, *own[at + 1 :])
        return self._with(changed, self.sizes)

    def _with(self, changed: dict[int, Rows], sizes: IdArray, columns: dict[str, Column] | None = None) -> Lists:
        """The same with other arrays for some lists, and these sizes."""
        arrays, table = list(self.arrays), self.table.copy()
        for number, own in changed.items():
            arrays[number] = own
            table[number, :-1] = [array.ctypes.data for array in own]
        table[:, -1] = sizes
        return Lists(columns or self.columns, tuple(arrays), table)

    def _whole(self, size: Any) -> Any:
        """Room for `size` vectors, or for each of several sizes, in whole blocks if there are blocks."""
        return -(-size // BLOCK) * BLOCK if any(column.is_blocked for column in self.columns.values()) else size

    def _copy(self, number: int, room: int, kept: IdArray | None = None) -> Rows:
        """A copy of one list with so much room, or of what stands at the positions `kept`."""
        room, size = self._whole(room), int(self.sizes[number]) if kept is None else len(kept)
        copy = tuple(column.empty(room) for column in self.columns.values())
        for column, new, old in zip(self.columns.values(), copy, self.arrays[number], strict=True):
            if kept is None:
                column.held(new, size)[:] = column.held(old, size)
            else:
                column.write(new, slice(0, size), column.read(old, kept))
            if not column.is_blocked:
                new[size:] = 0
        return copy

    def _widened(self) -> Lists:
        """The same with ids of eight bytes."""
        wide: dict[int, Rows] = {n: (*own[:-1], own[-1].astype(np.int64)) for n, own in enumerate(self.arrays)}
        return self._with(wide, self.sizes, self.columns | {"ids": Column(np.dtype(np.int64))})

    # --- to and from one array for each column, as in a file ----------------------------------------------------------

    def flat(self) -> dict[str, Array]:
        """The columns of all lists end to end, each list in whole blocks if there are blocks, and the sizes (nlist,).

        What a block does not use is 0, and −1 in the ids: equal lists give equal files.
        """
        rooms = self._whole(self.sizes)
        starts = np.cumsum(rooms) - rooms
        spare = np.flatnonzero(np.arange(rooms.sum()) - np.repeat(starts, rooms) >= np.repeat(self.sizes, rooms))
        flat = {}
        for c, (name, column) in enumerate(self.columns.items()):
            parts = [column.held(one[c], room) for one, room in zip(self.arrays, rooms.tolist(), strict=True)]
            flat[name] = np.concatenate(parts)
            column.write(flat[name], spare, -1 if name == "ids" else 0)
        return flat | {"sizes": self.sizes.copy()}

    @classmethod
    def from_flat(cls, columns: dict[str, Column], flat: dict[str, Array], sizes: IdArray) -> Lists:
        """Lists that share the memory of such arrays, which may be read-only; blocks have to be 64-byte aligned.

        Ids are as wide as they are given.
        """
        columns = columns | {"ids": Column(flat["ids"].dtype)}
        blocked = any(column.is_blocked for column in columns.values())
        rooms = -(-sizes // BLOCK) * BLOCK if blocked else sizes
        starts = np.cumsum(rooms) - rooms
        table = np.empty((len(sizes), len(columns) + 1), np.int64)
        table[:, -1] = sizes
        parts = []
        for c, (name, column) in enumerate(columns.items()):
            array, unit = flat[name], BLOCK if column.is_blocked else 1
            table[:, c] = array.ctypes.data + starts // unit * (array.strides[0] if len(array) else 0)
            spans = zip((starts // unit).tolist(), (rooms // unit).tolist(), strict=True)
            parts.append([array[start : start + count] for start, count in spans])
        return cls(columns, tuple(zip(*parts, strict=True)), table)


def _scatter(
    table: IdArray, columns: list[Column], list_no: IdArray, sizes: IdArray, position: IdArray, values: Rows
) -> None:
    """Write each row behind what its list holds, `sizes`, and where that is into `position`."""
    from lookalike.kernels.blocks import next_positions, store_rows

    next_positions(list_no, sizes, position)
    for c, (column, value) in enumerate(zip(columns, values, strict=True)):
        rows = np.ascontiguousarray(value, column.dtype).reshape(len(value), -1)
        numbers = rows if column.is_blocked else rows.view(np.uint16)
        store_rows(table[:, c], list_no, position, numbers, column.is_blocked)


def _lanes(position: IdArray) -> IdArray:
    """Where vectors of a block lie in its rows: 2i for i < 32, 2i − 63 after that."""
    return np.where(position < 32, 2 * position, 2 * position - 63)
