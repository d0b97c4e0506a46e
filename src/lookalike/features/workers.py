"""Decoding in other processes, which can be killed.

A decoder is C code that is given whatever anybody made. One that runs in a thread cannot be stopped, and one that crashes
takes the program with it. Here a picture's bytes go to a worker process through a pipe, and pixels come back. A worker that
takes too long, needs too much memory or crashes costs that one picture; the next one gets a new worker.

Workers are started when they are first needed and end when nobody has needed them for a while, when this process closes
them, and when this process dies, as their pipe ends then. They are started by `subprocess`, not `multiprocessing`, which
would run the user's main module again.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from typing import IO, Any, BinaryIO, Final

from lookalike._threads import cores
from lookalike.errors import ImageError, LookalikeWarning, UnreadableNowError
from lookalike.features._messages import Answer
from lookalike.features._pipe import CannotStartError, DefectError, Ended, Worker, checked, ending, has_interpreter

__all__ = ["MEMORY", "PATIENCE", "SECONDS", "CannotStartError", "DefectError", "Workers", "give_up", "held", "running"]

SECONDS: Final = 20
"""Of processor time that decoding one picture may take."""

PATIENCE: Final = 60
"""Seconds by the clock. A worker that has not had its processor time by then waits for something, or the machine is busy."""

MEMORY: Final = 2 << 30
"""Bytes that a worker may use beside what it needs to run."""

START: Final = 0.2  # seconds that it takes to start a worker: another one is worth it when pictures have waited as long
SLOW: Final = 0.3  # seconds; a worker that takes longer is replaced by a spare one while it is busy
SPARE: Final = 8  # of them at most
IDLE: Final = 60.0  # seconds until a worker that nobody needs ends

_KILLED: Final = -int(getattr(signal, "SIGKILL", 9))
_TIMES: Final = frozenset({-int(getattr(signal, name, 0)) for name in ("SIGPROF", "SIGXCPU")} - {0})
_CRASHES: Final = frozenset(
    {-int(getattr(signal, name, 0)) for name in ("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL", "SIGSYS")} - {0}
)


class Workers:
    """A pool of processes that decode.

    Parameters
    ----------
    count : int, optional
        Workers that run at a time; as many as there are cores if left out. While some are slow there are more, so that
        one picture that takes long does not keep others waiting.
    seconds : float
        Of processor time for a picture.
    patience : float
        Seconds by the clock for a picture.
    memory : int
        Bytes that a worker may use, beside what it needs to run.
    module : str
        What a worker runs; tests replace it.
    """

    def __init__(
        self,
        count: int | None = None,
        *,
        seconds: float = SECONDS,
        patience: float = PATIENCE,
        memory: int = MEMORY,
        module: str = "lookalike.features._worker",
    ) -> None:
        self._count = count or cores()
        self._seconds, self._patience, self._memory = seconds, patience, memory
        self._module = module
        self._turns: IO[bytes] | None = None
        self._changed = threading.Condition()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._starting = 0
        self._waited = 0.0  # seconds in which pictures waited for a busy worker, since one was started last
        self._counted = 0.0  # until when these are counted
        self._has_started = False
        self._watched = False
        self._closed = False

    def run(self, request: dict[str, Any], body: bytes | BinaryIO, size: int) -> Answer:
        """What a worker answers to a request about a picture.

        Parameters
        ----------
        request : dict
            ``"do"`` and its arguments.
        body : bytes or binary file
            The picture. A file is read from where it stands.
        size : int
            Bytes of the body.

        Raises
        ------
        ImageError
            If there is no picture to be had from it.
        UnreadableNowError
            If the worker was ended by the system or by somebody, twice, or the machine was too busy.
        OSError
            If a file cannot be read.
        CannotStartError
            If workers cannot be started at all.
        """
        start = None if isinstance(body, bytes) else body.tell()
        for is_second in (False, True):
            if start is not None and not isinstance(body, bytes):
                body.seek(start)
            worker = self._take()
            try:
                answer = worker.ask(request, body, size)
            except Ended:
                self._drop(worker)
                reason = self._why_ended(worker, is_second)
                if reason is not None:
                    raise reason from None
            except BaseException:  # an interrupt, or a file that cannot be read: the pipe is in the middle of something
                self._drop(worker)
                raise
            else:
                self._give_back(worker)
                return checked(answer)
        raise AssertionError("unreachable")

    def start(self) -> None:
        """Start a worker in the background, if there is none, so that it is there when the first picture comes."""
        with self._changed:
            if self._closed or self._busy or self._idle or self._starting:
                return
            self._starting += 1
        threading.Thread(target=self._start_idle, name="lookalike-start", daemon=True).start()

    def close(self) -> None:
        """End all workers. What is under way fails."""
        with self._changed:
            self._closed = True
            idle, self._idle = self._idle, []
            for worker in self._busy:
                worker.end()  # whoever waits for it takes its pipes away
            self._changed.notify_all()
        for worker in idle:
            worker.kill()
        if self._turns is not None:
            self._turns.close()

    def pids(self) -> list[int]:
        """Process ids of the workers there are."""
        with self._changed:
            return sorted(worker.pid for worker in (*self._idle, *self._busy))

    def forget(self) -> None:
        """Let go of the pipes, in a process that was forked from the one that owns the workers."""
        for worker in (*self._idle, *self._busy):
            worker.forget()

    # --- which worker ------------------------------------------------------------------------------------------------

    def _take(self) -> Worker:
        with self._changed:
            while True:
                if self._closed:
                    raise ending()
                while self._idle:
                    worker = self._idle.pop()
                    if worker.is_alive():
                        self._mark_busy(worker)
                        return worker
                    worker.kill()
                there = len(self._busy) + self._starting
                if there < self._room() and (there == 0 or self._waited >= START):
                    self._starting += 1
                    self._waited = 0.0
                    break
                self._wait()
        return self._started(self._mark_busy)

    def _started(self, use: Callable[[Worker], None]) -> Worker:
        """A new worker, one of those that `_starting` counts, after `use` has put it where it belongs."""
        try:
            given = {"seconds": self._seconds, "patience": self._patience, "memory": self._memory}
            worker = Worker(self._module, given, self._file_of_turns())
        except BaseException as error:
            with self._changed:
                self._starting -= 1
                self._changed.notify()
                if not isinstance(error, OSError):
                    raise
                if self._has_started:
                    raise UnreadableNowError(f"no process can be started to decode it: {error}") from None
            raise CannotStartError(str(error)) from None
        with self._changed:
            self._has_started = True
            self._starting -= 1
            self._counted = time.monotonic()
            if not self._closed:
                use(worker)
                self._changed.notify()
                return worker
        worker.kill()
        raise ending()

    def _start_idle(self) -> None:
        # Whoever needs a worker and gets none is told why.
        with contextlib.suppress(CannotStartError, UnreadableNowError):
            self._started(self._mark_idle)

    def _file_of_turns(self) -> int | None:
        """A file without a name, which the workers lock in turns."""
        if os.name != "posix":
            return None
        with self._changed, contextlib.suppress(OSError, ValueError):
            if self._turns is None and not self._closed:
                self._turns = tempfile.TemporaryFile()  # noqa: SIM115
            return None if self._turns is None else self._turns.fileno()
        return None

    def _mark_busy(self, worker: Worker) -> None:
        worker.since = time.monotonic()
        self._busy.add(worker)
        self._begin_watch()

    def _mark_idle(self, worker: Worker) -> None:
        worker.since = time.monotonic()
        self._idle.append(worker)
        self._begin_watch()

    def _begin_watch(self) -> None:
        if not self._watched:
            self._watched = True
            threading.Thread(target=self._watch, name="lookalike-decoders", daemon=True).start()

    def _room(self) -> int:
        limit = time.monotonic() - SLOW
        return self._count + min(SPARE, sum(worker.since <= limit for worker in self._busy))

    def _wait(self) -> None:
        """Wait until a worker may be free, or another one be started."""
        now = time.monotonic()
        left = [worker.since + SLOW - now for worker in self._busy if worker.since + SLOW > now]
        if self._waited < START:
            left.append(START - self._waited)
        self._changed.wait(max(min(left, default=SLOW), 0.005))
        self._count_wait(now)

    def _count_wait(self, since: float) -> None:
        """Count the time from `since` to now as waited, but for what is counted already and while a worker is being started."""
        now = time.monotonic()
        if not self._starting:
            self._waited += now - max(since, self._counted)
        self._counted = now

    def _give_back(self, worker: Worker) -> None:
        with self._changed:
            self._busy.discard(worker)
            worker.since = time.monotonic()
            if not self._closed and not worker.is_spent and len(self._busy) + len(self._idle) < self._room():
                self._idle.append(worker)
                worker = None  # type: ignore[assignment]
            self._changed.notify()
        if worker is not None:
            worker.kill()

    def _drop(self, worker: Worker) -> None:
        worker.kill()
        with self._changed:
            self._busy.discard(worker)
            self._changed.notify()

    # --- the end of workers ------------------------------------------------------------------------------------------

    def _why_ended(self, worker: Worker, is_second: bool) -> ImageError | None:
        """The error for a worker that ended in the middle of a picture; None if another one is to try."""
        code = worker.code
        if code in _TIMES or (worker.is_late and os.name == "nt"):  # Windows has no timer of processor time
            return ImageError(f"the picture takes more than {self._seconds:g} s to decode: not read")
        if worker.is_late or code == -int(getattr(signal, "SIGALRM", 0)):
            return UnreadableNowError(f"the picture was not decoded within {self._patience:g} s; the machine is busy")
        if not is_second:
            return None
        if code in _CRASHES or (os.name == "nt" and code not in (0, 1)):
            return ImageError("the picture makes its decoder crash: not read")
        if code == _KILLED:
            return UnreadableNowError("the system ended the decoding, for lack of memory as a rule")
        return UnreadableNowError(f"the process that decodes has ended unexpectedly (code {code})")

    def _watch(self) -> None:
        """Kill workers that are late, and end those that nobody needs, until there are none."""
        while True:
            with self._changed:
                if not self._idle and not self._busy and not self._starting:
                    self._watched = False
                    return
                now = time.monotonic()
                ends = [worker.since + self._patience for worker in self._busy]
                ends += [worker.since + IDLE for worker in self._idle]
                late = [worker for worker in self._busy if now >= worker.since + self._patience]
                unused = [worker for worker in self._idle if now >= worker.since + IDLE]
                self._idle = [worker for worker in self._idle if worker not in unused]
                if not late and not unused:
                    self._changed.wait(min(max(min(ends, default=now) - now, 0.01), 5.0))
            for worker in late:
                worker.is_late = True
                worker.end()
            for worker in unused:
                worker.kill()
            if late:
                time.sleep(0.01)  # until the thread that waits for it has noticed


class _Shared:
    """The pool of this process, and how many parts of the program want it now."""

    def __init__(self) -> None:
        self.guard = threading.Lock()
        self.pool: Workers | None = None
        self.holders = 0
        self.is_possible = has_interpreter()

    def get(self) -> Workers | None:
        with self.guard:
            if not self.holders or not self.is_possible:
                return None
            if self.pool is None:
                self.pool = Workers()
            return self.pool

    def give_up(self, error: CannotStartError) -> None:
        with self.guard:
            if not self.is_possible:
                return
            self.is_possible = False
        warnings.warn(
            f"pictures are decoded without protection, as no process can be started for it: {error}",
            LookalikeWarning,
            stacklevel=2,
        )

    def close(self) -> None:
        with self.guard:
            pool, self.pool = self.pool, None
        if pool is not None:
            pool.close()

    def after_fork(self) -> None:
        pool, holders = self.pool, self.holders
        self.__init__()  # type: ignore[misc]
        self.holders = holders
        if pool is not None:
            pool.forget()


_shared = _Shared()
atexit.register(_shared.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.after_fork)


@contextlib.contextmanager
def held(soon: bool = False) -> Iterator[None]:
    """Pictures are decoded by workers meanwhile, in all threads of this process; `soon`: the first one comes in a moment."""
    with _shared.guard:
        _shared.holders += 1
    try:
        pool = _shared.get() if soon else None
        if pool is not None:
            pool.start()
        yield
    finally:
        with _shared.guard:
            _shared.holders -= 1


def running() -> Workers | None:
    """The workers of this process; None where pictures are decoded in the process itself."""
    return _shared.get()


def give_up(error: CannotStartError) -> None:
    """No worker can be started: decode in this process from now on, and say so once."""
    _shared.give_up(error)
