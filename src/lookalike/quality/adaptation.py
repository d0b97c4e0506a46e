"""Learning a transform from labels, and finding out on held-out pictures whether it helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray, PathLike
from lookalike._validate import check_count, unit_rows
from lookalike.collection.models import read_card
from lookalike.collection.records import Pace, Progress
from lookalike.collection.snapshot import Snapshot
from lookalike.collection.stored import StoredCollection
from lookalike.errors import InputError
from lookalike.features.adapt import BASIS, DIRECTIONS, all_together, within_scatter
from lookalike.features.metrics import BLOCK_ROWS, CUTS, Groups, Rows, group, score_queries
from lookalike.features.models import Calibration, ModelCard
from lookalike.features.transforms import Transform, refit, rooted
from lookalike.quality.labelled import Labelled, Labels, StoredRows, labelled_pictures

__all__ = ["Adaptation", "Gain", "adapt", "adapt_snapshot", "principal_components", "read_groups", "recalibrated"]

FOLDS = 2
MAX_PICTURES = 20_000  # that are learnt from, chosen at random; more hardly change d² numbers
MAX_CHECKED = 3000  # that ask in each fold, and that are asked for
SURE = 2.0  # standard errors by which a gain has to be above zero
PAIRS, NEIGHBOURS = 20_000, 1000
MAX_GROUP_FILE = 64 << 20


@dataclass(frozen=True, slots=True)
class Gain:
    """mAP and P@1 before and after, on pictures that were not learnt from.

    Attributes
    ----------
    queries : int
    map_before, map_after, p_at_1_before, p_at_1_after : float
    error : float
        Standard error of the difference in mAP, over queries.
    """

    queries: int
    map_before: float
    map_after: float
    p_at_1_before: float
    p_at_1_after: float
    error: float

    @property
    def difference(self) -> float:
        """In mAP."""
        return self.map_after - self.map_before


@dataclass(frozen=True, slots=True, eq=False)
class Adaptation:
    """A transform that was learnt, and what it gains.

    Attributes
    ----------
    transform : Transform
        Fitted to all labelled pictures.
    pictures : Gain
        On held-out pictures of labels whose other pictures were learnt from.
    labels : Gain or None
        On labels none of whose pictures were learnt from; None where there are fewer than four.
    """

    transform: Transform
    pictures: Gain
    labels: Gain | None

    @property
    def helps(self) -> bool:
        """Whether mAP on held-out pictures rises by more than chance explains."""
        return self.pictures.difference > SURE * self.pictures.error


def adapt(
    collection: StoredCollection, labels: Labels, at_least: int, progress: Callable[[Progress], None] | None
) -> Adaptation:
    """See `lookalike.Collection.adapt`."""
    at_least, pace = check_count(at_least, "at_least", 2), Pace(progress)
    with collection.view() as (connection, snapshot):
        card = read_card(connection)
        pictures = labelled_pictures(connection, snapshot.store, labels, at_least)
    return adapt_snapshot(card, snapshot, pictures, pace)


def adapt_snapshot(card: ModelCard, snapshot: Snapshot, pictures: Labelled, pace: Pace) -> Adaptation:
    """Fit a within-class whitening to the pictures' features as the model made them, cross-validated.

    Raises
    ------
    InputError
        If there are too few pictures of a label to hold any back.
    """
    vectors = StoredRows(snapshot.store.plain(), pictures.features)
    rng = np.random.default_rng(0)
    rows = np.arange(len(pictures), dtype=np.int64)
    if len(rows) > MAX_PICTURES:
        rows = np.sort(rng.choice(rows, MAX_PICTURES, replace=False))
    fold = _fold_pictures(pictures.groups, rows, rng)
    overall = within_scatter(vectors, all_together(len(pictures)), rows)
    basis = overall.rotation(min(BASIS, len(overall.mean)))
    checks = _Checks(vectors, pictures.groups, rows, basis, pace)
    held_pictures = checks.gain(fold)
    if held_pictures is None:
        raise InputError("labels: expected one with four pictures or more, so that two can be held back to check on")
    held_labels = checks.gain(_fold_labels(pictures.groups, rows, rng))
    fitted = within_scatter(vectors, pictures.groups, rows, basis)
    pace.tell("adapting", 2 * FOLDS + 1, 2 * FOLDS + 1, last=True)
    about = {
        "learnt_from": {"pictures": len(rows), "labels": len(pictures.groups.names)},
        "held_out_pictures": asdict(held_pictures),
        "held_out_labels": None if held_labels is None else asdict(held_labels),
    }
    projection = basis @ fitted.whitening(d=DIRECTIONS)
    made = _transform("within-class whitening", card, snapshot, overall.mean, projection, about)
    return Adaptation(made, held_pictures, held_labels)


def principal_components(collection: StoredCollection, d: int, whiten: bool) -> Transform:
    """PCA of all features, to `d` dimensions; with `whiten`, every direction made as long as the others."""
    with collection.view() as (connection, snapshot):
        card = read_card(connection)
    check_count(d, "d", 1, card.d)
    features = snapshot.features
    if len(features) > MAX_PICTURES:
        features = np.sort(np.random.default_rng(0).choice(features, MAX_PICTURES, replace=False))
    if len(features) < 2:
        raise InputError(f"PCA needs two pictures or more, got {len(features)}")
    rows = StoredRows(snapshot.store.plain(), features)
    fitted = within_scatter(rows, all_together(len(rows)), np.arange(len(rows), dtype=np.int64))
    # Directions that few pictures span are noise; a whitening of noise would drown the rest.
    projection = fitted.whitening(0.1)[:, :d] if whiten else fitted.rotation(d)
    kind = f"PCA{' whitening' if whiten else ''} to {d}"
    return _transform(kind, card, snapshot, fitted.mean, projection, {"learnt_from": {"pictures": len(rows)}})


def _transform(
    kind: str, card: ModelCard, snapshot: Snapshot, centre: Array, projection: FloatArray, about: dict[str, Any]
) -> Transform:
    mean = centre.astype(np.float32)
    plain = Transform(kind, card.fingerprint, mean, projection, card.calibration, about=about)
    rows = StoredRows(snapshot.store.plain(), snapshot.features)
    return recalibrated(plain, rows, len(rows), card.calibration)


def recalibrated(transform: Transform, vectors: Rows, n: int, calibration: Calibration) -> Transform:
    """The transform with a map to similarity that says of the vectors' pairs, as a whole, what `calibration` said.

    Pairs are random ones, and of some pictures the nearest other, before and after.
    """
    from dataclasses import replace

    rng = np.random.default_rng(0)
    if n < 2:
        return transform
    left, right = rng.integers(0, n, (2, PAIRS))
    right = np.where(left == right, (right + 1) % n, right)
    some = np.sort(rng.choice(n, min(n, NEIGHBOURS), replace=False)).astype(np.int64)
    pairs = [np.stack([left, right], axis=1).astype(np.int64), *_nearest(transform, vectors, some, n)]
    before, after = zip(*(_cosines(transform, vectors, part) for part in _parts(np.concatenate(pairs))), strict=True)
    return replace(transform, calibration=refit(calibration, np.concatenate(before), np.concatenate(after)))


def _parts(pairs: IdArray) -> Iterator[IdArray]:
    for first in range(0, len(pairs), 2048):
        yield pairs[first : first + 2048]


def _cosines(transform: Transform, vectors: Rows, pairs: IdArray) -> tuple[Array, Array]:
    a, b = vectors[pairs[:, 0]], vectors[pairs[:, 1]]
    c, d = transform.apply(a), transform.apply(b)
    return np.einsum("ij,ij->i", a, b), np.einsum("ij,ij->i", c, d)


def _nearest(transform: Transform, vectors: Rows, some: IdArray, n: int) -> list[IdArray]:
    """Of each of some rows the nearest other, before and after."""
    found = []
    for change in (lambda x: x, transform.apply):
        xq = change(vectors[some])
        best, at = np.full(len(some), -2.0, np.float32), np.zeros(len(some), np.int64)
        for first in range(0, n, BLOCK_ROWS):
            block = np.arange(first, min(first + BLOCK_ROWS, n), dtype=np.int64)
            scores = xq @ change(vectors[block]).T
            inside = (some >= first) & (some <= block[-1])
            scores[np.flatnonzero(inside), some[inside] - first] = -2.0
            top = scores.argmax(axis=1)
            value = scores[np.arange(len(some)), top]
            at, best = np.where(value > best, block[top], at), np.maximum(best, value)
        found.append(np.stack([some, at], axis=1))
    return found


@dataclass(slots=True)
class _Checks:
    """Fits on all folds but one, and measures on that one."""

    vectors: Rows
    groups: Groups
    rows: IdArray
    basis: FloatArray
    pace: Pace
    done: int = 0

    def gain(self, fold: Array) -> Gain | None:
        """Over all folds; None where no fold has two pictures that share a label. −1 in `fold`: in no fold."""
        before: list[Array] = []
        after: list[Array] = []
        for number in range(FOLDS):
            self.pace.tell("adapting", self.done, 2 * FOLDS + 1)
            self.done += 1
            held = self.rows[fold == number][:MAX_CHECKED]
            learnt = self.rows[(fold != number) & (fold >= 0)]
            names = [[str(label) for label in self.groups.of[row]] for row in held.tolist()]
            own = group(names)
            asked = np.array([at for at in range(len(held)) if len(own.relevant(at))], np.int64)
            if not len(asked) or not len(learnt):
                continue
            try:
                fitted = within_scatter(self.vectors, self.groups, learnt, self.basis)
            except InputError:  # only single pictures are left to learn from
                continue
            x = self.vectors[held]
            z = rooted(x) @ self.basis - fitted.mean.astype(np.float32)
            changed = unit_rows((z @ fitted.whitening(d=DIRECTIONS)).astype(np.float32))
            for vectors, scores in ((x, before), (changed, after)):
                got = score_queries(vectors, own, asked)["cosine"]
                scores.append(np.column_stack([got.ap, got.precision[:, CUTS.index(1)]]))
        if not before:
            return None
        old, new = np.concatenate(before), np.concatenate(after)
        error = float(np.std(new[:, 0] - old[:, 0]) / np.sqrt(len(old)))
        (a, b), (c, d) = old.mean(axis=0).tolist(), new.mean(axis=0).tolist()
        return Gain(len(old), a, c, b, d, error)


def _fold_pictures(groups: Groups, rows: IdArray, rng: np.random.Generator) -> Array:
    """Each label's pictures dealt out to the folds in turn."""
    fold = np.full(len(groups.of), -1)
    chosen = np.zeros(len(groups.of), np.bool_)
    chosen[rows] = True
    at = 0
    for members in groups.members:
        new = rng.permutation(members[chosen[members] & (fold[members] < 0)])
        fold[new] = (np.arange(len(new)) + at) % FOLDS
        at += len(new)
    return fold[rows]


