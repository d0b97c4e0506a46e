"""The one door to ONNX Runtime, which from 1.29 on reports its use to its maker unless it is told not to.

Nothing leaves the machine unasked, so it is told: by a variable that it reads when it starts (Linux and macOS, where it would
also keep an identifier of the machine in the user's cache), and by a call (Windows).
"""

from __future__ import annotations

import os
from typing import Any

__all__ = ["onnx_runtime"]


def onnx_runtime() -> Any:
    """The module `onnxruntime`, with its telemetry off; who sets ``ORT_DISABLE_TELEMETRY=0`` has asked for it."""
    wanted = os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1") == "0"
    import onnxruntime

    if not wanted:
        onnxruntime.disable_telemetry_events()
    return onnxruntime
