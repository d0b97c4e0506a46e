"""A real fine-tuning of the real model on real pictures, interrupted, gone on with, and searched with."""

from __future__ import annotations

import json
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from lookalike.errors import LookalikeError
from lookalike.features import store
from lookalike.features.models import get_model
from lookalike.training import Settings, finetune
from tests.cli.conftest import Command

pytestmark = pytest.mark.filterwarnings("default")  # libraries that are not ours
QUICK = (
    "--epochs",
    "3",
    "--train",
    "last-blocks",
    "--loss",
    "metric",
    "--batch",
    "8",
    "--lr",
    "1e-3",
    "--patience",
    "9",
)


def _epochs_done(home: Path, name: str) -> int:
    try:
        return int(json.loads((home / "training" / name / "run.json").read_text())["epoch"])
    except FileNotFoundError:
        return 0


def _killed_after_an_epoch(lookalike: Command, labelled: Path, how: signal.Signals) -> tuple[int, str]:
    with lookalike.start("models", "finetune", labelled, "--name", "tuned", *QUICK) as process:
        deadline = time.monotonic() + 500
        while process.poll() is None and not _epochs_done(lookalike.home, "tuned") and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(how)
        _, err = process.communicate(timeout=300)
    return process.returncode, err.decode()


@pytest.mark.slow
def test_killed_gone_on_with_indexed_and_searched(lookalike: Command, labelled: Path, tmp_path: Path) -> None:
    code, err = _killed_after_an_epoch(lookalike, labelled, signal.SIGKILL)
    assert code == -signal.SIGKILL, err
    assert 1 <= _epochs_done(lookalike.home, "tuned") < 3
    assert store.names() == [], "nothing half made"
    lookalike("models", "finetune", labelled, "--name", "tuned", *QUICK).failed_with(
        "unfinished run", "--resume", "--replace"
    )
    other = lookalike("models", "finetune", labelled, "--name", "tuned", *QUICK, "--seed", "1", "--resume")
    assert other.code == 1 and "seed was 0, now 1" in other.err
    done = lookalike("models", "finetune", labelled, "--name", "tuned", *QUICK, "--resume")
    assert done.code == 0, done
    assert (
        "going on after epoch" in done.err and "epoch 3 of 3: loss" in done.err and "epoch 1 of 3: loss" not in done.err
    )
    assert "broken.jpg" in done.err, "what cannot be read is named"
    assert done.lines[-1] == "tuned" and re.search(r"fine-tuned +0\.\d+ → 0\.\d+|fine-tuned +0\.\d+ → 1\.0+", done.out)
    assert "models adapt, a second" in done.out
    assert not (lookalike.home / "training" / "tuned").exists()
    card = get_model("tuned")
    assert card.d == 1280 and card.licence == "Apache-2.0" and "fine-tuned with lookalike on" in card.source
    assert lookalike("index", labelled, "--model", "tuned", "--in", "new").code == 0
    query = labelled / "photos/fish/fish-1.jpg"
    assert str(query) in lookalike("search", query, "--in", "new", "-k", "1").out


@pytest.mark.slow
def test_learning_is_real_and_goes_on_from_its_own_result(home: Path, labelled: Path) -> None:
    settings = Settings(augment="none", epochs=6, lr=1e-3, batch=8)
    said: list[str] = []
    done = finetune(labelled, settings, name="head", say=said.append)
    losses = [epoch["loss"] for epoch in done.history[1:]]
    assert losses[-1] < losses[0]
    assert done.pictures == {"learnt": 24, "held": 8, "labels": 4, "left_out": 0, "unreadable": 1}
    assert done.epoch == max(done.history[1:], key=lambda x: x["map"])["epoch"]
    again = finetune(labelled, Settings(model="head", augment="classic", epochs=1, batch=8), name="further")
    assert again.after.map_before == pytest.approx(done.after.map_after, abs=0.02), "it began with what was learnt"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train": "tail"}, "train: expected head, last-blocks or all"),
        ({"loss": "x"}, "loss: expected softmax or metric"),
        ({"augment": "x"}, "augment: expected none, classic or modern"),
        ({"epochs": 0}, "epochs"),
        ({"lr": 0.0}, "lr: expected"),
        ({"held": 0.99}, "hold out"),
        ({"model": "timm/resnet81"}, "did you mean"),
        ({"model": "fast"}, "in 8 bits"),
    ],
)
def test_settings_that_make_no_sense(changes: dict[str, object], words: str, home: Path, labelled: Path) -> None:
    with pytest.raises(LookalikeError, match=words):
        finetune(labelled, Settings(**changes))  # type: ignore[arg-type]
    assert not (home / "training").exists() and store.names() == []


def test_a_device_that_is_not_there(home: Path, labelled: Path) -> None:
    import torch

    wanted = "gpu" if torch.cuda.is_available() else "cuda"
    with pytest.raises(LookalikeError, match="device: "):
        finetune(labelled, device=wanted)


def test_pictures_that_cannot_be_read(home: Path, labelled: Path, tmp_path: Path) -> None:
    root = tmp_path / "pictures"
    shutil.copytree(labelled, root)
    for path in root.rglob("*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(LookalikeError, match="none of its 33 pictures can be read"):
        finetune(root, Settings(epochs=1))
    assert not (home / "training" / f"lite0-{root.name}").exists()
