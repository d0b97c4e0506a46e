"""Copies under the first of them: however many there are, k results come back as long as there are k."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lookalike.collection import Collection
from lookalike.search import find as finding
from lookalike.search.find import Wanted


def made(folder: Path, copies: int, others: int, d: int = 64) -> Collection:
    """Copies of one picture, and others that are all less like it; the first vector is the query."""
    rng = np.random.default_rng(0)
    query = rng.standard_normal(d)
    near = query + 0.02 * rng.standard_normal((copies, d))
    far = 0.3 * query + rng.standard_normal((others, d))
    collection = Collection.create(folder)
    collection.add_vectors(np.r_[near, far], [f"{i}.jpg" for i in range(copies + others)])
    return collection


@pytest.mark.parametrize("exact", [False, True])
def test_a_hundred_copies_do_not_starve_the_others(tmp_path: Path, exact: bool) -> None:
    with made(tmp_path / "c", 100, 50) as collection:
        query = collection.vectors([1])[0]
        found, _, always = collection.results(query, Wanted(10, fold=True, exact=exact))
        assert len(found) == 10
        assert len(found[0].same) == 99
        assert [each.same for each in found[1:]] == [()] * 9
        flat, *_ = collection.results(query, Wanted(150))
        assert [each.hit.id for each in found] == [flat[0].hit.id, *(each.hit.id for each in flat[100:109])]
        assert always
        everything, *_ = collection.results(query, Wanted(100, fold=True))
        assert len(everything) == 51, "all was seen"
        likely, *_ = collection.results(query, Wanted(10, threshold=95, fold=True))
        assert len(likely) == 1, "what is less like than wanted is not looked through"


def test_an_index_is_asked_for_more_and_in_the_end_everything_is_compared(tmp_path: Path) -> None:
    with made(tmp_path / "c", 1500, 1500) as collection:
        assert collection.status()["index"] == "ivfpq"
        found, *_ = collection.results(collection.vectors([1])[0], Wanted(3, fold=True))
        assert len(found) == 3
        assert len(found[0].same) == min(1499, finding.SHOWN)


def test_folding_in_blocks_is_folding_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((40, 16))
    x = centres[rng.integers(0, 40, 300)] + 0.3 * rng.standard_normal((300, 16))
    with Collection.create(tmp_path / "c") as collection:
        collection.add_vectors(x, [f"{i}.jpg" for i in range(300)])
        ids = rng.permutation(300) + 1
        stored = np.stack([collection.vectors([int(id)])[0] for id in ids])
        near = stored @ stored.T >= 0.9
        for k in (1, 7, 300):
            expected: list[list[int]] = []
            for at in range(300):
                group = next((group for group in expected if near[group[0], at]), None)
                if group is not None:
                    group.append(at)
                elif len(expected) < k:
                    expected.append([at])
            for block, leaders in ((2048, 64), (17, 3)):
                monkeypatch.setattr(finding, "BLOCK", block)
                monkeypatch.setattr(finding, "LEADERS", leaders)
                assert collection.folded(ids, k) == expected
