"""The fast model is made of the default one, byte by byte."""

from __future__ import annotations

import hashlib
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from tools import build_fast

from lookalike.errors import FormatError, ModelError
from lookalike.features import models
from lookalike.features.models import MODELS, load_model
from lookalike.features.rounded import Weights, read_rounded, rounded, write_difference

WEIGHTS = Path(str(resources.files("lookalike.features"))) / "weights"
DIFFERENCE = WEIGHTS / "efficientnet-lite0-int8.safetensors"


def test_the_file_is_the_one_that_the_card_knows() -> None:
    data = load_model(MODELS["fast"])
    assert len(data) == MODELS["fast"].size
    assert hashlib.sha256(data).hexdigest() == MODELS["fast"].sha256
    assert not (WEIGHTS / str(MODELS["fast"].file)).exists(), "the package holds it twice"


def test_the_tool_finds_the_weights_that_the_two_share(tmp_path: Path) -> None:
    whole, source = load_model(MODELS["fast"]), load_model(MODELS["efficientnet-lite0"])
    write_difference(tmp_path / "again", whole, source, build_fast.shared_weights(whole, source))
    assert (tmp_path / "again").read_bytes() == DIFFERENCE.read_bytes()


def test_what_was_damaged_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(WEIGHTS, tmp_path / "weights")
    monkeypatch.setattr(models.resources, "files", lambda _: tmp_path)
    copy = tmp_path / "weights" / DIFFERENCE.name
    load_model(MODELS["fast"])
    whole = copy.read_bytes()
    for damaged in (whole[:-100_000], whole[:300_000] + b"\x55" + whole[300_001:], b"", b"nonsense"):
        copy.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"'fast'.*install lookalike again"):
            load_model(MODELS["fast"])
    copy.unlink()
    with pytest.raises(ModelError, match="cannot read"):
        load_model(MODELS["fast"])
    copy.write_bytes(whole)
    source = tmp_path / "weights" / "efficientnet-lite0.onnx"
    source.write_bytes(source.read_bytes()[:-1])
    with pytest.raises(ModelError, match=r"efficientnet-lite0\.onnx is damaged"):
        load_model(MODELS["fast"])


def test_a_difference_to_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="does not belong"):
        read_rounded(DIFFERENCE, b"short")
    rng = np.random.default_rng(0)
    exact, scales = rng.normal(size=(5, 7)).astype(np.float16), (rng.random(5) / 8 + 0.01).astype(np.float32)
    steps = np.clip(np.rint(exact / scales[:, None]), -64, 64).astype(np.int8)
    steps[2, 3] = 17 if steps[2, 3] != 17 else 18
    whole, source = b"head" + scales.tobytes() + steps.tobytes() + b"tail", b"no" + exact.tobytes()
    write_difference(tmp_path / "d", whole, source, [Weights(24, 4, 2, 5, 7)])
    assert read_rounded(tmp_path / "d", source) == whole
    rest = np.empty(3, np.uint8)
    for row in ([0, 0], [0, 0, 0, 1 << 30, 1 << 20], [0, 0, 0, -1, 5], [1 << 40, 0, 0, 2, 2], [0, 0, 1 << 40, 2, 2]):
        with pytest.raises((ValueError, IndexError, KeyError, TypeError)):
            rounded({"weights": np.array([row]), "rest": rest}, source)
    for broken in ({}, {"weights": np.array([[0, 0]]), "rest": rest}):
        with pytest.raises((ValueError, IndexError, KeyError, TypeError)):
            rounded(broken, source)
