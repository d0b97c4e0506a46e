"""Timing rivals in turns.

A machine drifts: it heats up, it is shared. Rivals that take turns (A, B, A, B, …) drift together, so their ratio holds where
the times themselves do not. The figure is the median of wall-clock time; processor time is kept beside it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Budget", "Contestant", "Timing", "ratio_of", "take_turns"]


@dataclass(frozen=True, slots=True)
class Budget:
    """How long to measure: at least `rounds`, then until `seconds` are spent, at most `most` rounds."""

    rounds: int = 5
    seconds: float = 8.0
    most: int = 51


@dataclass(frozen=True, slots=True)
class Contestant:
    """One of the rivals.

    Attributes
    ----------
    name : str
    run : callable
        What is timed; its argument is what `prepare` returned.
    prepare : callable
        Called before each run, not timed: an empty index to add to, for instance.
    under : callable
        A context to prepare and run in, such as a number of threads; entering it is not timed.
    """

    name: str
    run: Callable[[Any], Any]
    prepare: Callable[[], Any] = lambda: None
    under: Callable[[], AbstractContextManager[Any]] = nullcontext


@dataclass(slots=True)
class Timing:
    """Times of one contestant, a round each, in seconds.

    Attributes
    ----------
    name : str
    wall, cpu : list of float
    result : object
        What the warm-up run returned.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    result: Any = None
    name: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.wall)

    @property
    def cpu_median(self) -> float:
        return statistics.median(self.cpu)


def take_turns(contestants: Sequence[Contestant], budget: Budget) -> list[Timing]:
    """Time the contestants in turns; each runs once before, which compiles, fills caches and gives `Timing.result`."""
    timings = [Timing(name=contestant.name) for contestant in contestants]
    for contestant, timing in zip(contestants, timings, strict=True):
        with contestant.under():
            timing.result = contestant.run(contestant.prepare())
    started = time.perf_counter()
    for number in range(budget.most):
        if number >= budget.rounds and time.perf_counter() - started > budget.seconds:
            break
        for contestant, timing in zip(contestants, timings, strict=True):
            _one_round(contestant, timing)
    return timings


def _one_round(contestant: Contestant, timing: Timing) -> None:
    with contestant.under():
        prepared = contestant.prepare()
        gc.collect()  # which also gives OpenMP's idle threads time to stop spinning, before the other side needs the cores
        gc.disable()
        try:
            cpu, wall = time.process_time(), time.perf_counter()
            contestant.run(prepared)
            timing.wall.append(time.perf_counter() - wall)
            timing.cpu.append(time.process_time() - cpu)
        finally:
            gc.enable()


def ratio_of(peer: Timing, ours: Timing) -> tuple[float, float, float]:
    """How many times faster ours is: the ratio of the medians, and the quartiles of the ratios of single rounds."""
    each = sorted(p / o for p, o in zip(peer.wall, ours.wall, strict=True))
    return peer.median / ours.median, each[len(each) // 4], each[-1 - len(each) // 4]
