"""What a name stands for: which network of timm, with which weights, size, pooling and licence."""

from __future__ import annotations

import difflib
import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lookalike.errors import InputError, ModelError
from lookalike.features import store
from lookalike.features.cards import ModelCard
from lookalike.features.model_list import DEFAULT_MODEL, KNOWN, MODELS

__all__ = ["LITE0", "OWN", "POOLINGS", "Source", "check_name", "find_source"]

LITE0 = "lite0"
OWN = "own"
POOLINGS = {"avg": "average", "average": "average", "max": "max", "gem": "gem", "cls": "cls"}
_PREFIX = "timm/"
_LITE0_MEAN, _LITE0_STD = (127 / 255,) * 3, (128 / 255,) * 3  # (x − 127) / 128, as it was trained
_LICENCES = {"apache-2.0": "Apache-2.0", "bsd-3-clause": "BSD-3-Clause", "mit": "MIT"}


@dataclass(frozen=True, slots=True)
class Source:
    """A network before it is built.

    Attributes
    ----------
    name : str
        What a model made from it is called, unless somebody says otherwise.
    timm : str
        Its name in timm, with the tag of its weights.
    title, source, licence, licence_url : str
    size : int
        Side of the square that it takes.
    pooling : str
        `OWN`, or a name of `lookalike.features.network.POOLINGS`.
    mean, std : tuple of float
    weights : str
        ``"packaged"`` (of the default model), ``"pretrained"``, ``"random"``, ``"kept"`` (of a model of the user's), or a path.
    config : dict
        timm's record of the weights.
    """

    name: str
    timm: str
    title: str
    source: str
    licence: str
    licence_url: str
    size: int
    pooling: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    weights: str
    config: dict[str, Any]

    @property
    def needs_size(self) -> bool:
        """Whether the network has to be told its size when it is made."""
        own = self.config.get("input_size", (3, 0, 0))
        return bool(self.config.get("fixed_input_size")) and own[-1] != self.size


def find_source(name: str, pooling: str = "", size: int = 0, weights: str = "") -> Source:
    """Find a network by the name that a person gives.

    Parameters
    ----------
    name : str
        ``lite0``, ``timm/NAME``, one of `KNOWN` that timm has, or a model of the user's that was exported or fine-tuned.
    pooling : str
        avg, max, gem or cls; the network's own, or what is known of the model, if empty.
    size : int
        0 for the one that the weights were made with.
    weights : str
        ``pretrained``, ``random`` or a path; what the model comes with if empty.

    Raises
    ------
    InputError, ModelError
        If there is no such network, or it cannot be had like that.
    """
    if pooling and pooling not in POOLINGS:
        raise InputError(f"pooling: expected avg, max, gem or cls, got {pooling!r}")
    source = _named(name)
    if weights and weights not in {"pretrained", source.weights}:
        source = replace(source, weights=weights) if weights == "random" else replace(source, weights=_path(weights))
        what = "random weights" if weights == "random" else f"weights of {Path(weights).name}"
        licence = ("", "") if weights == "random" else (source.licence, source.licence_url)
        source = replace(
            source, title=f"{source.timm}, {what}", source=f"{_PREFIX}{source.timm}, {what}",
            licence=licence[0], licence_url=licence[1],
        )  # fmt: skip
    if pooling:
        source = replace(source, pooling=POOLINGS[pooling])
    if size:
        source = replace(source, size=size)
    if not source.size:
        sides = source.config.get("input_size", ())[1:]
        raise InputError(
            f"{name} takes pictures of {' × '.join(map(str, sides))}; pictures are squares here, say --size"
        )
    return source


