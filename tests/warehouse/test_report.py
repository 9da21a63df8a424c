"""The report: whole, alone, and deaf to what titles and names tell it to do."""

import re
from datetime import date
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from warehouse.publishing import store_outcomes
from warehouse.report import charts
from warehouse.report.charts import Interval, Series
from warehouse.report.facts import Attention, Experiment, Facts, gather
from warehouse.report.page import page

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror='x'> \" & {{ 7*7 }} \u202e"
VOID = {"meta", "br", "img"}


class Page(HTMLParser):
    """Collects tags and visible text; complains where tags do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.words = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.words += " "

    def handle_data(self, data):
        self.words += data


@pytest.fixture
def published(home, publish):
    publish("b", [1.0, 2.0, 50.0, 50.0], model="tisasrec")
    publish("a", [1.0, 1.0, 1.0, 50.0], model="sas_fpt")
    store_outcomes(
        home,
        [
            {
                "table_name": "raw.items",
                "expectation": f"title like {HOSTILE}",
                "severity": "critical",
                "success": False,
                "observed": None,
                "unexpected_count": 1234,
                "sample": [{"title": HOSTILE}],
                "reason": HOSTILE,
            }
        ],
        load_id="load",
    )
    return home


ITEM = {"title": HOSTILE, "movie": 7, "before": "2 days", "weight": 0.25}


def test_a_report_has_every_part_and_nothing_from_elsewhere(published):
    text = page(gather(published, Attention(7, HOSTILE, [ITEM, ITEM | {"title": None}])))
    seen = Page(text)
    names = {tag for tag, _ in seen.tags}
    assert not names & {"script", "img", "link", "iframe", "object", "base", "form"}
    for _, attributes in seen.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src"):
            assert attributes.get(name, "#").startswith("#")
    assert not re.search(r"url\(|@import|https?:", text)
    assert seen.words.count(HOSTILE) >= 4  # shown as it is, in four places
    assert "prefers-color-scheme: dark" in text
    for words in ("ml-1m, cold-start", "1,234 offending rows", "± ", "movie 7", "Lineage", "abc"):
        assert words in seen.words, words
    assert sum(tag == "svg" for tag, _ in seen.tags) == 7  # 5 charts, 2 bars


def test_the_numbers_stand_beside_the_papers(published):
    words = " ".join(Page(page(gather(published))).words.split())
    # recall of SAS-FPT 3 of 4; margin 1.96 * sd(1, 1, 1, 0) / 2
    assert "SAS-FPT 1 .7500 ± .4900 .8030" in words
    assert "TiSASRec 1 .5000 ± .5658 .7998" in words
    assert "Not shown: no training was asked" in words


def test_a_home_without_trainings_has_a_report_too():
    words = Page(page(Facts([], [], [], []))).words
    assert "No training is published yet" in words


def test_one_seed_one_user_and_no_curve_leave_no_chart_but_a_table():
    about = {"data": HOSTILE, "retention": "5-core", "preset": "quick", "snapshot_id": "s"}
    about |= {"n_users": 1, "n_items": 2, "n_interactions": 3}
    score = {"protocol": "full", "display_name": "SASRec", "n_seeds": 1, "recall": 1.0, "ndcg": 1.0}
    score |= dict.fromkeys(("recall_margin", "ndcg_margin", "paper_recall", "paper_ndcg"))
    score["warnings"] = "too-good (accepted)"
    rung = {"metric": "ndcg_10", "model": "a", "baseline": "b", "difference": 0.0}
    alone = Experiment(about, [score], [rung | {"low": None, "high": None}], [], [], [])
    audit = {"table_name": "t", "checked_on": date(2026, 1, 1), "expectations": 1, "held": 1}
    seen = Page(page(Facts([alone], [audit | {"critical": 0, "warnings": 0}], [], [])))
    assert "svg" not in {tag for tag, _ in seen.tags}
    assert "1.0000" in seen.words
    assert "too-good (accepted)" in seen.words
    assert "Paper" not in seen.words


def numbers(svg: str, tag: str, name: str) -> list[float]:
    return [float(found) for found in re.findall(rf'<{tag}[^>]*? {name}="([-\d.]+)"', svg)]


def test_columns_are_as_high_as_their_values():
    svg = charts.bars([("a", 0), ("b", 50), ("c", 100)], "x", "y")
    low, middle, high = numbers(svg, "rect", "height")
    assert (low, high) == (0, charts.HEIGHT - charts.TOP - charts.BOTTOM)
    assert middle == pytest.approx(high / 2)


def test_lines_go_up_where_values_do():
    svg = charts.lines([Series("a", [1, 2, 3], [0.1, 0.3, 0.2])], "x", "y")
    first, second, third = numbers(svg, "circle", "cy")
    assert second < third < first
    left, middle, right = numbers(svg, "circle", "cx")
    assert right - middle == pytest.approx(middle - left, abs=0.11)


def test_an_interval_is_coloured_by_where_zero_lies():
    rows = [Interval("a", 1, 0.5, 1.5), Interval("b", 0, -1, 1), Interval("c", -2, -3, -1)]
    svg = charts.forest(rows, "difference")
    assert re.findall(r'class="reach (\w+)"', svg) == ["better", "undecided", "worse"]
    starts = [float(x) for x in re.findall(r'x1="([\d.]+)"[^>]*class="reach', svg)]
    assert starts[0] > starts[1] > starts[2]


@pytest.mark.parametrize(
    "svg",
    [
        charts.bars([(HOSTILE, 1)], HOSTILE, HOSTILE),
        charts.lines([Series(HOSTILE, [1], [1])], HOSTILE, HOSTILE),
        charts.forest([Interval(HOSTILE, 0, 0, 0)], HOSTILE),
        charts.share(0, 0),
    ],
)
def test_charts_escape_what_they_write_and_take_single_values(svg):
    assert isinstance(svg, Markup)
    assert "<script" not in svg
    assert "nan" not in svg
    Page(svg)
