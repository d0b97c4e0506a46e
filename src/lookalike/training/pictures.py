"""Decoding pictures for learning: with lookalike's own decoder, on threads, a few batches ahead, small ones kept in memory."""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lookalike.errors import ImageError
from lookalike.features import images
from lookalike.features.embedder import default_threads
from lookalike.training.augment import AUGMENTS, margin

__all__ = ["Pictures"]

Square: TypeAlias = NDArray[np.uint8]

_KEPT_BYTES: Final = 1 << 30  # of decoded squares
_AHEAD: Final = 2  # batches


class Pictures:
    """Pictures of a folder as squares; use it as a context manager.

    Parameters
    ----------
    folder : Path
        Pictures are called by their names in it.
    size : int
        Side of the network's square.
    seed : int
        Every picture is changed by a generator of its own, made from this, the epoch and the picture's name: so a run that
        was interrupted goes on with the pictures that it would have had.
    """

    def __init__(self, folder: Path, size: int, seed: int = 0) -> None:
        self._folder = folder
        self._size = size
        self._seed = seed
        self._kept: dict[tuple[str, int], Square] = {}
        self._bytes = 0
        self._pool = ThreadPoolExecutor(default_threads(), thread_name_prefix="lookalike-decode")

    def __enter__(self) -> Pictures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._kept.clear()

    def plain(self, names: Sequence[str], batch: int) -> Iterator[tuple[list[str], Square, dict[str, str]]]:
        """Batches as a search would see them: names, their squares (b, size, size, 3), and why others cannot be read."""
        for part, squares in self._ahead(_parts(names, batch), "none", 0):
            good = {name: x for name, x in zip(part, squares, strict=True) if not isinstance(x, ImageError)}
            bad = {name: str(x) for name, x in zip(part, squares, strict=True) if isinstance(x, ImageError)}
            empty = np.empty((0, self._size, self._size, 3), np.uint8)
            yield list(good), np.stack(list(good.values())) if good else empty, bad

    def changed(self, batches: Sequence[Sequence[str]], augment: str, epoch: int) -> Iterator[Square]:
        """Batches to learn from, (b, size, size, 3) each.

        Raises
        ------
        ImageError
            If a picture that could be read before cannot be read now.
        """
        for part, squares in self._ahead(batches, augment, epoch):
            for name, square in zip(part, squares, strict=True):
                if isinstance(square, ImageError):
                    raise ImageError(f"{self._folder / name}: {square}; it could be read when the work began")
            yield np.stack([x for x in squares if not isinstance(x, ImageError)])

    def _ahead(
        self, batches: Sequence[Sequence[str]], augment: str, epoch: int
    ) -> Iterator[tuple[Sequence[str], list[Square | ImageError]]]:
        waiting: deque[tuple[Sequence[str], list[Future[Square | ImageError]]]] = deque()
        for part in batches:
            waiting.append((part, [self._pool.submit(self._one, name, augment, epoch) for name in part]))
            if len(waiting) > _AHEAD:
                done, futures = waiting.popleft()
                yield done, [future.result() for future in futures]
        while waiting:
            done, futures = waiting.popleft()
            yield done, [future.result() for future in futures]

    def _one(self, name: str, augment: str, epoch: int) -> Square | ImageError:
        side = self._size if augment == "none" else margin(self._size)
        try:
            square = self._square(name, side)
        except ImageError as error:
            return error.with_traceback(None)
        own = zlib.crc32(name.encode("utf-8", "surrogateescape"))
        rng = np.random.default_rng((self._seed, epoch, own))
        return np.ascontiguousarray(AUGMENTS[augment](square, self._size, rng))

    def _square(self, name: str, side: int) -> Square:
        kept = self._kept.get((name, side))
        if kept is not None:
            return kept
        square = images.read(self._folder / name, side).pixels
        if self._bytes + square.nbytes <= _KEPT_BYTES:  # threads may pass it by a square each
            self._bytes += square.nbytes
            self._kept[name, side] = square
        return square


def _parts(names: Sequence[str], batch: int) -> list[Sequence[str]]:
    return [names[at : at + batch] for at in range(0, len(names), batch)]
