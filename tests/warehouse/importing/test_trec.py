"""Ranks as files of TREC's formats, and what tools of others make of them."""

import json
import math
import os
import subprocess
import sys

import pytest

from warehouse.errors import RefusedError
from warehouse.questions import ask
from warehouse.records import Choice
from warehouse.trec import QRELS, RUN, export_ranks, only_one

RANX = """
import json, sys
from ranx import Qrels, Run, evaluate
qrels, run = (kind.from_file(path, kind="trec") for kind, path in zip((Qrels, Run), sys.argv[1:]))
found = evaluate(qrels, run, ["recall@10", "ndcg@10", "mrr@10", "mrr"])
print(json.dumps({name: float(value) for name, value in found.items()}))
"""


def exported(world, made, folder, protocol="full", depth=1000):
    of = only_one(world.home, Choice(run_id=made.run_id))
    return export_ranks(world.home, of, "test", protocol, folder, depth)


def lines(path):
    return [line.split(" ") for line in path.read_text(encoding="utf-8").splitlines()]


def ours(world, made, protocol, k=10):
    query = (
        "SELECT recall, ndcg, mrr FROM mart.run_metrics "
        "WHERE run_id = ? AND split = 'test' AND protocol = ? AND k = ?"
    )
    return ask(world.home, query, [made.run_id, protocol, k]).rows()[0]


@pytest.fixture
def untied(world, give):
    return give(world.scores(ties=10**6), "without ties")


@pytest.mark.parametrize("protocol", ["full", "uniform_100"])
def test_ir_measures_gives_our_recall_ndcg_and_mrr(world, untied, tmp_path, protocol):
    import ir_measures
    from ir_measures import RR, R, nDCG

    exported(world, untied, tmp_path, protocol)
    qrels = ir_measures.read_trec_qrels(str(tmp_path / QRELS))
    run = ir_measures.read_trec_run(str(tmp_path / RUN))
    found = ir_measures.calc_aggregate([R @ 10, nDCG @ 10, RR @ 10], qrels, run)
    expected = ours(world, untied, protocol)
    assert tuple(found[one] for one in (R @ 10, nDCG @ 10, RR @ 10)) == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize("protocol", ["full", "uniform_100"])
def test_ranx_gives_our_recall_ndcg_and_mrr(world, untied, tmp_path, protocol):
    """Not compiled, which takes it a minute."""
    exported(world, untied, tmp_path, protocol)
    found = subprocess.run(
        [sys.executable, "-c", RANX, tmp_path / QRELS, tmp_path / RUN],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    measured = json.loads(found.stdout)
    assert (measured["recall@10"], measured["ndcg@10"], measured["mrr@10"]) == pytest.approx(
        ours(world, untied, protocol)
    )
    query = "SELECT avg(1 / rank) FROM mart.user_ranks WHERE run_id = ? AND protocol = ?"
    whole = ask(world.home, query, [untied.run_id, protocol]).rows()[0][0]
    assert measured["mrr"] == pytest.approx(whole)


def test_the_lines_have_the_fields_of_trec_in_order(world, untied, tmp_path):
    exported(world, untied, tmp_path, depth=3)
    scores = world.scores(ties=10**6)
    run, qrels = lines(tmp_path / RUN), lines(tmp_path / QRELS)
    assert qrels == [[str(u), "0", str(world.targets["test", u]), "1"] for u in world.users]
    expected = []
    for user in world.users:
        own = world.rank(scores, "full", "test", user)
        for place in (1, 2, 3):
            document = str(world.targets["test", user]) if place == own else f"other:{place}"
            expected.append(
                [str(user), "Q0", document, str(place), str(4 - place), "without-ties-imported"]
            )
    assert run == expected


def test_between_two_places_it_is_the_later_one_and_that_is_told(world, give, tmp_path):
    """Recall is the same; NDCG is that of the ranks rounded up, counted here by hand."""
    made = give(world.scores(ties=3), "with ties")
    row = exported(world, made, tmp_path)
    ranks = ask(
        world.home,
        "SELECT raw_user_id, rank FROM mart.user_ranks JOIN core.users USING (user_id) "
        "WHERE run_id = ? AND protocol = 'full'",
        [made.run_id],
    ).rows()
    between = [rank for _, rank in ranks if rank % 1]
    assert between
    assert row["between_places"] == len(between)
    own = {line[0]: line for line in lines(tmp_path / RUN) if not line[2].startswith("other:")}
    assert {user: line[3] for user, line in own.items()} == {
        str(user): str(math.ceil(rank)) for user, rank in ranks
    }
    recall, ndcg, _ = ours(world, made, "full")
    assert sum(int(line[3]) <= 10 for line in own.values()) / len(ranks) == recall
    assert row["ndcg_10"] == pytest.approx(ndcg)
    later = [1 / math.log2(math.ceil(rank) + 1) for _, rank in ranks if rank <= 10]
    assert row["ndcg_10_of_files"] == pytest.approx(sum(later) / len(ranks))


def test_a_top_list_has_no_lines_beyond_what_is_known(world, give, tmp_path):
    made = give(world.lists(world.scores(ties=10**6), 5), "five")
    row = exported(world, made, tmp_path)
    assert (row["depth"], row["lines"]) == (5, 5 * len(world.users))
    hits = {line[0] for line in lines(tmp_path / RUN) if not line[2].startswith("other:")}
    scores = world.scores(ties=10**6)
    assert hits == {str(u) for u in world.users if world.rank(scores, "full", "test", u) <= 5}
    assert (row["ndcg_10"], row["ndcg_10_of_files"]) == (None, None)  # nobody knows


def test_below_the_last_line_of_the_files_stands_a_miss(world, untied, tmp_path):
    row = exported(world, untied, tmp_path, depth=3)
    scores = world.scores(ties=10**6)
    ranks = [world.rank(scores, "full", "test", user) for user in world.users]
    gains = [1 / math.log2(rank + 1) for rank in ranks if rank <= 3]
    assert row["ndcg_10_of_files"] == pytest.approx(sum(gains) / len(ranks))
    assert row["ndcg_10"] == pytest.approx(ours(world, untied, "full")[1])
    assert row["ndcg_10"] > row["ndcg_10_of_files"]


def test_there_are_no_more_lines_than_items_ranked(world, untied, tmp_path):
    row = exported(world, untied, tmp_path, "uniform_100")
    assert row["lines"] == sum(len(world.drawn["test", u]) + 1 for u in world.users)


def test_what_is_not_there_is_refused(world, give, tmp_path):
    made = give(world.lists(world.scores(ties=10**6), 5), "five")
    with pytest.raises(RefusedError, match="under uniform_100: expected test under full"):
        exported(world, made, tmp_path, "uniform_100")
    with pytest.raises(RefusedError, match="There are no such ranks: got zzz"):
        only_one(world.home, Choice(run_id="zzz"))
    give(world.lists(world.scores(ties=10**6), 6), "six")
    with pytest.raises(RefusedError, match=r"There are ranks of \d+ that fit.*Name it by --run"):
        only_one(world.home, Choice("ml-1m"))
    assert only_one(world.home, Choice("ml-1m", "cold-start", "SIX"), "imported").model == "six"


def test_the_files_take_the_place_of_those_before(world, untied, tmp_path):
    (tmp_path / RUN).write_text("old")
    exported(world, untied, tmp_path, depth=1)
    first = (tmp_path / RUN).read_bytes()
    exported(world, untied, tmp_path, depth=1)
    assert (tmp_path / RUN).read_bytes() == first
    assert sorted(path.name for path in tmp_path.glob("*.trec*")) == [QRELS, RUN]
