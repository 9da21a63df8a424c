"""What pages say in sentences: each figure there is recomputed from what is kept.

A claim is a piece of a sentence with its figures, made anew here; it must stand in the page, and
what remains of the page's prose must have no figures but those of `ELSEWHERE`.
"""

import importlib
import re
from statistics import mean

import pytest
from harness import RESULTS, ROOT, read_json, short
from harness import signed as signed_as_it_is

FIGURE = re.compile(r"[+-]?(?<![\w.])\.\d{2,4}\b|-?\d+(?:\.\d+)?(?: to [+-]?\d+)? %")
# of others: the paper's own, and runs of its scripts as they are, which nothing is kept of
ELSEWHERE = {
    "where-the-gain-comes-from.md": [
        "The paper gives SAS-FPT .0175 of Recall@10 and .0197 of NDCG@10 over TiSASRec",
        "gave .7889 to .7896 and .5505 to .5520 for TiSASRec at 40 epochs, and .8023 and .5684 "
        "at 80",
        "SAS-FPT gave .7907 to .7977 and .5623 to .5668 as published, and .7929 to .8040 and "
        ".5686 to .5740 with zeros",
        "The paper says .7881 and .5505, and .8056 and .5702",
        "Intervals are 95 %",
    ],
    "by-time.md": [
        "95 % intervals over users",
    ],
    "sensitivity.md": [
        "42 % of the users have a test item",
        "26 % of the users get another test item",
        "22 % of the users have three items",
        "exact for 47 % of the users",
        "A lead below .015 of Recall@10 among 100 sampled items, or below .03 among all items",
    ],
}


def sentences(page):
    """A page's text without what scripts put into it and without commands, on one line."""
    text = re.sub(r"<!-- (\S+): begin.*?<!-- \1: end -->", "", page, flags=re.DOTALL)
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return " ".join(text.split())


def without(text, claims):
    """A text without its claims."""
    for claim in sorted(claims, key=len, reverse=True):
        text = text.replace(claim, "")
    return text


def checked(name, text, claims):
    """Every claim stands in the text, and the text says no other figure."""
    known = [*claims, *ELSEWHERE[name]]
    assert [claim for claim in known if claim not in text] == []
    assert FIGURE.findall(without(text, known)) == []


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_a_figure_outside_of_all_claims_is_found():
    text = "It has .0123 more (-.0012 to +.0100).\n<!-- a: begin, x -->\n.5\n<!-- a: end -->\n-1 %"
    assert FIGURE.findall(without(sentences(text), ["has .0123 more"])) == [
        "-.0012", "+.0100", "-1 %",
    ]  # fmt: skip
    with pytest.raises(AssertionError, match=r"has \.0124 more"):
        checked("by-time.md", sentences(text), ["has .0124 more"])


def signed(value):
    """As tables have it; what is rounded to zero has no sign."""
    return signed_as_it_is(round(value, 4) + 0.0)


def size(values):
    """How much more, or less, as a sentence says it, and its interval.

    Where that leaves out zero it is turned with the sentence; else it keeps the signs of the table.
    """
    middle, low, high = values
    if low * high > 0:
        return short(abs(middle)), " to ".join(sorted(short(abs(end)) for end in (low, high)))
    return short(abs(middle)), f"{signed(low)} to {signed(high)}"


def of(rows, first, second):
    """The comparison of a variant with another."""
    return next(row for row in rows if (row["first"], row["second"]) == (first, second))


def span(values):
    """Least to greatest."""
    found = sorted(short(value) for value in values)
    return f"{found[0]} to {found[-1]}"


