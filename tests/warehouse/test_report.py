"""The report: whole, alone, and deaf to what titles and names tell it to do."""

import re
from datetime import date
from html.parser import HTMLParser
from math import log2
from statistics import stdev

import pytest
from markupsafe import Markup

from warehouse import charts
from warehouse.charts import Column, Interval, Series
from warehouse.publishing import publish_runs, store_outcomes
from warehouse.report.facts import Attention, DataSet, Example, Experiment, Facts, asked, gather
from warehouse.report.page import highest_of, page

HOSTILE = "</title></style><script>alert(1)</script><img src=x onerror='x'> \" & {{ 7*7 }} \u202e"
VOID = {"meta", "br", "img", "input"}


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
def published(home, begun, publish):
    begun(home, "two models", lambda: _fill(home, publish))
    return home


def _fill(home, publish) -> None:
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


def score(model: str, ndcg: float, **changes) -> dict:
    row = {"display_name": model, "protocol": "uniform_100", "n_seeds": 1, "warnings": None}
    row |= {"has_no_seed": False}
    row |= {"recall": ndcg, "recall_margin": 0.01, "ndcg": ndcg, "ndcg_margin": 0.01}
    row |= {"mrr": ndcg, "mrr_margin": 0.01}
    return row | {"paper_recall": None, "paper_ndcg": None} | changes


ITEM = {"title": HOSTILE, "movie": 7, "before": "2 days", "weight": 0.25}


@pytest.fixture
def snapshot(published, published_snapshot) -> str:
    return published_snapshot.snapshot_id


def test_a_report_has_every_part_and_nothing_from_elsewhere(published, snapshot):
    looked = Attention(7, HOSTILE, [ITEM, ITEM | {"title": None}])
    advised = [{"rank": 1, "title": HOSTILE, "genres": HOSTILE, "movie": 7}]
    text = page(gather(published, {snapshot: Example(looked, advised)}))
    seen = Page(text)
    names = {tag for tag, _ in seen.tags}
    assert not names & {"script", "img", "link", "iframe", "object", "base", "form"}
    for _, attributes in seen.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("href", "src"):
            assert attributes.get(name, "#").startswith("#")
    assert not re.search(r"url\(|@import|https?:", text)
    assert seen.words.count(HOSTILE) >= 6  # shown as it is, in six places
    assert "prefers-color-scheme: dark" in text
    for words in ("ml-1m, cold-start", "1,234 offending rows", "± ", "movie 7", "Lineage", "abc"):
        assert words in seen.words, words
    assert sum(tag == "svg" for tag, _ in seen.tags) == 8  # 6 charts, 2 bars


def test_the_numbers_stand_beside_popularity_and_the_papers(published):
    words = " ".join(Page(page(gather(published))).words.split())
    # recall of SAS-FPT 3 of 4; margin 1.96 * sd(1, 1, 1, 0) / 2; NDCG 3 of 4 at rank 1
    assert "SAS-FPT 1 seed .7500 ± .4900 paper .8030 .7500 ± .4900 paper .5778" in words
    assert "TiSASRec 1 seed .5000 ± .5658 paper .7998" in words
    assert "Popularity to beat" in words
    assert "Not shown: no training was asked" in words


def test_popularity_is_ranked_as_the_models_are(published, snapshot):
    """Four users take five of six items in turn; the first three of each are for training."""
    rows = {row["protocol"]: row for row in gather(published).data_sets[0].popularity}
    # training: user 1 has items 2 3 4, user 2 3 4 5, user 3 4 5 6, user 4 5 6 1
    seen = {1: 1, 2: 1, 3: 2, 4: 3, 5: 3, 6: 2}
    # held out for test, and the one item that each user never took
    others = {1: (6, 1), 2: (1, 2), 3: (2, 3), 4: (3, 4)}
    ranks = [
        1 + (seen[other] > seen[own]) + (seen[other] == seen[own]) / 2
        for own, other in others.values()
    ]
    assert ranks == [1, 1.5, 2, 2]
    gains = [1 / log2(rank + 1) for rank in ranks]
    assert rows["full"]["ndcg"] == pytest.approx(sum(gains) / 4)
    assert rows["full"]["recall"] == rows["uniform_100"]["recall"] == 1
    assert rows["uniform_100"]["ndcg"] == rows["full"]["ndcg"]  # all that is unseen was drawn
    assert rows["full"]["ndcg_margin"] == pytest.approx(1.96 * stdev(gains) / 2)
    inverse = [1, 1 / 1.5, 1 / 2, 1 / 2]
    assert rows["full"]["mrr"] == pytest.approx(sum(inverse) / 4)
    assert rows["full"]["mrr_margin"] == pytest.approx(1.96 * stdev(inverse) / 2)


