"""The report in a browser: nothing is cut off, all can be read, its pages need no script."""

import importlib
import sys
from datetime import UTC, date, datetime
from itertools import pairwise, product
from pathlib import Path

import pytest

from warehouse.report.facts import Attention, DataSet, Example, Experiment, Facts
from warehouse.report.page import page

BENCHMARKS = str(Path(__file__).parents[2] / "benchmarks")
sys.path.insert(0, BENCHMARKS)
browsing = importlib.import_module("browser")
sys.path.remove(BENCHMARKS)
CHROMIUM, browser = browsing.CHROMIUM, browsing.browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")

MODELS = ["SASRec", "SSE-PT", "TiSASRec", "TiSASRec+", "TiSASRec++", "SAS-FPT"]
LONG = "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb (1963)"
UNBROKEN = "a" * 120  # a word that no line holds
WINDOWS = list(product((390, 1400), (False, True)))

# Elements that reach out of the window and can not be scrolled to within a box; boxes that hide
# a part of what they hold; words of charts that reach out of their chart or lie on one another.
CUT_OFF = """
(() => {
  const found = [], wide = innerWidth + 0.5;
  const seen = (one) => one.checkVisibility();
  const inBox = (one) => {
    for (one = one.parentElement; one; one = one.parentElement)
      if (getComputedStyle(one).overflowX === 'auto') return true;
    return false;
  };
  for (const one of document.querySelectorAll('body *')) {
    if (!seen(one) || one.closest('main > input')) continue;
    const box = one.getBoundingClientRect();
    const over = getComputedStyle(one).overflowX;
    if (!inBox(one) && (box.left < -0.5 || box.right > wide))
      found.push(['outside', one.tagName, one.textContent.slice(0, 40)]);
    if (over === 'hidden' && !one.matches('svg, svg *') && one.scrollWidth > one.clientWidth + 1)
      found.push(['hidden', one.tagName, one.textContent.slice(0, 40)]);
  }
  for (const chart of document.querySelectorAll('figure svg')) {
    if (!seen(chart)) continue;
    const all = chart.getBoundingClientRect();
    const words = [...chart.querySelectorAll('text')]
      .map((one) => [one, one.getBoundingClientRect()]);
    words.forEach(([one, box], place) => {
      if (box.left < all.left - 1 || box.right > all.right + 1 || box.bottom > all.bottom + 1)
        found.push(['cut', one.textContent]);
      for (const [other, that] of words.slice(place + 1))
        if (Math.min(box.right, that.right) - Math.max(box.left, that.left) > 0.5
            && Math.min(box.bottom, that.bottom) - Math.max(box.top, that.top) > 3)
          found.push(['on one another', one.textContent, other.textContent]);
    });
  }
  return found;
})()
"""

# Visible text whose contrast with what lies behind it is too low (WCAG's formula).
PALE = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (colour) => {
    const parts = rgba(colour).slice(0, 3).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const behind = (one) => {
    for (; one; one = one.parentElement) {
      const colour = getComputedStyle(one).backgroundColor;
      if (rgba(colour)[3] === 255) return colour;
    }
    return 'white';
  };
  const found = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !one.checkVisibility()) continue;
    const drawn = getComputedStyle(one), chart = one.closest('svg');
    if (one.matches('title')) continue;
    const pair = [light(chart ? drawn.fill : drawn.color), light(behind(chart ?? one))];
    const contrast = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    texts += 1;
    if (contrast < 4.5) found.push([walker.currentNode.data.trim().slice(0, 40), contrast]);
  }
  return [texts, found];
})()
"""
SHOWN = """
[...document.querySelectorAll('.page')].filter((one) => one.checkVisibility())
  .map((one) => one.querySelector('h2').textContent.trim())
