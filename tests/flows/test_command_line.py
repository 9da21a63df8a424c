"""What commands take, refuse and end with: names, settings, defaults, exit codes, JSON errors."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, get_args

import pytest
import typer
from pydantic import AfterValidator, TypeAdapter, ValidationError

from flows import console, guard
from flows.parameters import Experiment, ModelSlug, experiment
from fpt_model.config import VARIANTS, resolve
from fpt_model.simple.settings import SIMPLE
from fpt_model.variants import DISPLAY_NAMES, resolve_any
from tasks.ends import InterruptedRunError
from tasks.settings import configs, preset_name
from tasks.trainings import Training
from warehouse.errors import InUseError, RefusedError, StepError
from warehouse.visible import counted

PARTS = {"what", "got", "expected", "to_do", "code"}


@pytest.fixture
def scripted(monkeypatch) -> list[dict]:
    """The errors of commands under `--json`, as scripts read them."""
    lines: list[dict] = []
    monkeypatch.setattr(sys, "argv", ["fpt", "run", "--json"])
    monkeypatch.setattr(console, "write_err", lambda line: lines.append(json.loads(line)))
    return lines


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError("a", got="b", expected="c", to_do="d"), 2),
        (InUseError("a", got="b", expected="c", to_do="d"), 3),
        (StepError("a", got="b", expected="c", to_do="d"), 1),
    ],
)
def test_a_failure_has_its_code_and_its_parts(scripted, tmp_path, error, code):
    def fail() -> None:
        try:
            raise error
        except RefusedError as cause:
            raise ValueError("as a library wraps it") from cause

    with pytest.raises(typer.Exit) as end:
        guard.exit_on_error(fail, tmp_path)
    assert end.value.exit_code == code
    assert scripted == [{"what": "a", "got": "b", "expected": "c", "to_do": "d", "code": code}]


@pytest.mark.parametrize(
    ("error", "code", "what"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 1, "The disk is full"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS), "/x"), 2, "Can't write /x"),
        (ZeroDivisionError("so it went"), 1, "ZeroDivisionError: so it went (traceback in "),
        (InterruptedRunError(), 130, "interrupted"),
    ],
)
def test_faults_and_interrupts_have_theirs(scripted, tmp_path, error, code, what):
    def fail() -> None:
        raise error

    with pytest.raises(typer.Exit) as end:
        guard.exit_on_error(fail, tmp_path)
    assert end.value.exit_code == code
    (said,) = scripted
    assert said["what"].startswith(what)
    assert said["code"] == code
    assert set(said) == PARTS


def test_what_pydantic_refuses_is_said_without_its_own_words(scripted, tmp_path):
    def refuse(slug: str) -> str:
        raise ValueError(f"{slug} is unheard of")

    for fail, what in (
        (
            lambda: TypeAdapter(Annotated[str, AfterValidator(refuse)]).validate_python("x"),
            "Wrong settings",
        ),
        (lambda: (_ for _ in ()).throw(parameters()), "Wrong parameters"),
    ):
        scripted.clear()
        with pytest.raises(typer.Exit) as end:
            guard.exit_on_error(fail, tmp_path)
        assert end.value.exit_code == 2
        assert scripted[0]["what"] == what
        assert "x is unheard of" in scripted[0]["got"]
        assert "Value error" not in scripted[0]["got"]


def parameters() -> Exception:
    from prefect.exceptions import ParameterTypeError

    return ParameterTypeError(
        "Flow run received invalid parameters:\n - models: Value error, x is unheard of"
    )


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("run", "--preset", "huge"), "'huge' is not one of"),
        (("run", "--set", "item_width"), "'item_width' is not NAME=VALUE"),
        (("run", "--model", "SAS-FPP"), "'SAS-FPP' is not one of sasrec, sse_pt"),
        (("rum",), "No such command 'rum'"),
        (("train", "--nonsense"), "No such option: --nonsense"),
    ],
)
def test_a_mistyped_command_is_json_for_a_script(fpt, tmp_path, words, what):
    answer = fpt(*words, "--json", home=tmp_path / "home")
    assert (answer.code, answer.out) == (2, "")
    (line,) = answer.err.splitlines()
    said = json.loads(line)
    assert what in said["what"]
    assert "Value error" not in said["what"]
    assert said["code"] == 2
    assert "--help" in said["to_do"]


def test_a_setting_that_is_none_is_refused_before_anything_starts(fpt, tmp_path):
    home = tmp_path / "home"
    for command in ("run", "plan"):
        answer = fpt(command, "--set", "itemwidth=64", "--json", home=home)
        said = json.loads(answer.err.splitlines()[-1])
        assert (answer.code, said["what"]) == (2, "No such setting: itemwidth")
        assert "item_width, week_width" in said["expected"]
    answer = fpt("train", "--set", "dropout=2", home=home)
    assert answer.code == 2
    assert "Setting dropout is out of range: got 2.0, expected 0 to 0.99" in answer.err
    assert not home.exists()


def test_the_version_is_told(fpt):
    done = subprocess.run(
        [Path(sys.executable).parent / "fpt", "--version"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, f"fpt {version('sas-fpt-pipeline')}\n")


def test_a_variant_has_its_slug_and_the_name_that_tables_write_in_any_case():
    assert set(get_args(ModelSlug)) == set(DISPLAY_NAMES)
    for slug, variant in (VARIANTS | SIMPLE).items():
        for name in (slug, variant.display_name, variant.display_name.lower(), slug.upper()):
            asked = TypeAdapter(Experiment).validate_python({"models": [name]})
            assert asked.models == [slug], name
    with pytest.raises(ValidationError):
        TypeAdapter(Experiment).validate_python({"models": ["gpt"]})


def test_a_changed_preset_is_named_after_what_differs_whatever_was_typed():
    typed = {"item_width": "64", "refit": "true", "epochs": "28"}  # quick has 28 epochs
    (config,) = configs(["sasrec"], "quick", typed)
    assert config == resolve("sasrec", "quick", {"item_width": 64, "refit": True})
    assert preset_name(config) == "quick item_width=64 refit=true"
    (same,) = configs(["sasrec"], "quick", {"item_width": 64, "refit": True})
    assert same == config
    (plain,) = configs(["sasrec"], "quick", {"epochs": 28})
    assert preset_name(plain) == "quick"
    for wrong in ({"item_width": 64.5}, {"refit": "yes"}, {"windows": "some"}, {"heads": 3}):
        with pytest.raises(RefusedError):
            configs(["sasrec"], "quick", wrong)


def test_trainings_of_a_changed_preset_have_ids_and_locks_of_their_own():
    snapshot = SimpleNamespace(snapshot_id="s", label="5-core")
    found = [
        Training(snapshot, config, 0)
        for changed in ({}, {"item_width": 64}, {"item_width": 32}, {"item_width": 32, "heads": 2})
        for config in configs(["sasrec"], "quick", changed)
    ]
    assert len({one.run_id for one in found}) == len({one.lock for one in found}) == 4
    assert found[0].lock == "train-s-sasrec-quick"


def test_simple_models_are_compared_with_neural_ones_whose_settings_were_changed():
    ridge, ours = configs(["ridge", "sas_fpt"], "quick", {"epochs": 40})
    assert preset_name(ridge) == preset_name(ours) == "quick epochs=40"
    assert replace(ridge, preset="quick") == resolve_any("ridge", "quick")
    ridge, ours = configs(["ridge", "sas_fpt"], "quick", {"epochs": 40, "penalty": 1000})
    assert preset_name(ridge) == "quick epochs=40 penalty=1000.0"  # another ridge, another name
    (ridge, _) = configs(["ridge", "sas_fpt"], "paper", {})
    assert preset_name(ridge) == "paper"


def test_a_model_whose_package_is_missing_is_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr("fpt_model.simple.settings.find_spec", lambda _: None)
    with pytest.raises(RefusedError) as refused:
        configs(["ridge", "als"], "quick", {})
    assert "ALS needs a package that is not installed" in str(refused.value)
    assert "pip install implicit" in str(refused.value)
    assert len(configs(["ridge", "item_knn"], "quick", {})) == 2


def test_a_setting_that_only_one_variant_has_gives_two_names():
    given = {"models": ["tisasrec", "sas_fpt"], "settings": {"sse_user": "0.5"}}
    assert experiment(given | {"preset": "anywhere"}).preset_names() == [
        "anywhere sse_user=0.5",
        "anywhere",
    ]


def test_settings_of_before_are_taken_with_a_note(capsys):
    given = {"models": ["sas_fpt"], "settings": {"user_dropout": 0.375, "rivals": "unseen"}}
    for _ in range(2):
        assert experiment(given).preset_names() == ["quick sse_user=0.375 exclude_seen=true"]
    assert (
        capsys.readouterr().err.splitlines().count("note: user_dropout=0.375 is sse_user=0.375 now")
        == 1
    )
    with pytest.raises(RefusedError, match="sse_user is given twice"):
        configs(["sas_fpt"], "quick", {"user_dropout": 0.5, "sse_user": 0.5})


def test_words_of_others_keep_no_full_stop_within_a_sentence():
    error = RefusedError("The question was refused", got="No such table.", to_do="Look again.")
    assert str(error) == "The question was refused: got No such table. Look again."
    error = RefusedError("x", got="a.", expected="b.")
    assert str(error) == "x: got a, expected b."


def test_one_is_told_in_the_singular():
    assert [counted(n, "training") for n in (0, 1, 2, 1000)] == [
        "0 trainings",
        "1 training",
        "2 trainings",
        "1,000 trainings",
    ]
