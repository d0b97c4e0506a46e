"""The libraries that are compared, each behind the same few methods; `get_adapter` finds one by name."""

from __future__ import annotations

from lookalike.errors import InputError
from lookalike_bench.adapters.base import Adapter, Size
from lookalike_bench.adapters.codes import CODES
from lookalike_bench.adapters.faiss import FAISS
from lookalike_bench.adapters.graphs import GRAPHS
from lookalike_bench.adapters.ours import OURS
from lookalike_bench.adapters.trees import TREES
from lookalike_bench.names import meant

__all__ = ["ADAPTERS", "Adapter", "Size", "get_adapter"]

ADAPTERS: dict[str, type[Adapter]] = {
    adapter.name: adapter for family in (OURS, FAISS, GRAPHS, TREES, CODES) for adapter in family
}


def get_adapter(name: str) -> type[Adapter]:
    """The adapter of that name.

    Raises
    ------
    InputError
        If there is none; the message has the closest.
    """
    if name in ADAPTERS:
        return ADAPTERS[name]
    raise InputError(f"no peer is called {name!r}{meant(name, ADAPTERS, 'there are:')}")
