"""Checkpoints: whole or not there, whatever happens."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lookalike.errors import FormatError, InputError, TrainingError
from lookalike.training import checkpoints
from lookalike.training.checkpoints import Progressed, Run


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKALIKE_HOME", str(tmp_path))


def _saved(epoch: int, value: float) -> tuple[Progressed, dict[str, Any]]:
    return Progressed({"lr": 0.1}, epoch=epoch), {"now.x": np.full((2, 3), value, np.float32)}


def test_what_was_saved_last_comes_back() -> None:
    with Run("mine") as run:
        assert run.load() is None
        run.save(*_saved(1, 1.0))
        run.save(*_saved(2, 2.0))
        assert len(list(run.folder.glob("*.safetensors"))) == 1
    with Run("mine") as run:
        state, tensors = run.load() or pytest.fail("nothing was kept")
        assert state == Progressed({"lr": 0.1}, epoch=2) and tensors["now.x"][0, 0] == 2
        run.save(*_saved(3, 3.0))
        run.remove()
    assert not checkpoints.folder_of("mine").exists()


def test_one_process_at_a_time() -> None:
    with Run("mine"), pytest.raises(InputError, match="another process"), Run("mine"):
        pass


@pytest.mark.parametrize("when", ["tensors", "json"])
def test_a_full_disk_keeps_the_one_before(when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Run("mine") as run:
        run.save(*_saved(1, 1.0))
        real = checkpoints.atomic_write

        def full(target: Path) -> Any:
            if when == "tensors" or target.name == "run.json":
                raise OSError(errno.ENOSPC, "No space left on device")
            return real(target)

        with monkeypatch.context() as patch:
            patch.setattr(checkpoints, "atomic_write", full)
            with pytest.raises(TrainingError, match=r"No space left.*go on with --resume"):
                run.save(*_saved(2, 2.0))
        loaded = run.load()
        assert loaded is not None and loaded[0].epoch == 1
        assert len(list(run.folder.glob("*.safetensors"))) == 1


@pytest.mark.parametrize("damage", ["cut", "missing", "json", "version", "elsewhere"])
def test_damaged(damage: str) -> None:
    with Run("mine") as run:
        run.save(*_saved(1, 1.0))
        [tensors] = run.folder.glob("*.safetensors")
        if damage == "cut":
            tensors.write_bytes(tensors.read_bytes()[:-3])
        elif damage == "missing":
            tensors.unlink()
        else:
            values = json.loads((run.folder / "run.json").read_text())
            values |= {
                "json": {"epoch": "x", "tensors": 3},
                "version": {"version": 9},
                "elsewhere": {"tensors": "../x"},
            }[damage]
            (run.folder / "run.json").write_text(json.dumps(values))
        with pytest.raises(FormatError, match=r"is damaged.*--replace"):
            run.load()
