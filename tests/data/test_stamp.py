"""Stamps fit into 64 bits whatever a file system says, and equal stamps still mean the same file."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import cast

import hypothesis.strategies as st
from hypothesis import given

from lookalike.data.stamp import Stamp, stamp_of

SECONDS = 10**9
TIMES = st.one_of(st.integers(-(2**63) * SECONDS, 2**63 * SECONDS), st.integers(-(2**63), 2**63))


def stamped(*, size: int = 0, mtime_ns: int = 0, device: int = 1, inode: int = 1) -> Stamp:
    status = SimpleNamespace(st_size=size, st_mtime_ns=mtime_ns, st_dev=device, st_ino=inode)
    return stamp_of(cast("os.stat_result", status))


@given(size=st.integers(0, 2**64), mtime_ns=TIMES, device=st.integers(0, 2**64 - 1), inode=st.integers(0, 2**128))
def test_every_number_fits(size: int, mtime_ns: int, device: int, inode: int) -> None:
    stamp = stamped(size=size, mtime_ns=mtime_ns, device=device, inode=inode)
    assert all(value is None or -(2**63) <= value < 2**63 for value in stamp)
    assert (stamp.inode is None) == (inode == 0) == (stamp.device is None)
    if size < 2**63 and abs(mtime_ns) < 2**63:
        assert (stamp.size, stamp.mtime_ns) == (size, mtime_ns)


@given(first=TIMES, later=st.integers(1, 2**40 - 1))
def test_another_time_is_another_stamp(first: int, later: int) -> None:
    assert stamped(mtime_ns=first).mtime_ns != stamped(mtime_ns=first + later).mtime_ns or abs(first) <= 2**63


@given(first=TIMES, second=TIMES)
def test_order_is_kept_where_it_can_be(first: int, second: int) -> None:
    low, high = sorted((first, second))
    if low < 2**62 < high or low < -(2**62) < high:
        assert stamped(mtime_ns=low).mtime_ns < stamped(mtime_ns=high).mtime_ns


@given(first=st.integers(1, 2**64 - 1), second=st.integers(1, 2**64 - 1))
def test_another_inode_is_another_stamp(first: int, second: int) -> None:
    assert (stamped(inode=first).inode == stamped(inode=second).inode) == (first == second)
