"""Progress on stderr: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lookalike.cli.console import duration, say

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as Bar

    from lookalike.collection import Progress

__all__ = ["ProgressDisplay", "TransferDisplay", "pace"]

_FIRST_LINE, _NEXT_LINE = 1.0, 5.0  # seconds; then a tenth of the time gone by, so that a log of hours stays short
_VERBS = {
    "scanning": "looking through the folders",
    "embedding": "indexing pictures",
    "indexing": "building the index",
    "comparing": "comparing pictures",
    "ranking": "asking with every picture",
    "spoiling": "spoiling pictures",
    "storing": "storing vectors",
    "extracting": "turning pictures into vectors",
    "adapting": "learning, and checking on held-out pictures",
    "looking": "looking at the pictures",
    "learning": "learning from the pictures",
}


class ProgressDisplay:
    """Pass it as `progress` to `Collection.add`; use it as a context manager."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bar: Bar | None = None
        self._phase = ""
        self._start = clock()
        self._next_line = self._start + _FIRST_LINE

    def __enter__(self) -> ProgressDisplay:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[pace]}"))
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._bar.add_task("", total=None, pace="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, progress: Progress) -> None:
        verb = _VERBS[progress.phase]
        if self._bar is not None:
            if progress.phase != self._phase:
                self._phase = progress.phase
                self._bar.reset(self._bar.task_ids[0])
            total = progress.total or None
            self._bar.update(
                self._bar.task_ids[0], description=verb, total=total, completed=progress.done, pace=pace(progress)
            )
        elif (now := self._clock()) >= self._next_line:
            self._next_line = now + max(_NEXT_LINE, (now - self._start) / 10)
            say(f"{verb}: {pace(progress)}")


def pace(progress: Progress) -> str:
    """``1,200 of 40,000, 85 a second, 7 min 36 s left``, as far as it is known."""
    parts = [f"{progress.done:,} of {progress.total:,}" if progress.total else f"{progress.done:,} so far"]
    if progress.rate >= 0.05:
        parts.append(f"{progress.rate:,.0f} a second" if progress.rate >= 10 else f"{progress.rate:.1f} a second")
    if progress.seconds_left is not None and progress.done < progress.total:
        parts.append(f"{duration(progress.seconds_left)} left")
    return ", ".join(parts)


class TransferDisplay:
    """How far fetching, checking and unpacking a file are; pass it as `progress`, and use it as a context manager."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._bar: Bar | None = None
        self._begun = (0.0, 0)
        self._last: int | None = None
        self._next_line = 0.0

    def __enter__(self) -> TransferDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, done: int, total: int | None) -> None:
        now = self._clock()
        if (
            self._last is None or done < self._last
        ):  # the next kind of work; what was there before it has no part in its rate
            self._begun = now, done
            self._next_line = now + _FIRST_LINE
            if sys.stderr.isatty() and self._bar is None:
                self._bar = _transfer_bar(self._name)
        self._last = done
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], total=total, completed=done)
            if done == total:
                self._bar.stop()  # what is said after it must not be painted over
                self._bar = None
        elif now >= self._next_line and not sys.stderr.isatty():
            begun, before = self._begun
            self._next_line = now + max(_NEXT_LINE, (now - begun) / 10)
            say(f"{self._name}: {_transferred(done, total, (done - before) / (now - begun))}")


def _transfer_bar(name: str) -> Bar:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(name, total=None)
    bar.start()
    return bar


def _transferred(done: int, total: int | None, rate: float) -> str:
    """``34 of 137 MB, 12.3 MB a second, 8.4 s left``, as far as it is known."""
    parts = [f"{done / 1e6:,.0f} of {total / 1e6:,.0f} MB" if total else f"{done / 1e6:,.0f} MB so far"]
    if rate > 0:
        parts.append(f"{rate / 1e6:.1f} MB a second")
        if total:
            parts.append(f"{duration((total - done) / rate)} left")
    return ", ".join(parts)
