"""From a `Source` to a network with its weights."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._download import Progress, download
from lookalike._typing import Array
from lookalike.errors import FetchError, FormatError, InputError, LookalikeError, ModelError
from lookalike.features import store
from lookalike.training.checkpoints import FORMAT, read_tensors, write_tensors
from lookalike.training.sources import Source

if TYPE_CHECKING:
    from lookalike.training.modules import Extractor

__all__ = ["build", "dimension", "downloads", "save_weights", "state_of"]

_MAX_BYTES = 4 << 30
_PRETRAINED = "pretrained"


def build(source: Source, seed: int = 0, progress: Progress = lambda done, total: None) -> tuple[Extractor, Source]:
    """The network, for evaluation, and its source as the weights turned out to be.

    Raises
    ------
    FetchError
        If published weights cannot be fetched; the message says what to download and where to put it.
    InputError, ModelError, FormatError
        If the weights are damaged or another network's, or the network cannot take pictures of that size.
    """
    import torch

    from lookalike.training.modules import Extractor

    logging.getLogger("timm").setLevel(logging.CRITICAL)  # what matters is raised
    head: tuple[Array, Array] | None = None
    if source.weights == "packaged":
        backbone = _lite0(source)
    elif source.weights == "random":
        backbone = _create(source, seed)
    elif source.weights == "kept":
        backbone, head, source = _kept(source)
    else:
        path = _fetched(source, progress) if source.weights == _PRETRAINED else Path(source.weights)
        backbone = _loaded(source, path, seed)
    network = Extractor(backbone, source.pooling, source.mean, source.std)
    if head is not None:
        network.put_head(head[0].shape[1], head[0].shape[0])
        network.head.load_state_dict({"weight": torch.from_numpy(head[0]), "bias": torch.from_numpy(head[1])})
    _try(network.eval(), source)
    return network, source


def dimension(network: Extractor, size: int) -> int:
    """Of the network's vectors."""
    import torch

    with torch.inference_mode():
        return int(network(torch.zeros((1, size, size, 3), dtype=torch.uint8)).shape[1])


def state_of(network: Extractor) -> dict[str, Array]:
    """All weights as arrays, copies."""
    return {name: x.detach().cpu().numpy().copy() for name, x in network.state_dict().items()}


def save_weights(path: Path, network: Extractor, source: Source) -> None:
    """A file from which `build` makes the same network again."""
    about = {
        "timm": source.timm,
        "pooling": source.pooling,
        "size": source.size,
        "mean": source.mean,
        "std": source.std,
    }
    write_tensors(path, state_of(network), {"lookalike": json.dumps(about), "format": FORMAT})


def _create(source: Source, seed: int, **options: Any) -> Any:
    import timm
    import torch

    torch.manual_seed(seed)
    if source.needs_size:
        options["img_size"] = source.size
    try:
        return timm.create_model(source.timm, num_classes=0, **options).eval()
    except (AssertionError, ValueError, TypeError) as error:
        raise InputError(
            f"{source.timm} cannot be made for pictures of {source.size} pixels: {_first(error)}"
        ) from None


def _lite0(source: Source) -> Any:
    import torch

    from lookalike.training.lite0 import packaged_weights

    backbone = _create(source, 0, pretrained=False)
    weights = packaged_weights([len(stage) for stage in backbone.blocks])
    backbone.load_state_dict({name: torch.from_numpy(np.asarray(x)) for name, x in weights.items()}, strict=True)
    return backbone


def _kept(source: Source) -> tuple[Any, tuple[Array, Array] | None, Source]:
    """The weights beside a model of the user's; where its head is, too."""
    import torch

    card = store.read(source.name)
    path = store.folder() / source.name / (card.weights if card is not None else "")
    tensors = read_tensors(_readable(path))
    about = _about(path)
    source = replace(source, **about)
    head = (tensors.pop("head.weight"), tensors.pop("head.bias")) if "head.weight" in tensors else None
    backbone = _create(source, 0, pretrained=False)
    state = {name.removeprefix("backbone."): torch.from_numpy(x) for name, x in tensors.items()}
    try:
        backbone.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise _wrong(path, source, error) from None
    return backbone, head, source


