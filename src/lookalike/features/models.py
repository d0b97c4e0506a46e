"""Finding a model by name: in the package, in the user's folder, or among those that could be there."""

from __future__ import annotations

import difflib
import hashlib
from importlib import resources
from pathlib import Path

from lookalike.errors import FormatError, ModelError
from lookalike.features import store
from lookalike.features.cards import SAME, WORDS, Calibration, ModelCard, TextTower, least_cosine, word
from lookalike.features.model_list import DEFAULT_MODEL, KNOWN, MODELS, ROUNDED
from lookalike.features.pooling import base_name, with_pooling

__all__ = [
    "DEFAULT_MODEL",
    "KNOWN",
    "MODELS",
    "SAME",
    "WORDS",
    "Calibration",
    "ModelCard",
    "TextTower",
    "find_model",
    "get_model",
    "least_cosine",
    "load_file",
    "load_model",
    "unknown_model",
    "word",
]

_MAX_BYTES = 1 << 30


def find_model(name: str) -> ModelCard | None:
    """The card of a model that can be used now: in the package or in the user's folder; None if it is in neither.

    ``"NAME+max"`` is a model pooled in another way, see `lookalike.features.pooling`.
    """
    card = MODELS.get(name) or store.read(name)
    if card is None and (plain := base_name(name)) != name and (card := find_model(plain)) is not None:
        return with_pooling(card, name.removeprefix(plain + "+"))
    return card


def get_model(name: str) -> ModelCard:
    """The card of a model that can be used now.

    Raises
    ------
    ModelError
        If there is none of that name. For a model that is known, the message says how to get it, else which is nearest.
    """
    card = find_model(name)
    if card is None:
        raise unknown_model(name)
    return card


def unknown_model(name: str) -> ModelError:
    """The error for a name that no usable model has."""
    plain = base_name(name)
    if plain in KNOWN:
        verb = "fetch" if KNOWN[plain].url else "export"
        return ModelError(f"model {plain!r} is not on this computer yet: lookalike models {verb} {plain}")
    names = [*MODELS, *store.names(), *KNOWN]
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]!r}?" if near else "lookalike models list names all"
    return ModelError(f"no model is called {name!r}; {hint}")


def load_model(card: ModelCard) -> bytes:
    """The bytes of a model's file, checked against the card's SHA-256.

    Raises
    ------
    ModelError
        If the card has no file, or the file is missing, unreadable or damaged.
    """
    if card.file is None:
        raise ModelError(
            f"model {card.name!r} is of vectors made elsewhere; it cannot embed pictures, search with a vector"
        )
    return load_file(card, card.file, card.sha256)


def load_file(card: ModelCard, file: str, sha256: str | None) -> bytes:
    """The bytes of one of a model's files, checked.

    Raises
    ------
    ModelError
        If it is missing, unreadable or damaged.
    """
    name = card.name if (store.folder() / card.name).is_dir() else base_name(card.name)
    bundled = name in MODELS
    folder = Path(str(resources.files("lookalike.features"))) / "weights" if bundled else store.folder() / name
    path = folder / (ROUNDED[file][1] if bundled and file in ROUNDED else file)
    again = "install lookalike again" if bundled else "fetch, export or fine-tune it again"
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ModelError(f"model {card.name!r}: expected at most {_MAX_BYTES:,} bytes in {path}")
        data = path.read_bytes() if path.name == file else _made(path, ROUNDED[file][0])
    except OSError as error:
        raise ModelError(f"model {card.name!r}: cannot read {path}: {error.strerror}; {again}") from None
    except FormatError as error:
        raise ModelError(f"model {card.name!r}: {error}; {again}") from None
    digest = hashlib.sha256(data).hexdigest()
    if sha256 is not None and digest != sha256:
        raise ModelError(
            f"model {card.name!r}: {path} is damaged (expected SHA-256 {sha256[:12]}…, got {digest[:12]}…); {again}"
        )
    return data


def _made(path: Path, model: str) -> bytes:
    """A model's file, made of another's and of what the two do not share."""
    from lookalike.features.rounded import read_rounded

    return read_rounded(path, load_model(MODELS[model]))
