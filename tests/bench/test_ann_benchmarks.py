"""The adapter for ann-benchmarks, driven as ann-benchmarks drives it, through its interface written anew."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from lookalike._typing import FloatArray
from lookalike.data.vectors import synthetic
from lookalike_bench import ann_benchmarks

SOURCE = Path(ann_benchmarks.__file__)


class BaseANN:
    """The methods that its runner calls, with what it expects of them."""

    def done(self) -> None: ...

    def get_memory_usage(self) -> float | None: ...

    def fit(self, X: Any) -> None: ...

    def query(self, q: Any, n: int) -> Any:
        return []

    def batch_query(self, X: Any, n: int) -> None:
        self.res = [self.query(q, n) for q in X]

    def get_batch_results(self) -> Any:
        return self.res

    def get_additional(self) -> dict[str, Any]:
        return {}

    def __str__(self) -> str:
        return self.name  # type: ignore[attr-defined, no-any-return]


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The file as it is when it lies inside ann-benchmarks."""
    for name in ("ann_benchmarks", "ann_benchmarks.algorithms", "ann_benchmarks.algorithms.base"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    base = types.ModuleType("ann_benchmarks.algorithms.base.module")
    base.BaseANN = BaseANN  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, base.__name__, base)
    spec = importlib.util.spec_from_file_location("copied", SOURCE)
    assert spec is not None and spec.loader is not None
    copied = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copied)
    return copied


def _nearest(base: FloatArray, queries: FloatArray, metric: str) -> Any:
    if metric == "angular":
        base, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (base, queries))
    return np.argsort(np.square(queries[:, None] - base[None]).sum(axis=2), axis=1)[:, :10]


@pytest.mark.parametrize("metric", ["euclidean", "angular"])
def test_as_its_runner_uses_it(module: Any, metric: str) -> None:
    base, queries = synthetic(2000, 20, 24)
    group = yaml.safe_load(SOURCE.with_name("config.yml").read_text("utf-8"))["float"]["any"][0]
    assert group["base_args"] == ["@metric"]
    assert group["disabled"] is False
    args = group["run_groups"]["ivfpq"]["args"][0]
    params = dict(zip(args, next(itertools.product(*args.values())), strict=True))
    algo = getattr(module, group["constructor"])(metric, params)
    assert isinstance(algo, BaseANN)
    assert algo.get_memory_usage() >= 0
    algo.fit(base)
    true = _nearest(base, queries, metric)
    recalls, names = [], set()
    for query_args in ((1, 40), (128, 400)):
        algo.set_query_arguments(*query_args)
        names.add(str(algo))
        one = [algo.query(q, 10) for q in queries]
        algo.batch_query(queries, 10)
        batch = algo.get_batch_results()
        assert [list(ids) for ids in batch] == [list(ids) for ids in one]
        assert all(0 <= i < len(base) for ids in batch for i in ids)
        recalls.append(np.mean([len(set(ids) & set(t)) / 10 for ids, t in zip(batch, true, strict=True)]))
    assert recalls[1] > 0.95
    assert recalls[0] <= recalls[1]
    assert len(names) == 2
    assert 2000 * (24 * 2 + 16) / 1024 * 0.5 < algo.get_memory_usage() < 2000 * 400 / 1024
    assert algo.get_additional() == {}
    algo.done()


def test_a_metric_that_it_has_not(module: Any) -> None:
    with pytest.raises(NotImplementedError, match="metric 'hamming': expected one of euclidean, angular"):
        module.Lookalike("hamming", {})
