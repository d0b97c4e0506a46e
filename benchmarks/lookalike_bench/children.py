"""New processes for what has to be measured by itself: started, listened to, and ended when they take more than they may."""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lookalike.errors import LookalikeError

__all__ = ["Limits", "answers"]

_POLL = 0.1
_WARM_S = 600.0  # for compiling what is compiled on first use, which is not part of a run's time
_LOG = 4000  # bytes of what a process printed, from its end
_HERE = str(Path(__file__).parents[1])
_CODE = f"import sys; sys.path.insert(0, {_HERE!r}); from lookalike_bench.worker import main; del sys.path[0]; main()"


class Limits(LookalikeError):
    """Why a process ended before it was done; the message is for the row."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def answers(
    module: str,
    task: Mapping[str, Any],
    *,
    environ: Mapping[str, str] | None = None,
    limit_s: float = 0,
    limit_mb: float = 0,
    until: float = math.inf,
) -> Iterator[dict[str, Any]]:
    """What ``run(task, answer)`` of a module answers in a new process, as it comes.

    Parameters
    ----------
    environ : mapping
        Variables besides those of this process.
    limit_s, limit_mb : float
        What it may take; 0 for no limit.
    until : float
        When all measuring ends, of `time.monotonic`.

    Raises
    ------
    Limits
        If it failed (status ``"failed"``), was ended for time (``"timeout"``) or memory (``"memory"``), or because all measuring
        ended (``"stopped"``).
    """
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", _CODE], env=os.environ | (environ or {}), **pipes)  # type: ignore[call-overload]
    lines: queue.Queue[bytes | None] = queue.Queue()
    log: list[bytes] = []
    readers = [
        threading.Thread(target=_read, args=(process.stdout, lines.put, lambda: lines.put(None)), daemon=True),
        threading.Thread(target=_read, args=(process.stderr, lambda part: _keep(log, part), lambda: None), daemon=True),
    ]
    for reader in readers:
        reader.start()
    try:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps({"module": module, **task}).encode() + b"\n")
            process.stdin.close()
        yield from _until_done(process, lines, limit_s, limit_mb, until)
        code = process.wait()
        if code:
            readers[1].join(5)
            raise Limits("failed", _why(code, b"".join(log)))
    finally:
        process.kill()
        process.wait()
        for reader in readers:
            reader.join(5)
        for pipe in (process.stdout, process.stderr):
            pipe.close()


def _read(pipe: Any, take: Any, end: Any) -> None:
    for line in iter(pipe.readline, b""):
        take(line)
    end()


def _keep(log: list[bytes], part: bytes) -> None:
    log.append(part)
    while sum(map(len, log[1:])) > _LOG:
        log.pop(0)


def _until_done(
    process: subprocess.Popen[bytes], lines: queue.Queue[bytes | None], limit_s: float, limit_mb: float, until: float
) -> Iterator[dict[str, Any]]:
    started = (
        time.monotonic()
    )  # anew with each of the first answers: loading and compiling are nobody's building or searching
    most = limit_s
    while True:
        try:
            line = lines.get(timeout=_POLL)
        except queue.Empty:
            line = b""
        if line is None:
            return
        if line:
            answer = json.loads(line)
            if answer["kind"] in {"started", "warm"}:
                started = time.monotonic()
                most = max(limit_s, _WARM_S) if answer["kind"] == "started" and limit_s else limit_s
            yield answer
        if time.monotonic() > until:
            raise Limits("stopped", "the time for all runs is over")
        if most and time.monotonic() - started > most:
            raise Limits("timeout", f"took more than {most:g} s{' to compile' if most > limit_s else ''}")
        used = _resident(process.pid) if limit_mb else 0.0
        if limit_mb and used > limit_mb:
            raise Limits("memory", f"took {used:,.0f} MB of memory, {limit_mb:,.0f} are allowed")


def _resident(pid: int) -> float:
    """Megabytes of a process; 0 where the system does not say (the limit is then not enforced)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _why(code: int, log: bytes) -> str:
    """One line from what a failed process printed."""
    if code < 0:
        return f"the process was ended by signal {-code}"
    lines = [line.strip() for line in log.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"the process ended with exit code {code}"