def check_name(name: str) -> None:
    """Refuse a name that no network can have, where timm is not there to be asked.

    Raises
    ------
    ModelError
        With the nearest of the names that can be.
    """
    own = [LITE0, *store.names(), *(known for known, card in KNOWN.items() if card.timm)]
    if name.startswith(_PREFIX) or name in {*own, *MODELS} or importlib.util.find_spec("timm"):
        return
    near = difflib.get_close_matches(name, own, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else f"expected {_PREFIX}NAME, or one of {', '.join(own)}"
    raise ModelError(f"no model is called {name!r}; {hint}")


def _named(name: str) -> Source:
    if name in {LITE0, DEFAULT_MODEL}:
        return _lite0()
    if name.startswith(_PREFIX):
        return _of_timm(name.removeprefix(_PREFIX))
    if name in MODELS:
        raise ModelError(f"model {name!r} is in 8 bits, which cannot learn; take {LITE0}, from which it was made")
    own = store.read(name)
    if own is not None:
        return _of_user(own)
    card = KNOWN.get(name)
    if card is not None and card.timm:
        found = _of_timm(card.timm)
        pooling = OWN if card.pooling == "average" else card.pooling
        return replace(found, name=name, title=card.title, source=card.source, licence=card.licence,
                       licence_url=card.licence_url, size=card.input_size, pooling=pooling)  # fmt: skip
    raise _unknown(name)


def _lite0() -> Source:
    import timm

    card = MODELS[DEFAULT_MODEL]
    config = timm.get_pretrained_cfg(card.timm).to_dict()
    return Source(
        LITE0, card.timm, card.title, card.source, card.licence, card.licence_url, card.input_size, OWN,
        _LITE0_MEAN, _LITE0_STD, "packaged", config,
    )  # fmt: skip


def _of_timm(name: str) -> Source:
    import timm

    if not timm.is_model(name):
        raise _unknown(name, _PREFIX)
    try:
        found = timm.get_pretrained_cfg(name)
    except (RuntimeError, KeyError, ValueError):  # the network is known, the tag is not
        found = None
    if found is None:
        base, _, tag = name.partition(".")
        tags = [x.partition(".")[2] for x in timm.list_pretrained(f"{base}.*")]
        if tag:
            raise ModelError(f"timm has no weights {tag!r} of {base}; it has {', '.join(tags) or 'none'}")
        config: dict[str, Any] = {"input_size": (3, 224, 224), "mean": (0.5,) * 3, "std": (0.5,) * 3}
    else:
        config = found.to_dict()
    full = name if "." in name or not config.get("tag") else f"{name}.{config['tag']}"
    licence = str(config.get("license") or "")
    sides = config["input_size"][1:]
    called = f"timm-{name}" if name in KNOWN else name
    return Source(
        called, full, f"{full} of timm", f"{_PREFIX}{full}, licence as timm {timm.__version__} records it",
        _LICENCES.get(licence, licence), "", sides[0] if len(set(sides)) == 1 else 0, OWN,
        tuple(config["mean"]), tuple(config["std"]), "pretrained", config,
    )  # fmt: skip


def _of_user(card: ModelCard) -> Source:
    """A model that was exported or fine-tuned here, to go on with."""
    import timm

    if not card.weights or not card.timm:
        raise ModelError(
            f"model {card.name!r} is an ONNX file alone, which cannot learn; take {LITE0}, timm/NAME, or a model that was "
            "made with lookalike models export or finetune"
        )
    try:
        found = timm.get_pretrained_cfg(card.timm)
    except (RuntimeError, KeyError, ValueError):
        found = None
    mean, std = (card.mean, card.std) if card.mean else ((0.5,) * 3, (0.5,) * 3)  # both are in the file of weights
    return Source(
        card.name, card.timm, card.title, card.source, card.licence, card.licence_url, card.input_size,
        card.pooling if card.pooling in POOLINGS.values() else OWN, mean, std, "kept", found.to_dict() if found else {},
    )  # fmt: skip


def _path(text: str) -> str:
    path = Path(text)
    if path.suffix.lower() in {".pth", ".pt", ".bin", ".ckpt", ".tar"}:
        raise InputError(
            f"weights: {path} is a pickle, which can run code and is not read; convert it to safetensors once "
            "(docs/training.md says how)"
        )
    if not path.is_file():
        raise InputError(f"weights: expected pretrained, random or a safetensors file, there is no file {text}")
    return text


def _unknown(name: str, prefix: str = "") -> ModelError:
    import timm

    if not prefix and timm.is_model(name):
        return ModelError(f"no model is called {name!r}; did you mean '{_PREFIX}{name}'?")
    names = [*timm.list_models(), *timm.list_pretrained()]
    if not prefix:
        names = [
            LITE0,
            *store.names(),
            *(x for x, card in KNOWN.items() if card.timm),
            *(f"{_PREFIX}{x}" for x in names),
        ]
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    hint = (
        f"did you mean '{prefix}{near[0]}'?" if near else "python -c 'import timm; print(timm.list_models())' names all"
    )
    return ModelError(f"no model is called '{prefix}{name}'; {hint}")