def test_an_example_is_asked_of_the_best_training_of_the_code(home, publish, published_snapshot):
    publish("a", [1.0, 1.0, 1.0, 1.0], code_version="old")
    publish("b", [2.0, 2.0, 2.0, 2.0], code_version="new", model="sasrec")
    publish("c", [3.0, 3.0, 3.0, 3.0], code_version="new", model="tisasrec")
    assert asked(home, "new") == {published_snapshot.snapshot_id: "b"}
    assert asked(home, "older still") == {published_snapshot.snapshot_id: "a"}


def test_an_older_snapshot_of_the_same_data_has_no_page(
    home, publish_rows, prepare_load, publish, make_run
):
    publish("a", [1.0, 1.0, 1.0, 1.0])
    publish_rows("later", [(user, item, 9 * item) for user in (1, 2) for item in range(1, 6)])
    newer = prepare_load("later", "cold-start")
    assert [one.about["n_users"] for one in gather(home).data_sets] == [4]  # nothing trained yet
    publish_runs(home, [make_run("z", newer.snapshot_id, [1.0, 2.0])])
    (shown,) = gather(home).data_sets
    assert shown.about["snapshot_id"] == newer.snapshot_id
    assert shown.title == "ml-1m, cold-start"


def test_a_home_without_trainings_has_a_report_too():
    words = Page(page(Facts([], [], [], []))).words
    assert "No training is published yet" in words
    assert "Nothing is audited yet" in words


def test_what_is_recommended_stands_in_a_table_where_it_is_known():
    about = {"data": "x", "dataset": "x", "retention": "5-core", "verified": True}
    about |= {"n_users": 1, "n_items": 2, "n_interactions": 3, "n_models": 1, "n_trainings": 1}
    listed = {"display_name": "SASRec", "coverage": 0.5957, "gini": 0.8261, "novelty": 2.84}
    listed |= {"lift": -0.121, "diversity": None}
    one = Experiment("quick", [score("SASRec", 0.5)], lists=[listed])
    words = Page(page(Facts([DataSet(about, [one])], [], [], []))).words
    assert "What do they recommend?" in words
    for cell in ("59.6%", ".8261", "2.8", "−12%", "–"):
        assert cell in words
    older = Experiment("quick", [score("SASRec", 0.5)])
    assert (
        "What do they recommend?"
        not in Page(page(Facts([DataSet(about, [older])], [], [], []))).words
    )


def test_a_figure_that_is_not_known_stands_as_none_and_is_never_the_highest():
    about = {"data": "x", "dataset": "x", "retention": "5-core", "verified": True}
    about |= {"n_users": 1, "n_items": 2, "n_interactions": 3, "n_models": 2, "n_trainings": 2}
    unknown = {"mrr": None, "mrr_margin": None}
    rows = [score("SASRec", 0.5), score("SAS-FPT", 0.25), score("lists", 0.125, **unknown)]
    assert highest_of(rows, "mrr") == 0.5
    assert highest_of(rows[2:], "mrr") is None
    words = Page(page(Facts([DataSet(about, [Experiment("quick", rows)])], [], [], []))).words
    assert ".1250" in words


