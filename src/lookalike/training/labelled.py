"""The pictures that are learnt from, those that are held back, and what can be asked of these."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lookalike._typing import Array, IdArray, PathLike
from lookalike.data.labels import LABELS_FILE, read_labels
from lookalike.errors import DatasetError
from lookalike.features.metrics import Groups, group

__all__ = ["HELD", "Split", "read_folder", "split"]

HELD = 0.3
_FEWEST_HELD = 2  # of a label, so that one can be found with the other
_FEWEST_LEARNT = 2
_NAMED = 3


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Labelled pictures, and which of them are held back.

    Attributes
    ----------
    folder : Path
    names : tuple of str
        Paths in the folder.
    groups : Groups
        Their labels; a picture's row is its place in `names`.
    learnt, held : ndarray of int64
        Rows, ascending.
    watched, checked : ndarray of int64
        Places in `held` of the pictures that ask: those by which the best epoch is chosen, and those by which the gain is told.
        Both
        look for pictures in all of `held`.
    left_out : int
        Pictures without a label, or with one that too few others have.
    """

    folder: Path
    names: tuple[str, ...]
    groups: Groups
    learnt: IdArray
    held: IdArray
    watched: IdArray
    checked: IdArray
    left_out: int

    def path(self, row: int) -> Path:
        """Where the picture of a row is."""
        return self.folder / self.names[row]

    @property
    def held_groups(self) -> Groups:
        """Labels of the held pictures, by their places in `held`."""
        return _named(self.groups, self.held)

    @property
    def digest(self) -> str:
        """Equal for two splits with the same pictures, labels and parts."""
        text = "\n".join(
            f"{name}\t{self.groups.of[row]}\t{row in held}"
            for held in (frozenset(self.held.tolist()),)
            for row, name in enumerate(self.names)
        )
        return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def read_folder(folder: PathLike) -> tuple[dict[str, tuple[str, ...]], int]:
    """The labels of a folder's pictures, and how many pictures ``labels.tsv`` names that are not there.

    Raises
    ------
    DatasetError
        If there are none, or the labels do not match the pictures.
    """
    root = Path(folder)
    named = read_labels(root)
    labels = {name: own for name, own in named.items() if (root / name).is_file()}
    absent = len(named) - len(labels)
    if absent and not labels:
        raise DatasetError(
            f"{root / LABELS_FILE}: none of the {absent:,} pictures that it names is in {root}; paths are relative to it, "
            f"with forward slashes, for instance {next(iter(named))!r}"
        )
    if not labels:
        raise DatasetError(f"{root}: expected pictures in folders by what they show, found none")
    if not any(labels.values()):
        raise DatasetError(
            f"{root}: no picture has a label; expected folders by what they show in it, or a file {LABELS_FILE}"
        )
    return labels, absent


def split(
    folder: PathLike, labels: Mapping[str, Sequence[str]], share: float = HELD, seed: int = 0, at_least: int = 2
) -> Split:
    """Hold back a share of each label's pictures; labels with fewer than `at_least` are forgotten.

    Of a label with four pictures or more at least two are held back and at least two are learnt from; one with fewer is learnt
    from only.

    Raises
    ------
    DatasetError
        If there are fewer than two labels with two pictures, or none with four.
    """
    counts = Counter(label for own in labels.values() for label in set(own) if label)
    kept = {name: tuple(x for x in dict.fromkeys(own) if counts[x] >= at_least) for name, own in labels.items()}
    names = tuple(name for name, own in kept.items() if own)
    groups = group([kept[name] for name in names])
    if len(groups.names) < 2:
        raise DatasetError(f"{folder}: {_too_few(counts, at_least)}")
    rng = np.random.default_rng(seed)
    is_held = np.zeros(len(names), np.bool_)
    is_dealt = np.zeros(len(names), np.bool_)
    for members in groups.members:
        new = rng.permutation(members[~is_dealt[members]])
        is_dealt[new] = True
        wanted = max(_FEWEST_HELD, round(share * len(members))) - int(is_held[members].sum())
        most = len(members) - int(is_held[members].sum()) - _FEWEST_LEARNT
        if len(members) >= _FEWEST_HELD + _FEWEST_LEARNT:
            is_held[new[: max(min(wanted, most), 0)]] = True
    held = np.flatnonzero(is_held)
    watched, checked = _asking(_named(groups, held), rng)
    if not len(checked):
        raise DatasetError(
            f"{folder}: expected a label with four pictures or more, so that two can be held back to measure with; "
            f"the largest has {max(map(len, groups.members))}"
        )
    left_out = len(labels) - len(names)
    return Split(Path(folder), names, groups, np.flatnonzero(~is_held), held, watched, checked, left_out)


def _asking(groups: Groups, rng: np.random.Generator) -> tuple[IdArray, IdArray]:
    """Each label's pictures dealt out in turn: those to watch, and those to check with."""
    checks = np.full(len(groups.of), -1)
    for members in groups.members:
        if len(members) > 1:
            new = rng.permutation(members[checks[members] < 0])
            checks[new] = np.arange(len(new)) % 2 == 0
    return np.flatnonzero(checks == 0), np.flatnonzero(checks == 1)


def _named(groups: Groups, rows: Array) -> Groups:
    return group([[groups.names[number] for number in groups.of[row]] for row in rows.tolist()])


def _too_few(counts: Counter[str], at_least: int) -> str:
    single = [label for label, n in counts.items() if n == 1]
    several = [label for label, n in counts.items() if n >= at_least]
    what = (
        f"expected two or more labels with at least {at_least} pictures each, so that there is something to tell apart"
    )
    if len(several) == 1:
        what += f"; only {several[0]!r} has ({counts[several[0]]:,})"
    if single:
        named = ", ".join(map(repr, single[:_NAMED])) + (" …" if len(single) > _NAMED else "")
        what += f"; {len(single):,} with a single picture: {named}"
    return what
