"""Without the extra: one line that says what to install."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cli.conftest import Command


def test_commands_name_the_extra(tmp_path: Path, pictures: Path) -> None:
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "torch.py").write_text("raise ModuleNotFoundError('No module named torch', name='torch')\n")
    path = os.pathsep.join(filter(None, [str(tmp_path / "none"), os.environ.get("PYTHONPATH", "")]))
    lookalike = Command(tmp_path / "home")
    for arguments in (("export", "timm/resnet18"), ("finetune", pictures)):
        process = lookalike.start("models", *arguments, env={"PYTHONPATH": path})
        out, err = process.communicate(timeout=120)
        assert process.returncode == 1 and out == b""
        [line] = err.decode().splitlines()
        assert line.startswith("lookalike: ") and 'needs PyTorch: pip install "lookalike[train]"' in line
    assert not (tmp_path / "home" / "models").exists() and not (tmp_path / "home" / "training").exists()