def _fold_labels(groups: Groups, rows: IdArray, rng: np.random.Generator) -> Array:
    """Each label in one fold; pictures with labels of several folds in none."""
    of = rng.permutation(len(groups.names)) % FOLDS
    folds = [{int(of[label]) for label in groups.of[row]} for row in rows.tolist()]
    return np.array([own.pop() if len(own) == 1 and len(groups.names) >= 2 * FOLDS else -1 for own in folds])


def read_groups(file: PathLike) -> dict[str, tuple[str, ...]]:
    """Groups that somebody marked: paths, one a line, with an empty line between groups.

    Raises
    ------
    InputError
        If there is no such file, it is too large, a path is in two groups, or there are fewer than two groups.
    """
    path = Path(file)
    try:
        with path.open("rb") as handle:
            data = handle.read(MAX_GROUP_FILE + 1)
    except OSError as error:
        raise InputError(f"groups: {path}: {error.strerror or error}") from None
    if len(data) > MAX_GROUP_FILE:
        raise InputError(f"groups: {path}: expected at most {MAX_GROUP_FILE >> 20} MB")
    found: dict[str, tuple[str, ...]] = {}
    number, is_open = 0, False
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        name = line.removesuffix("\r")
        if not name.strip():
            is_open = False
            continue
        number, is_open = number + (not is_open), True
        if name in found:
            raise InputError(f"groups: {path}: {name!r} is there twice; a picture belongs to one group")
        found[name] = (f"group {number}",)
    if number < 2:
        raise InputError(f"groups: {path}: expected two or more groups, with an empty line between, got {number}")
    return found
