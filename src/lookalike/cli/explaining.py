"""`lookalike explain` and `lookalike viz index`: pages that show what an index does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lookalike.cli.asking import Less, Like, Queries, RegionFlag, WordsFlag, named_words, read, words_in
from lookalike.cli.console import clean, emit, emit_json, say
from lookalike.cli.opening import In, Json, open_collection

if TYPE_CHECKING:
    from lookalike.index.index import Index

__all__ = ["Out", "explain", "viz", "write_page"]

Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Where to write the page.")]

viz = typer.Typer(help="Draw an index, an HNSW graph or a collection, as an HTML page.", no_args_is_help=True)


def explain(
    queries: Queries = None,
    number: Annotated[
        int | None, typer.Option("--id", metavar="N", min=0, help="A picture of the collection, the same as id:N.")
    ] = None,
    region: RegionFlag = None,
    words: WordsFlag = None,
    like: Like = None,
    less: Less = None,
    into: In = None,
    out: Out = None,
    json: Json = False,
    k: Annotated[int, typer.Option("-k", "--results", metavar="N", min=1, max=1000, help="Number of results.")] = 10,
    nprobe: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Lists to visit; by default as many as a search of the collection."),
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many candidates to re-rank with their stored features.")
    ] = None,
    projection: Annotated[
        str, typer.Option(metavar="NAME", help="pca, or umap (pip install 'lookalike[viz]'), which is slower.")
    ] = "pca",
) -> None:
    """Show step by step how a search found its results, in one HTML file.

    QUERY and PICTURE are as in `lookalike search`; several make one query. The file is why.html, unless --out gives another name,
    and needs no network. --json prints the trace instead, and writes a page only with --out; docs/visualize.md describes it.
    """
    given = [*(queries or []), *([] if number is None else [f"id:{number}"])]
    if not (given or words or like):
        raise typer.BadParameter("give a picture, words, --words, --like or --id", param_hint="QUERY")
    if projection not in ("pca", "umap"):
        raise typer.BadParameter(f"expected pca or umap, got {projection}", param_hint="--projection")
    with open_collection(into) as collection:
        from lookalike.viz.explain import ask_command, explanation_page, take_apart

        meant = words_in(collection, given)
        query = read(given, region=region, words=words, like=like, less=less, k=k, is_words=meant.__contains__)
        with named_words(meant):
            told, shown = take_apart(query, collection, nprobe=nprobe, candidates=candidates)
        if json:
            emit_json(told.to_json())
        if not json or out is not None:
            ask = ask_command(collection.path)
            page = explanation_page(told, **shown, projection=projection, ask=ask)  # type: ignore[arg-type]
            write_page(page, out or Path("why.html"), quiet=json)


@viz.command("index")
def viz_index(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="An index file of lookalike (.lka) or FAISS; by default the index of a collection."
        ),
    ] = None,
    into: In = None,
    out: Out = None,
) -> None:
    """Draw the cells of an inverted file: their sizes, their spread and their contents."""
    from lookalike.viz.explain import collection_index_page, index_page

    target = out or Path("index.html")
    if file is not None:
        if into is not None:
            raise typer.BadParameter("give a FILE or --in COLLECTION, not both", param_hint="--in")
        write_page(index_page(_open_index(file), clean(file.name)), target)
        return
    with open_collection(into) as collection:
        write_page(collection_index_page(collection), target)


def write_page(page: Any, target: Path, quiet: bool = False) -> None:
    """Write a page and tell where it is: its path on stdout, for people and programs."""
    page.save(target)
    size = f"{len(page.html.encode()) / 1e6:.1f} MB"
    if not quiet:
        emit(str(target))
    say(f"{target}: {size}, opens in any browser" if quiet else f"{size}, opens in any browser; it needs no network")


def _open_index(file: Path) -> Index:
    """An index file of ours or of FAISS, told by its first bytes."""
    from lookalike.errors import FormatError
    from lookalike.index import load_index, read_faiss

    with file.open("rb") as opened:
        head = opened.read(9)
    if head[:1] == b"I" and head[:4].isalnum():
        return read_faiss(file)
    if len(head) == 9 and head[8:9] == b"{":
        return load_index(file)
    raise FormatError(f"{file}: expected an index file of lookalike (.lka) or FAISS; its first bytes are neither's")
