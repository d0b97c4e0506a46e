"""Running kernels, which release the GIL, on several threads."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["cgroup_cores", "cores", "run_all", "shares"]

SHARES = 4  # of each thread: one that is late leaves its last ones to the others
HELPERS = 32  # threads that are kept, beside those that call; as many as there are cores if these are more
WORTH_MICROSECONDS = 100.0  # of work, from which on another thread is asked
LONGEST = 16  # groups of one call: an interrupt waits for the end of a call

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Processor cores that this process may use, which may be fewer than the machine has.

    A container's share counts, too: threads beyond it are stopped for most of each period.
    """
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(own, _quota() or own)


@functools.cache  # asked at every search
def _quota() -> int | None:
    """Cores that the control groups of this process leave it, None where they set no limit."""
    return cgroup_cores(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))


def cgroup_cores(membership: Path, mount: Path) -> int | None:
    """Cores of the smallest quota among the control groups that a process is in, rounded up; None if there is none.

    Parameters
    ----------
    membership : path
        ``/proc/self/cgroup``: lines ``0::/path`` (version 2) and ``4:cpu,cpuacct:/path`` (version 1).
    mount : path
        ``/sys/fs/cgroup``. A group is limited by those above it, too. In a container its path is often that of the host, which
        cannot be seen there; the group itself is then what is mounted.
    """
    quotas = []
    for line in _read_some(membership).splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if number == "0" and not names:
            quotas += [_share(_read_some(group / "cpu.max").split()) for group in _upwards(mount, path)]
        elif "cpu" in names.split(","):
            for root in (mount / names, mount / "cpu"):
                for group in _upwards(root, path):
                    files = (group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")
                    quotas.append(_share([text for file in files for text in _read_some(file).split()]))
    return min((quota for quota in quotas if quota is not None), default=None)


def _upwards(root: Path, path: str) -> list[Path]:
    """The group of a path below `root`, those above it, and `root`."""
    parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
    return [root.joinpath(*parts[:count]) for count in range(len(parts), -1, -1)]


def _share(fields: list[str]) -> int | None:
    """Whole cores of a quota and a period in microseconds; None for ``max``, −1 and what is no number."""
    try:
        quota, period = map(int, fields)
    except ValueError:
        return None
    return -(-quota // period) if quota > 0 and period > 0 else None


def _read_some(path: Path) -> str:
    """The first 64 KiB of a file of the kernel; nothing where there is none."""
    try:
        with path.open("rb") as file:
            return file.read(1 << 16).decode(errors="replace")
    except OSError:
        return ""


def run_all(function: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """``[function(item) for item in items]`` on up to `threads` threads; no thread is asked for a single item.

    The calling thread is one of them, so that two threads never have to share its core, and so that a call from one of the helpers
    never waits for another. The helpers stay for the next call. The first error ends the work.
    """
    work = list(items)
    if threads == 1 or len(work) < 2:
        return [function(item) for item in work]
    results: dict[int, R] = {}
    failed = False
    numbered = enumerate(work)  # taking from it is one step of the interpreter, so that threads can share it

    def take() -> None:
        nonlocal failed
        try:
            for number, item in numbered:
                if failed:
                    return
                results[number] = function(item)
        except BaseException:
            failed = True
            raise

    running: list[Future[None]] = []
    try:
        with contextlib.suppress(
            RuntimeError
        ):  # no more threads can be had, or the interpreter is ending: fewer will do
            for _ in range(min(threads, len(work)) - 1):
                running.append(_helpers().submit(take))
        take()
    except BaseException:
        failed = True
        raise
    finally:  # what has begun is waited for, whatever happens: it reads and writes what the caller may free
        begun = [one for one in running if not one.cancel()]
        interrupt = _wait(begun)
    if interrupt is not None:
        raise interrupt
    for one in begun:
        one.result()
    return [results[number] for number in range(len(work))]


def _wait(running: list[Future[None]]) -> KeyboardInterrupt | None:
    """Wait until all of them are done; gives an interrupt that came meanwhile."""
    from concurrent.futures import wait

    interrupt = None
    while True:
        try:
            wait(running)
            return interrupt
        except KeyboardInterrupt as error:
            interrupt = error


@functools.cache
def _helpers() -> ThreadPoolExecutor:
    """Threads of this process, which are started as they are needed: starting one takes as long as some searches."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(max(HELPERS, cores()), "lookalike")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # threads are not there in a child


def shares(count: int, group: int, threads: int, each: float = WORTH_MICROSECONDS) -> list[slice]:
    """``range(count)`` cut for kernels that work through groups of `group`: a few shares for each thread, of whole groups.

    each: microseconds that one takes, about. A thread is worth asking for `WORTH_MICROSECONDS`.
    """
    threads = max(1, min(threads, int(count * each / WORTH_MICROSECONDS)))
    per_thread = -(-count // threads)
    group = max(1, min(group, per_thread))
    step = group * (LONGEST if threads == 1 else max(1, min(LONGEST, per_thread // (SHARES * group))))
    return [slice(at, min(at + step, count)) for at in range(0, count, step)]
