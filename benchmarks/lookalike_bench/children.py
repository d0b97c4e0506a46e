"""Starting this package's own programs in new processes."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["command"]


def command(module: str, *arguments: str) -> list[str]:
    """The command line that calls ``main`` of a module of this package, found where this process found it."""
    code = f"import sys; sys.path.append({str(Path(__file__).parents[1])!r}); from {module} import main; main(sys.argv[1:])"
    return [sys.executable, "-c", code, *arguments]
