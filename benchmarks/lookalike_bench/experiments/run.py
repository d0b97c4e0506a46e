"""Running an experiment: spec in, lines of results out; what is done already is not done again.

Peers first, each run in a process of its own (`children`), then cases, in this one (`case_runs`).
"""

from __future__ import annotations

import datetime
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lookalike._threads import cores
from lookalike.data.datasets import starter_folder
from lookalike.errors import DatasetError, InputError
from lookalike_bench.adapters import ADAPTERS
from lookalike_bench.cases.rows import Row
from lookalike_bench.children import Limits, answers
from lookalike_bench.data import Prepared, about_all, prepare, stand_in
from lookalike_bench.experiments.case_runs import measure_cases
from lookalike_bench.experiments.one_run import POOLS
from lookalike_bench.experiments.plan import CaseRun, Run, check_cases, check_peers, plan, plan_cases
from lookalike_bench.experiments.spec import Experiment
from lookalike_bench.experiments.store import Store, opened
from lookalike_bench.machine import Machine, Threads, this_machine

__all__ = ["Outcome", "run_experiment"]

Say = Callable[[str], None]


class Outcome(NamedTuple):
    """Where the results are, how many lines were measured now, and how many there are."""

    results: Path
    measured: int
    total: int


def run_experiment(
    experiment: Experiment,
    out: Path,
    keep: Path,
    folders: Sequence[Path],
    *,
    only: Sequence[str] = (),
    command: str = "",
    retry: bool = False,
    minutes: float = 0.0,
    say: Say = lambda _: None,
) -> Outcome:
    """Measure what an experiment asks for and has no result yet.

    Parameters
    ----------
    out : Path
        Gets ``results.jsonl``, and ``runs.jsonl`` with a line for each time this was called.
    keep : Path
        Where vectors are kept between runs.
    folders : sequence of Path
        Of pictures, for the data that are made of them. Where there are none, `Experiment.pictures` says what then.
    only : sequence of str
        Names of cases (`Experiment.only`): nothing else is measured.
    command : str
        What was typed, for the report.
    retry : bool
        Whether to try again what failed or took too long.
    minutes : float
        After how long to stop, making the vectors included; a peer's run under way then is not counted, a case's row is finished.
        0 for never.

    Raises
    ------
    InputError
        If the spec asks for something that cannot be.
    DatasetError
        If there are no pictures to make the vectors of.
    """
    until = time.monotonic() + 60 * minutes if minutes else math.inf
    experiment = experiment.only(only) if only else experiment
    check_peers(experiment)
    check_cases(experiment)
    machine = this_machine()
    data = _prepared(experiment, keep, folders, say)
    say(f"{machine.cpu}, {machine.cores} cores, {machine.instructions}")
    asked, cases = plan(experiment, data), plan_cases(experiment, data, machine)
    runs = [run for run in asked if run.threads <= cores()]
    if not asked and not cases:
        raise InputError(f"{experiment.name}: no peer is meant for these data: see its data and n")
    if not runs and not cases:
        fewest = min(run.threads for run in asked)
        raise InputError(
            f"{experiment.name}: expected at most {cores()} threads, the cores that this process may use, got {fewest}"
        )
    installed = {peer: ADAPTERS[peer].version() for peer in {run.peer for run in runs}}
    with opened(out / "results.jsonl") as store:
        done = store.done(installed, retry=retry)
        left = [run for run in runs if any(run.key(search) not in done for search in run.searches)]
        ways = [(case, [way for way in case.ways if case.key(way) not in done]) for case in cases]
        ways = [(case, some) for case, some in ways if some]
        _note(out / "runs.jsonl", experiment, command, machine, data.values(), asked, cases)
        total, missing = len(runs) + len(cases), len(left) + len(ways)
        say(f"{total} runs, {total - missing} of them done already{'' if missing else '; another --out measures anew'}")
        if len(runs) < len(asked):
            say(
                f"{len(asked) - len(runs)} more are left out: they want more threads than this process may use cores ({cores()})"
            )
        before = len(store.rows)
        for number, run in enumerate(left, 1):
            if time.monotonic() > until:
                break
            say(f"[{number}/{len(left)}] {run.title}")
            _one(run, experiment, store, installed[run.peer], done, machine.slug, say, until)

        def write(key: str, row: Row) -> None:
            store.append(
                "case", {"key": key, **row.to_dict(), "machine": machine.slug, "load": _load(), "when": _now()}
            )

        measure_cases(ways, machine, write, say, until)
        done |= {row["key"] for row in store.rows[before:]}
        unrun = sum(any(run.key(search) not in done for search in run.searches) for run in left)
        unrun += sum(any(case.key(way) not in done for way in some) for case, some in ways)
        if unrun:
            say(f"{minutes:g} minutes are over: {unrun} runs are left; the same command goes on")
        return Outcome(store.path, len(store.rows) - before, len(store.rows))


