"""The dashboard as Superset imports it: made from `pages.yaml` and `sql/*.sql` for one home.

Everything gets an id from its name, so importing it again replaces what it was.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import duckdb
import yaml

HERE = Path(__file__).parent
NAME = "published"
VERSION = "1.0.0"  # of Superset's import format
TIMES = ("TIMESTAMP", "DATE")


@dataclass(frozen=True)
class Chart:
    """One chart of `pages.yaml`.

    Attributes:
        title: what stands above it.
        sql: the file in `sql/`, without its end.
        kind: table, bars or lines.
        width: of the twelve columns of a row.
        height: in Superset's units of eight pixels.
        x: column along the axis.
        y: columns to draw, and how to call them.
        by: column whose values are told apart by colour.
        where: values that columns must have.
    """

    title: str
    sql: str
    kind: str
    width: int
    height: int
    x: str = ""
    y: dict[str, str] = field(default_factory=dict)
    by: str = ""
    where: dict[str, str] = field(default_factory=dict)

    def columns(self) -> set[str]:
        """The columns that it needs of its question."""
        return {*self.y, *self.where, self.x, self.by} - {""}

    def settings(self, columns: dict[str, str]) -> dict[str, Any]:
        """Superset's own settings of it, for a question with columns of these types."""
        if self.kind == "table":
            fractions = [name for name, kind in columns.items() if kind == "DOUBLE"]
            own = {"all_columns": list(columns), "column_config": dict.fromkeys(fractions, DIGITS)}
            return own | TABLE
        drawn = [_mean(column, called) for column, called in self.y.items()]
        own = {"x_axis": self.x, "metrics": drawn, "groupby": [self.by], "row_limit": 10_000}
        return own | AXES | {"adhoc_filters": [_equals(*one) for one in self.where.items()]}


DIGITS = {"d3NumberFormat": ".4f"}
TABLE = {
    "query_mode": "raw",
    "row_limit": 1000,
    "page_length": 20,
    "show_cell_bars": False,
    "table_timestamp_format": "%Y-%m-%d %H:%M",
}
AXES = {
    "y_axis_format": ".3f",
    "x_axis_time_format": "%Y-%m-%d %H:%M",
    "time_grain_sqla": None,
    "show_legend": True,
    "legendType": "scroll",
    "markerEnabled": True,
    "rich_tooltip": True,
    "truncateYAxis": False,
    "x_axis_sort_asc": True,
}
PLAIN = {"background": "BACKGROUND_TRANSPARENT"}
KINDS = {
    "table": "table",
    "bars": "echarts_timeseries_bar",
    "lines": "echarts_timeseries_line",
}


def pages() -> list[tuple[str, str, list[Chart]]]:
    """Title, text and charts of every page."""
    read = yaml.safe_load((HERE / "pages.yaml").read_text(encoding="utf-8"))
    return [
        (page["title"], page["text"], [Chart(**chart) for chart in page["charts"]])
        for page in read["pages"]
    ]


def questions() -> dict[str, str]:
    """The SQL of every question, by name."""
    files = sorted((HERE / "sql").glob("*.sql"))
    return {file.stem: file.read_text(encoding="utf-8") for file in files}


def page_id(title: str) -> str:
    """What a page is called in addresses."""
    return f"TAB-{_id('tab', title)}"


def bundle(published: Path) -> dict[str, str]:
    """Files by their names, as Superset exports them; their questions read this database."""
    with duckdb.connect(str(published), read_only=True) as connection:
        described = {
            name: connection.sql(f"DESCRIBE {sql}").fetchall() for name, sql in questions().items()
        }
    columns = {name: {row[0]: row[1] for row in rows} for name, rows in described.items()}
    files = _files(published, columns)
    return {path: yaml.safe_dump(content, sort_keys=False) for path, content in files}


def _files(published: Path, columns: dict[str, dict[str, str]]) -> Iterator[tuple[str, Any]]:
    now = datetime.now(UTC).isoformat()
    yield "metadata.yaml", {"version": VERSION, "type": "assets", "timestamp": now}
    yield f"databases/{NAME}.yaml", _database(published)
    for name, sql in questions().items():
        yield f"datasets/{NAME}/{name}.yaml", _dataset(name, sql, columns[name])
    for page, _, charts in pages():
        for chart in charts:
            yield f"charts/{_id(page, chart.title)}.yaml", _chart(page, chart, columns[chart.sql])
    yield "dashboards/dashboard.yaml", _dashboard()


def _database(published: Path) -> dict[str, Any]:
    return {
        "database_name": NAME,
        "sqlalchemy_uri": f"duckdb:///{published}?access_mode=read_only",
        "expose_in_sqllab": True,
        "allow_run_async": False,
        "allow_ctas": False,
        "allow_cvas": False,
        "allow_dml": False,
        "extra": {},
        "uuid": _id("database"),
        "version": VERSION,
    }


