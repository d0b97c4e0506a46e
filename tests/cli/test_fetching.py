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


def test_where_nothing_can_be_fetched_it_says_what_to_do(lookalike: Command) -> None:
    """Through a proxy that refuses connections: so nothing leaves the machine."""
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    outcome = lookalike("datasets", "fetch", "caltech101", env=nowhere | {"no_proxy": "", "NO_PROXY": ""})
    assert (outcome.code, outcome.out) == (1, ""), outcome
    assert "the connection failed" in outcome.err
    assert f"put it at {lookalike.home / 'datasets' / 'caltech-101.zip'}" in outcome.err
    assert not list((lookalike.home / "datasets").iterdir())


def test_a_folder_of_something_else_is_not_taken_for_the_data_set(lookalike: Command, tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"")
    lookalike("datasets", "fetch", "voc2012", "--to", tmp_path).failed_with("is not empty and not voc2012")


def test_the_list_says_how_large_how_checked_and_whose(lookalike: Command) -> None:
    lines = lookalike("datasets", "list").lines
    start = next(i for i, line in enumerate(lines) if line.startswith("voc2012  17,125 pictures, 20 labels"))
    said = "\n".join(lines[start : start + 8])
    assert "2,000 MB, to be fetched: lookalike datasets fetch voc2012" in said
    assert "MD5 6cd6e144f989b92b3379bac3b3de84fd (torchvision" in said
    assert "Everingham" in said
    assert "Flickr terms of use" in said
