"""Specs on small made-up data, and results of one run that several tests read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lookalike_bench.experiments.run import Outcome, run_experiment
from lookalike_bench.experiments.spec import read_experiment

SPEC = """
round_s = 0.02
repeats = 1
limit_s = 120

[[data]]
name = "made-up"
kind = "synthetic"
rows = 1500
d = 64
queries = 30
"""


@pytest.fixture
def spec(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a spec: the made-up data, and what is given."""

    def write(text: str, head: str = SPEC) -> Path:
        path = tmp_path / "trial.toml"
        path.write_text(head + text, "utf-8")
        return path

    return write


def run(path: Path, out: Path, keep: Path, **more: Any) -> Outcome:
    return run_experiment(read_experiment(path), out, keep, [], command="the command", **more)


PEERS = """
[[peer]]
name = "faiss-ivfflat"
build = { nlist = 16 }
search = { nprobe = [1, 16] }

[[peer]]
name = "lookalike-ivfpq"
build = { nlist = 16, m = 16, rotation = ["", "opq"] }
search = { nprobe = 16 }

[[peer]]
name = "sklearn-kd-tree"
"""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a run of three peers."""
    folder = tmp_path_factory.mktemp("finished")
    path = folder / "trial.toml"
    path.write_text(SPEC + PEERS, "utf-8")
    run(path, folder / "out", folder / "keep")
    return folder
