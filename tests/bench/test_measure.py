"""Turns, ratios and limits of threads; nothing here depends on how fast the machine is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import threadpoolctl

from lookalike_bench.ahead import ahead
from lookalike_bench.machine import Threads, this_machine
from lookalike_bench.measure import Budget, Contestant, Timing, ratio_of, take_turns


def test_contestants_take_turns_and_are_prepared_anew() -> None:
    seen: list[str] = []

    def contestant(name: str) -> Contestant:
        @contextmanager
        def under() -> Iterator[None]:
            seen.append(f"{name} under")
            yield
            seen.append(f"{name} free")

        def prepare() -> str:
            seen.append(f"{name} prepared")
            return name

        def run(prepared: str) -> str:
            seen.append(f"{prepared} ran")
            return f"result of {name}"

        return Contestant(name, run, prepare, under)

    a, b = take_turns([contestant("a"), contestant("b")], Budget(rounds=2, seconds=0))
    turn = [f"{name} {what}" for name in "ab" for what in ("under", "prepared", "ran", "free")]
    assert seen == 3 * turn  # the first to warm up
    assert len(a.wall) == len(a.cpu) == len(b.wall) == 2
    assert (a.result, b.result) == ("result of a", "result of b")
    assert all(seconds >= 0 for seconds in a.wall + a.cpu)


def test_rounds_end_at_the_budget() -> None:
    [timing] = take_turns([Contestant("a", lambda _: None)], Budget(rounds=1, seconds=60, most=7))
    assert len(timing.wall) == 7


def test_garbage_collection_is_back_after_an_error() -> None:
    import gc

    def fail(_: object) -> None:
        if not gc.isenabled():
            raise RuntimeError("in a timed round")

    with pytest.raises(RuntimeError, match="in a timed round"):
        take_turns([Contestant("a", fail)], Budget(rounds=1))
    assert gc.isenabled()


def test_ratio_is_of_medians_with_quartiles_of_rounds() -> None:
    ours, peer = Timing(wall=[1.0, 2.0, 1.0, 1.0, 9.0]), Timing(wall=[3.0, 4.0, 5.0, 4.0, 9.0])
    value, low, high = ratio_of(peer, ours)
    assert value == 4.0
    assert (low, high) == (2.0, 4.0)
    assert ratio_of(Timing(wall=[6.0]), Timing(wall=[2.0])) == (3.0, 3.0, 3.0)


def test_everybody_is_held_to_the_same_threads() -> None:
    import faiss

    threads = Threads()
    before = faiss.omp_get_max_threads(), {i["filepath"]: i["num_threads"] for i in threadpoolctl.threadpool_info()}
    with pytest.raises(ZeroDivisionError), threads.limited(1):
        assert faiss.omp_get_max_threads() == 1
        assert {info["num_threads"] for info in threadpoolctl.threadpool_info()} == {1}
        if threads.can_bind:
            assert len(os.sched_getaffinity(0)) == 1
        raise ZeroDivisionError
    after = faiss.omp_get_max_threads(), {i["filepath"]: i["num_threads"] for i in threadpoolctl.threadpool_info()}
    assert before == after
    if threads.can_bind:
        assert len(os.sched_getaffinity(0)) == this_machine().cores


def test_the_machine_says_what_it_is() -> None:
    machine = this_machine()
    assert machine.cores >= 1
    assert machine.instructions in {"avx512vbmi", "avx2", "plain", "numpy"}
    assert machine.slug.endswith(machine.instructions)
    assert set(machine.slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert machine.versions["faiss-cpu"] != "not installed"
    assert machine.to_dict()["cpu"] == machine.cpu


def test_working_ahead_keeps_order_and_is_bounded() -> None:
    taken: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    squares = ahead(lambda x: x * x, numbers(), threads=3)
    assert [next(squares) for _ in range(5)] == [0, 1, 4, 9, 16]
    assert len(taken) < 30
    squares.close()  # type: ignore[attr-defined]
    assert list(ahead(lambda x: x + 1, range(50), 2)) == list(range(1, 51))
    assert np.array_equal(list(ahead(abs, [], 2)), [])
