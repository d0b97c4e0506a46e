"""Where a run has got to, on disk: tensors as safetensors, all else as JSON, and never half of either.

A run is a folder ``training/NAME`` in the user's data folder. ``run.json`` names the file of tensors that belongs to it; a new one
is written beside the old one before the JSON is replaced, so a process that is killed at any instant leaves a whole
checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lookalike._files import atomic_write, try_lock
from lookalike._home import home
from lookalike._typing import Array
from lookalike.errors import FormatError, InputError, TrainingError

__all__ = ["Progressed", "Run", "folder_of", "read_tensors", "write_tensors"]

FORMAT, VERSION = "lookalike-training", 1
_OURS = re.compile(r"state-\d+\.safetensors|\..+\.[0-9a-f]{8}\.part")
_MAX_JSON = 64 << 20


@dataclass(slots=True)
class Progressed:
    """How far a run is.

    Attributes
    ----------
    settings : dict
        What it was begun with; a run can only go on with the same.
    epoch, step : int
        Whole epochs that are done, and batches of the next.
    best : int
        The epoch whose weights are kept as the best, 0 where there is none yet.
    history : list of dict
        For each epoch, 0 being before learning: its number, loss and what held-out pictures found.
    loss : float
        Sum over the batches of the epoch under way.
    """

    settings: dict[str, Any]
    epoch: int = 0
    step: int = 0
    best: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    loss: float = 0.0


def folder_of(name: str) -> Path:
    """Where the run that makes a model of that name lies."""
    return home() / "training" / name


class Run:
    """A run's folder, locked; use it as a context manager."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = folder_of(name)
        self._number = 0
        self._lock: int | None = None

    def __enter__(self) -> Run:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise TrainingError(f"{self.folder} cannot be written: {error.strerror}") from None
        if not try_lock(self._lock):
            os.close(self._lock)
            self._lock = None
            raise InputError(
                f"another process is training {self.name!r}; choose another --name, or wait until it is done"
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        if not (self.folder / "run.json").exists():
            self._remove()

    def load(self) -> tuple[Progressed, dict[str, Array]] | None:
        """The checkpoint; None where there is none.

        Raises
        ------
        FormatError
            If it is damaged.
        """
        path = self.folder / "run.json"
        try:
            with path.open("rb") as file:
                values = json.loads(file.read(_MAX_JSON))
            if values.pop("format") != FORMAT or values.pop("version") != VERSION:
                raise ValueError(f"expected {FORMAT} {VERSION}")
            name = values.pop("tensors")
            if not _OURS.fullmatch(name):
                raise ValueError(f"expected the name of a file of tensors, got {name!r}")
            state = Progressed(**values)
            tensors = read_tensors(self.folder / name)
        except FileNotFoundError as error:
            if error.filename == str(path):
                return None
            raise self._damaged(error) from None
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError, FormatError) as error:
            raise self._damaged(error) from None
        self._number = int(name.removeprefix("state-").removesuffix(".safetensors"))
        return state, tensors

    def save(self, state: Progressed, tensors: Mapping[str, Array]) -> None:
        """Replace the checkpoint.

        Raises
        ------
        TrainingError
            If it cannot be written; the one before is still there.
        """
        name = f"state-{self._number + 1}.safetensors"
        try:
            write_tensors(self.folder / name, tensors)
            values = asdict(state) | {"format": FORMAT, "version": VERSION, "tensors": name}
            with atomic_write(self.folder / "run.json") as file:
                file.write(json.dumps(values, sort_keys=True).encode())
        except OSError as error:
            with contextlib.suppress(OSError):
                (self.folder / name).unlink()
            where = f"epoch {state.epoch}" if self._number else "the beginning"
            kept = (
                "the checkpoint before it is kept: make room, and go on with --resume" if self._number else "make room"
            )
            raise TrainingError(
                f"the checkpoint of {where} cannot be written to {self.folder}: {error.strerror or error}; {kept}"
            ) from None
        self._number += 1
        self._clear(keep={name})

    def remove(self) -> None:
        """Forget the run."""
        with contextlib.suppress(OSError):
            (self.folder / "run.json").unlink()
        self._clear(keep=set())

    def _clear(self, keep: set[str]) -> None:
        for path in self.folder.iterdir():
            if path.name not in keep and _OURS.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._clear(keep=set())
            (self.folder / ".lock").unlink(missing_ok=True)
            self.folder.rmdir()

    def _damaged(self, error: Exception) -> FormatError:
        return FormatError(
            f"the checkpoint in {self.folder} is damaged ({error}); begin anew without --resume, with --replace"
        )


def read_tensors(path: Path) -> dict[str, Array]:
    """All tensors of a safetensors file.

    Raises
    ------
    FormatError
        If it is none.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:  # the last three: a dtype that numpy lacks
        raise FormatError(f"{path}: expected tensors in a safetensors file: {error}") from None


def write_tensors(path: Path, tensors: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """A safetensors file, whole or not at all."""
    from safetensors.numpy import save

    with atomic_write(path) as file:
        file.write(save(dict(tensors), dict(metadata or {})))
