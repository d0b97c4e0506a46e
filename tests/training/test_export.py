"""Networks of timm as models: the same vectors, a card, and clear words where that cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lookalike.errors import FetchError, InputError, LookalikeError, ModelError
from lookalike.features import store
from lookalike.features.embedder import Embedder
from lookalike.features.images import decode
from lookalike.features.models import get_model
from lookalike.training import export_model
from lookalike.training.building import build
from lookalike.training.checkpoints import FORMAT
from lookalike.training.requirements import enough_memory
from lookalike.training.sources import find_source
from tests.cli.conftest import Command


def _cosines(name: str, pictures: Path) -> np.ndarray:
    """Of the exported graph's vectors to those of the network that is built from the kept weights."""
    paths = sorted(pictures.rglob("*-*.jpg"))[::4]
    network, source = build(find_source(name))
    with torch.inference_mode():
        squares = np.stack([decode(path, source.size) for path in paths])
        expected = network(torch.from_numpy(squares)).numpy().astype(np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    return (expected * Embedder(name).embed(paths)).sum(axis=1)


def test_from_timm_to_search(lookalike: Command, labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "vit.onnx"
    done = lookalike("models", "export", "timm/test_vit", "--weights", "random", "--pooling", "avg", "--out", out)
    assert (done.code, done.out) == (0, "test_vit\n"), done
    assert "test_vit is ready: 64 numbers a picture, licence unknown" in done.err
    card = get_model("test_vit")
    assert (card.d, card.input_size, card.pooling, card.layout) == (64, 160, "average", "uint8 nhwc")
    assert card.timm == "test_vit.r160_in1k" and "random" in card.source and not card.licence
    assert out.read_bytes() == (store.folder() / "test_vit" / (card.file or "")).read_bytes()
    assert _cosines("test_vit", labelled).min() >= 0.9999
    assert lookalike("index", labelled, "--model", "test_vit", "--in", "new").code == 0
    query = labelled / "photos/fish/fish-1.jpg"
    assert str(query) in lookalike("search", query, "--in", "new", "-k", "1").out
    lookalike("models", "export", "timm/test_vit", "--weights", "random").failed_with("there already", "--replace")


def test_published_weights_that_were_put_there_by_hand(
    home: Path, labelled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import timm

    for name in ("https_proxy", "HTTPS_PROXY"):  # a port at which nobody answers
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(FetchError) as caught:
        export_model("timm/test_resnet.r160_in1k", pooling="max")
    message, target = str(caught.value), home / "models/.downloads/test_resnet.r160_in1k/model.safetensors"
    assert (
        "download https://huggingface.co/timm/test_resnet.r160_in1k/resolve/main/model.safetensors elsewhere" in message
    )
    assert f"put it at {target}" in message and "\n" not in message
    torch.manual_seed(7)
    save_file(timm.create_model("test_resnet").state_dict(), target)
    card = export_model("timm/test_resnet.r160_in1k", pooling="max", name="mine")
    assert card.licence == "Apache-2.0" and card.pooling == "max" and card.name == "mine"
    assert not target.exists(), "kept beside the model"
    assert _cosines("mine", labelled).min() >= 0.9999


@pytest.mark.parametrize(
    ("model", "options", "words"),
    [
        ("timm/resnet81", {}, "did you mean 'timm/resnet"),
        ("resnet18", {}, "did you mean 'timm/resnet18'"),
        ("lite", {}, "did you mean 'lite0'"),
        ("timm/resnet18.nobody", {}, "timm has no weights 'nobody' of resnet18; it has .*a1_in1k"),
        ("fast", {}, "in 8 bits, which cannot learn"),
        ("timm/test_vit", {"pooling": "sum"}, "expected avg, max, gem or cls"),
        ("timm/test_resnet", {"pooling": "cls", "weights": "random"}, "no class token"),
        ("timm/test_vit", {"size": 161, "weights": "random"}, "of 161 pixels"),
        ("timm/test_vit", {"weights": "x.pth"}, "is a pickle"),
        ("timm/test_vit", {"weights": "x.safetensors"}, "there is no file"),
        ("timm/test_vit", {"weights": "random", "name": "../x"}, "model name"),
        ("timm/test_vit", {"weights": "random", "out": "/no/where/x.onnx"}, "folder that exists"),
        ("xception", {}, "as a pickle only .*docs/training.md"),
    ],
)
def test_what_cannot_be(model: str, options: dict[str, object], words: str, home: Path) -> None:
    with pytest.raises(LookalikeError, match=words):
        export_model(model, **options)  # type: ignore[arg-type]
    assert store.names() == []


def test_wrong_weights(home: Path, tmp_path: Path) -> None:
    import timm

    damaged, other, half = (tmp_path / f"{name}.safetensors" for name in ("damaged", "other", "half"))
    save_file(timm.create_model("test_resnet").state_dict(), other)
    damaged.write_bytes(other.read_bytes()[:-100])
    state = timm.create_model("test_vit").state_dict()
    save_file({name: x for name, x in state.items() if "blocks.1" not in name}, half)
    for path in (damaged, other, half):
        with pytest.raises(LookalikeError, match=str(path)) as caught:
            export_model("timm/test_vit", weights=str(path))
        assert "\n" not in str(caught.value)
    assert store.names() == []


def test_memory_that_ran_out_is_said() -> None:
    with pytest.raises(LookalikeError, match="not enough memory for batches of 64; try --batch 32"), enough_memory(64):
        torch.empty(1 << 60)
    with pytest.raises(RuntimeError, match="another"), enough_memory(64):
        raise RuntimeError("another error")


def test_a_file_of_another_kind_is_not_learnt_from(home: Path) -> None:
    folder = store.folder() / "mine"
    card = export_model("timm/test_resnet", weights="random", name="mine")
    (folder / card.weights).write_bytes(b"x" * 100)
    with pytest.raises(LookalikeError, match="expected tensors in a safetensors file"):
        build(find_source("mine"))
    save_file({"x": torch.zeros(1)}, folder / card.weights, {"format": FORMAT})
    with pytest.raises(LookalikeError, match="expected weights that lookalike wrote"):
        build(find_source("mine"))
    with pytest.raises((InputError, ModelError), match="in 8 bits"):
        find_source("fast")
