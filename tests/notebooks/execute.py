"""Runs notebooks as a reader would, from a folder and a data folder of their own.

`python -m tests.notebooks.execute notebooks/*.ipynb` runs every cell and writes what came out into the files, which is how
the outputs that are committed are made. The tests run the same without the cells that are tagged ``heavy``, and write nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = ["FOLDER", "check", "code_cells", "execute", "read", "save"]

FOLDER = Path(__file__).parents[2] / "notebooks"
HEAVY = "heavy"  # the tag of a cell that only a reader runs


def read(path: Path) -> Any:
    """A notebook, checked against its format."""
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]


def execute(path: Path, folder: Path, *, heavy: bool = False, timeout: int = 120) -> Any:
    """Run a notebook in `folder`, a new one, with a fresh kernel of this Python; returns it with its outputs.

    A cell that raises raises `nbclient.exceptions.CellExecutionError`, whose text has the cell and its traceback.
    """
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    notebook = read(path)
    if not heavy:
        notebook.cells = [cell for cell in notebook.cells if HEAVY not in cell.metadata.get("tags", [])]
    manager = AsyncKernelManager()
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--HistoryManager.enabled=False"]
    command.append("--log-level=ERROR")  # it would say that loopback is not encrypted
    manager._kernel_spec = KernelSpec(argv=command, language="python")  # this Python, whatever kernels are installed
    own = {
        "LOOKALIKE_HOME": str(folder / "home"),
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "MPLCONFIGDIR": str(folder / "matplotlib"),
    }
    with mock.patch.dict(os.environ, own):
        client = NotebookClient(
            notebook, km=manager, timeout=timeout, resources={"metadata": {"path": str(folder)}}, record_timing=False
        )
        client.execute()
    return notebook


def save(notebook: Any, path: Path) -> None:
    """Write a notebook without what differs from machine to machine."""
    import nbformat

    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    })  # fmt: skip
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


def check(path: Path, folder: Path) -> Any:
    """Run the light cells of a notebook in a process of its own, which closes what the libraries leave open.

    Raises AssertionError with the cell and its traceback if one raises.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.notebooks.execute", "--light", str(folder), str(path)],
        cwd=FOLDER.parent, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return read(folder / path.name)


def main() -> None:
    names = sys.argv[1:]
    if names[0] == "--light":
        folder, path = Path(names[1]), Path(names[2])
        (folder / "work").mkdir()
        save(execute(path, folder / "work"), folder / path.name)
        return
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            save(execute(Path(name), Path(scratch), heavy=True, timeout=3600), Path(name))


if __name__ == "__main__":
    main()
