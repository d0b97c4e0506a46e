"""What `children` runs in a new process: a task as one line of JSON on stdin, answers as lines of JSON on a pipe of its own.

It loads nothing but what it must, as one task is to measure imports.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Read the task, have its module do it."""
    task = json.loads(sys.stdin.readline())
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)  # what libraries print on stdout belongs to the log

        def answer(kind: str, values: dict[str, Any]) -> None:
            answers.write(json.dumps({"kind": kind, **values}) + "\n")
            answers.flush()

        importlib.import_module(task.pop("module")).run(task, answer)
