"""What docs/how-to/schedule.md says exists; tests/flows/test_live.py runs its commands."""

import re
import shlex
from pathlib import Path

import duckdb
import pytest
import typer
import yaml
from prefect import states
from prefect.client.schemas.objects import TERMINAL_STATES, StateType

from flows.cli import app
from tasks.flow_runs import TURN_SECONDS, WAIT
from warehouse.catalogue_tables import create_schema
from warehouse.saved_queries import sql_of

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "schedule.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
TERMINAL = {one.name for one in TERMINAL_STATES}
COMMANDS = [shlex.split(line, comments=True) for line in "".join(BLOCKS).splitlines()]
FPT = [
    words[place + 1 :]
    for words in COMMANDS
    for place, word in enumerate(words)
    if word.endswith("/fpt")
]


@pytest.mark.parametrize("words", FPT, ids=lambda words: " ".join(words)[:30])
def test_a_command_is_understood(words):
    command = typer.main.get_command(app).commands[words[0]]
    command.make_context(words[0], list(words[1:]))  # raises on an unknown option or value


@pytest.mark.parametrize("query", [words[1] for words in FPT if words[0] == "sql"])
def test_a_query_fits_the_tables(query):
    with duckdb.connect() as connection:
        create_schema(connection)
        connection.execute(sql_of(query))


def names_in(section: str) -> set[str]:
    """What the first column of a section's first table has between back quotes."""
    text = TEXT.partition(f"## {section}\n")[2].partition("\n\n**")[0].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}


def test_the_table_is_that_of_prefect_yaml():
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert names_in("The table of experiments") == {one["name"] for one in deployments}


def test_every_state_that_a_run_of_ours_may_show_is_explained():
    ended = {"Completed", "Failed", "Crashed", "Cancelled"}
    before = {"Scheduled", "Late", "Pending", "Running", "AwaitingRetry"}
    assert names_in("Every morning") == ended | before
    for name in ended | before:
        assert name in dir(states), f"{name} is no state of this Prefect"


def test_the_list_of_the_morning_leaves_planned_runs_out():
    (words,) = [words for words in COMMANDS if words[1:3] == ["flow-run", "ls"]]
    shown = {words[place + 1] for place, word in enumerate(words) if word == "--state-type"}
    ended = {kind.name for kind in StateType if kind.name in TERMINAL}
    assert shown == {"RUNNING"} | ended
    assert "SCHEDULED" not in shown


def test_the_limits_that_the_page_names_are_those_of_the_code():
    assert f"After {['no', 'one', 'two'][int(TURN_SECONDS / 3600)]} hours" in TEXT
    assert f"{WAIT}=600" in TEXT


def test_links_and_pictures_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
