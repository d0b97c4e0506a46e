"""`lookalike eval`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Command, Indexed


def test_eval_prints_what_a_person_reads_and_writes_what_a_program_reads(indexed: Indexed, tmp_path: Path) -> None:
    out = tmp_path / "measured"
    outcome = indexed.lookalike("eval", "--out", out, "--duplicates", "1")
    assert outcome.code == 0, outcome
    assert outcome.lines[0] == "24 pictures with 3 labels; model efficientnet-lite0"
    assert [line.split()[0] for line in outcome.lines[2:5]] == ["cosine", "Euclidean", "dot"]
    assert "altered copies, 20 of each of 1 picture, whose first result is the original" in outcome.out
    measured = json.loads((out / "eval.json").read_bytes())
    assert f"{measured['overall']['cosine']['p_at_1']:.3f}" in outcome.lines[2]
    assert measured["overall"]["cosine"]["p_at_1"] > 0.9  # windmills, fish and hats
    assert measured["labelled"]["photos/fish"]["pictures"] == 8
    assert (out / "worst.png").read_bytes().startswith(b"\x89PNG")
    assert str(out / "worst.png") in outcome.err
    assert indexed.lookalike("eval", "--json").json["overall"] == measured["overall"]


def test_eval_says_in_one_line_what_is_wrong(indexed: Indexed, tmp_path: Path) -> None:
    indexed.lookalike("eval", "--labels", "no-such.tsv").failed_with("there is no file no-such.tsv")
    indexed.lookalike("eval", "--at-least", "9").failed_with("3 labels, of which 0 have 9 pictures or more")
    file = tmp_path / "labels.tsv"
    file.write_text("somewhere/else.jpg\tcat\n", encoding="utf-8")
    indexed.lookalike("eval", "--labels", file).failed_with("none of the collection's 24 pictures", "forward slashes")
    assert indexed.lookalike("eval", "--at-least", "1").code == 2


def test_eval_without_a_collection(lookalike: Command) -> None:
    lookalike("eval").failed_with("no collection was used yet")
