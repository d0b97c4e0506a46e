"""`lookalike explain`: a whole query taken apart, and what cannot be."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tests.cli.conftest import Indexed


def test_a_whole_query_is_explained(indexed: Indexed, tmp_path: Path) -> None:
    fish = indexed.folder / "photos/fish/fish-1.jpg"
    other = next(
        path for path in sorted(indexed.folder.rglob("*.jpg")) if path.parent.name not in ("fish", indexed.folder.name)
    )
    asked = [fish, "--region", "0,0,0.5,0.5", "--less", other]
    outcome = indexed.lookalike("search", *asked, "-k", "4", "--json")
    assert outcome.code == 0, outcome.err
    found = outcome.json
    page = tmp_path / "why.html"
    told = indexed.lookalike("explain", *asked, "-k", "4", "--json", "--out", page).json
    # The true neighbours: those of the search, and perhaps the picture that it leaves out.
    exact = np.array(told["exact"]["distances"])
    assert all(np.isclose(exact, hit["distance"], atol=1e-5).any() for hit in found[:3])
    text = page.read_text("utf-8")
    assert "a part of fish-1.jpg and 1 more" in text
    assert "are compared here like all others" in text


def test_a_picture_is_explained_by_its_id_in_both_spellings(indexed: Indexed) -> None:
    one, other = (indexed.lookalike("explain", *each, "--json").json for each in (["--id", "3"], ["id:3"]))
    assert one == other
    assert one["exact"]["ids"][0] == 3


def test_what_cannot_be_explained_is_said(indexed: Indexed, tmp_path: Path) -> None:
    nothing = indexed.lookalike("explain")
    assert (nothing.code, "give a picture, words" in nothing.err) == (2, True)
    words = indexed.lookalike("explain", "red dog", "--out", tmp_path / "why.html")
    assert words.code == 1
    assert re.search("red dog: there is no such file, and words were matched to labels", words.err)
    gone = indexed.lookalike("explain", tmp_path / "gone.jpg", "--out", tmp_path / "why.html")
    assert (gone.code, "there is no such file" in gone.err) == (1, True)
    assert not (tmp_path / "why.html").exists()
