"""The commands that measure."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import typer

from lookalike.cli.console import emit, say

__all__ = ["bench", "find_benchmarks"]

RESULTS = Path("benchmarks/results")

bench = typer.Typer(help="Measure speed against other libraries.", no_args_is_help=True, rich_markup_mode=None)


def find_benchmarks() -> None:
    """Make `lookalike_bench` importable: beside src in the checkout that this file is in, else where it is installed.

    Raises
    ------
    MissingExtraError
        If it is in neither; the message says how to get it.
    """
    from lookalike.errors import MissingExtraError

    beside = Path(__file__).resolve().parents[3] / "benchmarks"
    if (beside / "lookalike_bench" / "__init__.py").is_file():
        if str(beside) not in sys.path:
            sys.path.insert(0, str(beside))  # before an installed one, which may be of another version
    elif importlib.util.find_spec("lookalike_bench") is None:
        raise MissingExtraError(
            "the benchmarks are a package of their own: `pip install ./benchmarks` in a checkout of lookalike or its unpacked sdist"
        )


@bench.command("run")
def run(
    spec: Annotated[
        str,
        typer.Argument(metavar="SPEC", help="What to measure: engine, small, full, upstream, scale, or a TOML file."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FOLDER", help="Where the results go; without it, benchmarks/results or its SPEC."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="engine: small and made-up data, under two minutes, to see that it works.")
    ] = False,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            "--images",
            metavar="FOLDER",
            help="Pictures to make vectors of; without it, the fetched data sets. Can be given again.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="CASE", help="engine: only this case; can be given again.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed or took too long.")] = False,
    minutes: Annotated[
        float, typer.Option("--for", metavar="MINUTES", min=0, help="Stop after so long; the same command goes on.")
    ] = 0,
) -> None:
    """Measure against other libraries: the engine beside FAISS, or an experiment with every peer.

    An experiment appends to results.jsonl in --out, and goes on where it was stopped. For numbers to quote, leave the machine alone
    meanwhile.
    """
    if spec == "engine":
        if retry:
            raise typer.BadParameter("the engine's benchmark is measured anew each time", param_hint="--retry")
        if minutes:
            raise typer.BadParameter("the engine's benchmark runs to its end", param_hint="--for")
        _engine(out or RESULTS, quick, images, only)
        return
    for name, given in (("--quick", quick), ("--only", only)):
        if given:
            raise typer.BadParameter("it is for the engine's benchmark only", param_hint=name)
    find_benchmarks()
    from lookalike_bench.experiments.run import run_experiment
    from lookalike_bench.experiments.spec import built_in, load_experiment

    if spec not in built_in() and not Path(spec).exists():
        names = ", ".join(["engine", *built_in()])
        raise typer.BadParameter(f"expected a TOML file or one of {names}, got {spec}", param_hint="SPEC")
    experiment = load_experiment(spec)
    from lookalike.collection import home

    folder = out or RESULTS / experiment.name
    outcome = run_experiment(
        experiment,
        folder,
        home.home() / "bench",
        images or _fetched(),
        command=f"lookalike bench run {Path(spec).name}",
        retry=retry,
        minutes=minutes,
        say=say,
    )
    emit(str(outcome.results))
    say(f"{outcome.measured} results measured, {outcome.total} in all; `lookalike bench plot {folder}` draws them")


@bench.command("plot")
def plot(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="results.jsonl, or the folder that it is in.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Where plots and report go; without it, beside the results."),
    ] = None,
) -> None:
    """Draw the results of an experiment: plots (PNG, SVG), an interactive page, and a report in Markdown and HTML."""
    find_benchmarks()
    from lookalike_bench.experiments.reporting import write_report

    path = results / "results.jsonl" if results.is_dir() else results
    for written in write_report(path, out or path.parent, say=say):
        emit(str(written))


def _engine(out: Path, quick: bool, images: list[Path] | None, only: list[str] | None) -> None:
    find_benchmarks()
    from lookalike.collection import home
    from lookalike.data.datasets import starter_folder
    from lookalike.errors import DatasetError
    from lookalike_bench.engine.run import run_engine
    from lookalike_bench.engine.scale import FULL, QUICK

    folders = images or ([starter_folder()] if quick else _fetched())
    if not folders:
        raise DatasetError(
            "vectors are made of real pictures: first `lookalike datasets fetch stamps` and `… fetch clipart`, "
            "or name a folder of some thousand pictures with --images"
        )
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


def _fetched() -> list[Path]:
    """The folders of the data sets that vectors are made of, as far as they were fetched."""
    from lookalike.collection import home

    datasets = home.home() / "datasets"
    return [folder for name in ("stamps", "clipart") if (folder := datasets / name).is_dir()]


def _command(quick: bool, only: list[str] | None) -> str:
    """What was typed, without the folders, which are nobody's business."""
    words = ["lookalike bench run engine", *(["--quick"] if quick else []), *(f"--only {name}" for name in only or [])]
    return " ".join(words)
