"""What the Prefect UI shows of a run: its metrics beside the paper's, and its audits."""

from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from warehouse.database import statements
from warehouse.home import Home
from warehouse.questions import ask


@task(task_run_name="show metrics")
def show_metrics(home: Home, snapshot_ids: Sequence[str], preset: str) -> None:
    """The leaderboard of these snapshots as a table artifact."""
    rows = leaderboard(home, snapshot_ids, preset)
    create_table_artifact(
        table=rows,
        key="metrics",
        description="Test metrics at 10, mean over seeds; the paper's numbers where it has them",
    )


def leaderboard(home: Home, snapshot_ids: Sequence[str], preset: str) -> list[dict[str, Any]]:
    """Test metrics at 10 of what is published, both protocols in a row a model."""
    return ask(home, statements("questions/metrics"), [list(snapshot_ids), preset]).to_dicts()


def show_audit(what: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """An audit's summary: a line an expectation, offending rows under those that failed."""
    failed = [row for row in rows if not row["success"]]
    lines = [
        f"## {what}",
        f"{len(rows) - len(failed)} of {len(rows)} expectations hold.",
        *(_failure(row) for row in failed),
        "",
        "| | table | expectation | severity | observed |",
        "|---|---|---|---|---|",
        *(_line(row) for row in sorted(rows, key=lambda row: bool(row["success"]))),
    ]
    create_markdown_artifact("\n".join(lines), key="audit", description=what)


def _failure(row: Mapping[str, Any]) -> str:
    examples = "\n".join(f"    {example}" for example in row["sample"])
    head = f"\n**{row['severity']}** {row['table_name']}: {_cell(row['expectation'])}"
    return f"{head} — {_cell(row['reason'])}\n\n{examples}\n"


def _line(row: Mapping[str, Any]) -> str:
    mark = "✓" if row["success"] else "✗"
    cells = (row["table_name"], row["expectation"], row["severity"], row["observed"] or "")
    return f"| {mark} | " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """Text that can't break out of a table's cell or bring markup along."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(escaped.split())
