"""Telling how far a piece of work is, a few times per second."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from lookalike.collection.records import Phase, Progress

__all__ = ["Pace"]

WINDOW = 30.0
INTERVAL = 0.1


class Pace:
    """Calls back with a `Progress`, at most ten times per second and once at the end of each phase."""

    def __init__(self, callback: Callable[[Progress], None] | None) -> None:
        self._callback = callback
        self._phase: Phase | None = None
        self._last = 0.0
        self._marks: deque[tuple[float, int]] = deque()
        self.skipped = 0

    def tell(self, phase: Phase, done: int, total: int, *, last: bool = False) -> None:
        """So many of so many (0: not known) are done."""
        if self._callback is None:
            return
        now = time.monotonic()
        if phase != self._phase:
            self._phase = phase
            self._marks.clear()
            self._marks.append((now, 0))
        elif not last and now - self._last < INTERVAL:
            return
        self._last = now
        rate = self._rate(now, done)
        left = (total - done) / rate if rate and total else None
        self._callback(Progress(done, total, phase, rate, left, self.skipped))

    def _rate(self, now: float, done: int) -> float:
        self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= WINDOW:
            self._marks.popleft()
        then, before = self._marks[0]
        return (done - before) / (now - then) if now > then and done > before else 0.0