def of_the_gain(kept):
    """Claims of docs/where-the-gain-comes-from.md."""
    gain = importlib.import_module("where_the_gain_comes_from")
    rows = [*kept["changes"], *kept["our_changes"]]

    def change(first, second, at, metric="ndcg_10"):
        return size(of(rows, first, second)[f"{metric}_{at}"])

    def plain(first, second, at):
        middle, low, high = of(rows, first, second)[f"ndcg_10_{at}"]
        return f"{signed(middle)}, {signed(low)} to {signed(high)}"

    zeros = change("sas-fpt-zeros", "tisasrec", "shipped")
    lead = {row["epoch"]: size(row["ndcg_10"]) for row in kept["by_epoch"]
            if row["first"] == "sas-fpt-zeros"}  # fmt: skip
    yield f"is ahead of TiSASRec by {lead[20][0]} of NDCG@10 at 20 epochs"
    yield f"by {zeros[0]} at 40 (95 % interval {zeros[1]})"
    yield f"by {lead[60][0]} at 60, and behind by {lead[80][0]} at 80 ({lead[80][1]})"
    chosen = change("sas-fpt-zeros", "tisasrec", "chosen")
    yield f"Where validation stops each, it has {chosen[0]} less ({chosen[1]})"
    whole = of(rows, "sas-fpt-zeros", "tisasrec")
    recall = [signed(whole[f"recall_10_{at}"][0]) for at in gain.AT]
    yield f"The difference of Recall@10 goes from {recall[0]} at 40 epochs to {recall[1]}"
    torch = change("sas-fpt-zeros", "sas-fpt", "shipped")
    yield f"of the gain at 40 epochs: {torch[0]} of {zeros[0]} ({torch[1]})"
    yield f"Where validation stops, nothing ({plain('sas-fpt-zeros', 'sas-fpt', 'chosen')})"
    width = [change("tisasrec-100", "tisasrec", at) for at in gain.AT]
    yield f"has {width[0][0]} of NDCG@10 more at 40 epochs"
    yield f"and {width[1][0]} more where validation stops ({width[1][1]})"
    second = change("tisasrec-second", "tisasrec", "shipped")[0]
    yield f"with TiSASRec as it is, has {second} more at 40 epochs"
    steps = size(of(kept["equal_steps"], "tisasrec-second", "tisasrec")["ndcg_10"])
    yield f"at 40 epochs it has {steps[0]} less than TiSASRec at 80 ({steps[1]})"
    users = change("sas-fpt", "sas-fpt-no-users", "chosen")
    yield f"SAS-FPT is {users[0]} worse with them than without ({users[1]})"
    groups = change("sas-fpt", "sas-fpt-no-second", "chosen")
    yield f"The group loss repairs {groups[0]} of what they overfit ({groups[1]})"
    weeks = change("sas-fpt-no-users", "tisasrec-100", "chosen")
    yield f"{weeks[0]} over TiSASRec of the same width ({weeks[1]})"
    yield f"beside users, weeks add nothing ({plain('sas-fpt', 'sas-fpt-no-weeks', 'chosen')})"
    cut = [row["ndcg_10"] for row in kept["cut"] if row["first"] == "sas-fpt-zeros"]
    yield "less than TiSASRec by {} ({}) and by {} ({})".format(*(x for y in cut for x in size(y)))
    yield f"SAS-FPT with users and groups at {best_at(kept, 'sas-fpt', 'sas-fpt-zeros')} epochs"
    yield f"TiSASRec is best at {best_at(kept, 'tisasrec')}"
    lost = lost_by(kept, 120)
    yield f"the {len(lost)} trainings that went on to epoch 120 had lost {span(lost)} of NDCG@10"
    same = sorted(round(100 * row["same_ranks"]) for row in kept["repeated"])
    most = max(abs(row["ndcg_10"][0] - row["ndcg_10"][1]) for row in kept["repeated"])
    yield f"{same[0]} to {same[-1]} % of the users"
    yield f"NDCG@10 on test differs by {short(most)} at most"
    ours = [f"ours-{name}" for name in ("tisasrec", "tisasrec_plus_plus", "sas_fpt")]
    empty = [of(rows, f"{name}-second", name)["ndcg_10_shipped"][0] for name in ours]
    yield f"The second step is worth {span(empty)} of NDCG@10 at 40 epochs"
    order = [change(ours[2], ours[0], "shipped")[0], plain(ours[2], ours[0], "chosen")]
    yield f"SAS-FPT before TiSASRec by {order[0]}, is the paper's"
    yield f"where validation stops it is gone ({order[1]})"


def best_at(kept, *names):
    """Least to greatest epoch that validation chose."""
    found = [row["best_epoch"] for row in kept["rows"] if row["variant"] in names]
    return f"{min(found)} to {max(found)}"


def lost_by(kept, epoch):
    """What SAS-FPT's trainings had lost on validation by an epoch, of their best."""
    rows = [row for row in kept["rows"] if row["variant"] in ("sas-fpt", "sas-fpt-zeros")]
    curves = [dict(zip(row["epochs"], row["valid_ndcg_10"], strict=True)) for row in rows]
    return [max(one.values()) - one[epoch] for one in curves if epoch in one]


def test_where_the_gain_comes_from():
    kept = read_json(RESULTS / "authors.json")
    name = "where-the-gain-comes-from.md"
    checked(name, sentences(page(name)), list(of_the_gain(kept)))
    # what is said without figures
    shares = [of(kept["changes"], first, second)["ndcg_10_shipped"][0] for first, second in (
        ("sas-fpt-zeros", "sas-fpt"), ("sas-fpt-zeros", "tisasrec"),
    )]  # fmt: skip
    assert 0.28 < shares[0] / shares[1] < 0.38  # about a third
    assert {row["seeds"] for row in kept["changes"]} == {5}
    leads = [row["ndcg_10"][0] for row in kept["by_epoch"] if row["first"] == "sas-fpt-zeros"]
    assert [lead > 0 for lead in leads] == [
        True,
        True,
        True,
        False,
        False,
    ]  # at 20, 40, 60, 80, 120
    assert of(kept["changes"], "sas-fpt-zeros", "tisasrec")["ndcg_10_chosen"][0] < 0
    assert max(mean_of(kept), key=mean_of(kept).get) == "sas-fpt-no-users"  # the best form


