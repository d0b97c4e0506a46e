"""The script that makes the table of words, on a small WordNet of the same form."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tools import build_imagenet_words as tool

NOUNS = """\
  1 This is the licence.
  2 It has two lines.
00000001 03 n 01 entity 0 001 ~ 00000002 n 0000 | all there is
00000002 03 n 02 animal 0 living_thing 0 001 @ 00000001 n 0000 | moves
00000003 03 n 01 mouse 0 002 @ 00000002 n 0000 + 00000009 v 0101 | small; "mice | eat"
00000004 03 n 02 house_mouse 0 Mus 1 002 @ 00000003 n 0000 #m 00000001 n 0000 | in houses
00000005 03 n 01 Mickey 0 001 @i 00000003 n 0000 | the one
"""


def test_names_kinds_and_plurals(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "timm.whl", "w") as wheel:
        wheel.writestr(tool.CLASSES, "n00000005\nn00000004\n")
    (tmp_path / "data.noun").write_text(NOUNS)
    (tmp_path / "noun.exc").write_text("mice mouse\naxes ax axis\n")
    tool.main(["--timm", str(tmp_path / "timm.whl"), "--wordnet", str(tmp_path), "--out", str(tmp_path / "out.tsv")])
    head = [line for line in (tmp_path / "out.tsv").read_text().splitlines() if line.startswith("#")]
    rows = (tmp_path / "out.tsv").read_text().splitlines()[len(head) :]
    assert head[-2:] == ["# This is the licence.", "# It has two lines."]
    assert rows == [
        "n00000005\tMickey\tn00000003",
        "n00000004\thouse mouse;Mus\tn00000003",
        "n00000003\tmouse;*mice\tn00000002",
        "n00000002\tanimal;living thing\tn00000001",
        "n00000001\tentity\t",
    ]


def test_what_holds_for_most_classes_is_left_out() -> None:
    nouns = {f"n{i}": tool.Noun((f"thing {i}",), ("all",)) for i in range(501)} | {"all": tool.Noun(("entity",), ())}
    assert not any("entity" in line for line in tool.table([f"n{i}" for i in range(501)], nouns, {}))
    assert any("entity" in line for line in tool.table([f"n{i}" for i in range(500)], nouns, {}))
