"""ONNX Runtime must not report to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_EMBED = """
import sys
from lookalike.features.embedder import Embedder
Embedder().embed([sys.argv[1]])
"""

# Where it keeps quiet for reasons of its own, the test would show nothing.
_ITS_OWN_REASONS = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY")


def test_no_identifier_and_no_events_are_kept(tmp_path: Path, starter: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environ = {name: value for name, value in os.environ.items() if name not in _ITS_OWN_REASONS}
    environ |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    picture = next((starter / "photos/windmill").iterdir())
    subprocess.run([sys.executable, "-c", _EMBED, picture], env=environ, check=True, timeout=120)
    kept = [str(path) for path in home.rglob("*") if path.is_file()]
    assert [path for path in kept if "numba" not in path.lower()] == []
