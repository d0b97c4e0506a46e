"""`bench run` and `bench plot` as commands; what they measure is tested in tests/bench."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lookalike.cli.commands import app
from lookalike_bench.experiments import run
from tests.cli.conftest import Command

COMMITTED = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "engine" / "amd-epyc-avx2"


def test_only_known_specs_and_cases(lookalike: Command, tmp_path: Path) -> None:
    known = "expected a TOML file or one of engine, engine-quick, full, scale, small, upstream"
    lookalike("bench", "run", "nonsense").failed_with(known, "got 'nonsense'")
    lookalike("bench", "run", "engine", "--quick", "--only", "serach", cwd=tmp_path).failed_with("serach", "search")
    lookalike("bench", "run", "small", "--only", "search", cwd=tmp_path).failed_with(
        "no case of small", "there are: none"
    )
    outcome = lookalike("bench", "run", "small", "--quick")
    assert outcome.code == 2
    assert "there is no quick version of small" in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_without_pictures_it_says_how_to_get_them(lookalike: Command, tmp_path: Path) -> None:
    lookalike("bench", "run", "engine", cwd=tmp_path).failed_with("lookalike datasets fetch stamps", "--images")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_without_pictures(lookalike: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = ("--images", tmp_path / "empty", "--out", tmp_path / "out")
    assert lookalike("bench", "run", "engine", *options).code == 1


@pytest.mark.parametrize("quick", [True, False])
def test_what_a_run_is_asked_for(quick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its report goes to stdout, line by line."""
    asked: dict[str, Any] = {}

    def measured(experiment: Any, out: Path, keep: Path, folders: Any, **options: Any) -> run.Outcome:
        asked.update(name=experiment.name, folders=folders, out=out, **options)
        return run.Outcome(COMMITTED / "results.jsonl", 0, 36)

    monkeypatch.setattr(run, "run_experiment", measured)
    monkeypatch.chdir(tmp_path)
    more = ["--quick", "--only", "memory", "--only", "add"] if quick else ["--images", str(tmp_path), "--out", "mine"]
    outcome = CliRunner().invoke(app, ["bench", "run", "engine", *more])
    assert outcome.exit_code == 0
    folder = Path("benchmarks/results/engine-quick" if quick else "mine")  # beside the code, not in it
    assert asked["out"] == folder
    assert outcome.stdout == (folder / "report.md").read_text("utf-8")
    assert "| first search in a new process, kernels cached |" in outcome.stdout
    assert "results.jsonl" in outcome.stderr
    assert asked["name"] == ("engine-quick" if quick else "engine")
    assert asked["folders"] == ([] if quick else [tmp_path])
    assert list(asked["only"]) == (["memory", "add"] if quick else [])
    said = "lookalike bench run engine"
    assert asked["command"] == (f"{said} --quick --only memory --only add" if quick else said)


def test_plot_draws_what_is_there(lookalike: Command, tmp_path: Path) -> None:
    outcome = lookalike("bench", "plot", COMMITTED, "--out", tmp_path)
    assert outcome.lines == [str(tmp_path / "report.md"), str(tmp_path / "report.html")]
    assert (tmp_path / "report.md").read_bytes() == (COMMITTED / "report.md").read_bytes()
    lookalike("bench", "plot", tmp_path).failed_with("there are no results at")
