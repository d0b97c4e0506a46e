"""`lookalike viz hnsw` and `viz map`: pages to open in a browser."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.console import count, duration, emit, say
from lookalike.cli.explaining import viz
from lookalike.cli.opening import In, open_collection

if TYPE_CHECKING:
    from lookalike.viz.hnsw_graph import HNSWGraph

__all__ = ["view_hnsw", "view_map", "viz"]

_NEXT_LINE = 5.0  # seconds between lines of progress


@viz.command("hnsw")
def view_hnsw(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A file written by hnswlib, or by FAISS (IndexHNSWFlat).")
    ],
    query: Annotated[
        str | None,
        typer.Option(metavar="N|FILE.npy", help="Search for stored vector N, or for the first row of a file."),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--results", metavar="N", min=1, help="Number of results.")] = 10,
    ef: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Search width; by default the file's, else 50.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="l2, ip or cosine; for hnswlib's files, which do not record it."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="PAGE", help="The page to write.")] = Path("hnsw.html"),
) -> None:
    """Draw a search in an HNSW graph: the levels, and the path of the search step by step."""
    from lookalike.errors import FormatError
    from lookalike.viz.hnsw import hnsw_page
    from lookalike.viz.hnsw_graph import read_hnsw

    graph = read_hnsw(file, metric)
    if not graph.ntotal:
        raise FormatError(f"{file}: the graph is empty, so there is nothing to draw")
    vector, words = _asked(graph, query)
    trace = graph.trace(vector, k, ef)
    page = hnsw_page(graph, trace, file.name, query_name=words)
    emit(str(page.save(out)))
    met = sum(len(nodes) for nodes in trace.visited().values())
    say(
        f"{count(graph.ntotal, 'vector')}, {met:,} compared in {count(len(trace.steps), 'step')}; open {out} in a browser"
    )


def _asked(graph: HNSWGraph, query: str | None) -> tuple[Any, str]:
    """The vector to search for, and what to call it."""
    import numpy as np

    from lookalike.data.vectors import SUFFIXES, read_vectors
    from lookalike.errors import IdError, InputError

    if query is None:
        number = int(graph.ids[graph.ntotal // 2])
        return graph.vectors[graph.ntotal // 2], f"vector {number}, which is stored here (no --query was given)"
    if query.isdecimal():
        found = np.flatnonzero(graph.ids == min(int(query), 2**63 - 1))
        if not len(found):
            raise IdError(
                f"--query {query}: no vector of this graph has that id; they go from {graph.ids.min()} to {graph.ids.max()}"
            )
        return graph.vectors[found[0]], f"vector {query}, which is stored here"
    if Path(query).suffix.lower() not in SUFFIXES:
        raise InputError(f"--query {query}: expected the id of a stored vector, or a file ({', '.join(SUFFIXES)})")
    return read_vectors(query, 1)[0], f"the first row of {Path(query).name}"


@viz.command("map")
def view_map(
    into: In = None,
    method: Annotated[
        str, typer.Option(metavar="NAME", help="pca, or umap (pip install 'lookalike[viz]'), which is slower.")
    ] = "pca",
    query: Annotated[str | None, typer.Option(metavar="QUERY", help="Highlight the results of this search.")] = None,
    k: Annotated[int, typer.Option("-k", "--results", metavar="N", min=1, help="Number of results.")] = 12,
    colour: Annotated[
        str | None,
        typer.Option("--colour", "--color", metavar="BY", help="Colour by labels (the folders) or clusters."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="PAGE", help="The page to write.")] = Path("map.html"),
) -> None:
    """Draw the pictures of a collection as a map, with similar pictures close together."""
    from lookalike.errors import InputError
    from lookalike.viz.map import map_page

    if method not in {"pca", "umap"}:
        raise InputError(f"--method: expected pca or umap, got {method}")
    if colour not in {None, "labels", "clusters"}:
        raise InputError(f"--colour: expected labels or clusters, got {colour}")
    with open_collection(into) as collection:
        page = map_page(collection, method=method, query=query, k=k, colour=colour, progress=_progress())  # type: ignore[arg-type]
        total = len(collection)
    emit(str(page.save(out)))
    say(f"{count(total, 'picture')}, {len(page.html) / 1e6:.1f} MB; open {out} in a browser")


def _progress() -> Callable[[int, int], None]:
    start = time.monotonic()
    last = start

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _NEXT_LINE and done < total:
            last = now
            left = (now - start) / done * (total - done)
            say(f"thumbnails: {done:,} of {total:,}, about {duration(left)} left")

    return show
