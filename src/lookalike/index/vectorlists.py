"""Inverted lists of float32 vectors.

A `VectorLists` is a snapshot: appending and removing give a new one that shares the memory of all lists that did not change.
A list has room in reserve; appending writes behind the sizes that older snapshots hold, so a search that has begun sees
the lists as they were. Only the newest snapshot may be appended to.
"""

from __future__ import annotations

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray

__all__ = ["VectorLists"]

GROWTH = 1.5


class VectorLists:
    """The vectors and ids of each list.

    Parameters
    ----------
    vectors : tuple of ndarray of float32, each (room, d)
    ids : tuple of ndarray of int64, each (room,)
    sizes : ndarray of int64, shape (nlist,)
        How much of each list's room is in use.
    """

    def __init__(self, vectors: tuple[FloatArray, ...], ids: tuple[IdArray, ...], sizes: IdArray) -> None:
        self._vectors, self._ids, self.sizes = vectors, ids, sizes
        self.ntotal = int(sizes.sum())

    @classmethod
    def empty(cls, nlist: int, d: int) -> VectorLists:
        vectors, ids = np.empty((0, d), np.float32), np.empty(0, np.int64)
        return cls((vectors,) * nlist, (ids,) * nlist, np.zeros(nlist, np.int64))

    @classmethod
    def from_flat(cls, vectors: FloatArray, ids: IdArray, sizes: IdArray) -> VectorLists:
        """Lists that share the memory of arrays in which they lie end to end."""
        ends = np.cumsum(sizes)
        spans = [slice(end - size, end) for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)]
        return cls(tuple(vectors[span] for span in spans), tuple(ids[span] for span in spans), sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    def rows(self, number: int) -> tuple[FloatArray, IdArray]:
        """Vectors (size, d) and ids (size,) of one list, without a copy."""
        size = self.sizes[number]
        return self._vectors[number][:size], self._ids[number][:size]

    def append(self, list_no: IdArray, x: FloatArray, ids: IdArray) -> tuple[VectorLists, IdArray]:
        """With these rows added, each list's in the order given; and where they stand (see `all_places`)."""
        order = np.argsort(list_no, kind="stable")
        counts = np.bincount(list_no, minlength=len(self))
        starts = np.cumsum(counts) - counts
        all_vectors, all_ids, sizes = list(self._vectors), list(self._ids), self.sizes.copy()
        for number in np.flatnonzero(counts).tolist():
            size, wanted = int(sizes[number]), int(sizes[number] + counts[number])
            if wanted > len(all_ids[number]):
                room = wanted if size == 0 else max(wanted, int(GROWTH * size))
                all_vectors[number], all_ids[number] = self._moved(number, room)
            rows = order[starts[number] : starts[number] + counts[number]]
            all_vectors[number][size:wanted], all_ids[number][size:wanted] = x[rows], ids[rows]
            sizes[number] = wanted
        positions = np.empty(len(list_no), np.int64)
        positions[order] = np.arange(len(order)) - starts[list_no[order]] + self.sizes[list_no[order]]
        return VectorLists(tuple(all_vectors), tuple(all_ids), sizes), (list_no << 32) | positions

    def _moved(self, number: int, room: int) -> tuple[FloatArray, IdArray]:
        """A copy of one list with room for so many vectors."""
        vectors, ids = self.rows(number)
        more_vectors, more_ids = np.empty((room, vectors.shape[1]), np.float32), np.empty(room, np.int64)
        more_vectors[: len(ids)], more_ids[: len(ids)] = vectors, ids
        return more_vectors, more_ids

    def remove(self, places: IdArray) -> VectorLists:
        """Without the vectors at these places; the others of a list keep their order."""
        list_no, position = places >> 32, places & 0xFFFFFFFF
        all_vectors, all_ids, sizes = list(self._vectors), list(self._ids), self.sizes.copy()
        for number in np.unique(list_no).tolist():
            vectors, ids = self.rows(number)
            keep = np.ones(len(ids), np.bool_)
            keep[position[list_no == number]] = False
            all_vectors[number], all_ids[number] = vectors[keep], ids[keep]
            sizes[number] = len(all_ids[number])
        return VectorLists(tuple(all_vectors), tuple(all_ids), sizes)

    def compacted(self) -> VectorLists:
        """Without room in reserve."""
        lists = [self._moved(number, int(size)) for number, size in enumerate(self.sizes)]
        return VectorLists(tuple(one[0] for one in lists), tuple(one[1] for one in lists), self.sizes)

    def at(self, places: IdArray) -> FloatArray:
        """The vectors at these places, shape (n, d)."""
        vectors = np.empty((len(places), self._vectors[0].shape[1]), np.float32)
        list_no, position = places >> 32, places & 0xFFFFFFFF
        for number in np.unique(list_no).tolist():
            here = list_no == number
            vectors[here] = self._vectors[number][position[here]]
        return vectors

    def all_ids(self) -> IdArray:
        """Every id, list by list."""
        return np.concatenate([self.rows(number)[1] for number in range(len(self))])

    def all_places(self) -> IdArray:
        """``list_no << 32 | position`` of every vector, in the order of `all_ids`."""
        list_no = np.repeat(np.arange(len(self)), self.sizes)
        starts = np.repeat(np.cumsum(self.sizes) - self.sizes, self.sizes)
        return (list_no << 32) | (np.arange(len(list_no)) - starts)

    def flat(self) -> dict[str, Array]:
        """All lists end to end: vectors (ntotal, d), ids (ntotal,), sizes (nlist,)."""
        parts = [self.rows(number)[0] for number in range(len(self))]
        return {"vectors": np.concatenate(parts), "ids": self.all_ids(), "sizes": self.sizes}

    def nbytes(self) -> dict[str, int]:
        """Bytes of vectors and ids in use, and of the room in reserve."""
        used = {"vectors": self.ntotal * 4 * self._vectors[0].shape[1], "ids": self.ntotal * 8}
        held = sum(vectors.nbytes + ids.nbytes for vectors, ids in zip(self._vectors, self._ids, strict=True))
        return {**used, "slack": held - sum(used.values())}