"""
LISTED = {"coverage": 0.5957, "gini": 0.8261, "novelty": 12.8, "lift": 0.179, "diversity": 0.71}


def score(model: str, protocol: str, ndcg: float) -> dict:
    figures = {"recall": 2 * ndcg, "recall_margin": 0.0312, "ndcg": ndcg, "ndcg_margin": 0.0218}
    figures |= {"mrr": ndcg * 0.8, "mrr_margin": 0.0219}
    told = {"warnings": "too-good (accepted), few-candidates" if model == "SSE-PT" else None}
    paper = {"paper_recall": 0.8056, "paper_ndcg": 0.5702}
    about = {"display_name": model, "protocol": protocol, "n_seeds": 5, "has_no_seed": False}
    return about | figures | paper | told


def experiment(preset: str) -> Experiment:
    pairs = [(one, other) for one in MODELS for other in MODELS if one != other]
    difference = {"difference": -0.0262, "low": -0.0456, "high": 0.0068, "n_seeds": 5}
    return Experiment(
        preset,
        scores=[
            score(model, protocol, 0.1234 + place / 100)
            for place, model in enumerate(MODELS)
            for protocol in ("uniform_100", "full")
        ],
        comparisons=[{"model": one, "other": other} | difference for one, other in pairs],
        ladder=[
            {"model": one, "baseline": other, "metric": metric} | difference
            for other, one in pairwise(MODELS)
            for metric in ("ndcg_10", "recall_10")
        ],
        curves=[
            {"display_name": model, "epoch": epoch, "ndcg": 0.1 + epoch / 100, "loss": 2 / epoch}
            for model in MODELS
            for epoch in (1, 2, 3)
        ],
        slices=[
            {
                "display_name": model,
                "slice": slice,
                "bucket": bucket,
                "ndcg": 0.1,
                "n_users": 138493,
            }
            for slice in ("history", "popularity", "season")
            for bucket in ("1: under 5", "5: 500 and more")
            for model in MODELS
        ],
        lists=[LISTED | {"display_name": model} for model in MODELS],
    )


def data_set(name: str, retention: str, **changes) -> DataSet:
    about = {"dataset": name, "data": f"{name} (unverified: {name}.zip)", "retention": retention}
    about |= {"verified": False, "n_users": 138493, "n_items": 26744, "n_interactions": 20000263}
    about |= {"n_models": 6, "n_trainings": 30}
    bar = [score("", "uniform_100", 0.1), score("", "full", 0.05)]
    titles = [LONG, UNBROKEN, None]
    looked = [
        {"title": title, "movie": 7, "before": "322.1 days", "weight": 0.25} for title in titles * 5
    ]
    advised = [
        {"rank": place, "title": title, "movie": 7, "genres": "Adventure|Animation|Children"}
        for place, title in enumerate(titles, start=1)
    ]
    parts = {
        "popularity": bar,
        "intervals": [{"bucket": "same second", "n": 9_999_999}, {"bucket": "a year", "n": 3}],
        "weeks": [{"week": week, "n": 123_456 * week} for week in range(1, 53)],
        "example": Example(Attention(943, "SAS-FPT seed 0, quick", looked), advised),
    }
    return DataSet(about, [experiment("quick"), experiment("anywhere")], **(parts | changes))


@pytest.fixture(scope="module")
def facts() -> Facts:
    """All that a page can have, each as long as it gets."""
    audit = {"checked_on": date(2026, 11, 29), "expectations": 1234, "held": 1230}
    tables = ["core.interactions", "mart.next_targets", "raw.ratings"]
    failure = {"severity": "critical", "name": "below-chance", "accepted": True, "times": 3}
    failure |= {"table_name": "core.interactions", "expectation": f"of {UNBROKEN}"}
    failure |= {"reason": LONG, "offending_rows": 1234, "sample": f'[{{"title": "{UNBROKEN}"}}]'}
    failure |= {"checked_at": datetime(2026, 11, 29, 21, 25)}
    hashes = dict.fromkeys(("checkpoint_sha256", "sequences_sha256", "source_sha256"), "0f" * 32)
    traced = {"model": "SAS-FPT", "seed": 0, "preset": "anywhere", "retention": "cold-start"}
    traced |= {"run_id": "ab" * 8, "device": "cpu", "code_version": "cd" * 8, "load_id": "l"}
    traced |= {"snapshot_id": "s", "source": f"{UNBROKEN}.zip", "archive": "unverified"}
    traced |= {"ndcg_10": 0.1234, "warnings": "too-good"}
    return Facts(
        [
            data_set("ml-latest-small", "cold-start"),
            data_set("synthetic", "5-core", example=None, why_not=f"No such file: /{UNBROKEN}"),
        ],
        [audit | {"table_name": name, "critical": 4, "warnings": 12} for name in tables],
        [failure],
        [traced | hashes],
        datetime(2026, 11, 29, tzinfo=UTC),
    )


@pytest.fixture(scope="module")
def file(facts, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page(facts), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def tab():
    with browser() as opened:
        yield opened


PAGES = ["ml-latest-small, cold-start", "synthetic, 5-core", "Audits", "Lineage"]


@pytest.mark.parametrize(("width", "dark"), WINDOWS)
def test_nothing_is_cut_off_and_all_can_be_read(tab, file, width, dark):
    tab.open(file, width=width, height=900, dark=dark)
    for place, title in enumerate(PAGES):
        tab.click(f"main > label:nth-of-type({place + 1})")
        (shown,) = tab.ask(SHOWN)
        assert shown.startswith(title)
        assert tab.ask("document.scrollingElement.scrollWidth - innerWidth") <= 0
        assert tab.ask(CUT_OFF) == []
        texts, pale = tab.ask(PALE)
        assert pale == []
        assert texts > 10


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        (".scroll { overflow: visible !important }", "outside"),
        (".scroll { overflow: hidden !important }", "hidden"),
        ("svg text { font-size: 24px !important }", "on one another"),
        ("svg text.end { text-anchor: start !important }", "cut"),
    ],
)
def test_what_is_cut_off_would_be_seen(tab, file, rule, seen):
    tab.open(file, width=390, height=900)
    tab.ask(f"document.head.appendChild(document.createElement('style')).textContent = {rule!r}")
    assert seen in {kind for kind, *_ in tab.ask(CUT_OFF)}


def test_what_is_pale_would_be_seen(tab, file):
    tab.open(file, width=1400, height=900)
    rule = ".note { color: #999 } svg .title { fill: #999 }"
    tab.ask(f"document.head.appendChild(document.createElement('style')).textContent = {rule!r}")
    _, pale = tab.ask(PALE)
    assert {round(contrast, 1) for _, contrast in pale} == {2.8, 2.6}  # on white, on the paper


def test_the_look_follows_the_readers_setting(tab, file):
    colours = [
        tab.open(file, width=390, height=900, dark=dark).ask(
            "getComputedStyle(document.body).backgroundColor"
        )
        for dark in (False, True)
    ]
    assert colours == ["rgb(247, 246, 242)", "rgb(18, 21, 26)"]


def test_a_wide_table_scrolls_within_its_box(tab, file):
    tab.open(file, width=390, height=900)
    boxes = "[...document.querySelectorAll('.scroll')]"
    wide = f"{boxes}.filter((one) => one.scrollWidth > one.clientWidth)"
    assert tab.ask(f"{wide}.length") > 0
    last = tab.ask(
        f"{wide}.map((box) => {{ box.scrollLeft = 9999; const cells = box.querySelectorAll('td');"
        "return cells[cells.length - 1].getBoundingClientRect().right; })"
    )
    assert max(last) <= 390


def test_pages_turn_without_script_by_mouse_and_by_keyboard(tab, file):
    tab.open(file, width=1400, height=900)
    assert tab.ask("document.scripts.length") == 0
    tab.click(".overview label[for=page-2]")
    assert tab.ask(SHOWN)[0].startswith("synthetic, 5-core")
    key = {"key": "ArrowRight", "code": "ArrowRight", "windowsVirtualKeyCode": 39}
    for kind in ("rawKeyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, **key)
    assert tab.ask(SHOWN) == ["Audits"]


def test_paper_gets_all_pages(tab, file):
    tab.open(file, width=1400, height=900)
    tab.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert len(tab.ask(SHOWN)) == len(PAGES)
        assert tab.ask("document.querySelector('main > label').checkVisibility()") is False
    finally:
        tab.call("Emulation.setEmulatedMedia", media="")


def test_no_grid_has_an_empty_place(tab, file):
    """Every row of charts is as full as the others, and a chart that is alone is no half of two."""
    tab.open(file, width=1400, height=900)
    counts = tab.ask("[...document.querySelectorAll('.charts')].map((one) => one.children.length)")
    assert counts
    assert all(count == 1 or count % 2 == 0 for count in counts)
