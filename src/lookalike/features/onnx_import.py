"""Taking a model in: what an ONNX file says of itself, whether it works, and how its cosines are to be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._files import read_bytes
from lookalike.data.datasets import starter_folder
from lookalike.errors import ImageError, InputError, ModelError, UnreadableNowError
from lookalike.features import store
from lookalike.features.cards import LAYOUTS, Calibration, ModelCard
from lookalike.features.embedder import Embedder
from lookalike.features.graph import before_pooling
from lookalike.features.model_list import NORMALISATIONS, SQUASHED
from lookalike.features.network import describe, open_session
from lookalike.features.pooling import CHOICES, POOLINGS

__all__ = ["Described", "card_of_file", "normalisation", "take_in"]

_MAX_BYTES = 1 << 30


@dataclass(frozen=True, slots=True)
class Described:
    """What somebody says about an ONNX file of theirs; the rest is read from the file.

    Attributes
    ----------
    name, title, source, licence : str
    input_size : int
        0 where the file says it.
    output : str
        Which of its outputs is the vector; the first if empty.
    pooling : str
        For an output that still has positions.
    normalise : str
        A name of `NORMALISATIONS`, or six numbers with commas: mean and standard deviation of red, green and blue.
    """

    name: str
    title: str = ""
    source: str = ""
    licence: str = ""
    input_size: int = 0
    output: str = ""
    pooling: str = ""
    normalise: str = ""


def normalisation(text: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation from their name or six numbers.

    Examples
    --------
    >>> normalisation("half")
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    Raises
    ------
    InputError
        If it is neither.
    """
    if text in NORMALISATIONS:
        return NORMALISATIONS[text]
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 6:
        raise InputError(
            f"normalise: expected {', '.join(NORMALISATIONS)} or six numbers (mean and standard deviation of red, green "
            f"and blue, of colours from 0 to 1) with commas, got {text!r}"
        )
    return numbers[:3], numbers[3:]


def card_of_file(path: Path, described: Described) -> ModelCard:
    """The card of somebody's ONNX file.

    Raises
    ------
    InputError, ModelError
        If it is no picture model, or something has to be said about it that the file does not say.
    """
    data = _read(path)
    session = open_session(data, described.name)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    layouts = {"tensor(uint8)": LAYOUTS[0], "tensor(float)": LAYOUTS[1]}
    if len(inputs) != 1 or inputs[0].type not in layouts or len(inputs[0].shape) != 4:
        raise ModelError(
            f"{path}: expected one input, uint8 of (n, size, size, 3) or float of (n, 3, size, size), got {describe(session)}"
        )
    layout = layouts[inputs[0].type]
    output = next((x for x in outputs if described.output in {"", x.name}), None)
    if output is None:
        raise InputError(f"output: expected one of {', '.join(x.name for x in outputs)}, got {described.output!r}")
    if layout == LAYOUTS[1] and not described.normalise:
        raise InputError(
            f"{path}: its input is float, so say how it was trained: --normalise {'|'.join(NORMALISATIONS)} or six numbers"
        )
    if described.pooling not in {*CHOICES, ""} - {"model"}:
        raise InputError(f"pooling: expected {', '.join(POOLINGS)}, got {described.pooling!r}")
    pooling = CHOICES.get(described.pooling, "")
    if len(output.shape) in (3, 4) and not pooling:
        raise InputError(
            f"{path}: output {output.name!r} has positions (shape {tuple(output.shape)}); say --pooling "
            f"{'|'.join(POOLINGS)}, or --output with one of {', '.join(x.name for x in outputs)}"
        )
    mean, std = normalisation(described.normalise) if layout == LAYOUTS[1] else ((), ())
    inside = before_pooling(data, output.name) if len(output.shape) == 2 else output.name
    if pooling and not inside:
        raise InputError(
            f"{path}: output {output.name!r} is of vectors, and nothing that could be pooled leads to it; leave out --pooling"
        )
    return ModelCard(
        name=described.name,
        title=described.title or path.stem,
        d=_dimension(output, path),
        calibration=Calibration.plain(),
        source=described.source or "a file of the user's",
        licence=described.licence,
        file="model.onnx",
        input_size=_side(inputs[0], layout, described.input_size, path),
        pooling=pooling or "in the graph",
        preprocessing=SQUASHED,
        input=inputs[0].name,
        output=inside if pooling else output.name,
        positions=inside,
        layout=layout,
        mean=mean,
        std=std,
    )


def take_in(
    card: ModelCard,
    files: Mapping[str, Path],
    *,
    replacing: bool = False,
    calibrating: bool = True,
    say: Callable[[str], None] = lambda _: None,
) -> ModelCard:
    """Try a model on pictures, measure its similarity, and keep it in the user's folder.

    Raises
    ------
    InputError
        If its name is taken.
    ModelError
        If it does not work.
    """
    store.check_name(card.name, replacing)
    data = _read(files["model"])
    if not card.positions:
        card = replace(card, positions=before_pooling(data, card.output))
    embedder = Embedder(card, data=data)
    _try(embedder)
    if calibrating:
        from lookalike.features.calibration import calibrate

        say("measuring what its cosines mean, on the starter pictures")
        card = replace(card, calibration=calibrate(embedder))
    return store.install(card, files, replacing=replacing)


def _read(path: Path) -> bytes:
    return read_bytes(path, _MAX_BYTES)


def _side(end: Any, layout: str, wanted: int, path: Path) -> int:
    """The side of the square that the input takes."""
    shape = end.shape
    sides = shape[1:3] if layout == LAYOUTS[0] else shape[2:4]
    colours = shape[3] if layout == LAYOUTS[0] else shape[1]
    fixed = [n for n in sides if isinstance(n, int)]
    if (isinstance(colours, int) and colours != 3) or len(set(fixed)) > 1:
        raise ModelError(f"{path}: expected squares of three colours, got an input of {tuple(shape)}")
    if wanted and fixed and fixed[0] != wanted:
        raise InputError(f"size: {path} takes pictures of {fixed[0]} pixels, got {wanted}")
    if not (fixed or wanted):
        raise InputError(f"{path} takes pictures of any size; say which it was trained with: --size 224")
    return wanted or int(fixed[0])


def _dimension(end: Any, path: Path) -> int:
    d = end.shape[1 if len(end.shape) in (2, 4) else -1] if end.shape else None
    if len(end.shape) not in (2, 3, 4) or not isinstance(d, int):
        raise ModelError(
            f"{path}: expected an output of (n, d), (n, tokens, d) or (n, d, h, w), got {tuple(end.shape)}"
        )
    return d


def _try(embedder: Embedder) -> None:
    """Three pictures have to give three different vectors."""
    pictures = sorted(starter_folder().rglob("*.jpg"))[::150]
    name = embedder.model_card.name
    try:
        vectors = embedder.embed([path.read_bytes() for path in pictures])
    except UnreadableNowError:
        raise  # which says nothing about the model
    except ImageError as error:  # the pictures are good
        raise ModelError(f"model {name!r} cannot be used: {error}") from None
    if (np.ptp(vectors, axis=0) == 0).all():
        raise ModelError(f"model {name!r} cannot be used: it gives the same vector for every picture")
