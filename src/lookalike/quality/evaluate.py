"""How good a collection's answers are, on its own pictures: the labels say what is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike._validate import check_count
from lookalike.collection.models import check_embeds, embedder_for
from lookalike.collection.records import Pace, Progress
from lookalike.collection.snapshot import Snapshot
from lookalike.collection.stored import StoredCollection
from lookalike.errors import ImageError, InputError
from lookalike.features.metrics import DISTANCES, Scores, macro, pair_order, score_queries, separation
from lookalike.features.models import ModelCard
from lookalike.quality.labelled import Labelled, Labels, StoredRows, labelled_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Evaluation", "NearDuplicates", "evaluate", "evaluate_snapshot", "near_duplicates", "spoilt_vectors"]

MAX_QUERIES = 10_000
WORST = 10
SIDE = 512  # longer side to which pictures are brought before they are spoilt
TIE = 1e-5


@dataclass(frozen=True, slots=True)
class NearDuplicates:
    """How often a spoilt copy's nearest picture, of the whole collection, is the one it was made from.

    Attributes
    ----------
    pictures : int
        How many were spoilt, each in every way.
    success_at_1 : float
        Mean over the ways.
    by_way : dict of str to float
    """

    pictures: int
    success_at_1: float
    by_way: dict[str, float]


@dataclass(frozen=True, slots=True)
class Worst:
    """A query whose answers were poor: its average precision, and what came first instead."""

    path: Path
    ap: float
    labels: tuple[str, ...]
    nearest: tuple[tuple[Path, bool], ...]  # and whether each is relevant


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `Collection.evaluate` measured; `to_dict` gives all of it as plain values.

    Attributes
    ----------
    model, transform : str
        What made the vectors, and what they were changed by ("" for nothing).
    pictures, left_out, labels, queries : int
        Pictures that took part, and that did not; different labels; pictures that asked.
    overall, by_label : dict
        By name of the distance, mean over all queries and mean over the labels' means: P@k, mAP and recall@k. All are of vectors
        as the model made them, but "transformed", which is there where a transform is on: the cosine that search uses then.
    labelled : dict
        For each label its number of pictures, and P@k, mAP and recall@k of its queries.
    confusions : list of (label, label found first, how often)
        Most often first; where the query has none of the labels of its nearest picture.
    separation : dict
        For each label and distance the mean within, and to the others; see `lookalike.features.metrics.separation`.
    pair_order : float
        How often a pair that shares a label is nearer than a pair that does not.
    worst : list of Worst
    duplicates : NearDuplicates or None
    """

    model: str
    transform: str
    pictures: int
    left_out: int
    labels: int
    queries: int
    overall: dict[str, dict[str, float]]
    by_label: dict[str, dict[str, float]]
    labelled: dict[str, dict[str, float]]
    confusions: list[tuple[str, str, int]]
    separation: dict[str, dict[str, tuple[float, float]]]
    pair_order: float
    worst: list[Worst] = field(default_factory=list)
    duplicates: NearDuplicates | None = None

    def nearer_within(self, distance: str) -> float:
        """The share of labels whose own pairs are nearer, on average, than their pairs with others."""
        sign = -1 if distance == "euclidean" else 1
        holds = [sign * (of[distance][0] - of[distance][1]) > 0 for of in self.separation.values()]
        return sum(holds) / len(holds) if holds else 1.0

    def to_dict(self) -> dict[str, Any]:
        """All that was measured, for JSON."""
        from dataclasses import asdict

        values = asdict(self)
        values["confusions"] = [{"label": a, "taken_for": b, "times": n} for a, b, n in self.confusions]
        values["separation"] = {
            label: {
                distance: {"within": within, "between": between, "nearer_within": _is_nearer(distance, within, between)}
                for distance, (within, between) in of.items()
            }
            for label, of in self.separation.items()
        }
        values["nearer_within"] = {distance: self.nearer_within(distance) for distance in DISTANCES}
        values["worst"] = [
            {
                "path": str(query.path),
                "ap": query.ap,
                "labels": list(query.labels),
                "nearest": [{"path": str(path), "relevant": is_right} for path, is_right in query.nearest],
            }
            for query in self.worst
        ]
        return values


def _is_nearer(distance: str, within: float, between: float) -> bool:
    return within < between if distance == "euclidean" else within > between


def evaluate(
    collection: StoredCollection,
    labels: Labels,
    at_least: int,
    queries: int,
    duplicates: int,
    progress: Callable[[Progress], None] | None,
) -> Evaluation:
    """See `lookalike.Collection.evaluate`."""
    at_least, queries = check_count(at_least, "at_least", 2), check_count(queries, "queries")
    duplicates, pace = check_count(duplicates, "duplicates", 0), Pace(progress)
    with collection.view() as (connection, snapshot):
        pictures = labelled_pictures(connection, snapshot.store, labels, at_least)
    if duplicates:
        check_embeds(snapshot.card)
    measured = evaluate_snapshot(snapshot, pictures, queries, pace)
    if duplicates:
        measured = replace(measured, duplicates=near_duplicates(snapshot, pictures, duplicates, pace))
    return measured


