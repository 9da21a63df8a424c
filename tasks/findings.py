"""What a check saw: a row of `fpt doctor`, `fpt up --check` and the monitoring's table."""

from collections.abc import Iterable

Finding = dict[str, str]


def finding(check: str, state: str, seen: str, to_do: str = "") -> Finding:
    """One row; `state` is `good`, `note` (nothing to be done at once) or `bad`."""
    return {"check": check, "state": state, "seen": seen, "to do": to_do}


def bad(findings: Iterable[Finding]) -> list[Finding]:
    """Those that somebody has to see to."""
    return [one for one in findings if one["state"] == "bad"]
