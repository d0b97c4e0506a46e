"""The commands about features without a collection, and about features from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.console import count, duration, emit, emit_json, say
from lookalike.cli.indexing import print_skipped
from lookalike.cli.opening import Json

if TYPE_CHECKING:
    from lookalike.features.extract import Extracted

__all__ = ["features"]

features = typer.Typer(
    help="Write the vectors of a folder's pictures to a file, or import vectors.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@features.command("extract")
def extract(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of pictures; its subfolders, or its labels.tsv, are the labels."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="X.npy|X.safetensors", help="By default NAME.npy in the current folder, NAME being the folder's."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="A model of `models list`; by default the default model.")
    ] = None,
    pooling: Annotated[
        str, typer.Option(metavar="HOW", help="avg, max, gem or cls; model for the model's own pooling.")
    ] = "model",
    raw: Annotated[
        bool, typer.Option("--raw", help="Write vectors as the model gives them, not scaled to length 1.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Replace a different file of that name.")] = False,
    json: Json = False,
) -> None:
    """Turn a folder's pictures into vectors, and write them with paths and labels; prints the file's path.

    You can press Ctrl-C at any time: the same command continues. Beside X.npy it writes X.paths.txt, X.labels.tsv and X.json.
    """
    from lookalike.cli.progress import ProgressDisplay
    from lookalike.collection.home import name_for_folder
    from lookalike.collection.records import Pace
    from lookalike.features.extract import extract
    from lookalike.features.models import DEFAULT_MODEL

    target = Path(f"{name_for_folder(folder)}.npy") if out is None else out
    with ProgressDisplay() as display:
        pace = Pace(display)
        try:
            done = extract(
                folder, target, model or DEFAULT_MODEL, pooling, raw=raw, replacing=replace,
                progress=lambda n, total: pace.tell("extracting", n, total, last=n == total),
            )  # fmt: skip
        except KeyboardInterrupt:
            say("stopped; what was done is kept, run the same command to go on")
            raise typer.Exit(1) from None
    _report(done, json)


def _report(done: Extracted, json: bool) -> None:
    facts = done.facts
    if json:
        emit_json({
            "vectors": str(done.files[0].absolute()), "files": [str(path.absolute()) for path in done.files],
            "n": facts.n, "d": facts.d, "model": facts.model, "pooling": facts.pooling, "raw": facts.raw,
            "reused": facts.n if done.was_there else done.reused,
            "skipped": [{"path": path, "reason": reason} for path, reason in facts.skipped],
        })  # fmt: skip
        return
    how = f"{count(facts.n, 'vector')} of {facts.d} numbers, {facts.model}, pooled by {facts.pooling}"
    was = "already there: " if done.was_there else f"{done.reused:,} from before: " if done.reused else ""
    say(f"{was}{how}")
    where = done.files[-1].name if len(done.files) > 1 else "--json"
    print_skipped(done.skipped, f"{where} names")
    emit(str(done.files[0]))


@features.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(metavar="X.npy", help="Vectors: .npy, .fvecs, .bvecs, .ivecs or .safetensors.")
    ],
    paths: Annotated[
        Path | None,
        typer.Option(
            metavar="LIST.txt",
            help="The path of each row's picture, one per line; not needed for files that `extract` wrote.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="folders|FILE",
            help="Folder names as labels; or a file with one label per line, or like labels.tsv.",
        ),
    ] = None,
    into: Annotated[
        str | None,
        typer.Option(
            "--in", metavar="COLLECTION", help="A name, or a path with a separator; by default the file's name."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="A name for the model that made the vectors; by default the file's, else `mine`."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Put vectors of your own into a new or existing collection; the picture files need not exist."""
    from lookalike.cli.progress import ProgressDisplay
    from lookalike.collection import Collection, home
    from lookalike.collection.take_in.vectors import import_features
    from lookalike.features.imported import read_features

    path = home.resolve(home.name_for_folder(file.with_suffix("")) if into is None else into)
    brought = read_features(file, paths, labels)
    with ProgressDisplay() as display:
        report = import_features(path, brought, model, display)
    home.remember(path)
    with Collection.open(path) as collection:
        name, held, made = collection.name, len(collection), collection.model.name
    if json:
        emit_json({"collection": name, "path": str(path), "pictures": held, "new": report.new,
                   "changed": report.changed, "model": made})  # fmt: skip
        return
    if any(len(names) > 1 for names in brought.labels or ()):
        say("a picture with several labels keeps the first; lookalike eval --labels FILE uses all")
    facts = ", ".join(f"{n:,} {what}" for n, what in ((report.new, "new"), (report.changed, "changed")) if n)
    emit(f"{name}: {count(held, 'picture')} ({facts}) in {duration(report.seconds)}, vectors of {made}")


@features.callback()
def _group() -> None:
    """A callback makes typer keep each command as a word of its own."""
