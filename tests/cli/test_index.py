"""`lookalike index`: what it says, what it leaves, and what it refuses."""

from __future__ import annotations

import re
from pathlib import Path

from tests.cli.conftest import Command, Indexed


def test_every_file_is_accounted_for(indexed: Indexed) -> None:
    assert re.fullmatch(r"my pictures: 24 pictures \(24 new, 3 skipped\) in [\d.]+ s\n", indexed.report.out)
    for name in ("broken.jpg", "empty.png", "text.jpg"):
        lines = [line for line in indexed.report.err.splitlines() if name in line]
        assert len(lines) == 1, indexed.report
        assert re.fullmatch(r"lookalike: skipped .*: .{10,}", lines[0])


def test_a_second_run_finds_only_what_changed(lookalike: Command, pictures: Path) -> None:
    assert "(24 new)" in lookalike("index", pictures).out
    assert "(24 unchanged)" in lookalike("index", pictures).out
    (pictures / "photos/fish/fish-1.jpg").rename(pictures / "photos/fish/renamed.jpg")
    (pictures / "drawings/hat").joinpath("twin.jpg").write_bytes((pictures / "photos/fish/renamed.jpg").read_bytes())
    (pictures / "photos/fish/fish-10.jpg").unlink()
    again = lookalike("index", pictures)
    assert again.code == 0
    assert "1 moved" in again.out
    assert "24 pictures" in again.out


def test_vanished_folder_keeps_its_pictures_until_pruned(lookalike: Command, pictures: Path, tmp_path: Path) -> None:
    lookalike("index", pictures, "--in", "disk")
    pictures.rename(tmp_path / "unplugged")
    gone = lookalike("index", pictures, "--in", "disk")
    assert "24 missing" in gone.out, gone
    assert "hidden until" in gone.err, gone
    (tmp_path / "unplugged").rename(pictures)
    assert "disk: 24 pictures (24 unchanged)" in lookalike("index", pictures, "--in", "disk").out
    pictures.rename(tmp_path / "unplugged")
    assert "24 removed" in lookalike("index", pictures, "--in", "disk", "--prune").out


def test_a_path_with_a_separator_is_a_place(lookalike: Command, pictures: Path, tmp_path: Path) -> None:
    place = tmp_path / "elsewhere" / "mine.lookalike"
    assert lookalike("index", pictures / "photos/fish", "--in", place).code == 0
    assert place.is_dir()
    assert lookalike("status", "--json").json["pictures"] == 8


def test_folder_that_does_not_exist(lookalike: Command, tmp_path: Path) -> None:
    lookalike("index", tmp_path / "nowhere").failed_with(str(tmp_path / "nowhere"))
    assert lookalike("collections", "list", "--json").json == []


def test_empty_folder(lookalike: Command, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    outcome = lookalike("index", empty)
    assert outcome.code == 1
    assert outcome.err == f"lookalike: no pictures were found in {empty}\n"


def test_folder_without_pictures(lookalike: Command, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "notes.txt").write_text("milk, bread")
    outcome = lookalike("index", folder)
    assert outcome.code == 1
    assert f"no pictures were found in {folder}" in outcome.err


def test_unknown_model_names_the_nearest(lookalike: Command, pictures: Path) -> None:
    lookalike("index", pictures, "--model", "efficientnet-lite").failed_with("efficientnet-lite0")


def test_a_collection_keeps_its_model(lookalike: Command, pictures: Path, tmp_path: Path) -> None:
    lookalike("index", pictures / "photos/fish", "--in", "mine", "--model", "efficientnet-lite0")
    again = lookalike("index", pictures / "photos/fish", "--in", "mine", "--model", "efficientnet-lite0")
    assert again.code == 0
    lookalike("index", pictures, "--in", "mine", "--model", "another").failed_with("another", "--in")


def test_single_files_can_be_indexed(lookalike: Command, pictures: Path) -> None:
    fish = sorted((pictures / "photos/fish").iterdir())
    assert "2 pictures (2 new)" in lookalike("index", *fish[:2], "--in", "two").out


def test_a_folder_that_is_something_else_is_left_alone(lookalike: Command, pictures: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.lookalike"
    foreign.mkdir()
    (foreign / "diary.txt").write_text("dear diary")
    lookalike("index", pictures, "--in", foreign).failed_with(str(foreign))
    assert (foreign / "diary.txt").read_text() == "dear diary"


def test_usage_errors_exit_with_2(lookalike: Command) -> None:
    for args in (["index"], ["index", "--nonsense", "x"], ["nonsense"], ["search"], ["serve", "--port", "99999999"]):
        outcome = lookalike(*args)
        assert outcome.code == 2, outcome
        assert outcome.raw == b""
        assert outcome.err
