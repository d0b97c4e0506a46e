"""One worker process as its parent sees it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, Final

from lookalike.errors import ImageError, UnreadableNowError
from lookalike.features._messages import Answer, receive, receive_writable, send_head

__all__ = ["CannotStartError", "DefectError", "Ended", "Worker", "checked", "ending", "has_interpreter"]

_CHUNK: Final = 1 << 20
_START_SECONDS: Final = 60.0

_BOOT: Final = (
    "import json, sys; given = json.loads(sys.argv[1]); sys.path[:] = given['path']; "
    "import importlib; importlib.import_module(given['module']).main(given)"
)


class CannotStartError(Exception):
    """No worker has ever started here, for instance as this system allows no further process."""


class DefectError(Exception):
    """A worker raised what it should not have; the message is its traceback."""


class Ended(Exception):
    """The worker ended before it had answered."""


class Worker:
    """A process that decodes one picture at a time.

    Parameters
    ----------
    module : str
        Its `main` is called with what is given here.
    given : dict
        Limits.
    turns : int or None
        Descriptor of a file that all workers share, to lock it; None where there is none.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(self, module: str, given: dict[str, Any], turns: int | None) -> None:
        self.since = time.monotonic()  # busy or idle
        self.is_late = False
        self.is_spent = False  # it held much memory, and ends by itself
        path = [os.path.abspath(str(each)) for each in sys.path]  # noqa: PTH100
        told = json.dumps({**given, "module": module, "path": path, "turns": turns})
        options: dict[str, Any] = (
            {"start_new_session": True, "pass_fds": [] if turns is None else [turns]}  # Ctrl-C is not for the worker
            if os.name == "posix"
            else {"creationflags": getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)}
        )
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-W", "ignore", "-c", _BOOT, told],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
            **options,
        )
        self.pid = self._process.pid
        assert self._process.stdin is not None and self._process.stdout is not None
        self._to: IO[bytes] = self._process.stdin
        self._from: IO[bytes] = self._process.stdout
        _widen(self._to)
        _widen(self._from)
        self._wait_until_ready()

    @property
    def code(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.returncode

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], body: bytes | BinaryIO, size: int) -> Answer:
        """Send a picture and wait for what the worker says.

        Raises
        ------
        Ended
            If the worker is gone.
        UnreadableNowError
            If the file is shorter than `size`.
        OSError
            If the file cannot be read.
        """
        chunks = _chunks(body, size)
        try:
            send_head(self._to, request, size)
        except OSError:
            raise Ended from None
        for chunk in chunks:
            try:
                self._to.write(chunk)
            except OSError:
                raise Ended from None
        try:
            self._to.flush()
            answer = receive_writable(self._from)
        except (OSError, EOFError, ValueError):
            raise Ended from None
        self.is_spent = bool(answer.head.get("last"))
        return answer

    def end(self) -> None:
        """Kill the process; callers that wait for its answer get an error."""
        with contextlib.suppress(OSError):
            self._process.kill()

    def kill(self) -> None:
        """End the process for good, so that nothing of it remains. Only for who uses the worker now."""
        self.end()
        for pipe in (self._to, self._from):
            with contextlib.suppress(OSError):
                pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)

    def forget(self) -> None:
        """Close the pipes of a worker that belongs to the process that this one was forked from."""
        for pipe in (self._to, self._from):
            with contextlib.suppress(OSError):
                os.close(pipe.fileno())
        self._process.returncode = 0  # it is not this process's child, so there is nothing to wait for

    def _wait_until_ready(self) -> None:
        timer = threading.Timer(_START_SECONDS, self.end)
        timer.daemon = True
        timer.start()
        try:
            receive(self._from)
        except (OSError, EOFError):
            self.kill()
            raise OSError(f"a process for decoding did not start (code {self.code})") from None
        except BaseException:
            self.kill()
            raise
        finally:
            timer.cancel()


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold more, where the system can: fewer changes between two processes for one picture."""
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, _CHUNK)


def _chunks(body: bytes | BinaryIO, size: int) -> Iterator[bytes | memoryview]:
    if isinstance(body, bytes):
        yield body
        return
    left = size
    while left:
        chunk = body.read(min(left, _CHUNK))
        if not chunk:
            raise UnreadableNowError("the file became shorter while it was read")
        left -= len(chunk)
        yield chunk


def _environment() -> dict[str, str]:
    """One thread for each library: others would only take address space. And a Python that ends when it is done."""
    environ = {name: value for name, value in os.environ.items() if name not in ("PYTHONINSPECT", "PYTHONSTARTUP")}
    return environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def has_interpreter() -> bool:
    """Whether `sys.executable` is a Python: a program that embeds one, or is frozen, would be started in its place."""
    name = Path(sys.executable or "").name.lower()
    return not getattr(sys, "frozen", False) and name.startswith(("python", "pypy"))


def ending() -> UnreadableNowError:
    return UnreadableNowError("the processes that decode are being ended")


def checked(answer: Answer) -> Answer:
    """The answer, unless it is a reason why there is none."""
    for kind, error in (("image", ImageError), ("now", UnreadableNowError), ("defect", DefectError)):
        if kind in answer.head:
            raise error(str(answer.head[kind]))
    return answer
