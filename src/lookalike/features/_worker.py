"""What a worker process runs: decode one picture after the other, within limits that the system enforces."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from lookalike.errors import ImageError, UnreadableNowError
from lookalike.features import _decoding
from lookalike.features._messages import Answer, receive, send
from lookalike.features._source import TooLittleMemoryError

__all__ = ["main"]

_SPENT: Final = 512 << 20  # bytes; who has used more is replaced, as not all of it may have been given back
_TURN_SECONDS: Final = 0.5


def main(given: dict[str, Any]) -> None:
    """Answer requests until there are no more."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    _lose_standard_streams()
    _take_signals()
    limit = _limit_memory(int(given["memory"]))
    turns = _decoding.one_large_at_a_time = Turns(given["turns"])
    with contextlib.suppress(EOFError, BrokenPipeError):
        send(answers, {})
        while True:
            request, data = receive(requests)
            turns.is_patient = bool(request.get("patient"))
            with _limited(float(given["seconds"]), float(given["patience"])):
                head, body = answer(request, bytes(data), limit)  # bytes already: no copy
            del data
            if _most_memory() > _SPENT:
                send(answers, head | {"last": True}, body)
                return
            send(answers, head, body)


def answer(request: dict[str, Any], data: bytes, limit: int | None) -> Answer:
    """Do what is asked, or say why not."""
    try:
        return _done(request, data)
    except TooLittleMemoryError as error:
        if limit is None:
            return Answer({"now": str(error)}, b"")
        return Answer({"image": f"the picture needs more than {limit >> 20:,} MB of memory to decode: not read"}, b"")
    except UnreadableNowError as error:
        return Answer({"now": str(error)}, b"")
    except ImageError as error:
        return Answer({"image": str(error)}, b"")
    except Exception:  # noqa: BLE001 - a defect, which is raised where somebody can see it
        import traceback

        return Answer({"defect": traceback.format_exc()[-4000:]}, b"")


def _done(request: dict[str, Any], data: bytes) -> Answer:
    match request["do"]:
        case "read":
            square = _decoding.read(data, request["size"])
            return Answer({"facts": square[1:]}, square.picture.tobytes())
        case "picture":
            picture = _decoding.open_picture(data, request["max_side"])
            return Answer({"facts": picture.size}, picture.tobytes())
        case "thumbnail":
            return Answer({}, _decoding.thumbnail(data, request["side"]))
        case "probe":
            return Answer({"facts": _decoding.probe(data)}, b"")
    raise ValueError(f"unknown request: {request['do']!r}")


class Turns:
    """Large pictures are decoded one at a time, by all workers together.

    A lock on a file that they share: the system frees it when its holder is killed. Who works for somebody that waits for
    an answer waits half a second at most, then goes on.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self.is_patient = False

    def __enter__(self) -> None:
        if self._descriptor is None:
            return
        import fcntl

        if self.is_patient:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
            return
        end = time.monotonic() + _TURN_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(0.02)

    def __exit__(self, *_exception: object) -> None:
        if self._descriptor is not None:
            import fcntl

            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _lose_standard_streams() -> None:
    """Whatever a library prints must not get between the answers, and the parent's end of the pipe must be the only one."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    os.close(nothing)


def _take_signals() -> None:
    """Ctrl-C is for the parent, which ends its workers; the timers end this process, whatever the parent does with them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ours = {getattr(signal, name) for name in ("SIGPROF", "SIGALRM", "SIGTERM") if hasattr(signal, name)}
    for each in ours:
        signal.signal(each, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ours)


@contextlib.contextmanager
def _limited(seconds: float, patience: float) -> Iterator[None]:
    """Be ended by the system after so many seconds of processor time, or by the clock if the parent does not do it."""
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.setitimer(signal.ITIMER_PROF, seconds)
    signal.setitimer(signal.ITIMER_REAL, patience + 5)
    yield
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)


def _limit_memory(memory: int) -> int | None:
    """Bytes that this process may use from now on; None where the system has no such limit, or one that is lower."""
    if sys.platform != "linux":
        return None
    import resource

    with contextlib.suppress(OSError, ValueError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123
        file.write("500")  # if memory is short, this process is to go, not its parent
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123
            own = int(file.read().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if any(each != resource.RLIM_INFINITY and each < own + memory for each in (soft, hard)):
            return None
        resource.setrlimit(resource.RLIMIT_AS, (own + memory, hard))
        return memory
    return None


def _most_memory() -> int:
    """Bytes that this process has used at its fullest; 0 where that is not known.

    Linux's ``ru_maxrss`` begins with the memory of the program that started this one, so a large server's workers would all
    seem full; ``VmHWM`` begins with the process itself.
    """
    if os.name != "posix":
        return 0
    if sys.platform == "linux":
        with contextlib.suppress(OSError, ValueError), open("/proc/self/status", "rb") as status:  # noqa: PTH123
            for line in status:
                if line.startswith(b"VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