def _dataset(name: str, sql: str, columns: dict[str, str]) -> dict[str, Any]:
    return {
        "table_name": name,
        "description": sql.splitlines()[0].removeprefix("-- "),
        "sql": sql,
        "columns": [
            {"column_name": column, "type": kind, "is_dttm": kind in TIMES}
            | {"is_active": True, "groupby": True, "filterable": True}
            for column, kind in columns.items()
        ],
        "metrics": [{"metric_name": "count", "expression": "COUNT(*)"}],
        "uuid": _id("dataset", name),
        "database_uuid": _id("database"),
        "version": VERSION,
    }


def _chart(page: str, chart: Chart, columns: dict[str, str]) -> dict[str, Any]:
    kind = KINDS[chart.kind]
    return {
        "slice_name": chart.title,
        "viz_type": kind,
        "params": {"viz_type": kind} | chart.settings(columns),
        "uuid": _id("chart", page, chart.title),
        "dataset_uuid": _id("dataset", chart.sql),
        "version": VERSION,
    }


def _dashboard() -> dict[str, Any]:
    read = yaml.safe_load((HERE / "pages.yaml").read_text(encoding="utf-8"))
    return {
        "dashboard_title": read["title"],
        "slug": "sas-fpt",
        "published": True,
        "uuid": _id("dashboard"),
        "position": _position(read["title"]),
        "metadata": {"color_scheme": "supersetColors"},
        "version": VERSION,
    }


def _position(title: str) -> dict[str, Any]:
    """Where everything stands: tabs in the grid, rows in the tabs, charts in the rows."""
    tabs = [page_id(page) for page, _, _ in pages()]
    placed: dict[str, Any] = {
        "DASHBOARD_VERSION_KEY": "v2",
        "ROOT_ID": {"id": "ROOT_ID", "type": "ROOT", "children": ["TABS-pages"]},
        "GRID_ID": {"id": "GRID_ID", "type": "GRID", "children": [], "parents": ["ROOT_ID"]},
        "HEADER_ID": {"id": "HEADER_ID", "type": "HEADER", "meta": {"text": title}},
        "TABS-pages": _part("TABS-pages", "TABS", tabs, ["ROOT_ID"], {}),
    }
    for tab, (page, text, charts) in zip(tabs, pages(), strict=True):
        above = ["ROOT_ID", "TABS-pages", tab]
        rows = [
            [_words(page, text)],
            *([_placed(page, one) for one in row] for row in _rows(charts)),
        ]
        ids = [f"ROW-{_id('row', page, str(number))}" for number in range(len(rows))]
        placed[tab] = _part(tab, "TAB", ids, above[:-1], {"text": page})
        for row, parts in zip(ids, rows, strict=True):
            children = [part["id"] for part in parts]
            placed[row] = _part(
                row, "ROW", children, above, {"background": "BACKGROUND_TRANSPARENT"}
            )
            for part in parts:
                placed[part["id"]] = part | {"parents": [*above, row]}
    return placed


def _rows(charts: list[Chart]) -> list[list[Chart]]:
    """Charts side by side while a row has room."""
    rows: list[list[Chart]] = []
    for chart in charts:
        if rows and sum(one.width for one in rows[-1]) + chart.width <= 12:
            rows[-1].append(chart)
        else:
            rows.append([chart])
    return rows


def _words(page: str, text: str) -> dict[str, Any]:
    meta = {"code": text, "width": 12, "height": 12}
    return {
        "id": f"MARKDOWN-{_id('words', page)}",
        "type": "MARKDOWN",
        "children": [],
        "meta": meta,
    }


def _placed(page: str, chart: Chart) -> dict[str, Any]:
    identity = _id("chart", page, chart.title)
    meta = {"uuid": identity, "chartId": 0, "sliceName": chart.title}
    size = {"width": chart.width, "height": chart.height}
    return {"id": f"CHART-{identity}", "type": "CHART", "children": [], "meta": meta | size}


def _part(
    identity: str, kind: str, children: list[str], parents: list[str], meta: dict[str, Any]
) -> dict[str, Any]:
    own = {"id": identity, "type": kind, "children": children, "parents": parents}
    return own | {"meta": meta}


def _mean(column: str, called: str) -> dict[str, str]:
    return {"expressionType": "SQL", "sqlExpression": f'avg("{column}")', "label": called}


def _equals(column: str, value: str) -> dict[str, str]:
    said = {"clause": "WHERE", "expressionType": "SIMPLE", "subject": column}
    return said | {"operator": "==", "operatorId": "EQUALS", "comparator": value}


def _id(*names: str) -> str:
    return str(uuid5(NAMESPACE_URL, "/".join(("sas-fpt-dashboard", *names))))
