"""The user's own models: one folder each, with a card and the files that it names.

Files are named by their checksum and written before the card, and the card is replaced atomically. So a reader finds the
old model or the new one, and an interrupted change leaves no broken model.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from lookalike._files import atomic_write
from lookalike._home import home
from lookalike.errors import InputError, ModelError
from lookalike.features.cards import ModelCard, TextTower
from lookalike.features.model_list import KNOWN, MODELS

__all__ = ["CARD", "check_name", "folder", "install", "names", "read", "remove"]

CARD = "card.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_OURS = re.compile(r"[a-z]+-[0-9a-f]{16}\.(onnx|json|safetensors)|\..+\.[0-9a-f]{8}\.part")
_MAX_CARD_BYTES = 400_000


def folder() -> Path:
    """Where the user's models are."""
    return home() / "models"


def check_name(name: str, replacing: bool = False) -> None:
    """Refuse a name that a new model cannot have.

    Raises
    ------
    InputError
        If it is no name, or another model's.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"model name: expected up to 100 letters, digits and . _ + -, beginning with a letter or digit, got {name!r}"
        )
    if name in MODELS:
        raise InputError(f"model name: {name!r} is the model in the package; choose another name")
    if not replacing and (folder() / name / CARD).exists():
        raise InputError(f"model {name!r} is there already; choose another name, or say --replace")


def names() -> list[str]:
    """Of the user's models, the damaged ones included."""
    try:
        return sorted(path.parent.name for path in folder().glob(f"*/{CARD}") if _NAME.fullmatch(path.parent.name))
    except OSError:
        return []


def read(name: str) -> ModelCard | None:
    """The card of one of the user's models; None where there is none.

    Raises
    ------
    ModelError
        If the card is damaged.
    """
    if not _NAME.fullmatch(name):
        return None
    path = folder() / name / CARD
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_CARD_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ModelError(f"model {name!r}: cannot read {path}: {error.strerror}") from None
    try:
        card = ModelCard.from_json(data)
    except ModelError as error:
        raise ModelError(f"{path} is damaged: {error}; fetch, export or fine-tune the model again") from None
    if card.name != name:
        raise ModelError(f"{path} is damaged: expected the card of {name!r}, got that of {card.name!r}")
    return card


def install(card: ModelCard, files: Mapping[str, Path], *, replacing: bool = False) -> ModelCard:
    """Take a model into the user's folder.

    Parameters
    ----------
    card : ModelCard
        The names, sizes and checksums of its files are filled in here.
    files : mapping of str to path
        ``"model"``, for a text tower ``"text"`` and ``"tokenizer"`` too; and ``"weights"``, which training goes on from.
    replacing : bool
        Whether a model of that name may be replaced.

    Returns
    -------
    card : ModelCard
        As it was recorded.

    Raises
    ------
    InputError
        If the name cannot be taken.
    ModelError
        If a file is not what the card says.
    """
    check_name(card.name, replacing)
    target = folder() / card.name
    try:
        target.mkdir(parents=True, exist_ok=True)
        kept = {kind: _keep(target, kind, path) for kind, path in files.items()}
        card = _recorded(card, kept)
        with atomic_write(target / CARD) as file:
            file.write(card.to_json().encode())
    except OSError as error:
        raise ModelError(f"model {card.name!r} cannot be kept in {target}: {error.strerror or error}") from None
    _clear(target, keep={CARD, *(name for name, _, _ in kept.values())})
    return card


def remove(name: str) -> None:
    """Delete one of the user's models.

    Raises
    ------
    ModelError
        If there is none of that name.
    """
    target = folder() / name
    if not _NAME.fullmatch(name) or not (target / CARD).is_file():
        also = "; it is in the package" if name in MODELS else "; it is not on this computer" if name in KNOWN else ""
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.4)
        hint = also or (
            f"; did you mean {near[0]!r}?"
            if near
            else f"; there are: {', '.join(names())}"
            if names()
            else "; you fetched or made none yet"
        )
        raise ModelError(f"there is no model {name!r} to delete{hint}")
    (target / CARD).unlink()
    _clear(target, keep=set())
    with contextlib.suppress(OSError):  # somebody else's files
        target.rmdir()


def _keep(target: Path, kind: str, source: Path) -> tuple[str, str, int]:
    """Copy a file under a name made of its checksum: that name, the checksum, its size."""
    with source.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        suffix = {"tokenizer": "json", "weights": "safetensors"}.get(kind, "onnx")
        name = f"{kind}-{digest[:16]}.{suffix}"
        file.seek(0)
        with atomic_write(target / name) as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
    return name, digest, (target / name).stat().st_size


def _recorded(card: ModelCard, kept: Mapping[str, tuple[str, str, int]]) -> ModelCard:
    file, digest, size = kept["model"]
    _agree(card.name, card.sha256, digest)
    tower: TextTower | None = None
    if card.text is not None and "text" in kept:
        _agree(card.name, card.text.sha256, kept["text"][1])
        _agree(card.name, card.text.tokenizer_sha256, kept["tokenizer"][1])
        tower = replace(
            card.text,
            file=kept["text"][0],
            sha256=kept["text"][1],
            tokenizer=kept["tokenizer"][0],
            tokenizer_sha256=kept["tokenizer"][1],
        )
    weights = kept["weights"][0] if "weights" in kept else ""
    return replace(card, file=file, sha256=digest, size=size, text=tower, weights=weights)


def _agree(name: str, published: str | None, got: str) -> None:
    if published is not None and published != got:
        raise ModelError(
            f"model {name!r}: expected a file with SHA-256 {published}, as published, got {got}; "
            "it is damaged or another one: fetch it again"
        )


def _clear(target: Path, keep: set[str]) -> None:
    """Delete our files that the card does not name."""
    for path in target.iterdir():
        if path.name not in keep and _OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)
