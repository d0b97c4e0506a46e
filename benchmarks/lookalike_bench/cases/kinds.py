"""The kinds of cases by name; `get_case` finds one."""

from __future__ import annotations

from lookalike.errors import InputError
from lookalike_bench.cases.base import Case
from lookalike_bench.cases.building import Add, Kmeans, TrainAdd
from lookalike_bench.cases.processes import FirstSearch, Memory, Plain
from lookalike_bench.cases.reranking import Rerank
from lookalike_bench.cases.searching import Search, TwoThreads
from lookalike_bench.names import meant

__all__ = ["CASES", "get_case"]

CASES: dict[str, type[Case]] = {
    "search": Search,
    "rerank": Rerank,
    "two-threads": TwoThreads,
    "kmeans": Kmeans,
    "train-add": TrainAdd,
    "add": Add,
    "plain": Plain,
    "memory": Memory,
    "first-search": FirstSearch,
}
"""By the name that `measure` has in a spec."""


def get_case(name: str) -> type[Case]:
    """The kind of case of that name.

    Raises
    ------
    InputError
        If there is none; the message has the closest.
    """
    if name in CASES:
        return CASES[name]
    raise InputError(f"measure={name!r} is not known{meant(name, CASES, 'there are:')}")
