"""The folder in which lookalike keeps what it makes for the user: collections, models, fetched data sets."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["home"]


def home() -> Path:
    """``LOOKALIKE_HOME``, else the user's data folder; it need not exist yet."""
    chosen = os.environ.get("LOOKALIKE_HOME")
    if chosen:
        return Path(os.path.abspath(os.path.expanduser(chosen)))  # noqa: PTH100, PTH111 (Path has no lexical `..`)
    from platformdirs import user_data_path

    return user_data_path("lookalike", appauthor=False)