def _prepared(experiment: Experiment, keep: Path, folders: Sequence[Path], say: Say) -> dict[str, list[Prepared]]:
    """The vectors of each data set of the spec."""
    data = list(experiment.data)
    if not folders and any(spec.wants_pictures for spec in data):
        if experiment.pictures == "fetched":
            raise DatasetError(
                "vectors are made of real pictures: first `lookalike datasets fetch stamps` and `… fetch clipart`, "
                "or name a folder of some thousand pictures with --images"
            )
        if experiment.pictures == "starter":
            folders = [starter_folder()]
        else:
            say(
                "no pictures are fetched or given by --images: the starter pictures and made-up vectors are measured instead"
            )
            data = [stand_in(spec) for spec in data]
    made = [prepare(spec, keep, folders, say) for spec in data]
    return {spec.name: sets for spec, sets in zip(experiment.data, made, strict=True)}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _load() -> float | None:
    """Mean number of busy processes over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _one(
    run: Run,
    experiment: Experiment,
    store: Store,
    version: str | None,
    done: set[str],
    machine: str,
    say: Say,
    until: float,
) -> None:
    """One process; a line for each of its search settings that has none."""
    common: dict[str, Any] = {
        "peer": run.peer, "version": version or "", "family": ADAPTERS[run.peer].family, "dataset": run.data.name,
        "n": run.data.n, "d": run.data.d, "k": run.k, "threads": run.threads, "machine": machine, "load": _load(),
    }  # fmt: skip
    left = [search for search in run.searches if run.key(search) not in done]

    def write(search: dict[str, Any], status: str, reason: str, figures: dict[str, Any]) -> None:
        about = {"key": run.key(search), "params": {**run.build, **search}, "status": status, "reason": reason}
        store.append("peer", {**common, **about, "when": _now(), **figures})

    built: dict[str, Any] = {}
    status, reason = "not installed", f"{ADAPTERS[run.peer].package} is not installed"
    if version is not None:
        task = {
            "peer": run.peer, "folder": str(run.data.folder), "build": run.build, "searches": left, "threads": run.threads,
            "k": run.k, "repeats": experiment.repeats, "round_s": experiment.round_s,
        }  # fmt: skip
        status, reason = "failed", "the process ended early"
        try:
            environ = {**dict.fromkeys(POOLS, str(run.threads)), "PYTHONWARNINGS": "ignore"}
            limits = {"limit_s": experiment.limit_s, "limit_mb": experiment.limit_mb, "until": until}
            for answer in answers("lookalike_bench.experiments.one_run", task, environ=environ, **limits):
                kind = answer.pop("kind")
                if kind == "built":
                    built = answer
                elif kind == "searched":
                    write(left[answer.pop("number")], "ok", "", {**built, **answer})
                    say(
                        f"    recall {answer['recall_at_10'] or answer['recall_at_1']:.3f}, {answer['qps']:,.0f} queries a second"
                    )
        except Limits as limit:
            status, reason = limit.status, str(limit)
    if status == "stopped":  # what was measured stays; the rest is still to be run
        return
    measured = {row["key"] for row in store.rows if row["status"] == "ok"}
    missing = [search for search in left if run.key(search) not in measured]
    for search in missing:
        write(search, status, reason, built)
    if missing:
        say(f"    {status}: {reason}")


def _note(
    path: Path,
    experiment: Experiment,
    command: str,
    machine: Machine,
    data: Iterable[Sequence[Prepared]],
    runs: Sequence[Run],
    cases: Sequence[CaseRun],
) -> None:
    """Append who measured what, for the report."""
    planned: list[Mapping[str, Any]] = [
        {"dataset": r.data.name, "peer": r.peer, "threads": r.threads, "keys": [r.key(search) for search in r.searches]} for r in runs
    ]  # fmt: skip
    planned += [{"dataset": c.data.name, "case": c.spec.name, "keys": [c.key(way) for way in c.ways]} for c in cases]
    about = {
        "name": experiment.name, "description": experiment.description, "command": command, "machine": machine.to_dict(),
        "can_bind": Threads().can_bind, "started": _now(),
        "data": about_all([prepared for sets in data for prepared in sets]), "k": experiment.k,
        "repeats": experiment.repeats, "round_s": experiment.round_s, "limit_s": experiment.limit_s, "limit_mb": experiment.limit_mb,
        "planned": planned,
        "peers": {name: {"version": adapter.version(), "note": adapter.note} for name, adapter in ADAPTERS.items()},
    }  # fmt: skip
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(about, ensure_ascii=False) + "\n")