def test_one_seed_one_user_and_no_curve_leave_no_chart_but_a_table():
    about = {"data": HOSTILE, "dataset": "x", "retention": "5-core", "verified": False}
    about |= {"n_users": 1, "n_items": 2, "n_interactions": 3, "n_models": 1, "n_trainings": 1}
    score = {"protocol": "full", "display_name": "SASRec", "n_seeds": 1, "recall": 1.0, "ndcg": 1.0}
    score |= {"has_no_seed": False}
    score |= dict.fromkeys(("recall_margin", "ndcg_margin", "mrr_margin"))
    score |= {"mrr": 1.0, "paper_recall": None, "paper_ndcg": None}
    score["warnings"] = "too-good (accepted)"
    rung = {"metric": "ndcg_10", "model": "a", "baseline": "b", "difference": 0.0, "n_seeds": 1}
    alone = Experiment("quick", [score], ladder=[rung | {"low": None, "high": None}])
    audit = {"table_name": "t", "checked_on": date(2026, 1, 1), "expectations": 1, "held": 1}
    facts = Facts([DataSet(about, [alone])], [audit | {"critical": 0, "warnings": 0}], [], [])
    seen = Page(page(facts))
    assert "svg" not in {tag for tag, _ in seen.tags}
    assert "1.0000" in seen.words
    assert "too-good (accepted)" in seen.words
    assert "paper ." not in seen.words
    assert "of 1 expectation held" not in seen.words
    assert "All 1 expectation held" in seen.words
    assert HOSTILE in seen.words  # what the archive is


def test_only_what_has_several_seeds_is_said_of_seeds(published, publish):
    words = " ".join(Page(page(gather(published))).words.split())
    assert "what another seed would change is not known" in words
    assert "not of seeds, as a model here has only one" in words
    assert "means over seeds" not in words
    for model in ("tisasrec", "sas_fpt"):
        publish(f"again-{model}", [1.0, 2.0, 3.0, 50.0], model=model, seed=1)
    words = " ".join(Page(page(gather(published))).words.split())
    assert "4 trainings, 2 seeds each" in words
    assert "they cover the choice of users and of seeds" in words
    assert "means over seeds" in words


def test_the_best_of_each_column_is_marked_and_nothing_where_all_are_the_same(published):
    text = page(gather(published))
    (recall, ndcg, *_) = re.findall(r'<td class="best">([.\d]+)', text)
    assert recall == "1.0000"  # popularity: each of these has two candidates only
    assert float(ndcg) == pytest.approx(
        (1 + 1 / log2(2.5) + 2 / log2(3)) / 4, abs=1e-4
    )  # see above
    same = Experiment("quick", [score("a", 0.5), score("b", 0.5)])
    about = gather(published).data_sets[0].about
    assert '<td class="best">' not in page(Facts([DataSet(about, [same])], [], [], []))


def numbers(svg: str, tag: str, name: str) -> list[float]:
    return [float(found) for found in re.findall(rf'<{tag}[^>]*? {name}="([-\d.]+)"', svg)]


def test_columns_are_as_high_as_their_values():
    svg = charts.columns([Column("a", 0), Column("b", 50), Column("c", 100)], {}, "y")
    low, middle, high = numbers(svg, "rect", "height")
    assert (low, high) == (0, charts.HEIGHT - charts.TOP - charts.BOTTOM)
    assert middle == pytest.approx(high / 2)


def test_shares_are_as_long_as_their_values_and_add_up():
    svg = charts.shares([("a", 0), ("b", 1), ("c", 3)], "title")
    none, third, whole = numbers(svg, "rect", "width")
    assert none == 0
    assert third == pytest.approx(whole / 3, abs=0.1)
    assert re.findall(r">([\d.]+%)<", svg) == ["0.0%", "25.0%", "75.0%"]


def test_epochs_are_whole_and_labels_have_the_same_digits():
    svg = charts.lines([Series("a", [1, 2], [0.1, 0.14])], "epoch", "loss")
    assert re.findall(r'class="middle">([^<]+)<', svg) == ["0", "1", "2"]
    assert re.findall(r'class="end">([^<]+)<', svg) == ["0.10", "0.11", "0.12", "0.13", "0.14"]


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
        charts.columns([Column(HOSTILE, 1)], {0: HOSTILE}, HOSTILE),
        charts.shares([(HOSTILE, 0)], HOSTILE),
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
