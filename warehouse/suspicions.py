"""What audits suspected of trainings, and who was told that it is right: `mart.run_warnings`."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from warehouse.catalogue import reading, writing
from warehouse.database import statements, utc_now
from warehouse.home import Home

Row = dict[str, Any]
_WHERE = ("run_id", "split", "protocol", "k")


def store_warnings(
    home: Home,
    audit_id: str,
    run_ids: Sequence[str],
    splits: Sequence[str],
    found: Mapping[str, Sequence[Row]],
    accepted: Collection[str],
) -> None:
    """Keep what an audit suspected of these trainings' splits, in place of what one did before.

    Args:
        home: of the pipeline.
        audit_id: of the audit.
        run_ids, splits: all that was audited.
        found: by the suspicion's name its rows: `run_id`, `split`, `protocol`, maybe `k`, figures.
        accepted: names of those that are right.
    """
    now = utc_now()
    with writing(home) as connection:
        connection.execute(
            "DELETE FROM mart.run_warnings "
            "WHERE list_contains($1::VARCHAR[], run_id) AND list_contains($2::VARCHAR[], split)",
            [list(run_ids), list(splits)],
        )
        for name, rows in found.items():
            kept = {"name": name, "audit_id": audit_id, "found_at": now}
            kept["accepted_at"] = now if name in accepted else None
            for row in rows:
                figures = {key: value for key, value in row.items() if key not in _WHERE}
                where = {key: row.get(key) for key in _WHERE}
                seen = {"seen": json.dumps(figures)}
                connection.execute(statements("publish/run_warning"), kept | where | seen)


def accept(home: Home, run_ids: Sequence[str], names: Sequence[str]) -> list[str]:
    """Accept what is suspected of published trainings by these names; returns those that were.

    Without any nothing is written, and readers keep their copy.
    """
    these = (
        "FROM mart.run_warnings WHERE accepted_at IS NULL "
        "AND list_contains($1::VARCHAR[], run_id) AND list_contains($2::VARCHAR[], name)"
    )
    with reading(home) as connection:
        found = connection.execute(
            f"SELECT DISTINCT name {these} ORDER BY name", [list(run_ids), list(names)]
        ).fetchall()
    if found:
        with writing(home) as connection:
            connection.execute(
                f"UPDATE mart.run_warnings SET accepted_at = $3 {these[these.index('WHERE') :]}",
                [list(run_ids), list(names), utc_now()],
            )
    return [name for (name,) in found]
