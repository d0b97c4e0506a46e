"""How good a ranking is: each measure defined once, on plain arrays, in memory that does not grow with n².

Every picture asks for the others (leave one out). A result is *relevant* when it shares a label with the query. Of the
ranks of the relevant results, 1 for the best, everything follows: `precision_at`, `recall_at` and `average_precision`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray

__all__ = [
    "CUTS",
    "DISTANCES",
    "Groups",
    "Scores",
    "average_precision",
    "group",
    "macro",
    "order_of",
    "pair_order",
    "precision_at",
    "ranks_of",
    "recall_at",
    "score_queries",
    "separation",
]

CUTS = (1, 5, 10)
DISTANCES = ("cosine", "euclidean", "dot")
NEAREST = 5  # results that are kept of each query
BLOCK_SCORES = 8_000_000  # float32 scores at once: 32 MB
BLOCK_ROWS = 8192  # vectors read at once

_Judged: TypeAlias = tuple[float, list[float], list[float], IdArray]  # AP, P@k, recall@k, nearest


class Rows(Protocol):
    """Anything that gives float32 rows of length 1 (or zero) for row numbers: an array, or features on disk."""

    def __getitem__(self, rows: IdArray, /) -> FloatArray: ...


@dataclass(frozen=True, slots=True)
class Groups:
    """Which rows carry which label.

    Attributes
    ----------
    names : tuple of str
        The labels, sorted.
    of : tuple of tuple of int
        For each row the numbers of its labels; empty for a row without any.
    members : tuple of ndarray of int64
        For each label its rows, ascending.
    """

    names: tuple[str, ...]
    of: tuple[tuple[int, ...], ...]
    members: tuple[IdArray, ...]

    def relevant(self, row: int) -> IdArray:
        """The other rows that share a label with `row`, ascending."""
        numbers = self.of[row]
        if not numbers:
            return np.empty(0, np.int64)
        shared = self.members[numbers[0]]
        for number in numbers[1:]:
            shared = np.union1d(shared, self.members[number])
        others: IdArray = shared[shared != row]
        return others


def group(labels: Sequence[Iterable[str]]) -> Groups:
    """Labels of each row, none to many, as `Groups`; an empty text is no label.

    Examples
    --------
    >>> groups = group([["cat"], ["cat", "dog"], ["dog"], []])
    >>> groups.names, groups.relevant(0).tolist(), groups.relevant(1).tolist()
    (('cat', 'dog'), [1], [0, 2])
    """
    own = [sorted({label for label in row if label}) for row in labels]
    names = sorted({label for row in own for label in row})
    number = {name: at for at, name in enumerate(names)}
    members: list[list[int]] = [[] for _ in names]
    for at, row in enumerate(own):
        for label in row:
            members[number[label]].append(at)
    return Groups(
        tuple(names),
        tuple(tuple(number[label] for label in row) for row in own),
        tuple(np.array(rows, np.int64) for rows in members),
    )


def order_of(scores: Array, own: int) -> IdArray:
    """All rows but `own`, best score first; of equal scores the lower row comes first."""
    order = np.argsort(-scores, kind="stable")
    others: IdArray = order[order != own]
    return others


def ranks_of(order: IdArray, relevant: IdArray) -> IdArray:
    """Ranks of the relevant rows in an order of rows, ascending, from 1."""
    is_relevant = np.zeros(len(order) + 1, np.bool_)  # the query itself is not in the order
    is_relevant[relevant] = True
    ranks: IdArray = np.flatnonzero(is_relevant[order]) + 1
    return ranks


def precision_at(ranks: IdArray, k: int) -> float:
    """P@k, the share of the first k results that are relevant; below 1 where there are fewer than k relevant ones."""
    return int((ranks <= k).sum()) / k


def recall_at(ranks: IdArray, k: int) -> float:
    """The share of all relevant results that are among the first k."""
    return int((ranks <= k).sum()) / len(ranks)


def average_precision(ranks: IdArray) -> float:
    """Mean, over the relevant results, of the precision where each stands; its mean over all queries is mAP.

    Examples
    --------
    >>> average_precision(np.array([1, 4]))  # (1/1 + 2/4) / 2
    0.75
    """
    return float(np.mean(np.arange(1, len(ranks) + 1) / ranks))


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """What each query got.

    Attributes
    ----------
    rows : ndarray of int64, shape (q,)
        The queries.
    ap : ndarray of float64, shape (q,)
    precision, recall : ndarray of float64, shape (q, len(CUTS))
    nearest : ndarray of int64, shape (q, min(5, n - 1))
        The best results' rows.
    """

    rows: IdArray
    ap: Array
    precision: Array
    recall: Array
    nearest: IdArray

    def table(self) -> Array:
        """P@k for each cut, AP, then recall@k for each cut; shape (q, 2 * len(CUTS) + 1)."""
        return np.column_stack([self.precision, self.ap, self.recall])

    @staticmethod
    def columns() -> tuple[str, ...]:
        """Names of the columns of `table`."""
        return (*(f"p_at_{k}" for k in CUTS), "map", *(f"recall_at_{k}" for k in CUTS))


def score_queries(
    vectors: Rows,
    groups: Groups,
    queries: IdArray,
    distances: Sequence[str] = ("cosine",),
    norms: Array | None = None,
    step: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Scores]:
    """Let each query rank all other rows, by each of `distances`.

    Parameters
    ----------
    vectors : rows of length 1
        Asked for at most 8,192 at a time.
    groups : Groups
        As many rows as there are vectors.
    queries : ndarray of int64
        Rows that share a label with another one.
    distances : sequence of {"cosine", "euclidean", "dot"}
    norms : ndarray of float, shape (n,), optional
        Lengths that the vectors had; "euclidean" and "dot" are of vectors of these lengths.
    step : callable, optional
        Called with how many queries are done, of how many.

    Notes
    -----
    O(q · n · (d + log n)) time, exact; 32 MB of scores at once.
    """
    n = len(groups.of)
    lengths = np.ones(n, np.float32) if norms is None else np.asarray(norms, np.float32)
    height = max(1, min(256, BLOCK_SCORES // max(n, 1)))
    found: dict[str, list[_Judged]] = {name: [] for name in distances}
    cosines = np.empty((height, n), np.float32)
    for first in range(0, len(queries), height):
        rows = queries[first : first + height]
        xq = vectors[rows]
        for at in range(0, n, BLOCK_ROWS):
            block = np.arange(at, min(at + BLOCK_ROWS, n), dtype=np.int64)
            np.matmul(xq, vectors[block].T, out=cosines[: len(rows), at : at + len(block)])
        for row, cosine in zip(rows.tolist(), cosines, strict=False):
            relevant = groups.relevant(row)
            for name in distances:
                found[name].append(_judge(order_of(_scores(name, cosine, lengths, row), row), relevant))
        step(first + len(rows), len(queries))
    return {name: _gather(queries, results) for name, results in found.items()}


def _scores(distance: str, cosine: Array, lengths: Array, row: int) -> Array:
    """Larger is nearer. A factor that all results of a query share is left out."""
    if distance == "cosine":
        return cosine
    if distance == "dot":
        return cosine * lengths
    scores: Array = 2 * lengths[row] * cosine * lengths - lengths**2
    return scores


def _judge(order: IdArray, relevant: IdArray) -> _Judged:
    ranks = ranks_of(order, relevant)
    precision, recall = [precision_at(ranks, k) for k in CUTS], [recall_at(ranks, k) for k in CUTS]
    return average_precision(ranks), precision, recall, order[:NEAREST]


def _gather(queries: IdArray, results: list[_Judged]) -> Scores:
    ap, precision, recall, nearest = zip(*results, strict=True)
    return Scores(queries, np.array(ap), np.array(precision), np.array(recall), np.stack(nearest))


def macro(values: Array, groups: Groups, queries: IdArray) -> tuple[Array, dict[str, Array]]:
    """The mean over classes of each class's mean, and that of each class by name.

    A query with several labels counts in each of them.

    Parameters
    ----------
    values : ndarray of float, shape (q, columns)
        Of each query.
    """
    by_class: dict[str, list[int]] = {}
    for at, row in enumerate(queries.tolist()):
        for number in groups.of[row]:
            by_class.setdefault(groups.names[number], []).append(at)
    means = {name: np.asarray(values[rows].mean(axis=0)) for name, rows in sorted(by_class.items())}
    return np.asarray(np.mean(list(means.values()), axis=0)), means


def separation(vectors: Rows, norms: Array, groups: Groups) -> dict[str, dict[str, tuple[float, float]]]:
    """For each label, how near its pairs are to each other, and to rows without it: is the first nearer?

    Returns
    -------
    dict
        By label, then by distance: the mean over all pairs within the label, and over all pairs of a row with it and one
        without. "cosine" and "dot" are means of the products (more is nearer), "euclidean" the root of the mean squared
        distance (less is nearer). Labels with one row, or that every row has, are left out.

    Notes
    -----
    O(n · d) time: the sum of all products of pairs is the product of the sums.
    """
    n = len(groups.of)
    lengths = np.asarray(norms, np.float64)[:, None]
    sums = {number: np.zeros((2, 0)) for number in range(len(groups.names))}
    squares, units = np.zeros(n), np.zeros(n)
    total = np.zeros((2, 0))
    for first in range(0, n, BLOCK_ROWS):
        rows = np.arange(first, min(first + BLOCK_ROWS, n), dtype=np.int64)
        x = vectors[rows].astype(np.float64)
        both = np.stack([x, x * lengths[rows]])
        units[rows], squares[rows] = (both**2).sum(axis=2)
        if not total.size:
            total = np.zeros(both[:, 0].shape)
            sums = {number: np.zeros_like(total) for number in sums}
        total += both.sum(axis=1)
        for number, members in enumerate(groups.members):
            inside = members[(members >= first) & (members <= rows[-1])] - first
            sums[number] += both[:, inside].sum(axis=1)
    result = {}
    for number, members in enumerate(groups.members):
        if 1 < len(members) < n:
            own = (float(units[members].sum()), float(squares[members].sum()))
            rest = float(squares.sum()) - own[1]
            result[groups.names[number]] = _separated(sums[number], total - sums[number], own, rest, len(members), n)
    return result


def _separated(
    inside: Array, outside: Array, own: tuple[float, float], rest: float, count: int, n: int
) -> dict[str, tuple[float, float]]:
    """Means over the pairs of `count` rows, and over those with the n − count others, from their sums."""
    within = [float(s @ s - q) / (count * (count - 1)) for s, q in zip(inside, own, strict=True)]
    between = [float(s @ t) / (count * (n - count)) for s, t in zip(inside, outside, strict=True)]
    far = (
        2 * (own[1] / count - within[1]),
        own[1] / count + rest / (n - count) - 2 * between[1],
    )
    return {
        "cosine": (within[0], between[0]),
        "dot": (within[1], between[1]),
        "euclidean": (max(far[0], 0.0) ** 0.5, max(far[1], 0.0) ** 0.5),
    }


def pair_order(vectors: Rows, groups: Groups, pairs: int = 20_000, seed: int = 0) -> float:
    """How often a random pair that shares a label has a higher cosine than a random pair that shares none.

    1 is perfect, 0.5 is chance (it is the area under the ROC curve of pairs). Ties count one half.
    """
    rng = np.random.default_rng(seed)
    labelled = np.array([row for row, numbers in enumerate(groups.of) if numbers], np.int64)
    many = [members for members in groups.members if len(members) > 1]
    weights = np.array([len(members) for members in many], np.float64)
    chosen = rng.choice(len(many), pairs, p=weights / weights.sum())
    same = np.array([rng.choice(many[at], 2, replace=False) for at in chosen])
    other = rng.choice(labelled, (pairs, 2))
    sets = [frozenset(numbers) for numbers in groups.of]
    apart = np.array([not sets[a] & sets[b] for a, b in other.tolist()])
    near, far = _cosines(vectors, same), np.sort(_cosines(vectors, other[apart]))
    if not len(far):
        return 1.0
    below, upto = np.searchsorted(far, near, "left"), np.searchsorted(far, near, "right")
    return float(np.mean((below + upto) / (2 * len(far))))


def _cosines(vectors: Rows, pairs: IdArray) -> Array:
    parts = [
        np.einsum("ij,ij->i", vectors[part[:, 0]], vectors[part[:, 1]])
        for part in (pairs[at : at + 2048] for at in range(0, len(pairs), 2048))
    ]
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