def test_the_readme_says_where_the_gain_comes_from():
    """In two sentences without figures, which hold as long as these do."""
    kept = read_json(RESULTS / "authors.json")
    told = sentences((ROOT / "README.md").read_text(encoding="utf-8"))
    assert "shows no gain of SAS-FPT over TiSASRec (five seeds)" in told
    whole = of(kept["changes"], "sas-fpt-zeros", "tisasrec")
    width = of(kept["changes"], "tisasrec-100", "tisasrec")
    assert whole["seeds"] == 5
    assert whole["ndcg_10_chosen"][0] < 0 < whole["ndcg_10_shipped"][1]
    assert "twice the width gives TiSASRec the same" in told
    assert width["ndcg_10_shipped"][0] > whole["ndcg_10_shipped"][0]


def mean_of(kept):
    """NDCG@10 on test of each of the public code's forms, at the chosen epochs."""
    names = {row["variant"] for row in kept["rows"] if not row["variant"].startswith("ours")}
    return {
        name: mean(row["test"][1] for row in kept["rows"] if row["variant"] == name)
        for name in names
    }


def by_time(kept):
    """Claims of docs/by-time.md."""

    def lead(first, second, protocol, at):
        return of(kept["pairs"], first, second)[f"{protocol}_{at}"]

    def plain(values):
        middle, low, high = map(signed, values)
        return f"{middle}, {low} to {high}"

    def both(first, second, protocol):
        return [lead(first, second, protocol, at) for at in ("left_out", "came_next")]

    drawn = both("sas_fpt", "recent_popularity", "uniform_100")
    yield "SAS-FPT has {} of NDCG@10 more by leave-one-out ({})".format(*size(drawn[0]))
    yield f"and no more by what came next ({plain(drawn[1])})"
    found = [size(lead(x, "recent_popularity", "full", "came_next")) for x in ("sas_fpt", "ridge")]
    yield "SAS-FPT has {} less than it ({}), ridge {} less ({})".format(*found[0], *found[1])
    drawn = [size(values) for values in both("sasrec", "ridge", "uniform_100")]
    yield "SASRec leads ridge by {} ({}) by leave-one-out".format(*drawn[0])
    yield "and by {} ({}) by what came next".format(*drawn[1])
    whole = both("sasrec", "ridge", "full")
    yield "ridge leads by {} ({}) by leave-one-out".format(*size(whole[0]))
    yield f"and by nothing by what came next ({plain(whole[1])})"
    drawn = both("tisasrec", "sasrec", "uniform_100")
    yield "TiSASRec's lead over SASRec, {} by leave-one-out ({})".format(*size(drawn[0]))
    yield f"is gone by what came next ({plain(drawn[1])})"
    drawn = [size(values) for values in both("sas_fpt", "tisasrec", "uniform_100")]
    yield "SAS-FPT's over TiSASRec is {} ({}) and {} ({})".format(*drawn[0], *drawn[1])
    rows = [row for row in kept["rows"] if row["protocol"] == "full"]
    days = sorted({row["as_of"] for row in rows})
    best = [
        max(row["ndcg_10"] for row in whole_of(rows, "all") if row["as_of"] == day) for day in days
    ]
    yield f"the best model of a day has {span(best)}"
    waited = [whole_of(rows, kind) for kind in ("all", "a day and more")]
    shares = [
        100 * late["n_users"] / everybody["n_users"]
        for everybody in waited[0] for late in waited[1]
        if (late["as_of"], late["model"]) == (everybody["as_of"], everybody["model"])
    ]  # fmt: skip
    yield f"{round(min(shares))} to {round(max(shares))} % of those who came back"
    script = importlib.import_module("by_time")
    for protocol, told in script.PROTOCOLS.items():
        own = whole_of([row for row in kept["rows"] if row["protocol"] == protocol], "all")
        taus = sorted(script.tau(own, day) for day in days)
        yield f"{taus[0]:.2f} to {taus[-1]:.2f} among {told}".replace("0.", ".")
    one = kept["pairs"][0]
    yield f"{one['users']:,} users and {one['n']:,} next items"


def whole_of(rows, waited):
    """Of users who came back that soon."""
    return [row for row in rows if row["waited"] == waited]


