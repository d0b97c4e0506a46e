"""`bench run` as a command; what it measures is tested in tests/bench."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lookalike.cli.commands import app
from lookalike.data.datasets import starter_folder
from lookalike_bench.engine import run
from lookalike_bench.engine.scale import QUICK
from tests.cli.conftest import Command


def test_only_known_specs_and_cases(lookalike: Command, tmp_path: Path) -> None:
    outcome = lookalike("bench", "run", "nonsense")
    assert outcome.code == 2
    assert "expected a TOML file or one of engine, full, scale, small, upstream, got nonsense" in outcome.err
    lookalike("bench", "run", "engine", "--quick", "--only", "serach", cwd=tmp_path).failed_with("serach", "search")
    assert list(tmp_path.iterdir()) == []


def test_results_go_beside_the_code_not_into_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def measured(scale: Any, folders: Any, out: Path, keep: Path, **options: Any) -> run.Outcome:
        asked.append(out)
        return run.Outcome("", out / "engine.md", out / "engine.jsonl")

    monkeypatch.setattr(run, "run_engine", measured)
    CliRunner().invoke(app, ["bench", "run", "engine", "--quick"])
    assert asked == [Path("benchmarks/results")]


def test_without_pictures_it_says_how_to_get_them(lookalike: Command) -> None:
    lookalike("bench", "run", "engine").failed_with("lookalike datasets fetch stamps", "--images")


def test_a_folder_without_pictures(lookalike: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = ("--images", tmp_path / "empty", "--out", tmp_path / "out")
    assert lookalike("bench", "run", "engine", *options).code == 1


def test_the_report_goes_to_stdout_line_by_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def measured(scale: Any, folders: Any, out: Path, keep: Path, **options: Any) -> run.Outcome:
        asked.update(scale=scale, folders=folders, out=out, **options)
        return run.Outcome("# Report\n\n| a | b |\n", out / "engine.md", out / "engine.jsonl")

    monkeypatch.setattr(run, "run_engine", measured)
    options = ["--quick", "--only", "memory", "--only", "add", "--out", str(tmp_path / "private")]
    outcome = CliRunner().invoke(app, ["bench", "run", "engine", *options])
    assert outcome.exit_code == 0
    assert outcome.stdout == "# Report\n\n| a | b |\n"
    assert "engine.jsonl" in outcome.stderr
    assert (asked["scale"], asked["folders"], asked["only"]) == (QUICK, [starter_folder()], ["memory", "add"])
    assert asked["command"] == "lookalike bench run engine --quick --only memory --only add"
