"""Names of a package that are loaded when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["lazy", "moved"]


def lazy(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` for a package; `homes` says in which module each of its names is."""
    own = vars(sys.modules[package])

    def get(name: str) -> Any:
        if name in homes:
            own[name] = value = getattr(importlib.import_module(homes[name]), name)
            return value
        if not name.startswith("_") and importlib.util.find_spec(f"{package}.{name}") is not None:
            return importlib.import_module(f"{package}.{name}")  # as where the package had loaded it already
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return get, lambda: sorted({*own, *homes})


def moved(module: str, new: Mapping[str, str]) -> Callable[[str], Any]:
    """``__getattr__`` for the old place of names; `new` says what to write in their place, as in ``"lookalike.Filter"``."""

    def get(name: str) -> Any:
        if name not in new:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, _, attribute = new[name].rpartition(".")
        warnings.warn(f"{module} has moved: use {new[name]}", DeprecationWarning, stacklevel=2)
        return getattr(importlib.import_module(home), attribute)

    return get