def test_by_time():
    kept = read_json(RESULTS / "by_time.json")
    checked("by-time.md", sentences(page("by-time.md")), list(by_time(kept)))
    best = {}  # the models of the first places by what came next, among 100 sampled items
    for row in whole_of(kept["rows"], "all"):
        if row["protocol"] == "uniform_100":
            best.setdefault(row["as_of"], []).append((row["ndcg_10"], row["model"]))
    neural = {"sasrec", "tisasrec", "sas_fpt"}
    over = {}  # all items, all days: no model is above recent popularity
    for row in whole_of(kept["rows"], "all"):
        if row["protocol"] == "full":
            over[row["model"]] = over.get(row["model"], 0) + row["ndcg_10"] * row["n_users"]
    assert max(over, key=over.get) == "recent_popularity"
    for found in best.values():
        assert {model for _, model in sorted(found)[-4:]} == {*neural, "recent_popularity"}


def of_ties(rows):
    """Claims of docs/sensitivity.md about the order within a second."""
    ties = importlib.import_module("ties")

    def figure(model, orders, metric="recall_10", protocol="full"):
        return mean(
            ties.of([row for row in rows if row["model"] == model], metric, protocol, orders)
        )

    def change(model, *of):
        """By lot, of what it has by file, in %."""
        return 100 * (figure(model, ties.LOTS, *of) / figure(model, ("file",), *of) - 1)

    first, chain, ridge = "Markov chain of first order", "Markov chain", "ridge"
    yield f"A first-order Markov chain owes {-change(first):.0f} % of its Recall@10 among all items"
    yield f"a chain of 20 lags {-change(chain):.0f} %, ridge {-change(ridge):.0f} %"
    yield f"({-change(ridge, 'recall_10_exact'):.0f} % among users with exact timestamps)"
    tables = [
        (metric + users, protocol)
        for metric in ("recall_10", "ndcg_10")
        for users in ("", "_exact")
        for protocol in ties.PROTOCOLS
    ]
    paper = [name for name in ties.NEURAL if name.endswith("paper")]
    found = [change(name, *table) for name in paper for table in tables]
    yield f"between {min(found):.0f} % and +{max(found):.0f} % in every table"
    lost = [-change(name, *table) for name in ("item-kNN", "popularity") for table in tables]
    yield f"Item-kNN and popularity lose {max(lost):.0f} % at most"
    yield f"Popularity gains {change('popularity'):.0f} % among all items by lot"
    most = max(
        -change(first, metric, protocol) for metric, protocol in tables if protocol != "full"
    )
    yield f"{most:.0f} % of a first-order chain's NDCG@10 at most"
    paper_best = max(figure(name, ("file",)) for name in paper)
    leads = [figure(name, ("file",)) - paper_best for name in (ridge, chain)]
    yield f"lead the `paper` networks among all items by {span_of_two(leads)} of Recall@10"


def span_of_two(values):
    """Least to greatest, two digits each."""
    return " to ".join(f"{value:.2f}"[1:] for value in sorted(values))


def test_order_within_a_second():
    rows = read_json(RESULTS / "ties.json")
    text = page("sensitivity.md").partition("## Order within a second")[2]
    checked("sensitivity.md", sentences(text), list(of_ties(rows)))
    ties = importlib.import_module("ties")

    def figure(model, orders):
        own = [row for row in rows if row["model"] == model]
        return mean(ties.of(own, "recall_10", "full", orders))

    # what is said without figures
    networks = [name for name in ties.NEURAL if name.endswith("paper")]
    leads = [
        figure("Markov chain", orders) - max(figure(name, orders) for name in networks)
        for orders in (("file",), ties.LOTS)
    ]
    assert leads[1] < leads[0] / 2
    first = "Markov chain of first order"
    assert figure(first, ("file",)) > figure("SASRec, paper", ("file",))
    assert figure(first, ties.LOTS) < figure("SASRec, paper", ties.LOTS)


def test_leads_over_all_days_are_those_of_the_days_tables():
    """Pairs are of users, rows of days: weighted by users they are the same means."""
    kept = read_json(RESULTS / "by_time.json")

    def pooled(model, protocol, metric):
        rows = whole_of(kept["rows"], "all")
        own = [row for row in rows if (row["model"], row["protocol"]) == (model, protocol)]
        return sum(row[metric] * row["n_users"] for row in own) / sum(x["n_users"] for x in own)

    columns = {"left_out": "left_out_ndcg_10", "came_next": "ndcg_10"}
    for pair in kept["pairs"]:
        for protocol in ("uniform_100", "full"):
            for at, metric in columns.items():
                first, second = (pooled(pair[one], protocol, metric) for one in ("first", "second"))
                assert pair[f"{protocol}_{at}"][0] == pytest.approx(first - second, abs=2e-5)
