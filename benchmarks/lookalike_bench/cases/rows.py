"""What a case leaves: rows, one line of results each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lookalike_bench.experiments.spec import Target
from lookalike_bench.measure import Timing, ratio_of
from lookalike_bench.metrics import Agreement

__all__ = ["Row", "Side", "compared"]


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
    def of(cls, timing: Timing, per: int = 1, recall: float | None = None, **details: Any) -> Side:
        return cls(timing.name, timing.median, timing.cpu_median, per, len(timing.wall), recall, details)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes
    ----------
    case, mode : str
    title : str
        The case in words.
    threads : int
    dataset : str
    n, d : int
    params : dict
    ours, peer : Side or None
    value : float or None
        What is judged: peer / ours, or an absolute value in `unit`; None if the case failed.
    low, high : float or None
        Quartiles of the ratios of single rounds.
    unit : str
        ``"×"`` for ratios.
    agreement : Agreement or None
        Whether both sides gave the same results.
    is_valid : bool
        False where ours was not as good as what it is compared with, so that its speed does not count.
    note : str
    target : Target
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
    target: Target = field(default_factory=Target)

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
        asked = {"agreement": agreement, "target": self.target.to_dict(), "verdict": self.verdict}
        return asdict(self) | asked | {"status": "failed" if self.value is None else "ok"}


def compared(
    mine: Timing,
    theirs: Timing,
    per: int = 1,
    ours: Mapping[str, Any] | None = None,
    peer: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Both sides and the ratio of their times, for a `Row`; `ours` and `peer` are recall and details."""
    value, low, high = ratio_of(theirs, mine)
    sides = {"ours": Side.of(mine, per, **(ours or {})), "peer": Side.of(theirs, per, **(peer or {}))}
    return {**sides, "value": value, "low": low, "high": high}
