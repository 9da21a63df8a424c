"""What the Prefect UI shows of a run: metrics beside the paper's, curves, audits, its rows."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from tasks import curves
from tasks.findings import Finding, bad
from tasks.telling import tell
from warehouse.database import statements
from warehouse.home import Home
from warehouse.leaderboard import leaderboard
from warehouse.questions import ask
from warehouse.visible import counted


def show_results(
    home: Home, snapshot_ids: Sequence[str], presets: Sequence[str], run_ids: Sequence[str]
) -> None:
    """Of a run's trainings: the metrics as a table, the learning curves, and where the rows are.

    It is no task: the UI lists what a task makes below that task, and these are the whole run's.
    """
    metrics = leaderboard(home, snapshot_ids, presets)
    seeds = (
        ", means over seeds" if any((row["seeds"] or 0) > 1 for row in metrics) else ", of one seed"
    )
    paper = "; the paper's beside them" if any(row["paper_ndcg_10"] for row in metrics) else ""
    said = f"Test metrics at 10{seeds}{paper}"
    tell(lambda: create_table_artifact(table=metrics, key="metrics", description=said))
    drawn = curves.draw(ask(home, statements("questions/course"), [list(run_ids)]).to_dicts())
    image = f"data:image/svg+xml;base64,{b64encode(drawn.encode()).decode()}"
    course = "How each training went: validation NDCG@10 and training loss by epoch"
    tell(lambda: create_image_artifact(image_url=image, key="learning-curves", description=course))
    rows = where_the_rows_are(run_ids)
    tell(
        lambda: create_markdown_artifact(
            rows, key="rows", description="SQL that finds the rows of this run"
        )
    )


def where_the_rows_are(run_ids: Sequence[str]) -> str:
    """The ids of a run's trainings, and the questions that find their rows."""
    these = ", ".join(f"'{run_id}'" for run_id in run_ids)
    questions = {
        "Metrics": f"SELECT * FROM mart.metrics WHERE run_id IN ({these})",
        "Rank of every user": f"SELECT * FROM mart.user_ranks WHERE run_id IN ({these})",
        "Down to the archive's checksum": f"SELECT * FROM mart.lineage WHERE run_id IN ({these})",
    }
    return "\n".join(
        [
            f"{counted(len(run_ids), 'training')}; `fpt sql` asks the published tables.",
            *(
                f'\n**{what}**\n\n```sh\nfpt sql "{question}"\n```'
                for what, question in questions.items()
            ),
        ]
    )


def show_findings(findings: Sequence[Finding]) -> None:
    """What the monitoring saw, the worst first."""
    order = ("bad", "note", "good")
    create_table_artifact(
        table=sorted(findings, key=lambda one: order.index(one["state"])),
        key="monitoring",
        description=f"{len(bad(findings))} of {len(findings)} checks need somebody",
    )


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
    text = "\n".join(lines)
    tell(lambda: create_markdown_artifact(text, key="audit", description=what))


def _failure(row: Mapping[str, Any]) -> str:
    examples = "\n".join(f"    {example}" for example in row["sample"])
    head = f"\n**{_severity(row)}** {row['table_name']}: {_cell(row['expectation'])}"
    return f"{head} — {_cell(row['reason'])}\n\n{examples}\n"


def _severity(row: Mapping[str, Any]) -> str:
    """With a suspicion's name, and whether it is accepted, where it was found."""
    if row["success"] or not row.get("name"):
        return str(row["severity"])
    return f"{'accepted' if row.get('accepted') else row['severity']}, {row['name']}"


def _line(row: Mapping[str, Any]) -> str:
    mark = "✓" if row["success"] else "✗"
    severity = _severity(row)
    cells = (row["table_name"], row["expectation"], severity, row["observed"] or "")
    return f"| {mark} | " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """Text that can't break out of a table's cell or bring markup along."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(escaped.split())
