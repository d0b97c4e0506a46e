"""What a measurement leaves: rows, one line of JSON each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TextIO

from lookalike.errors import FormatError, VersionError
from lookalike_bench.measure import Timing
from lookalike_bench.metrics import Agreement
from lookalike_bench.spec import TARGETS, Target

__all__ = ["SCHEMA", "Row", "Side", "parse_line", "read_results", "write_line"]

SCHEMA = 1
_MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes
    ----------
    name : str
    median_s, cpu_median_s : float
        Of a round: wall-clock and processor time.
    per : int
        Queries of a round; 1 where the round itself is the figure.
    rounds : int
    recall : float or None
    details : dict
        Settings and whatever else was measured.
    """

    name: str
    median_s: float
    cpu_median_s: float
    per: int
    rounds: int
    recall: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, name: str, timing: Timing, per: int = 1, recall: float | None = None, **details: Any) -> Side:
        return cls(name, timing.median, timing.cpu_median, per, len(timing.wall), recall, details)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    case, mode : str
        Together the key of its target (`spec.TARGETS`).
    title : str
        The case in words.
    threads : int
    dataset : str
    n, d : int
    params : dict
    ours, peer : Side or None
    value : float or None
        What is judged: peer / ours, or an absolute value in `unit`.
    low, high : float or None
        Quartiles of the ratios of single rounds.
    unit : str
        ``"×"`` for ratios.
    agreement : Agreement or None
        Whether both sides gave the same results.
    is_valid : bool
        False where ours was not as good as what it is compared with, so that its speed does not count.
    note : str
    """

    case: str
    mode: str
    title: str
    threads: int
    dataset: str
    n: int
    d: int
    params: dict[str, Any]
    ours: Side | None = None
    peer: Side | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = "×"
    agreement: Agreement | None = None
    is_valid: bool = True
    note: str = ""

    @property
    def target(self) -> Target:
        return TARGETS.get(f"{self.case}/{self.mode}", Target())

    @property
    def verdict(self) -> str:
        """``aim``, ``met``, ``missed``, ``not equal``, ``failed``, or nothing where nothing is asked."""
        if self.value is None:
            return "failed"
        if not self.is_valid or (self.agreement is not None and not self.agreement.is_same):
            return "not equal"
        return self.target.verdict(self.value)

    def to_dict(self) -> dict[str, Any]:
        agreement = None if self.agreement is None else self.agreement.to_dict()
        return asdict(self) | {"agreement": agreement, "target": asdict(self.target), "verdict": self.verdict}


def write_line(file: TextIO, kind: str, values: Mapping[str, Any]) -> None:
    """Append a line of kind ``"run"`` (what was run, and where), ``"row"`` or ``"end"``; it leaves this process at once."""
    file.write(json.dumps({"kind": kind, "schema": SCHEMA, **values}, ensure_ascii=False) + "\n")
    file.flush()


def read_results(path: Path) -> list[dict[str, Any]]:
    """The lines of a results file; a last line that was cut off is left out.

    Raises
    ------
    VersionError
        If a newer version wrote it.
    FormatError
        If it is something else.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise FormatError(f"{path}: expected at most {_MAX_BYTES:,} bytes of results, got {path.stat().st_size:,}")
    lines = path.read_text("utf-8", "replace").split("\n")
    return list(_parsed(path, lines[:-1]))


def _parsed(path: Path, lines: list[str]) -> Iterable[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        value = parse_line(path, number, line)
        if value["schema"] > SCHEMA:
            raise VersionError(f"{path}: written by a newer lookalike (schema {value['schema']}, known {SCHEMA})")
        yield value


def parse_line(path: Path, number: int, line: str | bytes) -> dict[str, Any]:
    """One line of results of any schema.

    Raises
    ------
    FormatError
        If it is something else.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("schema"), int):
        raise FormatError(f"{path}: line {number} is not a result")
    return value
