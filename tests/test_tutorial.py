"""The Python of the tutorial runs as it stands, block after block."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    text = TUTORIAL.read_text("utf-8")
    names: dict[str, Any] = {}
    blocks = list(re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    assert blocks
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        exec(
            compile("\n" * line + block[1], str(TUTORIAL), "exec"), names
        )  # of this repository; a traceback has its line
    recalls = [float(row.split()[1]) for row in capsys.readouterr().out.splitlines() if re.match(r"(1|4|16|64) ", row)]
    assert recalls == sorted(recalls)
    assert len(recalls) == 4
    assert names["ids"][:, 0].tolist() == [0, 1, 2]  # each vector is its own nearest, after re-ranking
    np.testing.assert_array_equal(names["index"].search(names["x"][:3], k=1, nprobe=8).ids.shape, (3, 1))
    assert {path.name for path in tmp_path.iterdir()} == {"vectors.lka", "vectors.faiss"}
