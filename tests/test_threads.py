"""Sharing work among threads."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from lookalike import _threads
from lookalike._threads import cgroup_cores, cores, run_all, shares


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


def groups(tmp_path: Path, membership: str, files: dict[str, str]) -> int | None:
    """`cgroup_cores` of a machine with these files."""
    for name, text in files.items():
        (tmp_path / "mount" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "mount" / name).write_text(text)
    (tmp_path / "cgroup").write_text(membership)
    return cgroup_cores(tmp_path / "cgroup", tmp_path / "mount")


V1 = "11:memory:/docker/ab12\n4:cpu,cpuacct:/docker/ab12\n1:name=systemd:/docker/ab12\n"


@pytest.mark.parametrize(
    ("membership", "files", "wanted"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/\n", {}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "300000 100000\n"}, 3),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "700000 100000\n"}, 4),
        ("0::/system.slice/docker-ab.scope\n", {"cpu.max": "100000 50000\n"}, 2),  # the path of the host
        ("0::/../../a\n", {"a/cpu.max": "100000 100000\n"}, 1),
        (V1, {"cpu,cpuacct/cpu.cfs_quota_us": "250000\n", "cpu,cpuacct/cpu.cfs_period_us": "100000\n"}, 3),
        (V1, {"cpu/docker/ab12/cpu.cfs_quota_us": "100000\n", "cpu/docker/ab12/cpu.cfs_period_us": "100000\n"}, 1),
        (V1, {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        (V1, {"cpu/cpu.cfs_quota_us": "100000\n"}, None),
        ("4:cpu:/\n0::/\n", {"cpu/cpu.cfs_quota_us": "500000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 5),
        ("5:cpuacct:/\n6:cpuset:/\n", {"cpuset/cpu.cfs_quota_us": "1\n", "cpu.max": "1 1\n"}, None),
        ("0::/\n", {"cpu.max": "0 0\n"}, None),
        ("0::/\n", {"cpu.max": "much\n"}, None),
        ("0::/\n", {"cpu.max": "1 2 3\n"}, None),
        ("\n::\nnonsense\n", {"cpu.max": "100000 100000\n"}, None),
        ("", {"cpu.max": "100000 100000\n"}, None),
    ],
)
def test_the_share_of_a_container_is_the_number_of_cores(membership, files, wanted, tmp_path: Path) -> None:
    assert groups(tmp_path, membership, files) == wanted


def test_no_control_groups_are_no_limit(tmp_path: Path) -> None:
    assert cgroup_cores(tmp_path / "nothing", tmp_path / "nowhere") is None


def test_cores_are_the_fewer_of_quota_and_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "_quota", lambda: None)
    own = cores()
    for quota, wanted in ((1, 1), (own + 5, own), (None, own)):
        monkeypatch.setattr(_threads, "_quota", lambda quota=quota: quota)
        assert cores() == wanted


def test_helpers_stay_for_the_next_call_and_may_call_themselves() -> None:
    names: set[str] = set()

    def inner(x: int) -> int:
        names.add(threading.current_thread().name)
        time.sleep(0.001)
        return x

    def outer(x: int) -> int:
        return sum(run_all(inner, range(4), 4))

    for _ in range(5):
        assert run_all(outer, range(200), 40) == [6] * 200
    before = threading.active_count()
    run_all(inner, range(8), 4)
    assert threading.active_count() <= max(before, 40)
    assert any(name.startswith("lookalike") for name in names)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_child_has_helpers_of_its_own() -> None:
    run_all(str, range(10), 3)
    child = os.fork()
    if child == 0:
        os._exit(0 if run_all(str, range(10), 3) == [str(x) for x in range(10)] else 1)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize(("count", "each", "parts"), [(1, 10, 1), (19, 10, 1), (20, 10, 2), (64, 1, 1), (1000, 10, 16)])
def test_little_work_stays_on_one_thread(count: int, each: float, parts: int) -> None:
    assert len(shares(count, 64, 2, each)) == parts if parts < 3 else len(shares(count, 64, 2, each)) >= 2
