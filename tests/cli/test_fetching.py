"""`datasets fetch` as a command; the fetching itself is tested in tests/data."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Command


def test_bundled_pictures_need_no_fetching(lookalike: Command) -> None:
    outcome = lookalike("datasets", "fetch", "starter")
    assert (outcome.code, outcome.out) == (0, "")
    assert "comes with lookalike" in outcome.err


def test_unknown_data_sets_name_the_nearest(lookalike: Command) -> None:
    lookalike("datasets", "fetch", "stamp").failed_with("did you mean 'stamps'")


def test_what_is_there_is_named(lookalike: Command) -> None:
    folder = lookalike.home / "datasets" / "clipart"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"picture")
    outcome = lookalike("datasets", "fetch", "clipart")
    assert (outcome.code, outcome.out) == (0, f"{folder}\n")
    assert "already there: 1 picture (public-domain)" in outcome.err


def test_to_another_folder(lookalike: Command, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.png").write_bytes(b"picture")
    assert lookalike("datasets", "fetch", "stamps", "--to", tmp_path / "mine").out == f"{tmp_path / 'mine'}\n"
