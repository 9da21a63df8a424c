"""What an audit says of one expectation. Light to import."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True)
class Outcome:
    """One expectation and how it went: a row of `mart.validation_results`.

    Attributes:
        table_name: The table that was judged, with its schema.
        expectation: What was expected, in words and with its parameters.
        severity: `critical` stops the run; `warning` and `info` are reported.
        success: Whether it held. A check that raised did not.
        observed: What was seen, or the error of a check that raised.
        unexpected_count: Offending rows; None where the check does not count rows.
        sample: At most five offending rows, JSON-safe.
        name: That of a suspicion, by which it may be accepted; None for what is exact.
        found: All rows of a suspicion.
        reason: Why this is expected.
    """

    table_name: str
    expectation: str
    severity: Severity
    success: bool
    observed: str | None
    unexpected_count: int | None
    reason: str
    sample: list[dict[str, Any]] = field(default_factory=list)
    name: str | None = None
    found: list[dict[str, Any]] = field(default_factory=list)


def stops(outcomes: Iterable[Outcome]) -> bool:
    """Whether a run must stop: a critical expectation failed.

    >>> stops([Outcome("raw.users", "gender in F, M", "warning", False, None, 1, "")])
    False
    """
    return any(outcome.severity == "critical" and not outcome.success for outcome in outcomes)