def _about(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    try:
        with safe_open(path, "numpy") as file:
            about = json.loads((file.metadata() or {})["lookalike"])
        return {
            "timm": str(about["timm"]),
            "pooling": str(about["pooling"]),
            "size": int(about["size"]),
            "mean": tuple(map(float, about["mean"])),
            "std": tuple(map(float, about["std"])),
        }
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise FormatError(f"{path}: expected weights that lookalike wrote: {error}") from None


def _loaded(source: Source, path: Path, seed: int) -> Any:
    """timm reads the file itself, because it knows older names and other sizes of its networks' weights."""
    tensors = read_tensors(_readable(path))
    if not tensors:
        raise ModelError(f"{path} holds no weights")
    del tensors
    before = _weights(_create(source, seed, pretrained=False))
    try:
        backbone = _create(
            source, seed, pretrained=True, pretrained_cfg_overlay={"file": str(path), "url": "", "hf_hub_id": ""}
        )
    except (RuntimeError, KeyError) as error:
        raise _wrong(path, source, error) from None
    same = [name for name, x in _weights(backbone).items() if np.array_equal(x, before[name])]
    if same:
        raise ModelError(
            f"{path} is not of {source.timm}: it has no weights for {same[0]}"
            + (f" and {len(same) - 1} more" if len(same) > 1 else "")
        )
    return backbone


def _weights(backbone: Any) -> Mapping[str, Array]:
    """Those that begin at random, so that loading must have changed them."""
    found = {name: x.detach().numpy() for name, x in backbone.named_parameters() if x.ndim > 1}
    return {name: x.copy() for name, x in found.items() if np.ptp(x) > 0}


def _readable(path: Path) -> Path:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise InputError(f"{path}: expected at most {_MAX_BYTES:,} bytes")
    except OSError as error:
        raise ModelError(f"weights cannot be read from {path}: {error.strerror}") from None
    return path


def _wrong(path: Path, source: Source, error: Exception) -> ModelError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ModelError(f"{path} is not of {source.timm}: {(lines[1:] or lines or [repr(error)])[0][:200]}")


def _fetched(source: Source, progress: Progress) -> Path:
    """The published weights, fetched unless they are there."""
    hub = source.config.get("hf_hub_id")
    if not hub:
        if not source.config.get("url"):
            raise ModelError(
                f"timm knows no published weights of {source.timm}; say --weights FILE, or --weights random"
            )
        raise ModelError(
            f"the weights of {source.timm} are published as a pickle only ({source.config['url']}), which is not read; convert "
            "them to safetensors once (docs/training.md says how), and say --weights FILE"
        )
    url = f"https://huggingface.co/{hub}/resolve/main/{source.config.get('hf_hub_filename') or 'model.safetensors'}"
    target = downloads(source) / "model.safetensors"
    try:
        download(url, target, max_bytes=_MAX_BYTES, ledger=store.folder() / "checksums.txt", progress=progress)
    except FetchError as error:
        raise FetchError(
            f"{error}; or download {url} elsewhere, put it at {target}, and run this again (or say --weights FILE)"
        ) from None
    return target


def downloads(source: Source) -> Path:
    """Where the weights of a network are put when they are fetched."""
    return store.folder() / ".downloads" / source.timm


def _try(network: Extractor, source: Source) -> None:
    try:
        d = dimension(network, source.size)
    except LookalikeError:
        raise
    except (RuntimeError, AssertionError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{source.timm} cannot take pictures of {source.size} pixels: {_first(error)}") from None
    if not 1 <= d <= 1_000_000:
        raise ModelError(f"{source.timm} puts out vectors of {d} numbers")


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
