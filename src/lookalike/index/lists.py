"""The lists of an index: named columns of each list, which compiled code finds by address.

A `Lists` is a snapshot. Every change gives a new one that shares the memory of the lists that did not change, so a search that has
begun sees the lists as they were. Lists have spare room: appending writes behind the sizes that older snapshots know. Only the
newest snapshot may be appended to. What is removed from a list is left out of a copy of it; but where all vectors are in one long
list, it stays in place and is marked as gone, until so much is gone that a copy is due.

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
LONG = 1 << 14  # vectors of a single list, from which on removed ones may stay in place,
SHARE = 64  # as long as they are at most one in so many
NOWHERE: IdArray = np.empty(0, np.int64)

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
        For compiled code: the address of each array, and how many vectors stand in the list.
    gone : ndarray of int64
        Places of vectors that stand there still and have been removed, sorted.
    longest : int
        How many vectors stand in the longest list.
    ntotal : int
        Vectors that are stored.
    """

    def __init__(
        self, columns: dict[str, Column], arrays: tuple[Rows, ...], table: IdArray, gone: IdArray = NOWHERE
    ) -> None:
        self.columns, self.arrays, self.table, self.gone = columns, arrays, table, gone
        self.longest, self.ntotal = int(self.sizes.max(initial=0)), int(self.sizes.sum()) - len(gone)
        self._visible: dict[int, IdArray] = {}
        self.for_kernels = table, gone, self.longest, self.wide_ids  # kernels.layout.ListTable

    @classmethod
    def empty(cls, nlist: int, columns: dict[str, Column]) -> Lists:
        nothing = tuple(column.empty(0) for column in columns.values())
        table = np.zeros((nlist, len(columns) + 1), np.int64)
        return cls(columns, (nothing,) * nlist, table)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def sizes(self) -> IdArray:
        """How many vectors stand in each list, int64, shape (nlist,)."""
        return self.table[:, -1]

    @property
    def counts(self) -> IdArray:
        """How many vectors each list stores, those that stand there but for those that are gone, int64, shape (nlist,)."""
        return self.sizes - np.bincount(self.gone >> 32, minlength=len(self))

    @property
    def wide_ids(self) -> bool:
        """Whether ids take eight bytes each, and not four."""
        return bool(self.columns["ids"].dtype == np.int64)

    # --- reading -----------------------------------------------------------------------------------------------------

    def rows(self, number: int) -> Rows:
        """All columns of one list, row by row, the ids last and in int64. Without a copy where rows are stored as such."""
        return self._rows(number, slice(0, int(self.sizes[number])) if not len(self.gone) else self._kept(number))

    def standing(self, number: int) -> Rows:
        """The same as `rows`, with those that are gone, so that a row's number is its position."""
        return self._rows(number, slice(0, int(self.sizes[number])))

    def gone_from(self, number: int) -> IdArray:
        """Positions in a list whose vectors are gone."""
        first, last = np.searchsorted(self.gone, [number << 32, (number + 1) << 32])
        return self.gone[first:last] & POSITION

    def is_gone(self, places: IdArray) -> Array:
        """Whether the vector of each place, which need not be one, has been removed."""
        if not len(self.gone):
            return np.zeros(len(places), np.bool_)
        here: Array = self.gone[np.minimum(np.searchsorted(self.gone, places), len(self.gone) - 1)] == places
        return here

    def visible_ids(self, number: int) -> IdArray:
        """The ids that stand in a list, in int64, −1 for those that are gone; made once for a snapshot."""
        if number not in self._visible:
            ids = self.ids_of(number).astype(np.int64, copy=len(self.gone) > 0)
            if len(self.gone):
                ids[self.gone_from(number)] = -1
            self._visible[number] = ids
        return self._visible[number]

    def ids_of(self, number: int) -> IdArray:
        """The ids that stand in a list, position by position."""
        return self.arrays[number][-1][: self.sizes[number]]

    def _rows(self, number: int, at: IdArray | slice) -> Rows:
        own = zip(self.columns.values(), self.arrays[number], strict=True)
        *rows, ids = (column.read(array, at) for column, array in own)
        return (*rows, ids.astype(np.int64, copy=False))

    def _kept(self, number: int, more: IdArray = NOWHERE) -> IdArray:
        """Positions in a list but those that are gone, and `more`."""
        keep = np.ones(int(self.sizes[number]), np.bool_)
        keep[self.gone_from(number)] = keep[more] = False
        return np.flatnonzero(keep)

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
        counts = [len(ids) for *_, ids in parts]
        return np.repeat(np.arange(len(self)), counts), tuple(map(np.concatenate, zip(*parts, strict=True)))

    def all_ids(self) -> IdArray:
        """Every id, int64, list by list."""
        ids = np.concatenate([self.ids_of(number) for number in range(len(self))]).astype(np.int64, copy=False)
        return np.delete(ids, self._standing_before(self.gone)) if len(self.gone) else ids

    def all_places(self) -> IdArray:
        """``list_no << 32 | position`` of every vector, in the order of `all_ids`."""
        list_no = np.repeat(np.arange(len(self)), self.sizes)
        starts = np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
        places = (list_no << 32) | (np.arange(len(list_no)) - starts)
        return np.delete(places, self._standing_before(self.gone)) if len(self.gone) else places

    def ranks(self, places: IdArray) -> IdArray:
        """Which of `all_ids` each place holds."""
        return self._standing_before(places) - np.searchsorted(self.gone, places)

    def _standing_before(self, places: IdArray) -> IdArray:
        """How many vectors stand before each place, those that are gone among them."""
        starts: IdArray = np.cumsum(self.sizes) - self.sizes
        before: IdArray = starts[places >> 32] + (places & POSITION)
        return before

    def nbytes(self) -> dict[str, int]:
        """Bytes of each column in use (whole blocks), and of spare room and what is gone (``"slack"``)."""
        used = {
            name: sum(
                column.held(one[c], self._whole(int(size))).nbytes
                for one, size in zip(self.arrays, self.counts, strict=True)
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
        gone = np.union1d(self.gone, places)
        if len(self) == 1 and self.longest >= LONG and len(gone) * SHARE <= self.longest:
            return Lists(self.columns, self.arrays, self.table, gone)
        return self._without(gone)

    def squeezed(self) -> Lists:
        """The same with nothing in place that is gone."""
        return self._without(self.gone) if len(self.gone) else self

    def _without(self, places: IdArray) -> Lists:
        """Copies of the lists that hold these places, which are all that are gone or more."""
        list_no, position = places >> 32, places & POSITION
        fewer, sizes = {}, self.sizes.copy()
        for number in np.unique(list_no).tolist():
            kept = self._kept(number, position[list_no == number])
            fewer[number], sizes[number] = self._copy(number, len(kept), kept), len(kept)
        return self._with(fewer, sizes, gone=NOWHERE)

    def compact(self) -> Lists:
        """Without spare room, and with nothing in place that is gone."""
        if len(self.gone):
            return self.squeezed().compact()
        sizes = self.sizes.tolist()
        spare = [n for n, size in enumerate(sizes) if len(self.arrays[n][-1]) > self._whole(size)]
        return self._with({number: self._copy(number, sizes[number]) for number in spare}, self.sizes)

    def with_column(self, name: str, values_of: Callable[[IdArray, Rows], Array]) -> Lists:
        """The same with other values in one column: ``values_of(list_no, rows)`` of all rows of a list."""
        if len(self.gone):
            return self.squeezed().with_column(name, values_of)
        changed, at = {}, list(self.columns).index(name)
        for number in np.flatnonzero(self.sizes).tolist():
            size, own = int(self.sizes[number]), self.arrays[number]
            values = self.columns[name].empty(self._whole(size))
            values[size:] = 0
            values[:size] = values_of(np.full(size, number), self.rows(number)[:-1])
            changed[number] = (*own[:at], values, *own[at + 1 :])
        return self._with(changed, self.sizes)

    def _with(
        self,
        changed: dict[int, Rows],
        sizes: IdArray,
        columns: dict[str, Column] | None = None,
        gone: IdArray | None = None,
    ) -> Lists:
        """The same with other arrays for some lists, and these sizes."""
        arrays, table = list(self.arrays), self.table.copy()
        for number, own in changed.items():
            arrays[number] = own
            table[number, :-1] = [array.ctypes.data for array in own]
        table[:, -1] = sizes
        return Lists(columns or self.columns, tuple(arrays), table, self.gone if gone is None else gone)

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
        if len(self.gone):
            return self.squeezed().flat()
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
        numbers = rows if column.is_blocked or rows.itemsize == 1 else rows.view(np.uint16)
        store_rows(table[:, c], list_no, position, numbers, column.is_blocked)


def _lanes(position: IdArray) -> IdArray:
    """Where vectors of a block lie in its rows: 2i for i < 32, 2i − 63 after that."""
    return np.where(position < 32, 2 * position, 2 * position - 63)
