"""Indexing in the background: one piece of work at a time, watched and stopped from the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from lookalike.app.messages import public_error
from lookalike.collection import AddReport, Progress
from lookalike.collection.records import Skipped, printable
from lookalike.errors import CollectionLockedError, IdError, LookalikeError

__all__ = ["Job", "Jobs", "reasons"]

State: TypeAlias = Literal["running", "done", "stopped", "failed"]
REMEMBERED = 20
NAMED = 200  # skipped files that are named
NAMED_EACH = 50  # for each reason
OF_NO_INTEREST = ("other", "hidden")  # no pictures, and not meant to be found: last


@dataclass
class Job:
    """One piece of indexing.

    Attributes
    ----------
    id : int
    collection : str
        Its name.
    state : {"running", "done", "stopped", "failed"}
    progress : Progress or None
    report : AddReport or None
        Once it is done or was stopped.
    error : str or None
        Why it failed, in one line.
    roots : tuple of Path
        The folders that are looked at; skipped files are named from there.
    """

    id: int
    collection: str
    state: State = "running"
    progress: Progress | None = None
    report: AddReport | None = None
    error: str | None = None
    roots: tuple[Path, ...] = ()
    stopping: threading.Event = field(default_factory=threading.Event)
    begun: float = field(default_factory=time.time)

    def tell(self, progress: Progress) -> None:
        """Called by the work; ends it, as Ctrl-C would, once somebody has asked for that."""
        self.progress = progress
        if self.stopping.is_set():
            raise KeyboardInterrupt

    def to_json(self) -> dict[str, Any]:
        """Plain values; skipped files by their names."""
        progress, report = self.progress, self.report
        return {
            "id": self.id,
            "collection": self.collection,
            "state": self.state,
            "stopping": self.stopping.is_set(),
            "error": self.error,
            "progress": progress
            and {
                "phase": progress.phase,
                "done": progress.done,
                "total": progress.total,
                "rate": progress.rate,
                "seconds_left": progress.seconds_left,
                "skipped": progress.skipped,
            },
            "report": report
            and {
                "indexed": report.indexed,
                "new": report.new,
                "changed": report.changed,
                "unchanged": report.unchanged,
                "moved": report.moved,
                "missing": report.missing,
                "removed": report.removed,
                "seconds": report.seconds,
                "skipped_count": len(report.skipped),
                "skipped": [
                    {"path": _shown(item.path, self.roots), "reason": item.reason} for item in report.skipped[:NAMED]
                ],
                "reasons": reasons(report.skipped, self.roots),
            },
        }


def reasons(skipped: Iterable[Skipped], roots: Sequence[Path]) -> list[dict[str, Any]]:
    """Skipped files by their reason, those that could have been pictures first; some of each are named."""
    found: dict[str, list[Skipped]] = {}
    for item in skipped:
        found.setdefault(item.reason, []).append(item)
    ordered = sorted(found.values(), key=lambda items: (items[0].kind in OF_NO_INTEREST, -len(items)))
    return [
        {
            "reason": items[0].reason,
            "count": len(items),
            "files": [_shown(item.path, roots) for item in items[:NAMED_EACH]],
        }
        for items in ordered
    ]


def _shown(path: Path, roots: Sequence[Path]) -> str:
    root = next((root for root in roots if path.is_relative_to(root) and path != root), path.parent)
    return printable(path.relative_to(root).as_posix())


class Jobs:
    """The work of one server."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._jobs: dict[int, Job] = {}
        self._threads: list[threading.Thread] = []

    def start(
        self, collection: str, work: Callable[[Callable[[Progress], None]], AddReport], roots: Sequence[Path] = ()
    ) -> Job:
        """Begin; ``work(progress)`` runs in a thread.

        Raises
        ------
        CollectionLockedError
            While another piece of work runs.
        """
        with self._guard:
            self._check_idle()
            job = Job(max(self._jobs, default=0) + 1, collection, roots=tuple(roots))
            self._jobs[job.id] = job
            for old in sorted(self._jobs)[:-REMEMBERED]:
                del self._jobs[old]
            thread = threading.Thread(target=_run, args=(job, work), name="lookalike-index")
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]
            thread.start()
        return job

    def check_idle(self) -> None:
        """See that nothing runs.

        Raises
        ------
        CollectionLockedError
            If something does.
        """
        with self._guard:
            self._check_idle()

    def _check_idle(self) -> None:
        running = next((job for job in self._jobs.values() if job.state == "running"), None)
        if running is not None:
            raise CollectionLockedError(f"{running.collection} is being indexed; wait until that is done, or stop it")

    def all(self) -> list[Job]:
        """The latest first."""
        with self._guard:
            return sorted(self._jobs.values(), key=lambda job: -job.id)

    def stop(self, id: int) -> Job:
        """Ask one to stop; what it has done is kept.

        Raises
        ------
        IdError
            If there is none with this id.
        """
        with self._guard:
            if id not in self._jobs:
                raise IdError(f"job: there is no {id}")
            job = self._jobs[id]
        job.stopping.set()
        return job

    def close(self) -> None:
        """Stop everything and wait for it."""
        for job in self.all():
            job.stopping.set()
        for thread in self._threads:
            thread.join()


def _run(job: Job, work: Callable[[Callable[[Progress], None]], AddReport]) -> None:
    try:
        job.report = work(job.tell)
    except LookalikeError as error:
        job.error, job.state = public_error(error, {}), "failed"
    except KeyboardInterrupt:
        job.state = "stopped"
    except OSError as error:
        job.error, job.state = error.strerror or public_error(error, {}), "failed"
    else:
        job.state = "stopped" if job.report.interrupted else "done"
    finally:
        if job.state == "running":  # something nobody thought of; its traceback is in the log
            job.error, job.state = "an error inside lookalike; its log has the details", "failed"
