"""The two pages: why a search found what it found, and what an index looks like."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lookalike._typing import IdArray
from lookalike.collection.catalog.entries import read_original
from lookalike.collection.records import printable
from lookalike.data.paths import picture_at
from lookalike.errors import InputError, LookalikeError
from lookalike.search import Part, Query, Reader
from lookalike.search.resolve import cut, left_out
from lookalike.search.run import compares_with_all
from lookalike.viz import figures
from lookalike.viz.cell_views import balance_view, cells_view
from lookalike.viz.cells import coded_part, look_at_cells
from lookalike.viz.code_views import detail_document
from lookalike.viz.drawn import numbers
from lookalike.viz.layout import balance
from lookalike.viz.pictures import picture_table, thumbnail_uri
from lookalike.viz.report import Page, View, assemble
from lookalike.viz.umap import Method

if TYPE_CHECKING:
    from lookalike.collection import Collection
    from lookalike.explain.explanation import Explanation

__all__ = [
    "ask_command",
    "collection_index_page",
    "explain_html",
    "explain_page",
    "explanation_page",
    "index_page",
    "query_page",
]

MOST: Final = 50  # results that a page is made of
_READER: Final = Reader()


def explain_html(collection: Collection, query: Any, k: int = 10, **settings: Any) -> str:
    """The page of `explain_page` as text: HTML that needs nothing from anywhere."""
    return explain_page(collection, query, k, **settings).html


def explain_page(
    collection: Collection, query: Any, k: int = 10, *, nprobe: int | None = None, candidates: int | None = None
) -> Page:
    """One search of a collection, step by step: cells, codes, tables, errors, what was missed and what other settings would find.

    Parameters
    ----------
    collection : Collection
    query, k, nprobe, candidates
        As in `Collection.explain`.

    Returns
    -------
    Page
        ``page.save("why.html")`` writes it; in a notebook it shows itself.
    """
    told = collection.explain(query, k, nprobe=nprobe, candidates=candidates)
    return explanation_page(told, query, ask=ask_command(collection.path))


def explanation_page(
    told: Explanation,
    query: Any = None,
    *,
    name: str | None = None,
    notes: Sequence[str] = (),
    projection: Method = "pca",
    ask: tuple[str, str] | None = None,
) -> Page:
    """The page of a search that was taken apart already.

    Parameters
    ----------
    told : Explanation
    query : optional
        Its picture, if it is one: a path, the contents of a file, or a PIL image.
    name : str, optional
        What the query is called; else its file's name.
    notes : sequence of str
        What else a reader must know.
    projection : {"pca", "umap"}
        How the fine search is projected; UMAP needs ``lookalike[viz]`` and some seconds.
    ask : (str, str), optional
        `ask_command` of the collection; without it the page offers no command.
    """
    trace = told.trace
    cells = look_at_cells(told.index, np.array([cell.list_no for cell in trace.probed], np.int64))
    names = _known(told)
    search = {
        "steps": figures.search_steps(told),
        "order": [cell.list_no for cell in trace.probed],
        "coarse": numbers(trace.coarse_distances[cells.list_no]),
        "descending": trace.metric == "ip",
    }
    nearest = [names(ids) for ids in cells.nearest]
    pictures, left_out = picture_table(told.paths, figures.important(told, nearest))
    views = [
        _story(told, query, name),
        cells_view(cells, search, names),
        *figures.search_views(told, projection),
    ]
    said = list(notes)
    if told.temporary:
        said.append(_temporary(told.name, len(told.entry_of), told.spec, told.index.ntotal))
    if len(trace.probed) < told.asked:
        said.append(
            f"The search visits {told.asked:,} cells. They hold more than a page can show, so this one is of a search of "
            f"the nearest {len(trace.probed):,}; its results may differ."
        )
    if left_out:
        said.append(f"{left_out:,} pictures are shown by name only, to keep the file small.")
    return assemble(
        f"Why these pictures? A search of {told.name}",
        views,
        lead=_lead(told),
        notes=said,
        documents={"trace": told.to_json(), "detail": detail_document(told)},
        pictures=pictures,
        ask=ask,
    )


def query_page(query: Query, collection: Collection, reader: Reader = _READER) -> Page:
    """A whole query, step by step, for the app: of at most `MOST` results."""
    told, shown = take_apart(query, collection, reader, most=MOST)
    if not told.temporary and compares_with_all(query, collection):  # the page itself says what a temporary index is
        by_all = "The results beside this were found by comparing with everything; these are the steps of a search of the index."
        shown["notes"].insert(0, by_all)
    return explanation_page(told, **shown)


def take_apart(
    query: Query,
    collection: Collection,
    reader: Reader = _READER,
    *,
    most: int | None = None,
    nprobe: int | None = None,
    candidates: int | None = None,
) -> tuple[Explanation, dict[str, Any]]:
    """A whole query, and what `explanation_page` needs to show it: its picture, its name, and notes on what is left aside.

    Parameters
    ----------
    query : Query
    collection : Collection
    reader : Reader
        Turns the query's pictures into vectors.
    most : int, optional
        Results that are explained at the most.
    nprobe, candidates
        As in `Collection.explain`.

    Raises
    ------
    InputError
        If there is nothing to search, or words are matched to labels: nothing is compared then.
    """
    if not len(collection):
        raise InputError(f"{collection.name} holds no pictures, so there is no search to explain; index a folder first")
    if query.words and not collection.model.text:
        raise InputError("words were matched to labels, not compared; there are no steps to show")
    query = _with_contents(query, reader)
    k = query.k if most is None else min(query.k, most)
    told = collection.explain(reader.vector(query, collection), k, nprobe=nprobe, candidates=candidates)
    name, picture = _asked(reader, query, collection)
    notes = _notes(query, collection)
    if k < query.k:
        notes.append(f"Of {query.k} results the first {k} are shown.")
    return told, {"query": picture, "name": name, "notes": notes}


def _with_contents(query: Query, reader: Reader) -> Query:
    """The query with pictures in place of addresses: each is fetched once, and the page shows what was searched with."""

    def held(part: Part) -> Part:
        return part if part.url is None else replace(part, url=None, image=reader.contents(part))

    parts, like, dislike = (tuple(map(held, role)) for role in (query.parts, query.like, query.dislike))
    return replace(query, parts=parts, like=like, dislike=dislike)


def _notes(query: Query, collection: Collection) -> list[str]:
    """What is left aside here that a search heeds."""
    notes = []
    if query.filter or query.at_least:
        notes.append("The filter is left out here: these are the steps of a search of the whole collection.")
    if left_out(query, collection):
        notes.append("Pictures of the query, and those marked “less like this”, are compared here like all others.")
    return notes


def _asked(reader: Reader, query: Query, collection: Collection) -> tuple[str, Any]:
    """What the query is called, and the picture to show for it; None where there is none, or it cannot be read now."""
    parts = [*query.parts, *query.like]
    others = len(parts) + len(query.dislike) + bool(query.words) - 1
    more = f" and {others} more" if others else ""
    if not parts:
        return printable(query.words or "") + more, None
    part, name = parts[0], "the picture"
    picture: Any = None
    try:
        if part.id is not None:
            entry = (reader.named(part.source) if part.source else collection).entry(part.id)
            name = printable(entry.path.name)
            picture = read_original(entry)[0]
        elif part.path is not None:
            name = printable(Path(part.path).name)
            picture = picture_at(part.path)
        else:
            picture = reader.contents(part)
        if part.region is not None:
            picture = cut(picture, part.region)
    except (LookalikeError, OSError):
        picture = None
    return ("a part of " if part.region else "") + name + more, picture


def ask_command(path: Path) -> tuple[str, str] | None:
    """The command that explains a search from a picture of the collection there, before and after its id; see `assemble`.

    By its name where that leads there, else by its path. None where the path cannot be typed.
    """
    from lookalike.collection import home

    text = os.fspath(path)
    if printable(text) != text:
        return None
    with contextlib.suppress(InputError):
        if home.resolve(path.name) == path:
            text = path.name
    return "lookalike explain --id", f" --in={shlex.quote(text)}" if text.startswith(
        "-"
    ) else f" --in {shlex.quote(text)}"


def _known(told: Explanation) -> Callable[[IdArray], IdArray]:
    """From the ids that the index holds to those of the page; what the page has no name for is left out."""
    return _renamer({feature: entry for feature, entry in told.entry_of.items() if entry in told.paths})


def _lead(told: Explanation) -> str:
    trace = told.trace
    scanned = sum(len(cell.ids) for cell in trace.probed)
    share = f" ({100 * scanned / told.index.ntotal:.0f} %)" if told.index.ntotal else ""
    found = len(told.exact_ids) - sum(miss.reason != "not stored" for miss in trace.missed)
    final = int(np.isin(told.exact_ids, told.final_ids).sum())
    return (
        f"Of {len(trace.coarse_distances):,} cells {len(trace.probed):,} were visited, so {scanned:,} of "
        f"{told.index.ntotal:,} vectors{share} were looked at, by "
        f"codes of {told.index.m} pieces. The codes alone find {found} of the {len(told.exact_ids)} true "
        f"neighbours; after re-ranking there are {final}."
    )


def _story(told: Explanation, query: Any, name: str | None) -> View:
    trace, codes = told.trace, set(told.trace.ids.tolist())
    scanned = sum(len(cell.ids) for cell in trace.probed)
    final = int(np.isin(told.exact_ids, told.final_ids).sum())
    name = name or (Path(query).name if isinstance(query, str | Path) else "picture")
    source = query if isinstance(query, str | Path | bytes) or hasattr(query, "getbands") else None
    data = {
        "query": {"name": name, "src": None if source is None else thumbnail_uri(source, 192)},
        "numbers": [
            {"key": "cells", "value": len(trace.probed), "name": f"of {len(trace.coarse_distances):,} cells visited"},
            {"key": "scanned", "value": scanned, "name": f"of {told.index.ntotal:,} vectors scanned by code"},
            {"key": "candidates", "value": min(told.candidates, scanned), "name": "compared again exactly"},
            {"key": "found", "value": final, "name": f"of {len(told.exact_ids)} true neighbours found"},
        ],
        "results": [
            {"id": number, "distance": distance, "by": "codes" if number in codes else "re-ranking"}
            for number, distance in zip(told.final_ids.tolist(), numbers(told.final_distances), strict=True)
        ],
        "first": int(told.final_ids[0]) if len(told.final_ids) else None,
    }
    sentence = (
        "What the search returns, with the distance 1 − cosine from stored features. Click a picture: the "
        "views of codes below show how it is stored."
    )
    return View("story", "story", "The search in numbers", sentence, data)


def index_page(index: Any, name: str, collection: Collection | None = None, notes: Sequence[str] = ()) -> Page:
    """What the inverted file of an index looks like: its cells and the balance of its lists.

    Parameters
    ----------
    index : IVFPQIndex, IVFFlatIndex, IVFSignsIndex, or what refines one
    name : str
    collection : Collection, optional
        Whose features the index holds; it knows their pictures.
    notes : sequence of str

    Raises
    ------
    NotTrainedError, InputError
        If the index has no cells to show.
    """
    inner = coded_part(index)
    cells = look_at_cells(inner)
    facts = balance(cells.all_sizes)
    pictures: dict[str, dict[str, str]] = {}
    said, names = list(notes), None
    if collection is not None:
        entry_of = collection.inside().entry_of
        names = _renamer(entry_of)
        shown = [names(ids).tolist() for ids in cells.nearest]
        paths = collection.named({number for ids in shown for number in ids})
        by_size = np.argsort(-cells.sizes, kind="stable").tolist()
        wanted = [number for depth in range(6) for at in by_size for number in shown[at][depth : depth + 1]]
        pictures, left_out = picture_table(paths, wanted)
        if left_out:
            said.append(f"{left_out:,} pictures are shown by name only, to keep the file small.")
    if not facts["vectors"]:
        said.append("The index is trained and empty: its cells are there, and no vectors in them.")
    kind = f"{type(inner).__name__}, {inner.metric}, d = {inner.d:,}"
    if hasattr(inner, "m"):
        kind += f", m = {inner.m}, {inner.nbits} bits a piece"
    return assemble(
        f"Inside {name}",
        [cells_view(cells, names=names), balance_view(cells)],
        lead=f"{kind}: {facts['vectors']:,} vectors in {facts['lists']:,} cells.",
        notes=said,
        documents={"index": {"name": name, "kind": inner.kind, "metric": inner.metric, "d": inner.d, **facts}},
        pictures=pictures,
    )


def collection_index_page(collection: Collection) -> Page:
    """`index_page` of a collection's own index, or of a temporary one if it has none."""
    inside = collection.inside()
    notes = []
    if inside.temporary:
        notes.append(_temporary(collection.name, len(inside.entry_of), inside.spec, inside.index.ntotal))
    return index_page(inside.index, collection.name, collection, notes)


def _temporary(name: str, count: int, spec: str, held: int) -> str:
    of = f" of {held:,} of them, evenly chosen," if held < count else ""
    return (
        f"{name} holds {count:,} different pictures and is searched by comparing with all of them, which misses "
        "nothing. To show how an index works, a "
        f"temporary one ({spec}){of} was made for this page; it is not kept."
    )


def _renamer(entry_of: Mapping[int, int]) -> Callable[[IdArray], IdArray]:
    """From the ids that an index holds to those of entries; what was removed since is left out."""
    return lambda ids: np.array([entry_of[number] for number in ids.tolist() if number in entry_of], np.int64)
