"""Running an experiment: spec in, lines of results out; what is done already is not done again."""

from __future__ import annotations

import datetime
import json
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lookalike._threads import cores
from lookalike.errors import InputError
from lookalike_bench.adapters import ADAPTERS
from lookalike_bench.children import Limits, answers
from lookalike_bench.data import about_all, prepare, stand_in
from lookalike_bench.experiments.one_run import POOLS
from lookalike_bench.experiments.plan import Run, check_peers, plan
from lookalike_bench.experiments.spec import Experiment
from lookalike_bench.experiments.store import Store, opened
from lookalike_bench.machine import this_machine

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
        Of pictures, for the data that are made of them; where there are none, `data.stand_in` says what is measured instead.
    retry : bool
        Whether to try again what failed or took too long.
    minutes : float
        After how long to stop, making the vectors included; the run under way then is not counted. 0 for never.

    Raises
    ------
    InputError
        If the spec asks for something that cannot be.
    """
    until = time.monotonic() + 60 * minutes if minutes else math.inf
    check_peers(experiment)
    machine = this_machine()
    alone = not folders and any(spec.wants_pictures for spec in experiment.data)
    if alone:
        say(
            "no pictures are fetched or given by --images: the starter pictures and made-up vectors are measured instead"
        )
    data = {spec.name: prepare(stand_in(spec) if alone else spec, keep, folders, say) for spec in experiment.data}
    asked = plan(experiment, data)
    if not asked:
        raise InputError(f"{experiment.name}: no peer is meant for these data: see its data and n")
    runs = [run for run in asked if run.threads <= cores()]
    if not runs:
        fewest = min(run.threads for run in asked)
        raise InputError(
            f"{experiment.name}: expected at most {cores()} threads, the cores that this process may use, got {fewest}"
        )
    installed = {peer: ADAPTERS[peer].version() for peer in {run.peer for run in runs}}
    results = out / "results.jsonl"
    with opened(results) as store:
        done = {row["key"] for row in store.rows if row["status"] == "ok"} if retry else store.done(installed)
        left = [run for run in runs if any(run.key(search) not in done for search in run.searches)]
        _note(
            out / "runs.jsonl",
            experiment,
            command,
            machine.to_dict(),
            [p for sets in data.values() for p in sets],
            asked,
        )
        say(f"{len(runs)} runs, {len(runs) - len(left)} of them done already")
        if len(runs) < len(asked):
            say(
                f"{len(asked) - len(runs)} more are left out: they want more threads than this process may use cores ({cores()})"
            )
        before = len(store.rows)
        for number, run in enumerate(left, 1):
            if time.monotonic() > until:
                say(f"{minutes:g} minutes are over: {len(left) - number + 1} runs are left; the same command goes on")
                break
            say(f"[{number}/{len(left)}] {run.title}")
            _one(run, experiment, store, installed[run.peer], done, machine.slug, say, until)
        return Outcome(results, len(store.rows) - before, len(store.rows))


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
        "n": run.data.n, "d": run.data.d, "k": run.k, "threads": run.threads, "machine": machine,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }  # fmt: skip
    left = [search for search in run.searches if run.key(search) not in done]

    def write(search: dict[str, Any], status: str, reason: str, figures: dict[str, Any]) -> None:
        when = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        about = {
            "key": run.key(search),
            "params": {**run.build, **search},
            "status": status,
            "reason": reason,
            "when": when,
        }
        store.append({**common, **about, **figures})

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
    path: Path, experiment: Experiment, command: str, machine: dict[str, Any], data: Any, runs: Sequence[Run]
) -> None:
    """Append who measured what, for the report."""
    about = {
        "name": experiment.name, "description": experiment.description, "command": command, "machine": machine,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"), "data": about_all(data),
        "k": experiment.k, "repeats": experiment.repeats, "round_s": experiment.round_s, "limit_s": experiment.limit_s,
        "limit_mb": experiment.limit_mb,
        "planned": [{"dataset": r.data.name, "peer": r.peer, "threads": r.threads, "keys": [r.key(s) for s in r.searches]} for r in runs],
        "peers": {name: {"version": adapter.version(), "note": adapter.note} for name, adapter in ADAPTERS.items()},
    }  # fmt: skip
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(about, ensure_ascii=False) + "\n")
