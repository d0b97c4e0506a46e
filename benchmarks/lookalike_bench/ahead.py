"""Working ahead: a function over many things, in threads, results in order, memory bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

_EACH = 4  # things under way or waiting to be fetched, for each thread

T = TypeVar("T")
R = TypeVar("R")


def ahead(function: Callable[[T], R], things: Iterable[T], threads: int) -> Iterator[R]:
    """``map(function, things)`` in threads that release Python's lock, no further ahead than the threads can use."""
    waiting: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for thing in things:
            waiting.append(pool.submit(function, thing))
            if len(waiting) > _EACH * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
