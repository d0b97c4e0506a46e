"""What the documents show works, and what they point to is there."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def _run_block(number: int, folder: Path) -> dict[str, Any]:
    """Run a Python block of the README as a script, and give back its names."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    (folder / "readme.py").write_text(blocks[number], "utf-8")
    return runpy.run_path(str(folder / "readme.py"))


def test_the_readme_on_pictures(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures.rename(tmp_path / "Pictures")
    shutil.copy(tmp_path / "Pictures/photos/fish/fish-1.jpg", tmp_path / "query.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    _run_block(0, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert "fish-1.jpg 100.0 same picture" in lines[0]


def test_the_readme_on_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = _run_block(1, tmp_path)
    assert names["ids"].tolist()[0][0] == 0
    assert names["index"].ntotal == 100_000


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text("utf-8")):
        if not re.match(r"[a-z]+:|#", target):
            assert (document.parent / target.partition("#")[0]).exists(), target
