"""Ranks by somebody else's scores, against a ranker that counts one by one."""

import math

import polars as pl
import pytest

from warehouse.errors import RefusedError
from warehouse.questions import ask


def metrics(home, run_id, split="test"):
    query = "SELECT protocol, k, recall, ndcg, mrr FROM mart.run_metrics WHERE run_id = ?"
    rows = ask(home, f"{query} AND split = ?", [run_id, split]).rows()
    return {row[:2]: row[2:] for row in rows}


def only_ranks(found):
    return {key: rank for key, (rank, _) in found.items()}


def one_user(frame, user):
    return frame.filter(pl.col("user") == user)


def unseen(frame, world, split="test"):
    pairs = [(user, item) for user in world.users for item in world.history[user]]
    pairs = [(user, item) for user, item in pairs if item != world.targets[split, user]]
    seen = pl.DataFrame(pairs, ("user", "item"), orient="row")
    return frame.join(seen, ["user", "item"], how="anti"), len(pairs)


@pytest.mark.parametrize("ties", [3, 10**6])
@pytest.mark.parametrize("split", ["test", "valid"])
def test_scores_of_all_items_are_ranked_among_unseen_and_among_drawn_ones(world, rank, ties, split):
    frame = world.scores(ties=ties)
    made, found = rank(frame, split=split)
    assert (made.kind, made.known_to, made.splits) == ("all", None, (split,))
    assert only_ranks(found) == {
        (split, protocol, user): world.rank(frame, protocol, split, user)
        for protocol in ("uniform_100", "full")
        for user in world.users
    }
    for (_, protocol, user), (_, n) in found.items():
        others = len(world.items) - len(world.history[user])
        assert n - 1 == (others if protocol == "full" else len(world.drawn[split, user]))


def test_a_file_may_have_both_splits(world, rank):
    frames = {"valid": world.scores(1), "test": world.scores(2)}
    both = [frame.with_columns(split=pl.lit(split)) for split, frame in frames.items()]
    made, found = rank(pl.concat(both))
    assert made.splits == ("valid", "test")
    assert len(found) == 4 * len(world.users)
    for (split, protocol, user), (place, _) in found.items():
        assert place == world.rank(frames[split], protocol, split, user)


def test_scores_of_the_drawn_items_give_the_same_ranks_among_them_and_no_others(world, rank):
    frame = world.scores()
    made, found = rank(world.candidates(frame))
    assert made.kind == "candidates"
    assert only_ranks(found) == {
        ("test", "uniform_100", user): world.rank(frame, "uniform_100", "test", user)
        for user in world.users
    }


def test_more_scores_than_those_of_the_drawn_items_may_be_called_so(world, rank):
    made, found = rank(world.scores(), kind="candidates")
    assert {protocol for _, protocol, _ in found} == {"uniform_100"}
    assert made.run_id != rank(world.scores())[0].run_id


@pytest.mark.parametrize("length", [5, 10])
def test_a_top_list_has_the_metrics_of_all_scores_as_far_as_it_goes(world, give, length):
    frame = world.scores(ties=10**6)
    whole = metrics(world.home, give(frame, "whole").run_id)
    made = give(world.lists(frame, length), f"list of {length}")
    assert (made.kind, made.known_to) == ("top", length)
    found = metrics(world.home, made.run_id)
    assert {protocol for protocol, _ in found} == {"full"}
    for k in (1, 5, 10, 20):
        assert found["full", k] == (whole["full", k] if k <= length else (None, None, None))


def test_lists_of_few_items_are_told_from_scores_of_the_drawn_ones(small, publish_scores):
    """Of 30 items all are drawn, and twelve may be most of those that are new to a user."""
    frame = small.scores(ties=10**6)
    made = publish_scores(small, small.lists(frame, 12), "lists")
    assert (made.kind, made.known_to) == ("top", 12)
    assert publish_scores(small, frame, "all").kind == "all"
    own = pl.DataFrame(
        [(user, small.targets["test", user]) for user in small.users],
        ("user", "item"),
        orient="row",
    )
    with pytest.raises(RefusedError, match="has not all scores"):  # only the targets are forgotten
        publish_scores(small, frame.join(own, ["user", "item"], how="anti"), "without targets")


