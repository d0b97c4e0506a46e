"""From results to Markdown; reads what `results` writes, measures nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lookalike.errors import FormatError
from lookalike_bench.markdown import table

__all__ = ["engine_report"]

_MISSING = "–"

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

_BUSY = (
    "The machine was busy before the run (load {load} on {cores} cores): take ratios with care and times not at all."
)

_QUICK = "This was a quick run, on made-up vectors and few pictures: it shows that everything works, and is not to be quoted."


def engine_report(lines: Sequence[dict[str, Any]]) -> str:
    """The report of one run.

    Parameters
    ----------
    lines : sequence of dict
        Lines of a results file (`results.read_results`), of a run that ended or not.

    Returns
    -------
    str
        Markdown, with a final line break.

    Raises
    ------
    FormatError
        If the line that says what was run is missing.
    """
    run = next((line for line in lines if line.get("kind") == "run"), None)
    if run is None:
        raise FormatError("results: expected a line of kind 'run', which says where they were measured")
    took = next((f"{line['seconds']:,} s" for line in lines if line.get("kind") == "end"), "not finished")
    rows = [line for line in lines if line.get("kind") == "row"]
    machine = run["machine"]
    parts = [
        f"# Engine benchmark: {machine['cpu']}, {machine['instructions']}",
        "\n".join(_facts(run, rows, took)),
        *_warnings(run),
        _table(rows, machine["instructions"] == "avx512vbmi"),
        _LEGEND,
        "## Notes",
        "\n".join(_notes(rows)) or "None.",
    ]
    return "\n\n".join(parts) + "\n"


def _facts(run: dict[str, Any], rows: Sequence[dict[str, Any]], took: str) -> list[str]:
    machine = run["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    data = list(dict.fromkeys(f"{row['dataset']} ({row['d']}-d)" for row in rows))
    return [
        f"- {run['started']}, `{run['command']}`, {took}",
        f"- {machine['cpu']}, {machine['cores']} cores, kernels compiled to {machine['instructions']}",
        f"- {machine['system']}; {versions}",
        f"- FAISS was built with: {machine['faiss_build']}; {'; '.join(machine['blas'])}",
        f"- Data: {'; '.join(data)}",
    ]


def _warnings(run: dict[str, Any]) -> list[str]:
    machine = run["machine"]
    warnings = []
    if run["scale"]["name"] != "full":
        warnings.append(f"**{_QUICK}**")
    if machine["load"] > 0.3 * machine["cores"]:
        warnings.append(f"**{_BUSY.format(**machine)}**")
    if machine["instructions"] != "avx512vbmi":
        warnings.append(_OTHER_CPU.format(**machine))
    if not run["can_bind"]:
        warnings.append(_NO_BINDING)
    return warnings


def _table(rows: Sequence[dict[str, Any]], has_vbmi: bool) -> str:
    head = ("case", "mode", "threads", "ours", "peer", "peer ÷ ours", "recall", "results", "at least", "aim", "verdict")
    return table(head, [_cells(row, has_vbmi) for row in rows])


def _cells(row: dict[str, Any], has_vbmi: bool) -> tuple[str, ...]:
    target, agreement = row["target"], row["agreement"]
    bound = {"×": "", "s": " s", "B": " B"}[row["unit"]]
    relation = "≤ " if target["at_most"] else ""
    verdict = row["verdict"]
    if verdict and target["vbmi_only"] and not has_vbmi and verdict not in {"failed", "not equal"}:
        verdict = f"({verdict})"
    is_ratio = row["unit"] == "×"
    return (
        row["title"].replace("|", "/"),
        row["mode"] or _MISSING,
        str(row["threads"]),
        _time(row["ours"]) if row["ours"] else _value(row),
        _time(row["peer"]) if row["peer"] else _MISSING,
        _ratio(row) if is_ratio else _MISSING,
        _recall(row),
        _MISSING if agreement is None else _agreement(agreement),
        _MISSING if target["at_least"] is None else f"{relation}{target['at_least']:g}{bound or ' ×'}",
        _MISSING if target["aim"] is None else f"{relation}{target['aim']:g}{bound or ' ×'}",
        f"**{verdict}**" if verdict else _MISSING,
    )


def _value(row: dict[str, Any]) -> str:
    return _MISSING if row["value"] is None else f"{row['value']:.1f} {row['unit']}"


def _time(side: dict[str, Any]) -> str:
    seconds = side["median_s"] / side["per"]
    if side["per"] > 1:
        return f"{1e6 * seconds:.1f} µs"
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.0f} ms"


def _ratio(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return _MISSING
    return f"{row['value']:.2f} × ({row['low']:.2f}–{row['high']:.2f})"


def _recall(row: dict[str, Any]) -> str:
    sides = [side["recall"] for side in (row["ours"], row["peer"]) if side and side["recall"] is not None]
    return " / ".join(f"{value:.3f}" for value in sides) or _MISSING


def _agreement(agreement: dict[str, Any]) -> str:
    if not agreement["is_same"]:
        return f"{agreement['different']} of {agreement['queries']} differ"
    tied = agreement["other_cells"]
    return f"same ({tied} tied cells)" if tied else "same"


def _notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    notes = []
    for row in rows:
        if row["note"]:
            place = ", ".join(part for part in (row["title"], row["mode"], f"threads {row['threads']}") if part)
            notes.append(f"- {place}: {row['note']}")
    return notes
