"""What the server remembers of this visit: pictures that were searched with, and their vectors. In memory only."""

from __future__ import annotations

import ctypes
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from lookalike.errors import IdError

__all__ = ["Bounded", "QueryPictures", "return_memory"]

T = TypeVar("T")
MAX_BYTES: Final = 128_000_000


class Bounded(Generic[T]):
    """A mapping that forgets what was not used for longest. Threads can share it."""

    def __init__(self, limit: int, size_of: Callable[[T], int] = lambda _: 1) -> None:
        self._limit, self._size_of = limit, size_of
        self._items: OrderedDict[str, T] = OrderedDict()
        self._size = 0
        self._guard = threading.Lock()

    def get(self, key: str) -> T | None:
        """The value, which counts as used now."""
        with self._guard:
            if key in self._items:
                self._items.move_to_end(key)
            return self._items.get(key)

    def put(self, key: str, value: T) -> None:
        """Keep a value; others may have to go."""
        with self._guard:
            if key in self._items:
                self._size -= self._size_of(self._items.pop(key))
            self._items[key] = value
            self._size += self._size_of(value)
            while self._size > self._limit and len(self._items) > 1:
                self._size -= self._size_of(self._items.popitem(last=False)[1])


class QueryPictures:
    """Pictures that somebody searched with, by a tag made of their contents: so a search can be refined or repeated."""

    def __init__(self, limit: int = MAX_BYTES) -> None:
        self._pictures: Bounded[bytes] = Bounded(limit, len)

    def keep(self, image: bytes) -> str:
        """Remember a picture; returns its tag."""
        tag = hashlib.sha256(image).hexdigest()[:32]
        self._pictures.put(tag, image)
        return tag

    def find(self, tag: str) -> bytes | None:
        """The picture, if it is still here."""
        return self._pictures.get(tag)

    def get(self, tag: str) -> bytes:
        """The picture.

        Raises
        ------
        IdError
            If it was never here, or is forgotten.
        """
        image = self.find(tag)
        if image is None:
            raise IdError("the server no longer has the picture of this search; give it again")
        return image


def return_memory() -> bool:
    """Give memory that is free, but still held by the C library, back to the system; False where it has no such call.

    Threads that decode many pictures at once leave arenas full of holes, which glibc keeps: several times what is in use.
    """
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # not glibc
        return False
    return bool(trim(0))
