"""A collection as a map: every picture a dot, alike ones close together, thumbnails as one comes nearer."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lookalike._typing import Array, FloatArray, IdArray
from lookalike._validate import check_vectors
from lookalike.errors import InputError
from lookalike.viz.atlas import Atlas, make_atlas
from lookalike.viz.explain import ask_command
from lookalike.viz.report import Page, View, assemble
from lookalike.viz.umap import Method, umap_places

if TYPE_CHECKING:
    from lookalike.collection import Collection

__all__ = ["COLOURS", "MOST", "Grouping", "group", "lay_out", "map_page", "points_page"]

MOST = 50_000  # pictures on one map; of more, so many are picked at random
COLOURS = 8  # groups with a colour of their own
SAMPLE = 10_000  # vectors that the directions of PCA are taken from
SPREAD = 0.5  # how far crowded parts are stretched: 0 not at all, 1 until every strip holds as many
GRID = 65_535  # positions are whole numbers up to this

Colour = Literal["labels", "clusters"]


def lay_out(x: Any, method: Method = "pca", seed: int = 0) -> Array:
    """Positions in the unit square, alike vectors close together.

    Parameters
    ----------
    x : array_like, shape (n, d)
    method : {"pca", "umap"}
        The two directions in which the vectors vary most, with crowded parts stretched; or UMAP, which keeps neighbours
        together better and takes minutes for 50,000.
    seed : int

    Returns
    -------
    positions : ndarray of float64, shape (n, 2)

    Raises
    ------
    MissingExtraError
        For ``"umap"`` without umap-learn.
    """
    vectors = check_vectors(x, name="x")
    if method not in ("pca", "umap"):
        raise InputError(f"method: expected pca or umap, got {method!r}")
    flat: Array = umap_places(vectors, seed) if method == "umap" else _principal(vectors, seed)
    flat -= flat.min(axis=0)
    extent = flat.max(axis=0)
    flat = np.divide(flat, extent, out=np.full_like(flat, 0.5), where=extent > 0)
    if method == "umap" or len(flat) < 3:
        return flat
    ranks = np.argsort(np.argsort(flat, axis=0, kind="stable"), axis=0) / (len(flat) - 1)
    stretched: Array = np.where(extent > 0, (1 - SPREAD) * flat + SPREAD * ranks, flat)
    return stretched


def _principal(x: FloatArray, seed: int) -> Array:
    """Coordinates along the two directions of the largest variance, shape (n, 2); signs are fixed by the largest component."""
    rng = np.random.default_rng(seed)
    some = x if len(x) <= SAMPLE else x[np.sort(rng.choice(len(x), SAMPLE, replace=False))]
    mean = some.mean(axis=0)
    centred = (some - mean).astype(np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :2]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    flat = ((x - mean) @ axes).astype(np.float64)
    return flat if flat.shape[1] == 2 else np.column_stack([flat, np.zeros(len(flat))])


@dataclass(frozen=True)
class Grouping:
    """Which colour each picture has.

    Attributes
    ----------
    names : tuple of str
        At most `COLOURS`, the largest first.
    sizes : tuple of int
    of : ndarray of uint8, shape (n,)
        Number of the group; ``len(names)`` is the rest.
    rest : str
        What the rest is called; empty if there is none.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    of: Array
    rest: str = ""


def group(labels: Sequence[str], x: FloatArray | None = None, by: Colour | None = None, seed: int = 0) -> Grouping:
    """Groups by label, or by clusters of the vectors where labels tell nothing apart.

    Without `by`, labels if there are at least two of them.
    """
    if by == "labels" or (by is None and len(set(labels)) > 1) or x is None:
        return _by_label(labels)
    from lookalike.quantizers.kmeans import assign, kmeans_native

    count = min(COLOURS, len(x))
    number, _ = assign(x, kmeans_native(x, count, seed))
    return _by_label([f"cluster {n}" for n in number], keep_order=True)


