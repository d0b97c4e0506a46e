"""Every notebook runs from beginning to end, and is committed with what came out."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks.execute import FOLDER, check, code_cells, read, save

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    done = check(path, tmp_path)
    assert all(cell.execution_count for cell in code_cells(done))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_with_its_outputs(path: Path) -> None:
    cells = code_cells(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), (
        f"run python -m tests.notebooks.execute {path.relative_to(FOLDER.parent)}"
    )
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output.output_type == "error" for output in outputs)
    words = "\n".join(output.get("text", "") + str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    assert not re.search(r"/tmp/|/home/|/Users/|Traceback", words)
    assert getpass.getuser() == "root" or getpass.getuser() not in words


def notebook(path: Path, *sources: str, tags: tuple[str, ...] = ()) -> Path:
    cells = [nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}) for source in sources]
    save(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_cell_that_raises_fails(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    broken = notebook(tmp_path / "broken.ipynb", "import lookalike\nlookalike.Collection.open('nowhere')")
    with pytest.raises(AssertionError, match="CollectionNotFoundError"):
        check(broken, out)


def test_heavy_cells_are_for_readers(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    heavy = notebook(tmp_path / "heavy.ipynb", "1 / 0", tags=("heavy",))
    assert not code_cells(check(heavy, out))
