"""Presets: sizes as values, by variant and by part."""

from fpt_model.config import PRESETS, VARIANTS, resolve

PARTS = {"intervals", "overflow_rows", "week_width", "user_width"}


def widths(preset: str) -> dict[str, tuple[int, int, int]]:
    configs = {slug: resolve(slug, preset) for slug in VARIANTS}
    return {slug: (c.item_width, c.week_width, c.user_width) for slug, c in configs.items()}


def test_widths_of_the_paper():
    assert widths("paper") == {
        "sasrec": (50, 0, 0),
        "tisasrec": (50, 0, 0),
        "tisasrec_plus": (50, 0, 0),
        "tisasrec_plus_plus": (50, 25, 0),
        "sas_fpt": (50, 25, 25),
        "sse_pt": (50, 0, 50),
        "hstu": (50, 0, 0),
    }


def test_matched_is_the_paper_at_one_width():
    assert {sum(parts) for parts in widths("matched").values()} == {100}
    for slug in VARIANTS:
        matched, paper = resolve(slug, "matched"), resolve(slug, "paper")
        changed = {k for k, v in matched.to_dict().items() if v != paper.to_dict()[k]}
        assert changed <= {"preset", "item_width"}
    assert widths("matched")["sas_fpt"] == widths("paper")["sas_fpt"]


def test_anywhere_is_the_paper_but_for_windows_and_users():
    for slug in VARIANTS:
        anywhere, paper = resolve(slug, "anywhere"), resolve(slug, "paper")
        changed = {k for k, v in anywhere.to_dict().items() if v != paper.to_dict()[k]}
        assert changed - {"sse_user"} == {"preset", "windows"}
        assert ("sse_user" in changed) == (slug == "sas_fpt")


def test_only_the_preset_that_says_so_knows_when_it_is_asked():
    assert {p for p in PRESETS if resolve("sas_fpt", p).time_reference == "query"} == {
        "best_request"
    }


def test_best_taught_is_best_but_for_how_it_is_trained():
    for slug in VARIANTS:
        taught, best = resolve(slug, "best_taught"), resolve(slug, "best")
        changed = {k for k, v in taught.to_dict().items() if v != best.to_dict()[k]}
        assert changed == {
            *("preset", "teachers", "teacher_share", "refit"),
            *("learning_rate", "weight_decay", "max_length"),
            *("epochs", "validate_every", "patience"),
        }


def test_intervals_are_of_another_clock_in_the_presets_that_are_best_without_the_request():
    clocks = {preset: resolve("sas_fpt", preset).clock for preset in PRESETS}
    steps = {preset for preset, clock in clocks.items() if clock == "steps"}
    assert steps == {"best", "best_taught"}
    assert set(clocks.values()) == {"seconds", "steps"}


def test_a_preset_says_how_a_part_is_where_a_variant_has_it():
    best = widths("best")
    assert best["sas_fpt"][2] != widths("paper")["sas_fpt"][2]
    assert best["tisasrec_plus_plus"] == (*best["sas_fpt"][:2], 0)
    assert resolve("sas_fpt", "best").sse_user > 0
    assert resolve("tisasrec_plus_plus", "best").sse_user == 0


def test_no_preset_adds_or_takes_a_part(slug):
    paper = resolve(slug, "paper")
    for preset in PRESETS:
        config = resolve(slug, preset)
        for part in PARTS:
            assert bool(getattr(config, part)) == bool(getattr(paper, part))
        assert config.block == paper.block


def test_ratings_are_given_to_all_variants_or_to_none():
    for preset in PRESETS:
        assert {resolve(slug, preset).rating_width for slug in VARIANTS} == {
            16 if preset == "compact" or preset.startswith("best") else 0
        }