def _by_label(labels: Sequence[str], *, keep_order: bool = False) -> Grouping:
    found, inverse, counts = np.unique(np.asarray(labels, object), return_inverse=True, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    chosen = order[:COLOURS]
    others = len(order) - len(chosen)
    names = tuple(f"cluster {n + 1}" if keep_order else (found[i] or "no folder") for n, i in enumerate(chosen))
    rest = "" if not others else "one more folder" if others == 1 else f"{others:,} more folders"
    sizes = (*(int(counts[i]) for i in chosen), *([int(counts[order[COLOURS:]].sum())] if others else []))
    return Grouping(names, sizes, np.minimum(place[inverse], len(chosen)).astype(np.uint8), rest)


# --- the page --------------------------------------------------------------------------------------------------------


def map_page(
    collection: Collection,
    *,
    method: Method = "pca",
    query: Any = None,
    k: int = 12,
    colour: Colour | None = None,
    most: int = MOST,
    budget: int = 6_500_000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Page:
    """All pictures of a collection on one page.

    Parameters
    ----------
    collection : Collection
    method : {"pca", "umap"}
    query : optional
        As in `Collection.search`; its results are lit.
    k : int
        Results.
    colour : {"labels", "clusters"}, optional
        Without it labels, if there are two or more.
    most : int
        Pictures drawn; of more, so many are picked at random.
    budget : int
        Bytes of thumbnails.
    progress : callable, optional
        Given thumbnails made and in all.

    Raises
    ------
    InputError
        If the collection is empty.
    MissingExtraError
        For ``method="umap"`` without umap-learn.
    """
    ids = collection.ids()
    total = len(ids)
    if not total:
        raise InputError(f"{collection.name} is empty: there is nothing to draw; `lookalike index FOLDER` fills it")
    hits = [] if query is None else collection.search(query, k=k)
    if total > most:
        kept = np.random.default_rng(seed).choice(ids, most, replace=False)
        ids = np.union1d(kept, np.array([hit.id for hit in hits], np.int64))
    chosen = set(ids.tolist())
    entries = [
        entry for start in range(0, total, 10_000) for entry in collection.entries(start, 10_000) if entry.id in chosen
    ]
    ids = np.array([entry.id for entry in entries], np.int64)
    x = collection.vectors(ids.tolist())
    return points_page(
        lay_out(x, method, seed),
        ids,
        [entry.relative for entry in entries],
        group([entry.label for entry in entries], x, colour, seed),
        title=f"{collection.name}: a map",
        atlas=make_atlas([entry.path for entry in entries], budget, seed=seed, progress=progress),
        hits=[(hit.id, hit.similarity) for hit in hits],
        query_name="" if query is None else Path(query).name if isinstance(query, str | Path) else "the query",
        method=method,
        total=total,
        ask=ask_command(collection.path),
    )


def points_page(
    positions: Array,
    ids: IdArray,
    names: Sequence[str],
    groups: Grouping,
    *,
    title: str,
    atlas: Atlas | None = None,
    hits: Sequence[tuple[int, float]] = (),
    query_name: str = "",
    method: Method = "pca",
    total: int | None = None,
    ask: tuple[str, str] | None = None,
) -> Page:
    """A map of points that are laid out already, shape (n, 2) within the unit square; see `map_page`."""
    total = len(ids) if total is None else total
    data = {
        "x": _packed(np.round(positions[:, 0] * GRID), "<u2"),
        "y": _packed(np.round((1 - positions[:, 1]) * GRID), "<u2"),
        "groups": _packed(groups.of, "u1"),
        "ids": ids.tolist(),
        "names": [name.encode("utf-8", "backslashreplace").decode() for name in names],
        "labels": [*groups.names, *([groups.rest] if groups.rest else [])],
        "sizes": list(groups.sizes),
        "coloured": len(groups.names),
        "hits": [[number, similarity] for number, similarity in hits],
        "query": query_name,
    }
    notes = []
    if total > len(ids):
        notes.append(f"{total:,} pictures are too many for one map; {len(ids):,} of them are drawn, picked at random.")
    if atlas is not None and atlas.sheets:
        data["atlas"] = {"side": atlas.side, "columns": atlas.columns, "sheets": list(atlas.sheets),
                         "slots": _packed(atlas.slots, "<i4")}  # fmt: skip
    if atlas is not None:
        without = int((atlas.slots < 0).sum()) - atlas.unreadable
        if atlas.unreadable:
            notes.append(f"{atlas.unreadable:,} pictures cannot be read now; they are dots without a thumbnail.")
        if without > 0:
            notes.append(f"{without:,} pictures are dots without a thumbnail, to keep this file small.")
    how = {
        "umap": "UMAP, which keeps neighbours together",
        "pca": "PCA: across and up are the two directions in which pictures vary most, with crowded parts stretched",
    }[method]
    sentence = (
        f"Each dot is a picture, and near dots are mostly similar pictures. Laid out by {how}. Only two of many dimensions are "
        "left, so some neighbours here are not similar, and the search does not use this map. Zoom in, and dots become pictures."
    )
    lead = f"{len(ids):,} pictures by similarity" + (
        f"; the {len(hits)} most similar to {query_name} are highlighted." if hits else "."
    )
    return assemble(title, [View("map", "map", "The map", sentence, data)], lead=lead, notes=notes, ask=ask)


def _packed(values: Array, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype).tobytes()).decode()
