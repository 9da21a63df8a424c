"""What the monitoring asks the warehouse: failed audits, and metrics outside their history."""

from datetime import datetime
from typing import Any

from warehouse.catalogue import reading
from warehouse.database import statements
from warehouse.home import Home

Row = dict[str, Any]


def failed_audits(home: Home, since: datetime) -> list[Row]:
    """Expectations of weight that did not hold in audits after `since` (naive UTC)."""
    return _rows(home, "watching/failed_audits", since)


def outlier_metrics(home: Home, since: datetime) -> list[Row]:
    """Trainings published after `since` (naive UTC) that are far from earlier ones like them."""
    return _rows(home, "watching/outlier_metrics", since)


def freshness(home: Home) -> list[Row]:
    """For every data set, when its archive was last landed and when it was last trained on."""
    return _rows(home, "watching/freshness")


def _rows(home: Home, question: str, *parameters: Any) -> list[Row]:
    with reading(home) as connection:
        answer = connection.execute(statements(question), list(parameters))
        names = [column[0] for column in answer.description or ()]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
