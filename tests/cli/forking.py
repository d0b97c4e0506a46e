"""Processes of the command that begin where Python has started and has imported what nearly every command imports.

That takes a second of a core, and the tests run hundreds of commands. A process that does nothing else imports it once and is
forked for each command, which from there on is what ``python -m lookalike`` is: a process with arguments, an environment, a
folder and three files of its own, which ends as Python ends. Tests of how the command starts, of signals and of other
environments start it from nothing (`tests.cli.conftest.Command.start`).
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["run"]

IMPORTED = (
    "importlib.metadata",
    "numpy.ma",
    "pydantic.type_adapter",
    "pydantic.types",
    "typer.main",
    "lookalike.cli.commands",
    "lookalike.cli.asking",
    "lookalike.collection",
    "lookalike.features.embedder",
    "lookalike.features.images",
    "lookalike.features.workers",
    "lookalike.index.plain",
)
ROOT = Path(__file__).parents[2]


# --- in the tests -----------------------------------------------------------------------------------------------------


@functools.cache
def _begun() -> socket.socket:
    """The way to the process that is forked, which ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.forking", str(theirs.fileno())],
            cwd=ROOT,
            env=os.environ
            | {"PYTHONWARNINGS": "", "OPENBLAS_NUM_THREADS": "1"},  # threads are lost where a process is forked
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def run(
    arguments: list[str], environ: dict[str, str], folder: str, patience: float, first: str = ""
) -> tuple[int, bytes, bytes]:
    """Exit code, stdout and stderr of ``python -m lookalike``, in a process that runs the Python of `first` before it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open("rb") as nothing:
        told, tell = os.pipe()
        with os.fdopen(told, "rb", buffering=0) as answer:
            asked = {"arguments": arguments, "environ": environ, "folder": folder, "first": first}
            request = json.dumps(asked).encode()
            try:
                socket.send_fds(_begun(), [request], [nothing.fileno(), out.fileno(), err.fileno(), tell])
            finally:
                os.close(tell)
            pid = int(answer.read(20))
            if not select.select([answer], [], [], patience)[0]:
                os.kill(pid, signal.SIGKILL)
                raise subprocess.TimeoutExpired(arguments, patience)
            code = int(answer.read(20))
        out.seek(0)
        err.seek(0)
        return code, out.read(), err.read()


# --- in the process that is forked ------------------------------------------------------------------------------------


def _next(way: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """What is to be run: returns in a new process for each command; ends this one when nobody is there any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for the commands
    while True:
        request, files, *_ = socket.recv_fds(way, 1 << 20, 4)
        if not request:
            os._exit(0)
        if os.fork():
            for file in files:
                os.close(file)
            continue
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        way.close()
        *streams, tell = files
        pid = os.fork()
        if not pid:
            os.close(tell)
            return json.loads(request), streams
        os.write(tell, b"%20d" % pid)
        os.write(tell, b"%20d" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        os._exit(0)


def main() -> None:
    for name in IMPORTED:
        __import__(name)
    request, streams = _next(socket.socket(fileno=int(sys.argv[1])))
    for number, file in enumerate(streams):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.path[0] = request["folder"]
    sys.argv[1:] = request["arguments"]
    exec(request["first"], {})
    runpy.run_module("lookalike", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
