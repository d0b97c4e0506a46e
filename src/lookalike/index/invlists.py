"""The inverted lists: for each coarse centroid the codes, biases and ids of the vectors nearest to it.

Each list owns three arrays that grow on their own, by half at a time, so that adding to an index of any size copies only the
lists that are full. Kernels reach them through a table of addresses. Codes lie in blocks of 64 vectors,
``codes[block, j, lane]`` (`kernels.scan`); biases are float32; ids are int32 until one does not fit.

A search works on a snapshot of the lists. Appending writes only behind the sizes that older snapshots hold; removing
replaces the arrays of a list. So a search that has begun sees the lists as they were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from lookalike._typing import Array, CodeArray, FloatArray, IdArray
from lookalike.quantizers.tiles import aligned_empty

__all__ = ["BLOCK", "InvertedLists", "Snapshot", "block_count"]

BLOCK = 64
CODES, BIASES, IDS, SIZE = 0, 1, 2, 3
GROWTH = 1.5
INT32_MAX = 2**31 - 1


def block_count(size: int) -> int:
    """Blocks that hold `size` vectors."""
    return -(-size // BLOCK)


class OneList(NamedTuple):
    """The memory of one list; a NamedTuple so that it is replaced, not changed, when it grows."""

    codes: Array  # uint8 or uint16 (blocks, m, 64)
    biases: Array  # float32 (blocks * 64,)
    ids: Array  # int32 or int64 (blocks * 64,)


class Snapshot(NamedTuple):
    """What a search needs; `lists` keeps the memory alive that `table` points into."""

    table: IdArray  # (nlist, 4): address of codes, biases, ids; size
    lists: tuple[OneList, ...]
    wide_ids: bool
    longest: int
    ntotal: int


class InvertedLists:
    """Lists of coded vectors that can be appended to and removed from by one writer, and read by many.

    Parameters
    ----------
    nlist, m : int
    code_dtype : uint8 or uint16
    """

    def __init__(self, nlist: int, m: int, code_dtype: Any = np.uint8) -> None:
        self.nlist, self.m, self.code_dtype = nlist, m, np.dtype(code_dtype)
        empty = OneList(
            aligned_empty((0, m, BLOCK), self.code_dtype),
            aligned_empty((0,), np.float32),
            aligned_empty((0,), np.int32),
        )
        table = np.zeros((nlist, 4), np.int64)
        self.snapshot = Snapshot(table, (empty,) * nlist, False, 0, 0)
        self.mask: int | None = None  # of codes that nobody has looked at, as kernels mask them

    @property
    def sizes(self) -> IdArray:
        """Vectors in each list, int64, shape (nlist,)."""
        return self.snapshot.table[:, SIZE]

    def append(self, list_no: IdArray, codes: CodeArray, biases: FloatArray, ids: IdArray) -> None:
        """Add rows to their lists, each list's in the order given."""
        from lookalike.kernels.blocks import append_rows

        old = self.snapshot
        wide = old.wide_ids or bool(len(ids) and int(ids.max()) > INT32_MAX)
        lists, table = list(old.lists), old.table.copy()
        wanted = table[:, SIZE] + np.bincount(list_no, minlength=self.nlist)
        capacity = np.fromiter((len(one.biases) for one in lists), np.int64, self.nlist)
        if wide and not old.wide_ids:
            capacity[:] = -1  # every list has to move: its ids are now twice as long
        for number in np.flatnonzero(wanted > capacity):
            moved = self._moved(lists[number], int(table[number, SIZE]), int(wanted[number]), wide)
            lists[number] = moved
            table[number, :3] = moved.codes.ctypes.data, moved.biases.ctypes.data, moved.ids.ctypes.data
        append_rows(list_no, codes, biases, ids, wide, table)
        self.snapshot = Snapshot(table, tuple(lists), wide, int(table[:, SIZE].max()), old.ntotal + len(ids))

    def _moved(self, one: OneList, size: int, wanted: int, wide: bool) -> OneList:
        """A copy of a list with room for `wanted` vectors and, if it had any, for half as many again."""
        room = block_count(wanted if size == 0 else max(wanted, int(GROWTH * size)))
        moved = self._new(room, wide)
        used = block_count(size)
        moved.codes[:used], moved.biases[:size], moved.ids[:size] = one.codes[:used], one.biases[:size], one.ids[:size]
        return moved

    def _new(self, blocks: int, wide: bool) -> OneList:
        codes = aligned_empty((blocks, self.m, BLOCK), self.code_dtype)
        codes[:] = 0  # lanes that hold nothing are scanned along
        biases = aligned_empty((blocks * BLOCK,), np.float32)
        biases[:] = 0
        return OneList(codes, biases, aligned_empty((blocks * BLOCK,), np.int64 if wide else np.int32))

    def remove(self, list_no: IdArray, position: IdArray) -> None:
        """Forget the vectors at these places; the others of a list keep their order."""
        old = self.snapshot
        lists, table = list(old.lists), old.table.copy()
        for number in np.unique(list_no):
            keep = np.ones(int(table[number, SIZE]), np.bool_)
            keep[position[list_no == number]] = False
            codes, biases, ids = self.rows(int(number), old)
            kept = int(keep.sum())
            fresh = self._new(block_count(kept), old.wide_ids)
            self._pack(codes[keep], fresh.codes)
            fresh.biases[:kept], fresh.ids[:kept] = biases[keep], ids[keep]
            lists[number] = fresh
            table[number] = fresh.codes.ctypes.data, fresh.biases.ctypes.data, fresh.ids.ctypes.data, kept
        longest = int(table[:, SIZE].max())
        self.snapshot = Snapshot(table, tuple(lists), old.wide_ids, longest, old.ntotal - len(position))

    def rows(self, number: int, snapshot: Snapshot | None = None) -> tuple[CodeArray, FloatArray, IdArray]:
        """Codes (size, m), biases (size,) and ids (size,) of one list, row by row."""
        now = snapshot or self.snapshot
        one, size = now.lists[number], int(now.table[number, SIZE])
        return self._masked(self._unpack(one.codes, size)), one.biases[:size].copy(), one.ids[:size].astype(np.int64)

    def clone(self) -> InvertedLists:
        """Lists with the same snapshot, to be changed in several steps before anyone sees them."""
        lists = InvertedLists(self.nlist, self.m, self.code_dtype)
        lists.snapshot, lists.mask = self.snapshot, self.mask
        return lists

    def with_biases(self, biases_of: Callable[[IdArray, CodeArray], FloatArray]) -> InvertedLists:
        """The same codes and ids with other biases: ``biases_of(list_no, codes)`` of rows of a list."""
        now = self.snapshot
        lists, table = list(now.lists), now.table.copy()
        for number in np.flatnonzero(table[:, SIZE]).tolist():
            one, size = lists[number], int(table[number, SIZE])
            biases = aligned_empty(one.biases.shape, np.float32)
            biases[size:] = 0
            biases[:size] = biases_of(np.full(size, number), self._unpack(one.codes, size))
            lists[number] = OneList(one.codes, biases, one.ids)
            table[number, BIASES] = biases.ctypes.data
        lists_with = self.clone()
        lists_with.snapshot = now._replace(table=table, lists=tuple(lists))
        return lists_with

    def biases_at(self, list_no: IdArray, position: IdArray) -> FloatArray:
        """Biases at these places, shape (n,)."""
        lists = self.snapshot.lists
        pairs = zip(list_no.tolist(), position.tolist(), strict=True)
        return np.fromiter((lists[number].biases[at] for number, at in pairs), np.float32, len(list_no))

    def codes_at(self, list_no: IdArray, position: IdArray) -> CodeArray:
        """Codes at these places, shape (n, m)."""
        codes = np.empty((len(list_no), self.m), self.code_dtype)
        for number in np.unique(list_no):
            here = list_no == number
            at = position[here]
            codes[here] = self.snapshot.lists[number].codes[at // BLOCK, :, _lanes(at % BLOCK)]
        return self._masked(codes)

    def all_ids(self) -> IdArray:
        """Every id, int64, list by list."""
        now = self.snapshot
        parts = [one.ids[:size].astype(np.int64) for one, size in zip(now.lists, now.table[:, SIZE], strict=True)]
        return np.concatenate(parts) if parts else np.empty(0, np.int64)

    def all_places(self) -> IdArray:
        """``list_no << 32 | position`` of every vector, in the order of `all_ids`."""
        sizes = self.sizes
        list_no = np.repeat(np.arange(self.nlist), sizes)
        starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
        return (list_no << 32) | (np.arange(len(list_no)) - starts)

    def compact(self) -> None:
        """Give back the room that growth left."""
        now = self.snapshot
        lists, table = list(now.lists), now.table.copy()
        for number, one in enumerate(lists):
            size = int(table[number, SIZE])
            if len(one.biases) > block_count(size) * BLOCK:
                lists[number] = fresh = self._new(block_count(size), now.wide_ids)
                used = block_count(size)
                fresh.codes[:], fresh.biases[:size], fresh.ids[:size] = (
                    one.codes[:used],
                    one.biases[:size],
                    one.ids[:size],
                )
                table[number, :3] = fresh.codes.ctypes.data, fresh.biases.ctypes.data, fresh.ids.ctypes.data
        self.snapshot = now._replace(table=table, lists=tuple(lists))

    def nbytes(self) -> dict[str, int]:
        """Bytes of codes, biases and ids in use (whole blocks), and of the room that growth left."""
        now = self.snapshot
        blocks = int((-(-now.table[:, SIZE] // BLOCK)).sum())
        code, wide = self.m * BLOCK * self.code_dtype.itemsize, 8 if now.wide_ids else 4
        used = {"codes": blocks * code, "biases": blocks * BLOCK * 4, "ids": blocks * BLOCK * wide}
        held = sum(one.codes.nbytes + one.biases.nbytes + one.ids.nbytes for one in now.lists)
        return {**used, "slack": held - sum(used.values())}

    # --- to and from one flat array of each kind, as in a file -------------------------------------------------------

    def flat(self) -> dict[str, Array]:
        """All lists end to end: codes (blocks, m, 64), biases and ids (blocks * 64,), sizes (nlist,)."""
        now = self.snapshot
        blocks = [block_count(int(size)) for size in now.table[:, SIZE]]
        codes = np.empty((sum(blocks), self.m, BLOCK), self.code_dtype)
        biases = np.zeros(sum(blocks) * BLOCK, np.float32)
        ids = np.full(sum(blocks) * BLOCK, -1, np.int64 if now.wide_ids else np.int32)
        at = 0
        for one, count, size in zip(now.lists, blocks, now.table[:, SIZE], strict=True):
            codes[at : at + count] = one.codes[:count]
            row = at * BLOCK
            biases[row : row + size], ids[row : row + size] = one.biases[:size], one.ids[:size]
            at += count
        _clear_tails(codes, now.table[:, SIZE])
        return {"codes": codes, "biases": biases, "ids": ids, "sizes": now.table[:, SIZE].copy()}

    @classmethod
    def from_flat(
        cls, codes: Array, biases: Array, ids: Array, sizes: IdArray, mask: int | None = None
    ) -> InvertedLists:
        """Lists that share the memory of flat arrays, which must be 64-byte aligned and may be read-only.

        `mask` is ksub − 1 where codes may be larger, as in a mapped file, which is not looked through when it is opened.
        """
        lists = cls(len(sizes), codes.shape[1], codes.dtype)
        lists.mask = mask
        blocks = -(-sizes // BLOCK)
        starts = np.cumsum(blocks) - blocks
        table = np.empty((len(sizes), 4), np.int64)
        table[:, CODES] = codes.ctypes.data + starts * codes.shape[1] * BLOCK * codes.itemsize
        table[:, BIASES] = biases.ctypes.data + starts * BLOCK * 4
        table[:, IDS] = ids.ctypes.data + starts * BLOCK * ids.itemsize
        table[:, SIZE] = sizes
        parts = tuple(
            OneList(codes[a : a + n], biases[a * BLOCK : (a + n) * BLOCK], ids[a * BLOCK : (a + n) * BLOCK])
            for a, n in zip(starts.tolist(), blocks.tolist(), strict=True)
        )
        longest = int(sizes.max()) if len(sizes) else 0
        lists.snapshot = Snapshot(table, parts, ids.dtype == np.int64, longest, int(sizes.sum()))
        return lists

    def _masked(self, codes: CodeArray) -> CodeArray:
        return codes if self.mask is None else np.bitwise_and(codes, codes.dtype.type(self.mask))

    def _pack(self, codes: CodeArray, blocks: Array) -> None:
        at = np.arange(len(codes))
        blocks[at // BLOCK, :, _lanes(at % BLOCK)] = codes

    def _unpack(self, blocks: Array, size: int) -> CodeArray:
        at = np.arange(size)
        return blocks[at // BLOCK, :, _lanes(at % BLOCK)]


def _clear_tails(codes: Array, sizes: IdArray) -> None:
    """Zeros where the last block of a list holds nothing, or what an `add` left that failed: equal lists give equal files."""
    blocks = -(-sizes // BLOCK)
    partial = np.flatnonzero(sizes % BLOCK)
    if len(partial):
        last = np.cumsum(blocks)[partial] - 1
        used = np.zeros((len(partial), BLOCK), codes.dtype)
        used[:, _lanes(np.arange(BLOCK))] = np.arange(BLOCK) < (sizes[partial] % BLOCK)[:, None]
        codes[last] *= used[:, None, :]


def _lanes(position: IdArray) -> IdArray:
    """Where vectors of a block lie in its rows: 2i for i < 32, 2i − 63 after that."""
    return np.where(position < 32, 2 * position, 2 * position - 63)
