"""All or nothing: a change that fails at any of its steps leaves the index as it was, and it can be made again."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

import lookalike as la
from tests.index.conftest import base, queries, same
from tests.index.test_copies import KINDS

PLACES = 8  # of the steps of a change at which it is made to fail
PACKAGE = str(Path(la.__file__).parent)
LEFT_OUT = ("_changing", "<genexpr>")  # a generator that fails as it is entered ends without its own clean-up

pytestmark = pytest.mark.filterwarnings("ignore:.*training points")


class Injected(BaseException):
    """Not one that anything expects."""


class Steps:
    """Counts calls of functions of the library, and fails at one of them."""

    def __init__(self, fail_at: int = -1) -> None:
        self.fail_at, self.count = fail_at, 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and code.co_name not in LEFT_OUT:
            self.count += 1
            if self.count == self.fail_at:
                raise Injected(f"{code.co_name} of {Path(code.co_filename).name}")

    def run(self, change: Callable[[], Any]) -> int:
        before = sys.gettrace()
        sys.settrace(self)
        try:
            change()
        finally:
            sys.settrace(before)
        return self.count


def state(index: Any) -> tuple[Any, ...]:
    """Everything that a file holds, and what is learnt before there can be one."""
    inner = getattr(index, "base", None)
    held = index.to_bytes() if index.is_trained else b""
    transform = getattr(index, "_transform", None)
    pq = getattr(index, "pq", None)
    return held, index.d, index.ntotal, transform is None, pq is not None and pq.is_trained, inner and state(inner)


def filled(kind: str) -> Any:
    index = la.index_factory(KINDS[kind]).train(base()[:600]).add(base()[:100])
    index.reconstruct([3])  # the map of ids is there, and has to be right afterwards
    return index


def emptied(kind: str) -> Any:
    index = filled(kind)
    index.remove(index.ids)
    return index


def other(kind: str) -> Any:
    return copy.copy(FILLED[kind]).split(np.arange(20)) if "refined" not in kind else None


FILLED: dict[str, Any] = {}
CHANGES: dict[str, Callable[[Any, str], Any]] = {
    "add": lambda index, kind: index.add(base()[200:240]),
    "add ids": lambda index, kind: index.add(base()[200:240], ids=np.arange(40) + 2**33),
    "remove": lambda index, kind: index.remove([1, 5, 9]),
    "update": lambda index, kind: index.update([1, 5, 9], base()[200:203]),
    "merge": lambda index, kind: index.merge(other(kind), add_id=1000),
    "split": lambda index, kind: index.split([1, 5, 9]),
    "compact": lambda index, kind: index.compact(),
}
EMPTY_CHANGES: dict[str, Callable[[Any, str], Any]] = {
    "train": lambda index, kind: index.train(base()[600:1200]),
    "set_centroids": lambda index, kind: (
        index.set_centroids(base()[:6])
        if kind == "ivfflat"
        else index.set_centroids(base()[:6], base()[:16].reshape(16, 4, 4).transpose(1, 0, 2))
    ),
}
CASES = [(kind, change) for kind in KINDS for change in ("add", "add ids", "remove", "train")]
CASES += [
    (kind, change) for kind in KINDS if "refined" not in kind for change in ("update", "merge", "split", "compact")
]
CASES += [("ivfflat", "set_centroids"), ("ivfpq", "set_centroids")]


@pytest.mark.parametrize(("kind", "change"), CASES)
def test_a_change_that_fails_anywhere_changes_nothing(kind: str, change: str) -> None:
    if kind not in FILLED:
        FILLED[kind] = filled(kind)
    start = emptied(kind) if change in EMPTY_CHANGES else FILLED[kind]
    make = {**CHANGES, **EMPTY_CHANGES}[change]
    wanted = copy.copy(start)
    steps = Steps().run(lambda: make(wanted, kind))
    for fail_at in np.unique(np.linspace(1, steps, PLACES).astype(int)).tolist():
        index = copy.copy(start)
        if index.ntotal:
            index.reconstruct([3])
        before = state(index)
        try:
            Steps(fail_at).run(lambda index=index: make(index, kind))
        except Injected as error:
            assert state(index) == before, error
            if index.ntotal:
                np.testing.assert_array_equal(index.reconstruct([0, 99]), start.reconstruct([0, 99]))
            free = threading.Thread(target=lambda index=index: index.remove([10**9]))  # nobody holds the lock
            free.start()
            free.join(60)
            assert not free.is_alive()
            make(index, kind)
        assert state(index) == state(wanted)
        same(index.search(queries()[:2], 5, nprobe=6), wanted.search(queries()[:2], 5, nprobe=6))


REFUSED: dict[str, tuple[Callable[[Any], Any], type[la.LookalikeError]]] = {
    "a row that is no number": (lambda index: index.add(np.full((2, 16), np.nan)), la.InputError),
    "an id that is there": (lambda index: index.add(base()[:2], ids=[500, 3]), la.IdError),
    "another dimension": (lambda index: index.add(np.zeros((2, 5))), la.DimensionError),
    "training what is full": (lambda index: index.train(base()), la.InputError),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_refused_changes_nothing(kind: str, name: str) -> None:
    if kind not in FILLED:
        FILLED[kind] = filled(kind)
    index = copy.copy(FILLED[kind])
    before = state(index)
    call, error = REFUSED[name]
    with pytest.raises(error):
        call(index)
    assert state(index) == before


def test_centroids_that_are_refused_leave_the_old_ones() -> None:
    for rotation, d in ((None, 16), ("pca:8", 8)):
        index = la.IVFPQIndex(nlist=6, m=4, nbits=4, rotation=rotation).train(base())
        before = state(index)
        coarse, codebook = base()[:6, :d], np.zeros((4, 16, d // 4))
        for bad in (
            (coarse, codebook[:, :, :1]),
            (coarse, codebook[:, :7]),
            (coarse, codebook + np.nan),
            (coarse[:, :-1], codebook),
            (base()[:6, : 24 - d], np.zeros((4, 16, 6 - d // 4))),  # of a length of their own, not that of the rotation
        ):
            if rotation is None and bad[0].shape[1] == 8:
                continue
            with pytest.raises(la.InputError):
                index.set_centroids(*bad)
            assert state(index) == before
        index.set_centroids(coarse, codebook + np.arange(16)[None, :, None]).add(base()[:9])
        assert index.search(base()[:1], 3, nprobe=6).ids.min() >= 0


def test_a_refined_index_whose_base_refuses_keeps_its_store() -> None:
    """The base takes squared norms up to its own limit only; the store had taken the vectors already."""
    index = la.RefinedIndex(la.PQIndex(4, 4)).train(base()).add(base()[:10])
    before = state(index)
    index.base._readonly = True
    with pytest.raises(la.ReadOnlyError):
        index.add(base()[:5])
    index.base._readonly = False
    assert state(index) == before
    assert index._lists.ntotal == 10
    assert index.add(base()[:5]).ids.max() == 14