def test_ties_within_a_list_count_half(world, rank, some):
    user = world.users[0]
    others = [item for item in world.items if item not in world.history[user]][:3]
    frame = world.lists(world.scores(ties=10**6), 4).filter(pl.col("user") != user)
    own = some(user, [world.targets["test", user], *others], [2, 3, 2, 2])
    _, found = rank(pl.concat([frame, own]))
    assert found["test", "full", user][0] == 3  # one above, two equal


def test_outside_of_the_list_a_rank_is_infinite_and_nothing_is_claimed_of_it(world, rank):
    frame = world.scores(ties=10**6)
    _, found = rank(world.lists(frame, 10))
    real = {user: world.rank(frame, "full", "test", user) for user in world.users}
    for (_, _, user), (place, n) in found.items():
        assert place == (real[user] if real[user] <= 10 else math.inf)
        assert n == len(world.items) - len(world.history[user]) + 1


def test_who_has_no_list_is_a_miss(world, give):
    scores = world.scores(ties=10**6)
    frame = world.lists(scores, 10)
    hit = next(u for u in world.users if world.rank(scores, "full", "test", u) < 9)
    before = metrics(world.home, give(frame, "with all").run_id)["full", 10][0]
    made = give(frame.filter(pl.col("user") != hit), "without one")
    assert (made.n_without, made.known_to) == (1, 10)
    after = metrics(world.home, made.run_id)["full", 10][0]
    assert after == pytest.approx(before - 1 / len(world.users))


def test_lists_with_every_target_leave_nothing_unknown(world, give):
    """All but who has no list, and is a miss wherever one looks."""
    scores = {user: world.targets["test", user] for user in world.users[1:]}
    frame = pl.DataFrame({"user": scores.keys(), "item": scores.values(), "score": 1.0})
    whole = give(frame, "targets", kind="top")
    assert (whole.known_to, whole.n_without) == (1, 1)
    n = len(world.users)
    assert metrics(world.home, whole.run_id)["full", 1][0] == pytest.approx((n - 1) / n)


def test_seen_items_make_a_list_shorter_and_so_the_claim(world, give, some):
    frame = world.scores(ties=10**6)
    user = next(u for u in world.users if world.rank(frame, "full", "test", u) > 10)
    seen = [item for item in world.history[user] if item != world.targets["test", user]][:3]
    lists = world.lists(frame, 10)
    worst = one_user(lists, user).sort("score").head(3)["item"].to_list()
    kept = lists.filter((pl.col("user") != user) | ~pl.col("item").is_in(worst))
    made = give(pl.concat([kept, some(user, seen, [10.0**7] * 3)]), "with seen items")
    assert (made.n_seen, made.known_to) == (3, 7)
    found = metrics(world.home, made.run_id)
    assert found["full", 5][0] is not None
    assert found["full", 10] == (None, None, None)


def test_seen_items_count_for_nothing_among_all_items(world, rank):
    frame = world.scores()
    without, n_seen = unseen(frame, world)
    (made, found), (other, same) = rank(frame), rank(without)
    assert found == same
    assert (made.n_seen, other.n_seen) == (n_seen, 0)


def test_ids_may_be_text_and_scores_of_any_kind(world, rank):
    frame = world.scores()
    _, expected = rank(frame)
    as_text = frame.with_columns(pl.col("user", "item").cast(pl.String))
    categories = as_text.with_columns(pl.col("item").cast(pl.Categorical))
    whole = frame.with_columns(pl.col("score").cast(pl.Int64), pl.col("user").cast(pl.Int16))
    for same in (as_text, categories, whole):
        assert rank(same)[1] == expected


def test_doubles_are_not_rounded(world, rank):
    """In 32 bits these scores would be equal."""
    frame = world.scores(ties=10**6)
    frame = frame.with_columns(score=1 + pl.col("score").cast(pl.Float64) * 1e-12)
    assert only_ranks(rank(frame)[1]) == only_ranks(rank(world.scores(ties=10**6))[1])


def test_users_without_held_out_items_are_left_out(world, rank, some):
    frame = world.scores()
    made, _ = rank(pl.concat([frame, some(1901, world.items[:3], [1, 2, 3])]))
    assert (made.n_left_out, made.n_users) == (3, len(world.users))