def evaluate_snapshot(snapshot: Snapshot, pictures: Labelled, queries: int, pace: Pace) -> Evaluation:
    """Everything that the stored vectors tell."""
    plain = StoredRows(snapshot.store.plain(), pictures.features)
    rows = StoredRows(snapshot.store, pictures.features)
    asked = _choose(len(pictures), queries)

    def tell(done: int, total: int) -> None:
        pace.tell("ranking", done, total)

    found = score_queries(plain, pictures.groups, asked, DISTANCES, pictures.norms, tell)
    best = found["cosine"]
    if snapshot.store.transform is not None:
        best = found["transformed"] = score_queries(rows, pictures.groups, asked, step=tell)["cosine"]
    names = Scores.columns()
    overall, by_label, by_name = {}, {}, {}
    for distance, scores in found.items():
        table = scores.table()
        mean, each = macro(table, pictures.groups, asked)
        overall[distance] = _row(names, table.mean(axis=0))
        by_label[distance] = _row(names, mean)
        if scores is best:
            by_name = {name: _row(names, values) for name, values in each.items()}
    counts = {name: len(members) for name, members in zip(pictures.groups.names, pictures.groups.members, strict=True)}
    return Evaluation(
        model=snapshot.card.name,
        transform="" if snapshot.store.transform is None else snapshot.store.transform.kind,
        pictures=len(pictures),
        left_out=pictures.left_out,
        labels=len(pictures.groups.names),
        queries=len(asked),
        overall=overall,
        by_label=by_label,
        labelled={name: {"pictures": counts[name]} | by_name[name] for name in by_name},
        confusions=_confusions(pictures, best),
        separation=separation(plain, pictures.norms, pictures.groups),
        pair_order=pair_order(rows, pictures.groups),
        worst=_worst(pictures, best),
    )


def _choose(n: int, queries: int) -> IdArray:
    """All rows, or that many of them at random."""
    if n <= queries:
        return np.arange(n, dtype=np.int64)
    return np.sort(np.random.default_rng(0).choice(n, queries, replace=False)).astype(np.int64)


def _row(names: tuple[str, ...], values: Array) -> dict[str, float]:
    return {name: float(value) for name, value in zip(names, values, strict=True)}


def _confusions(pictures: Labelled, scores: Scores) -> list[tuple[str, str, int]]:
    groups, times = pictures.groups, Counter[tuple[str, str]]()
    for row, nearest in zip(scores.rows.tolist(), scores.nearest[:, 0].tolist(), strict=True):
        if not set(groups.of[row]) & set(groups.of[nearest]):
            times.update((groups.names[a], groups.names[b]) for a in groups.of[row] for b in groups.of[nearest])
    return [(a, b, n) for (a, b), n in sorted(times.items(), key=lambda item: (-item[1], item[0]))]


def _worst(pictures: Labelled, scores: Scores) -> list[Worst]:
    found = []
    for at in np.argsort(scores.ap, kind="stable")[:WORST].tolist():
        row = int(scores.rows[at])
        own = set(pictures.groups.of[row])
        nearest = tuple(
            (pictures.paths[near], bool(own & set(pictures.groups.of[near]))) for near in scores.nearest[at].tolist()
        )
        labels = tuple(pictures.groups.names[number] for number in pictures.groups.of[row])
        found.append(Worst(pictures.paths[row], float(scores.ap[at]), labels, nearest))
    return found


def near_duplicates(snapshot: Snapshot, pictures: Labelled, count: int, pace: Pace) -> NearDuplicates:
    """Spoil `count` random pictures in each way of the battery, and look which picture each copy finds first.

    Raises
    ------
    ModelError
        If the vectors were made elsewhere: the copies could not be turned into such vectors.
    InputError
        If none of the pictures can be read.
    """
    from lookalike.features.spoil import BATTERY

    check_embeds(snapshot.card)
    order = np.random.default_rng(0).permutation(len(pictures))
    found: list[Array] = []
    for at in order.tolist():
        if len(found) == count:
            break
        pace.tell("spoiling", len(found), min(count, len(pictures)))
        copies = spoilt_vectors(snapshot.card, pictures.paths[at])
        if copies is not None:
            found.append(_finds(snapshot, snapshot.store.transformed(copies), int(pictures.features[at])))
    if not found:
        raise InputError("near-duplicates: none of the pictures' files can be read now; are they unplugged or moved?")
    pace.tell("spoiling", len(found), len(found), last=True)
    shares = np.mean(found, axis=0)
    by_way = {name: float(share) for name, share in zip(BATTERY, shares, strict=True)}
    return NearDuplicates(len(found), float(shares.mean()), by_way)


def spoilt_vectors(card: ModelCard, path: Path) -> FloatArray | None:
    """Vectors of the copies of a picture, spoilt in each way of the battery; None where it cannot be read."""
    from lookalike.features.images import open_picture
    from lookalike.features.spoil import BATTERY, SPOILERS

    try:
        picture = _of_side(open_picture(path, max_side=SIDE))
        return embedder_for(card).embed([SPOILERS[name](picture) for name in BATTERY])
    except (ImageError, OSError):
        return None


def _of_side(picture: Image) -> Image:
    """A small picture made larger, so that a blur or noise is as strong for a stamp as for a photo."""
    from PIL import Image as PillowImage

    factor = SIDE / max(picture.size)
    if factor <= 1:
        return picture
    w, h = (max(round(side * factor), 1) for side in picture.size)
    return picture.resize((w, h), PillowImage.Resampling.BICUBIC)


def _finds(snapshot: Snapshot, copies: FloatArray, own: int) -> Array:
    """Whether nothing is nearer to each copy than the feature it was made from; equal pictures stand for each other."""
    distances, _ = snapshot.store.nearest(copies, 1, snapshot.features)
    original = 1 - copies @ snapshot.store[np.array([own], np.int64)][0]
    return np.asarray(original <= distances[:, 0] + TIE)
