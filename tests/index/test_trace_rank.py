"""`Missed.rank` where many codes are equally far: re-ranking one candidate more than it saves the neighbour, no fewer."""

from __future__ import annotations

import numpy as np
import pytest

import lookalike as la


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
def test_the_rank_is_the_place_that_a_search_gives(metric: str) -> None:
    rng = np.random.default_rng(3)
    x = np.repeat(rng.standard_normal((70, 8)).astype(np.float32), 10, axis=0)  # each ten times: their codes tie
    x += rng.normal(0, 1e-3, x.shape).astype(np.float32)
    index = la.IVFPQIndex(nlist=4, m=2, nbits=4, metric=metric).train(x).add(x, ids=rng.permutation(len(x)) * 3)
    exact = la.FlatIndex(metric).add(x, ids=index.ids)
    told = 0
    for q in x[::37]:
        wanted = exact.search(q[None, :], 12).ids[0]
        for nprobe in (1, 3):
            trace = index.trace(q, k=5, nprobe=nprobe, exact_ids=wanted)
            everything = index.search(q[None, :], len(x), nprobe=nprobe).ids[0].tolist()
            for miss in trace.missed:
                if miss.reason == "code too coarse":
                    assert everything.index(miss.id) == miss.rank
                    told += 1
    assert told > 30
