"""The commands that measure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.console import emit, say

__all__ = ["bench"]

bench = typer.Typer(help="Measure speed against other libraries.", no_args_is_help=True, rich_markup_mode=None)


@bench.callback()
def _group() -> None:
    """A callback makes typer keep `run` as a word of its own, also where it is the only command."""


@bench.command("run")
def run(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="What to measure: engine.")],
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the report and the results go.")] = Path(
        "benchmarks"
    ),
    quick: Annotated[
        bool, typer.Option("--quick", help="Small and made-up data, under two minutes: to see that it works.")
    ] = False,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            "--images", metavar="FOLDER", help="Pictures to make vectors of; without it, the fetched data sets."
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="CASE", help="Only this case; can be given again.")
    ] = None,
) -> None:
    """Measure the engine against FAISS; prints a Markdown table and writes it with the results to --out.

    Both run in turns on the same data, codes and numbers of threads. For numbers to quote, leave the machine alone meanwhile.
    """
    from lookalike.bench.run import run_engine
    from lookalike.bench.spec import FULL, QUICK

    if spec != "engine":
        raise typer.BadParameter(f"expected engine, got {spec}", param_hint="SPEC")
    from lookalike.collection import home

    folders = images or _folders(home.home() / "datasets", quick)
    outcome = run_engine(
        QUICK if quick else FULL,
        folders,
        out,
        home.home() / "bench",
        only=only or (),
        command=_command(quick, only),
        say=say,
    )
    for line in outcome.report.splitlines():
        emit(line)
    say(f"written to {outcome.markdown} and {outcome.results}")


def _folders(fetched: Path, quick: bool) -> list[Path]:
    from lookalike.data.datasets import starter_folder
    from lookalike.errors import DatasetError

    if quick:
        return [starter_folder()]
    folders = [folder for name in ("stamps", "clipart") if (folder := fetched / name).is_dir()]
    if not folders:
        raise DatasetError(
            "vectors are made of real pictures: first `lookalike datasets fetch stamps` and `… fetch clipart`, "
            "or name a folder of some thousand pictures with --images"
        )
    return folders


def _command(quick: bool, only: list[str] | None) -> str:
    """What was typed, without the folders, which are nobody's business."""
    words = ["lookalike bench run engine", *(["--quick"] if quick else []), *(f"--only {name}" for name in only or [])]
    return " ".join(words)
