"""All pictures of a collection compared with each other, as a job: watched, shared by who asks for the same, and stopped."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from pydantic import BaseModel

from lookalike.app.api.schemas import JobProgress
from lookalike.app.capacity import Pool, ServerBusyError
from lookalike.collection import Collection, Progress

if TYPE_CHECKING:
    from lookalike.curate.groups import Group

__all__ = ["Comparing", "Comparisons", "StoppedComparing"]

WAIT: Final = 4.0  # seconds that an answer may take before it says how far the job is
ABANDONED: Final = 15.0  # seconds after which a job that nobody asks about is stopped
REMEMBERED: Final = 8


class Comparing(BaseModel):
    """A comparison that is not done: ask again for the groups. `progress` is null while it waits for others."""

    state: Literal["waiting", "running"]
    progress: JobProgress | None


class StoppedComparing(BaseModel):
    """How many comparisons were stopped."""

    stopped: int


class _Stop(Exception):
    """Raised into the work through its progress."""


@dataclass
class _Comparison:
    progress: Progress | None = None
    asked: float = field(default_factory=time.monotonic)
    stopping: threading.Event = field(default_factory=threading.Event)
    task: asyncio.Task[list[Group]] | None = None

    def tell(self, progress: Progress) -> None:
        self.progress = progress
        if self.stopping.is_set() or time.monotonic() - self.asked > ABANDONED:
            raise _Stop

    def work(self, collection: Collection, similarity: float) -> list[Group]:
        if self.stopping.is_set():
            raise _Stop
        return collection.duplicates(similarity, self.tell)

    def has_failed(self) -> bool:
        task = self.task
        return task is not None and task.done() and (task.cancelled() or task.exception() is not None)

    def state(self) -> Comparing:
        told = self.progress
        if told is None:
            return Comparing(state="waiting", progress=None)
        progress = JobProgress(
            phase=told.phase,
            done=told.done,
            total=told.total,
            rate=told.rate,
            seconds_left=told.seconds_left,
            skipped=told.skipped,
        )
        return Comparing(state="running", progress=progress)


class Comparisons:
    """The comparisons of one server. All but `close` is called in its event loop.

    Parameters
    ----------
    pool : Pool
        Where they run.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[tuple[str, float], _Comparison] = {}

    async def groups(self, collection: Collection, similarity: float, wait: float = WAIT) -> list[Group] | Comparing:
        """The groups, or how far it is with them.

        Raises
        ------
        ServerBusyError
            If too many comparisons wait already, or somebody stopped this one.
        """
        key = (collection.name, similarity)
        comparison = self._known.get(key)
        if comparison is None or comparison.has_failed():  # one that was stopped says nothing to who asks anew
            self._pool.check()
            comparison = self._begin(key, collection)
        comparison.asked = time.monotonic()
        assert comparison.task is not None
        await asyncio.wait({comparison.task}, timeout=wait)
        comparison.asked = time.monotonic()
        if not comparison.task.done():
            return comparison.state()
        if self._known.get(key) is comparison:
            del self._known[key]
        try:
            return comparison.task.result()
        except _Stop:
            raise ServerBusyError("the comparison was stopped; ask again") from None

    def _begin(self, key: tuple[str, float], collection: Collection) -> _Comparison:
        comparison = _Comparison()
        self._known[key] = comparison
        for old in [each for each, item in self._known.items() if item.task and item.task.done()][:-REMEMBERED]:
            del self._known[old]
        comparison.task = asyncio.create_task(self._pool.run(comparison.work, collection, key[1]))
        comparison.task.add_done_callback(lambda task: task.cancelled() or task.exception())  # seen, if nobody asks
        return comparison

    def stop(self, name: str, similarity: float | None = None) -> int:
        """Stop those of a collection, or the one of a similarity; returns how many."""
        found = [key for key in self._known if key[0] == name and similarity in (None, key[1])]
        stopped = 0
        for key in found:
            comparison = self._known.pop(key)
            comparison.stopping.set()
            stopped += comparison.task is not None and not comparison.task.done()
        return stopped

    def forget_done(self, name: str) -> None:
        """Something was decided: what was found before that is not shown again."""
        for key in [key for key, item in self._known.items() if key[0] == name and item.task and item.task.done()]:
            del self._known[key]

    def close(self) -> None:
        """Let nothing go on for long."""
        for comparison in list(self._known.values()):
            comparison.stopping.set()
