"""The walks that CONTRIBUTING.md describes are those that a real search and a real add take."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import lookalike as la

ROOT = Path(la.__file__).parent
TEXT = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text("utf-8")
LEAST = 8  # files from the public door to a kernel, at the most


def described(title: str) -> list[str]:
    """The ``file: function`` lines of the list behind a title."""
    return re.findall(r"^\d+\. `([\w/]+\.py: \w+)`", TEXT.split(f"#### {title}\n", 1)[1].split("####", 1)[0], re.M)


def walked(call: Callable[[], Any]) -> list[list[str]]:
    """For each call of a kernel the way to it, from the public door, as ``file: function``."""
    ways: list[list[str]] = []

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        file = Path(frame.f_code.co_filename)
        if event != "call" or file.parent != ROOT / "kernels" or file.name == "layout.py":  # that only lays memory out
            return
        way = [f"{file.relative_to(ROOT).as_posix()}: {frame.f_code.co_name}"]
        at: FrameType | None = sys._getframe(1)  # Numba's own frame does not say who called it
        while at is not None:
            caller = Path(at.f_code.co_filename)
            if caller.is_relative_to(ROOT):
                way.append(f"{caller.relative_to(ROOT).as_posix()}: {at.f_code.co_name}")
            at = at.f_back
        ways.append(way[::-1])

    call()  # compile first
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return ways


@pytest.fixture(scope="module")
def index() -> la.IVFPQIndex:
    x = np.random.default_rng(0).normal(size=(3000, 16)).astype(np.float32)
    return la.IVFPQIndex(32, 4, 4).train(x).add(x)


@pytest.mark.parametrize("title", ["A search of many queries", "A search of one query", "An add"])
def test_the_walks_are_as_described(index: la.IVFPQIndex, title: str) -> None:
    xq = index.reconstruct(np.arange(20))
    calls: dict[str, Callable[[], Any]] = {
        "A search of many queries": lambda: index.search(xq, 3, nprobe=2, threads=1),
        "A search of one query": lambda: index.search(xq[:1], 3, nprobe=2),
        "An add": lambda: index.add(np.tile(xq, (20, 1))),
    }
    ways = walked(calls[title])
    assert ways, "no kernel was called"
    steps = [step for way in ways for step in way]
    wanted = described(title)
    assert len(wanted) >= 3
    for step in wanted:
        assert step in steps, step
    for way in ways:
        assert len({step.split(":")[0] for step in way}) <= LEAST, way
        assert way[-1] in wanted, f"the kernel {way[-1]} is not in the list"
