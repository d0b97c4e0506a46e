"""Fetching a model that lookalike knows from its hub into the user's folder."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from lookalike._download import Downloaded, Progress, check_room, download
from lookalike._files import Checksum
from lookalike.errors import FetchError, InputError, ModelError
from lookalike.features import store
from lookalike.features.models import KNOWN, MODELS, ModelCard, unknown_model
from lookalike.features.onnx_import import take_in

__all__ = ["fetch_model"]

_MAX_BYTES = 1 << 30


class _Part(NamedTuple):
    kind: str
    url: str
    sha256: str | None


def fetch_model(
    name: str,
    *,
    words: bool = True,
    replacing: bool = False,
    progress: Progress = lambda done, total: None,
    say: Callable[[str], None] = lambda _: None,
    known: ModelCard | None = None,
) -> ModelCard:
    """Fetch a model, try it, and keep it.

    Parameters
    ----------
    name : str
    words : bool
        Whether its text tower is fetched too, where it has one.
    replacing : bool
        Whether to fetch it again where it is there.
    progress, say : callable
        Called with bytes, and with what a person should know.
    known : ModelCard, optional
        Instead of the one that lookalike knows by that name.

    Returns
    -------
    card : ModelCard
        As recorded, with the checksums of what was fetched.

    Raises
    ------
    FetchError
        If it cannot be fetched. The message says what to download and where to put it.
    ModelError, InputError
        If there is no such model, it is there already, or it does not work.
    """
    card = known or KNOWN.get(name)
    if card is None:
        raise (
            InputError(f"{name} comes with lookalike and need not be fetched")
            if name in MODELS
            else unknown_model(name)
        )
    if not card.url:
        raise ModelError(f"{name} cannot be fetched as ONNX; make it: lookalike models export {name}")
    store.check_name(name, replacing)
    if not words:
        card = replace(card, text=None)
    folder = store.folder() / ".downloads" / name
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, 2 * card.size, f"model {name}")  # once as fetched, once as kept
    files: dict[str, Path] = {}
    for part in _parts(card):
        target = folder / part.url.rpartition("/")[2]
        got = _download(part, target, folder, progress)
        if got.trust == "unverified":
            say(f"{target.name}: nobody published a checksum; recorded what came: SHA-256 {got.sha256}")
        files[part.kind] = target
    card = take_in(card, files, replacing=replacing, say=say)
    with contextlib.suppress(OSError):
        shutil.rmtree(folder)
    return card


def _parts(card: ModelCard) -> list[_Part]:
    parts = [_Part("model", card.url, card.sha256)]
    if card.text is not None:
        parts.append(_Part("text", card.text.url, card.text.sha256))
        parts.append(_Part("tokenizer", card.text.tokenizer_url, card.text.tokenizer_sha256))
    return parts


def _download(part: _Part, target: Path, folder: Path, progress: Progress) -> Downloaded:
    published = None if part.sha256 is None else Checksum("sha256", part.sha256, "the hub's page of the file")
    try:
        return download(
            part.url,
            target,
            max_bytes=_MAX_BYTES,
            checksum=published,
            ledger=store.folder() / "checksums.txt",
            progress=progress,
        )
    except FetchError as error:
        raise FetchError(f"{error}; or download {part.url} elsewhere, put it at {target}, and run this again") from None
