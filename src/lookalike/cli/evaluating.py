"""`lookalike eval`: how good the answers are, measured on the collection's own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lookalike.cli.console import count, emit, emit_json, say, table
from lookalike.cli.opening import In, Json, open_collection
from lookalike.cli.progress import ProgressDisplay

if TYPE_CHECKING:
    from lookalike.quality.evaluate import Evaluation

__all__ = ["eval_collection"]

SHOWN = 8
REPORT, SHEET = "eval.json", "worst.png"


def eval_collection(
    labels: Annotated[
        str, typer.Option(metavar="folders|FILE", help="What counts as right: the folders, or a file of labels.")
    ] = "folders",
    into: In = None,
    at_least: Annotated[
        int, typer.Option("--at-least", metavar="N", min=2, help="Leave out labels with fewer pictures.")
    ] = 2,
    queries: Annotated[
        int, typer.Option(metavar="N", min=1, help="Use at most this many pictures as queries.")
    ] = 10_000,
    duplicates: Annotated[
        int, typer.Option(metavar="N", min=0, help="Also alter N pictures in 20 ways and search for the originals.")
    ] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write eval.json and worst.png, a contact sheet, to this folder.")
    ] = None,
    json: Json = False,
) -> None:
    """Measure the quality of search results, with folders or other labels as the truth.

    Each picture is used as a query for the others of its folder (or label); the picture itself is left out.
    """
    with open_collection(into) as collection:
        with ProgressDisplay() as display:
            measured = collection.evaluate(
                labels, at_least=at_least, queries=queries, duplicates=duplicates, progress=display
            )
        if out is not None:
            _write(measured, out)
        if json:
            emit_json(measured.to_dict())
        else:
            _print(measured)


def _write(measured: Evaluation, out: Path) -> None:
    import json

    from lookalike._files import atomic_write
    from lookalike.quality.sheet import write_contact_sheet

    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(out / REPORT) as file:
        file.write(json.dumps(measured.to_dict(), indent=2).encode())
    write_contact_sheet(measured.worst, out / SHEET)
    say(f"wrote {out / REPORT} and {out / SHEET}")


def _print(measured: Evaluation) -> None:
    asked = "" if measured.queries == measured.pictures else f", {measured.queries:,} of them asked"
    changed = f", {measured.transform}" if measured.transform else ""
    emit(
        f"{count(measured.pictures, 'picture')} with {count(measured.labels, 'label')}{asked}; model {measured.model}{changed}"
    )
    if measured.left_out:
        say(f"{count(measured.left_out, 'picture')} left out: without a label, or with one that too few share")
    columns = ("p_at_1", "p_at_5", "p_at_10", "map", "recall_at_10")
    rows: list[tuple[str, ...]] = [("", "P@1", "P@5", "P@10", "mAP", "recall@10")]
    names = {"cosine": "cosine", "euclidean": "Euclidean", "dot": "dot product"}
    adapted = {"transformed": measured.transform} if measured.transform else {}
    for distance, name in (adapted | names).items():
        rows.append((name, *(f"{measured.overall[distance][column]:.3f}" for column in columns)))
    first, name = next(iter((adapted | names).items()))
    rows.append((f"{name}, mean over labels", *(f"{measured.by_label[first][column]:.3f}" for column in columns)))
    table(rows)
    _print_labels(measured)
    _print_separation(measured, names)
    if measured.duplicates is not None:
        of = measured.duplicates
        emit()
        emit(
            f"altered copies, {len(of.by_way)} of each of {count(of.pictures, 'picture')}, whose first result is the original"
        )
        table([("  all", f"{of.success_at_1:.3f}"), *((f"  {name}", f"{x:.3f}") for name, x in of.by_way.items())])


def _print_labels(measured: Evaluation) -> None:
    ordered = sorted(measured.labelled.items(), key=lambda item: item[1]["map"])
    emit()
    emit("labels with the worst results")
    head = ("", "pictures", "P@1", "mAP")
    rows = [
        (f"  {name}", f"{of['pictures']:,.0f}", f"{of['p_at_1']:.3f}", f"{of['map']:.3f}")
        for name, of in ordered[:SHOWN]
    ]
    table([head, *rows])
    if measured.confusions:
        emit()
        emit("most often confused")
        table([(f"  {a}", b, count(n, "time")) for a, b, n in measured.confusions[:SHOWN]])


def _print_separation(measured: Evaluation, names: dict[str, str]) -> None:
    emit()
    emit("labels whose own pairs are nearer on average than their pairs with other labels")
    table([(f"  {name}", f"{measured.nearer_within(distance):.1%}") for distance, name in names.items()])
    apart = sorted((of["cosine"][0] - of["cosine"][1], name, of["cosine"]) for name, of in measured.separation.items())
    rows = [(f"  {name}", f"{within:.3f} within", f"{between:.3f} to others") for _, name, (within, between) in apart]
    table([("", "mean cosine", ""), *rows[:SHOWN]])
    emit(f"a pair that shares a label is nearer than one that does not: {measured.pair_order:.1%} of the time")
