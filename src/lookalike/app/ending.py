"""An end in any case: work that does not stop, in a library or a stuck file system, must not keep the process."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Final

__all__ = ["end_in_any_case"]

SECONDS: Final = 10.0


def end_in_any_case(ended: threading.Event, seconds: float = SECONDS) -> None:
    """Give the process so many seconds to end by itself.

    Parameters
    ----------
    ended : Event
        Set once the server has closed everything. A program that goes on after that is left alone; one whose main thread has
        returned, and waits for threads that do not stop, is not.
    seconds : float

    Notes
    -----
    Nothing is lost: a collection that is being written to opens again with all that was committed, and what was uploaded
    is removed by the next server.
    """

    def wait() -> None:
        if ended.wait(seconds):
            while threading.main_thread().is_alive():
                time.sleep(0.5)
            time.sleep(seconds)
        sys.stderr.write("lookalike: some work did not stop; ended all the same\n")
        sys.stderr.flush()
        os._exit(1)

    threading.Thread(target=wait, name="lookalike-end", daemon=True).start()
