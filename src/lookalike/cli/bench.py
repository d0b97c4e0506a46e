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
        typer.Option("--out", metavar="FOLDER", help="Where the results go; without it, benchmarks/results/SPEC."),
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
        list[str] | None,
        typer.Option("--only", metavar="CASE", help="Only this case of the spec; can be given again."),
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed or took too long.")] = False,
    minutes: Annotated[
        float, typer.Option("--for", metavar="MINUTES", min=0, help="Stop after so long; the same command goes on.")
    ] = 0,
) -> None:
    """Measure against other libraries: the engine beside FAISS, or every index beside every other.

    Results are appended to results.jsonl in --out, and a run that was stopped goes on there. For numbers to quote, leave the
    machine alone meanwhile.
    """
    find_benchmarks()
    from lookalike.collection import home
    from lookalike_bench.data import fetched_pictures
    from lookalike_bench.experiments.reporting import write_report
    from lookalike_bench.experiments.run import run_experiment
    from lookalike_bench.experiments.spec import built_in, load_experiment

    if quick and f"{spec}-quick" not in built_in():
        raise typer.BadParameter(f"there is no quick version of {spec}", param_hint="--quick")
    experiment = load_experiment(f"{spec}-quick" if quick else spec)
    folder = out or RESULTS / experiment.name
    fetched = [] if experiment.pictures == "starter" else fetched_pictures(home.home() / "datasets")
    # What was typed, without the folders, which are nobody's business.
    words = [
        "lookalike bench run",
        Path(spec).name,
        *(["--quick"] if quick else []),
        *(f"--only {name}" for name in only or []),
    ]
    outcome = run_experiment(
        experiment,
        folder,
        home.home() / "bench",
        images or fetched,
        only=only or (),
        command=" ".join(words),
        retry=retry,
        minutes=minutes,
        say=say,
    )
    say(f"{outcome.measured} results measured, {outcome.total} in all")
    if not experiment.case or not outcome.total:
        emit(str(outcome.results))
        say(f"`lookalike bench plot {folder}` draws them")
        return
    report, *_ = write_report(outcome.results, folder, say=say)
    for line in report.read_text("utf-8").splitlines():
        emit(line)
    say(f"written to {report}, of {outcome.results}")


@bench.command("plot")
def plot(
    results: Annotated[Path, typer.Argument(metavar="RESULTS", help="results.jsonl, or the folder that it is in.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FOLDER", help="Where plots and report go; without it, beside the results."),
    ] = None,
) -> None:
    """Draw results: a report in Markdown and HTML; where peers were measured, plots (PNG, SVG) and an interactive page."""
    find_benchmarks()
    from lookalike_bench.experiments.reporting import write_report

    path = results / "results.jsonl" if results.is_dir() else results
    for written in write_report(path, out or path.parent, say=say):
        emit(str(written))
