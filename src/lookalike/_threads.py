"""Running kernels, which release the GIL, on several threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["cores", "run_all", "shares"]

SHARES = 4  # of each thread: one that is late leaves its last ones to the others
LONGEST = 16  # groups of one call: an interrupt waits for the end of a call

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Processor cores that this process may use, which may be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(function: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """``[function(item) for item in items]`` on up to `threads` threads; no thread is started for a single item.

    The calling thread is one of them, so that two threads never have to share its core. The first error ends the work.
    """
    work = list(items)
    if threads == 1 or len(work) < 2:
        return [function(item) for item in work]
    results: dict[int, R] = {}
    failed = False
    numbered = enumerate(work)  # taking from it is one step of the interpreter, so that threads can share it

    def take() -> None:
        nonlocal failed
        for number, item in numbered:
            if failed:
                return
            try:
                results[number] = function(item)
            except BaseException:
                failed = True
                raise

    helpers = min(threads, len(work)) - 1
    with ThreadPoolExecutor(helpers) as pool:
        running = [pool.submit(take) for _ in range(helpers)]
        take()
        for one in running:
            one.result()
    return [results[number] for number in range(len(work))]


def shares(count: int, group: int, threads: int) -> list[slice]:
    """``range(count)`` cut for kernels that work through groups of `group`: a few shares for each thread, of whole groups."""
    per_thread = -(-count // threads)
    group = max(1, min(group, per_thread))
    step = group * max(1, min(LONGEST, per_thread // (SHARES * group)))
    return [slice(at, min(at + step, count)) for at in range(0, count, step)]
