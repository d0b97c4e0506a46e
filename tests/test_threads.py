"""Sharing work among threads."""

from __future__ import annotations

import threading

import pytest

from lookalike._threads import run_all, shares


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_results_come_in_order_whoever_made_them(threads) -> None:
    meet = threading.Barrier(threads)  # every thread has to take an item, or this waits for ever
    seen = set()

    def double(x: int) -> int:
        if x < threads:
            meet.wait(10)
        seen.add(threading.get_ident())
        return 2 * x

    assert run_all(double, range(100), threads) == [2 * x for x in range(100)]
    assert len(seen) == threads and threading.get_ident() in seen
    assert run_all(double, [], threads) == []


@pytest.mark.parametrize("bad", [0, 50, 99])
def test_the_first_error_ends_the_work_and_is_raised(bad) -> None:
    done = []

    def work(x: int) -> None:
        if x == bad:
            raise IndexError(f"item {x}")
        done.append(x)

    with pytest.raises(IndexError, match=f"item {bad}"):
        run_all(work, range(100), 3)
    assert len(done) < 100


@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 1000, 100_000])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_shares_cover_everything_once_in_whole_groups(count, threads) -> None:
    parts = shares(count, 32, threads)
    assert [i for part in parts for i in range(count)[part]] == list(range(count))
    assert len(parts) >= min(threads, count)
    assert max(part.stop - part.start for part in parts) <= 16 * 32
