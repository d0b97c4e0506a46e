"""The report's section of cases: a table with verdicts, what they mean, and notes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lookalike_bench.experiments.frame import Row
from lookalike_bench.markdown import table

__all__ = ["side_by_side"]

_MISSING = "–"
_HEAD = ("case", "mode", "threads", "ours", "peer", "peer ÷ ours", "recall", "results", "at least", "aim", "verdict")

_LEGEND = """\
Times are medians of wall-clock time; the rivals took turns, round by round. **Peer ÷ ours** above 1 means that lookalike is
faster; in brackets the quartiles of single rounds. **Results**: whether both searches of the same codes gave the same
distances, within 1e-4 · (d + 1e-3 · (‖q‖² + ‖x‖²)), and the same ids up to ties. Recall is recall@k against exact search (ours
/ peer). **Verdict**: *aim*, *met* (the least that is asked), *missed*; *not equal* where what ours gave was not as good, so that
its speed does not count; nothing where nothing is asked. What each case is stands in docs/benchmarks/README.md."""

_OTHER_CPU = """\
The targets of most rows are for CPUs with AVX-512 VBMI. This one runs `{instructions}`, so the verdicts of those rows stand
in brackets; those without brackets are asked of every CPU."""

_NO_BINDING = """\
Cores cannot be bound on this system: k-means, training and adding may have used more threads than the row says."""

_BUSY = "**The machine was busy before the run (load {load} on {cores} cores): take ratios with care and times not at all.**"


def side_by_side(rows: Sequence[Row], run: dict[str, Any]) -> list[str]:
    """Paragraphs of Markdown.

    Parameters
    ----------
    rows : sequence of dict
        Of cases.
    run : dict
        What was asked for, and of which machine; empty where it is not known.
    """
    machine = run.get("machine", {})
    instructions = machine.get("instructions", "avx512vbmi")
    data = dict.fromkeys(f"{row['dataset']} ({row['d']}-d)" for row in rows)
    facts = [f"- Data: {'; '.join(data)}"]
    if machine:
        facts.append(f"- {', '.join(f'{name} {version}' for name, version in machine['versions'].items())}")
    parts = ["## Side by side", "\n".join(facts)]
    if machine and machine["load"] > 0.3 * machine["cores"]:
        parts.append(_BUSY.format(**machine))
    if instructions != "avx512vbmi" and any(row["target"]["vbmi_only"] for row in rows):
        parts.append(_OTHER_CPU.format(**machine))
    if not run.get("can_bind", True):
        parts.append(_NO_BINDING)
    parts += [table(_HEAD, [_cells(row, instructions == "avx512vbmi") for row in rows]), _LEGEND]
    return [*parts, "### Notes", "\n".join(_notes(rows)) or "None."]


def _cells(row: Row, has_vbmi: bool) -> tuple[str, ...]:
    verdict, target = row["verdict"], row["target"]
    if verdict and target["vbmi_only"] and not has_vbmi and verdict not in {"failed", "not equal"}:
        verdict = f"({verdict})"
    return (
        row["title"].replace("|", "/"),
        row["mode"] or _MISSING,
        str(row["threads"]),
        _time(row["ours"]) if row["ours"] else _value(row),
        _time(row["peer"]) if row["peer"] else _MISSING,
        _ratio(row),
        _recall(row),
        _agreement(row["agreement"]),
        _bound(row, "at_least") if target["at_most"] is None else f"≤ {_bound(row, 'at_most')}",
        _bound(row, "aim"),
        f"**{verdict}**" if verdict else _MISSING,
    )


def _bound(row: Row, name: str) -> str:
    asked = row["target"][name]
    return _MISSING if asked is None else f"{asked:g} {row['unit']}"


def _value(row: Row) -> str:
    return _MISSING if row["value"] is None else f"{row['value']:.1f} {row['unit']}"


def _time(side: dict[str, Any]) -> str:
    seconds = side["median_s"] / side["per"]
    if side["per"] > 1:
        return f"{1e6 * seconds:.1f} µs"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.0f} ms"


def _ratio(row: Row) -> str:
    if row["unit"] != "×" or row["value"] is None:
        return _MISSING
    return f"{row['value']:.2f} × ({row['low']:.2f}–{row['high']:.2f})"


def _recall(row: Row) -> str:
    sides = [side["recall"] for side in (row["ours"], row["peer"]) if side and side["recall"] is not None]
    return " / ".join(f"{value:.3f}" for value in sides) or _MISSING


def _agreement(agreement: dict[str, Any] | None) -> str:
    if agreement is None:
        return _MISSING
    if not agreement["is_same"]:
        return f"{agreement['different']} of {agreement['queries']} differ"
    tied = agreement["other_cells"]
    return f"same ({tied} tied cells)" if tied else "same"


def _notes(rows: Sequence[Row]) -> list[str]:
    notes = []
    for row in rows:
        if row["note"]:
            place = ", ".join(part for part in (row["title"], row["mode"], f"threads {row['threads']}") if part)
            notes.append(f"- {place}: {row['note']}")
    return notes
