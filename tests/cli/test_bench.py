"""`bench run` as a command; what it measures is tested in tests/bench."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_only_known_specs_and_cases(lookalike: Command, tmp_path: Path) -> None:
    outcome = lookalike("bench", "run", "nonsense")
    assert outcome.code == 2
    assert "expected engine, got nonsense" in outcome.err
    lookalike("bench", "run", "engine", "--quick", "--only", "serach", cwd=tmp_path).failed_with("serach", "search")
    assert list(tmp_path.iterdir()) == []


def test_without_pictures_it_says_how_to_get_them(lookalike: Command) -> None:
    lookalike("bench", "run", "engine").failed_with("lookalike datasets fetch stamps", "--images")


def test_a_folder_without_pictures(lookalike: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    options = ("--images", tmp_path / "empty", "--out", tmp_path / "out")
    assert lookalike("bench", "run", "engine", *options).code == 1
