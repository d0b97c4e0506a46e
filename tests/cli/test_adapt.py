"""`lookalike models adapt`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lookalike import Collection
from tests.cli.conftest import Command
from tests.quality.test_adapt import _vectors


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A collection of vectors whose labels hide behind directions that mean nothing."""
    x, labels = _vectors()
    with Collection.create(tmp_path / "mine.lookalike") as collection:
        collection.add_vectors(x, [f"/pictures/{at}.jpg" for at in range(len(x))], labels, model="mine")
    return tmp_path / "mine.lookalike"


def test_the_gain_is_printed_and_asked_about_before_anything_changes(lookalike: Command, place: Path) -> None:
    outcome = lookalike("models", "adapt", "--in", place)
    assert outcome.code == 1
    assert outcome.lines[0] == "within-class whitening, learnt from 96 pictures with 8 labels"
    assert outcome.lines[2].startswith("on held-out pictures  0.")
    assert "→" in outcome.lines[3]
    assert "add --yes to confirm" in outcome.err
    assert lookalike("status", "--json", "--in", place).json["transform"] is None

    outcome = lookalike("models", "adapt", "--in", place, "--yes", "--json")
    gain = outcome.json["held_out_pictures"]
    assert outcome.json["applied"] is True
    assert gain["map_after"] > gain["map_before"] + 0.1
    assert "--undo` removes it" in outcome.err
    assert "within-class whitening, 24 dimensions" in lookalike("status", "--in", place).out
    assert lookalike("eval", "--in", place).lines[0].endswith("model mine, within-class whitening")

    assert "removed within-class whitening" in lookalike("models", "adapt", "--undo", "--in", place).err
    again = lookalike("models", "adapt", "--undo", "--in", place, "--json")
    assert (again.json, again.code) == ({"undone": None}, 0)


def test_what_does_not_help_is_refused(lookalike: Command, tmp_path: Path) -> None:
    place = tmp_path / "noise.lookalike"
    with Collection.create(place) as collection:
        x = np.random.default_rng(5).standard_normal((60, 16))
        collection.add_vectors(x, [f"{at}.jpg" for at in range(60)], [f"{at % 6}" for at in range(60)], model="mine")
    outcome = lookalike("models", "adapt", "--in", place, "--yes", "--json")
    assert outcome.code == 1
    assert (outcome.json["helps"], outcome.json["applied"]) == (False, False)
    assert "noise is unchanged" in outcome.err
    assert "no more than chance explains" in outcome.err


def test_what_cannot_be_asked_for(lookalike: Command, place: Path, tmp_path: Path) -> None:
    lookalike("models", "adapt", "--shipped", "--yes", "--in", place).failed_with("no whitening comes with 'mine'")
    lookalike("models", "adapt", "--pca", "25", "--in", place).failed_with("d: expected 1 to 24, got 25")
    lookalike("models", "adapt", "--labels", tmp_path / "no.tsv", "--in", place).failed_with("there is no file")
    lookalike("models", "adapt", "--groups", tmp_path / "no.txt", "--in", place).failed_with("No such file")
    assert lookalike("models", "adapt", "--pca", "3", "--undo", "--in", place).code == 2
    assert lookalike("models", "adapt", "--whiten", "--in", place).code == 2
    groups = tmp_path / "groups.txt"
    groups.write_text("\n".join(f"{at}.jpg" + ("\n" if at % 12 == 11 else "") for at in range(36)), encoding="utf-8")
    outcome = lookalike("models", "adapt", "--groups", groups, "--in", place, "--yes", "--json")
    assert json.loads(outcome.raw)["learnt_from"] == {"pictures": 36, "labels": 3}
