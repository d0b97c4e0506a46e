"""Whose the other end of a connection is, where the system tells."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

__all__ = ["is_foreign", "owners"]

_TABLES: Final = ("/proc/net/tcp", "/proc/net/tcp6")


def owners(client: int, server: int) -> set[int]:
    """The accounts that hold the client's end of a connection on this machine, by its ports; empty where that is not known."""
    found = set()
    for table in _TABLES:
        try:
            lines = Path(table).read_text("ascii").splitlines()[1:]
        except OSError:  # not Linux
            continue
        for line in lines:
            _, local, remote, _, _, _, _, owner, *_ = line.split()
            if (int(local[-4:], 16), int(remote[-4:], 16)) == (client, server):
                found.add(int(owner))
    return found


def is_foreign(scope: Any) -> bool:
    """Whether a request certainly comes from another account of this machine, root not counted."""
    ends = scope.get("client"), scope.get("server")
    if None in ends or not hasattr(os, "geteuid"):
        return False
    found = owners(ends[0][1], ends[1][1])
    return bool(found) and not found <= {os.geteuid(), 0}
