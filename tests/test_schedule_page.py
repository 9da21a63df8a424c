"""What docs/how-to/schedule.md says exists; tests/flows/test_live.py runs its commands."""

import re
import shlex
from pathlib import Path

import duckdb
import pytest
import typer
import yaml

from flows.cli import app
from warehouse.catalogue import create_schema

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "how-to" / "schedule.md"
TEXT = PAGE.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
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
        connection.execute(query)


def test_the_table_is_that_of_prefect_yaml():
    rows = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    deployments = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    assert named == {one["name"] for one in deployments}


def test_links_and_pictures_exist():
    links = re.findall(r"\]\((?!http)([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
