"""Pictures to vectors with ONNX Runtime, decoding and inference overlapped.

Every worker thread has a picture decoded and runs the model on it, one picture at a time and on one core; both release
Python's lock. The files of a folder are decoded by other processes (`workers`). So while one thread decodes another
infers, all cores are busy without ONNX Runtime's own threads competing for them, and a picture's vector does not depend,
not even in the last bit, on what else is in its batch.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._threads import cores
from lookalike._typing import FloatArray, PathLike
from lookalike._validate import check_count
from lookalike.errors import ImageError
from lookalike.features import images, workers
from lookalike.features.models import DEFAULT_MODEL, ModelCard, get_model, load_model
from lookalike.features.network import Network

if TYPE_CHECKING:
    from lookalike.features._source import Source

__all__ = ["Embedded", "Embedder"]

_MAX_THREADS = 32  # each needs about 20 MB for the model's intermediate results
_HANDED_OVER = 2  # pictures on their way to a decoder and back; meanwhile the cores have other work
_AHEAD = 4  # pictures that are under way or waiting to be fetched, for each thread


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """A picture's vector, and what its file said.

    Attributes
    ----------
    vector : ndarray of float32, shape (d,)
        Of length 1.
    norm : float
        Length of the model's output before it was scaled to 1.
    width, height : int
        Of the whole picture, upright.
    format : str
        ``"JPEG"``, ``"PNG"`` …; empty for a picture that did not come from a file.
    """

    vector: FloatArray
    norm: float
    width: int
    height: int
    format: str


class Embedder:
    """Turns pictures into vectors with one model.

    Parameters
    ----------
    card : ModelCard or str, optional
        A model or its name; the default model if left out.
    threads : int, optional
        How many pictures are worked on at once; as many as there are cores if left out.
    data : bytes, optional
        The model's file, where it is not yet where the card says.

    Raises
    ------
    ModelError
        If the model is unknown, or its file is missing, damaged or another one than the card says.

    Examples
    --------
    >>> from lookalike.data import starter_folder
    >>> embedder = Embedder()
    >>> vectors = embedder.embed(sorted((starter_folder() / "photos" / "windmill").glob("*.jpg"))[:2])
    >>> vectors.shape
    (2, 1280)
    """

    def __init__(
        self, card: ModelCard | str | None = None, threads: int | None = None, data: bytes | None = None
    ) -> None:
        if card is None or isinstance(card, str):
            card = get_model(card or DEFAULT_MODEL)
        self.model_card = card
        self.threads = default_threads() if threads is None else check_count(threads, "threads", high=1024)
        self._network = Network(card, load_model(card) if data is None else data)

    def embed(self, pictures: Sequence[Source]) -> FloatArray:
        """Vectors of some pictures.

        Parameters
        ----------
        pictures : sequence of path, bytes, binary file, PIL image or ndarray of uint8

        Returns
        -------
        vectors : ndarray of float32, shape (n, d)
            Rows of length 1.

        Raises
        ------
        ImageError
            For the first that cannot be decoded; the message begins with its path, if it has one.
        """
        if isinstance(pictures, str | bytes | os.PathLike):
            pictures = [pictures]
        vectors = np.empty((len(pictures), self.model_card.d), np.float32)
        for i, (picture, result) in enumerate(self._results((each, each) for each in pictures)):
            if isinstance(result, ImageError):
                is_path = isinstance(picture, str | os.PathLike)
                raise type(result)(f"{os.fspath(picture)}: {result}" if is_path else str(result)) from result
            vectors[i] = result.vector
        return vectors

    def stream(
        self, paths: Iterable[PathLike | tuple[PathLike, Source]]
    ) -> Iterator[tuple[Path, Embedded | ImageError]]:
        """Vectors of any number of files, in their order, in bounded memory.

        Parameters
        ----------
        paths : iterable of path, or of pairs (path, source)
            Read as far ahead as the threads can use, no further. The source of a pair is what is decoded, such as the bytes
            that were read from the path, or an open file of them, which the caller closes once it has the result.

        Yields
        ------
        path : Path
        result : Embedded or ImageError
            The error, whose message is the reason, in place of a picture that cannot be decoded. It is an
            `UnreadableNowError` where the system failed, so that the file should be tried again.

        Notes
        -----
        Closing the iterator, or an exception such as KeyboardInterrupt while it waits, drops what has not begun, and
        returns when the pictures under way, one for each thread, are done.
        """
        with workers.held():
            yield from self._results((_pair(item) for item in paths), is_patient=True)

    def _results(
        self, pictures: Iterable[tuple[Any, Source]], is_patient: bool = False
    ) -> Iterator[tuple[Any, Embedded | ImageError]]:
        """For pairs of a name and a picture: the names, each with its result."""
        source = iter(pictures)
        first = next(source, None)
        if first is None:
            return
        second = next(source, None)
        if second is None:  # a single query needs no threads
            yield first[0], self._try_one(first[1], is_patient)
            return
        threads = self.threads if workers.running() is None else self.threads + _HANDED_OVER
        pool = ThreadPoolExecutor(threads, thread_name_prefix="lookalike-embed")
        waiting: deque[tuple[Any, Future[Embedded | ImageError]]] = deque()
        try:
            for name, picture in itertools.chain((first, second), source):
                waiting.append((name, pool.submit(self._try_one, picture, is_patient)))
                if len(waiting) > _AHEAD * self.threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _try_one(self, picture: Source, is_patient: bool) -> Embedded | ImageError:
        try:
            decoded = images.read(picture, self.model_card.input_size, is_patient)
        except ImageError as error:
            return error.with_traceback(None)
        vector = self._network(decoded.pixels).astype(np.float64)
        norm = float(np.linalg.norm(vector))
        if not 0 < norm < np.inf:
            return ImageError("the model finds nothing in the picture")
        return Embedded((vector / norm).astype(np.float32), norm, decoded.width, decoded.height, decoded.format)


def _pair(item: PathLike | tuple[PathLike, Source]) -> tuple[Path, Source]:
    if isinstance(item, tuple):
        return Path(item[0]), item[1]
    return Path(item), Path(item)


def default_threads() -> int:
    """As many threads as this process may use cores."""
    return min(cores(), _MAX_THREADS)
