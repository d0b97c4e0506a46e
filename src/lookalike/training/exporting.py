"""A network of timm as a model of the user's."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from lookalike._download import Progress
from lookalike._files import atomic_write
from lookalike._typing import PathLike
from lookalike.errors import InputError, ModelError
from lookalike.features import store
from lookalike.features.cards import Calibration, ModelCard
from lookalike.features.model_list import DEFAULT_MODEL, SQUASHED
from lookalike.features.onnx_import import take_in
from lookalike.training.building import build, dimension, downloads, save_weights
from lookalike.training.graph import check_agreement, to_onnx
from lookalike.training.requirements import enough_memory, require
from lookalike.training.sources import LITE0, OWN, Source, check_name, find_source

__all__ = ["check_out", "export_model", "keep"]

_POOLINGS = {OWN: "the network's own", "average": "average", "max": "max", "gem": "gem", "cls": "cls"}


def export_model(
    model: str,
    *,
    pooling: str = "",
    size: int = 0,
    weights: str = "",
    name: str = "",
    out: PathLike | None = None,
    replacing: bool = False,
    seed: int = 0,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], None] = lambda _: None,
) -> ModelCard:
    """Write a network as ONNX, try it, and keep it with a card.

    Parameters
    ----------
    model : str
        ``timm/NAME``, ``lite0``, or the name of a known model that timm has.
    pooling : {"", "avg", "max", "gem", "cls"}
        How positions become one vector; the network's own way if empty.
    size : int
        Side of the pictures; that of the weights if 0.
    weights : str
        ``pretrained``, ``random``, or a safetensors file.
    name : str
        What it is called here; as in timm, if empty.
    out : path, optional
        Where the ONNX file is written as well.
    replacing : bool
        Whether a model of that name may be replaced.
    seed : int
        Of random weights.
    progress, say : callable
        Called with bytes fetched, and with what a person should know.

    Returns
    -------
    card : ModelCard
        As recorded.

    Raises
    ------
    MissingExtraError
        Without PyTorch and timm.
    FetchError
        If published weights cannot be fetched. The message says what to download and where to put it.
    InputError, ModelError
        If there is no such network, or it does not work.
    """
    check_name(model)
    require("exporting a model")
    source = find_source(model, pooling, size, weights)
    called = name or (_pooled_name(source) if source.name in {LITE0, DEFAULT_MODEL} else source.name)
    store.check_name(called, replacing)
    check_out(out)
    with enough_memory():
        network, source = build(source, seed, progress)
        say(f"writing {source.timm} as ONNX")
        data = to_onnx(network, source.size, called)
        check_agreement(data, network, source.size, called)
    card = card_of(source, called, dimension(network, source.size))
    with tempfile.TemporaryDirectory() as folder:
        save_weights(Path(folder, "weights.safetensors"), network, source)
        card = keep(
            card, data, Path(folder), out=out, replacing=replacing, calibrating=source.weights != "random", say=say
        )
    with contextlib.suppress(OSError):
        shutil.rmtree(downloads(source))  # the weights are kept beside the model
    return card


def card_of(source: Source, name: str, d: int, title: str = "", origin: str = "") -> ModelCard:
    """The card of a network that was built here."""
    return ModelCard(
        name=name,
        title=title or source.title,
        d=d,
        calibration=Calibration.plain(),
        source=origin or source.source,
        licence=source.licence,
        licence_url=source.licence_url,
        file="model.onnx",
        input_size=source.size,
        pooling=_POOLINGS[source.pooling],
        preprocessing=SQUASHED,
        input="image",
        output="features",
        timm=source.timm,
    )


def keep(
    card: ModelCard,
    data: bytes,
    folder: Path,
    *,
    out: PathLike | None,
    replacing: bool,
    calibrating: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> ModelCard:
    """Take a model in whose ``weights.safetensors`` lies in `folder`; nothing is kept of one that does not work."""
    try:
        (folder / "model.onnx").write_bytes(data)
        files = {"model": folder / "model.onnx", "weights": folder / "weights.safetensors"}
        card = take_in(card, files, replacing=replacing, calibrating=calibrating, say=say)
        if out is not None:
            with atomic_write(out) as file:
                file.write(data)
    except OSError as error:
        raise ModelError(f"model {card.name!r} cannot be written: {error.strerror or error}") from None
    return card


def check_out(out: PathLike | None) -> None:
    """Refuse a place that cannot be written to, before the work."""
    if out is not None and (Path(out).is_dir() or not Path(out).absolute().parent.is_dir()):
        raise InputError(f"out: expected the path of a file in a folder that exists, got {out}")


def _pooled_name(source: Source) -> str:
    return f"{LITE0}-{source.pooling}"
