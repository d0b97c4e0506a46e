"""The commands that work on one collection."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from lookalike.cli import (
    adapting,
    bench,
    catalogues,
    evaluating,
    explaining,
    features,
    fetching,
    models,
    searching,
    training,
    visualizing,
)
from lookalike.cli.console import Commands, count, emit, emit_json, grouped, say, table
from lookalike.cli.opening import In, Json, find_collection, open_collection

__all__ = ["app"]

app = typer.Typer(
    cls=Commands,
    help="Find pictures that look alike.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(catalogues.collections, name="collections")
app.add_typer(catalogues.datasets, name="datasets")
app.add_typer(models.models, name="models")
app.add_typer(features.features, name="features")
app.add_typer(bench.bench, name="bench")
app.add_typer(visualizing.viz, name="viz")
catalogues.datasets.command("fetch")(fetching.fetch_dataset)
app.command("explain")(explaining.explain)
app.command("eval")(evaluating.eval_collection)
models.models.command("adapt")(adapting.adapt)
models.models.command("export")(training.export)
models.models.command("finetune")(training.finetune)

Host = Annotated[str, typer.Option(metavar="H", help="Address to listen on; any but loopback needs --auth or --token.")]
Port = Annotated[
    int | None, typer.Option(metavar="P", min=0, max=65535, help="Port; by default 7860, or the next free one.")
]
Auth = Annotated[
    str | None,
    typer.Option(
        metavar="USER:PASSWORD", envvar="LOOKALIKE_AUTH", help="Require this login for the page and the REST API."
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from lookalike import __version__

        emit(__version__)
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    serve: Annotated[bool, typer.Option(help="Start the app after the printed search.")] = True,
    browser: Annotated[bool, typer.Option(help="Open a browser, if there is a screen.")] = True,
    port: Port = None,
) -> None:
    """Search the starter pictures, then serve the app."""
    _share_cores()
    from lookalike.cli.demo import demo_collection, demo_query

    path = demo_collection()
    query = demo_query()
    with open_collection(str(path)) as collection:
        hits, timing = collection.search_timed(query, k=6)
        emit(f"query: {query}")
        searching.print_hits(hits)
        searching.say_timing(collection, timing)
    if serve:
        _serve(path, port=port, browser=browser)
    else:
        say("try: lookalike search PICTURE, lookalike index FOLDER, lookalike serve")


@app.command()
def index(
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER", help="Folders (or single pictures) to index.")],
    into: In = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Model for a new collection; see `models list`.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Remove pictures whose files are gone from the collection.")
    ] = False,
) -> None:
    """Index folders of pictures.

    Run it again to pick up what changed. Without --in, the collection is named after the first folder.
    """
    from lookalike.cli.indexing import run
    from lookalike.data.paths import named_path

    if not run([named_path(folder) for folder in folders], into, model, prune):
        raise typer.Exit(1)


app.command()(searching.search)


@app.command()
def serve(
    into: In = None,
    host: Host = "127.0.0.1",
    port: Port = None,
    auth: Auth = None,
    token: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TOKEN", envvar="LOOKALIKE_TOKEN", help="Let programs that send this token use the REST API."
        ),
    ] = None,
    trusted_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Host name in the requests of your reverse proxy; needs --auth or --token."),
    ] = None,
    simple: Annotated[
        bool, typer.Option("--simple", help="Serve a minimal page instead: one form, one gallery.")
    ] = False,
    gradio: Annotated[bool, typer.Option("--gradio", help="Serve a page made of gradio's components instead.")] = False,
) -> None:
    """Serve the app and the REST API on this machine."""
    if auth is not None and not all(auth.partition(":")):
        raise typer.BadParameter("expected USER:PASSWORD", param_hint="--auth")
    if simple and gradio:
        raise typer.BadParameter("--simple and --gradio are two pages; choose one", param_hint="--gradio")
    _share_cores()
    _serve(
        find_collection(into),
        host=host,
        port=port,
        auth=auth,
        tokens=token or (),
        trusted_hosts=trusted_host or (),
        simple=simple,
        gradio=gradio,
    )


@app.command()
def status(into: In = None, json: Json = False) -> None:
    """Show what a collection holds, which files were skipped, and the recall of its search."""
    with open_collection(into) as collection:
        facts = collection.status()
        if json:
            emit_json(facts)
            return
        skipped, recall = facts["skipped"], facts["recall_at_10"]
        rows = [("collection", f"{collection.name} ({collection.path})")]
        rows += [
            (key, f"{facts[key]:,}" if isinstance(facts[key], int) else str(facts[key]))
            for key in ("pictures", "model")
        ]
        if facts["transform"] is not None:
            rows.append(("transform", f"{facts['transform']['kind']}, {facts['transform']['d']:,} dimensions"))
        rows += [
            ("index", f"{facts['index']} ({facts['spec']})"),
            ("recall@10", _recall(recall) if facts["pictures"] else "not measured: there are no pictures"),
            ("skipped", f"{len(skipped):,}"),
        ]
        if facts["missing"]:
            rows.append(("missing", f"{facts['missing']:,}, hidden until lookalike index finds them again"))
        table(rows)
        table([(f"  {path}", reason) for path, reason in grouped((item["path"], item["reason"]) for item in skipped)])


@app.command()
def verify(
    into: In = None,
    json: Json = False,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair", help="Repair what is damaged by reading those pictures again, and list what cannot be repaired."
        ),
    ] = False,
) -> None:
    """Check a collection's files against their checksums.

    Exits with 1 if something is wrong.
    """
    with open_collection(into) as collection:
        problems = collection.repair() if repair else collection.verify()
        if json:
            emit_json({"problems": problems})
        else:
            for problem in problems:
                emit(problem)
            say(
                f"{collection.name}: "
                + (count(len(problems), "problem") if problems else "everything is as it should be")
            )
    if problems:
        raise typer.Exit(1)


@app.command()
def duplicates(
    into: In = None,
    json: Json = False,
    similarity: Annotated[
        float, typer.Option(metavar="S", min=1, max=100, help="Least similarity of two pictures of a group.")
    ] = 90.0,
    show_all: Annotated[bool, typer.Option("--all", help="Show ignored groups, too.")] = False,
    keep: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Mark this picture as the one to keep.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Ignore the group of this picture from now on.")
    ] = None,
    reset: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Undo --keep and --ignore for the group of this picture.")
    ] = None,
) -> None:
    """Show groups of the same picture: copies, and other sizes, formats and slight edits.

    Nothing is deleted. The collection remembers what --keep and --ignore say. The picture with the most pixels is the first
    of its group; the others show their similarity to it. Pictures that are similar to one of the others, but not to the
    first, follow in a part of their own. Links are shown as links, and take no space.
    """
    from lookalike.cli.duplicates import mark, show

    with open_collection(into) as collection:
        if reset:
            mark(collection, reset, "reset", similarity)
        if keep:
            mark(collection, keep, "keep", similarity)
        if ignore:
            mark(collection, ignore, "ignore", similarity)
        if not (keep or ignore or reset):
            show(collection, similarity, json, show_all)


@app.command()
def remove(
    paths: Annotated[list[str], typer.Argument(metavar="PATH", help="Pictures or folders to remove.")],
    into: In = None,
    json: Json = False,
) -> None:
    """Remove pictures from the collection; the files themselves stay."""
    with open_collection(into) as collection:
        removed = collection.remove(paths)
        if json:
            emit_json({"removed": removed})
        else:
            emit(f"{count(removed, 'picture')} removed from {collection.name}")
    if not removed:
        say("none of these paths is in the collection")
        raise typer.Exit(1)


def _recall(recall: dict[str, Any] | None) -> str:
    if recall is None:
        return "not measured yet"
    interval = f"{recall['low']:.3f} to {recall['high']:.3f}"
    return f"{recall['value']:.3f} ({interval}), measured with {count(recall['n'], 'picture')}"


def _share_cores() -> None:
    """One thread for each product of matrices, said before numpy is loaded: as many searches run as there are cores.

    Threads of a product wait for each other, and beside a browser at work on the same cores they wait long.
    """
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")


def _serve(path: Path, *, browser: bool = False, **options: Any) -> None:
    from lookalike.app import serve as serve_app

    sys.stdout.flush()  # the demo's search is to be seen now, also through a pipe
    if sys.stderr.isatty():
        say("starting the app")
    serve_app(
        path,
        **options,
        open_browser=browser and _has_screen(),
        on_ready=lambda url: say(f"{path.name} is at {url} (Ctrl-C stops it)"),
    )


def _has_screen() -> bool:
    """Whether a browser would appear before the person who typed the command, and not in the terminal or far away."""
    if "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in {"darwin", "win32"} or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
