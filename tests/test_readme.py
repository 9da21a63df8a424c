"""What README says exists: its commands, options, queries, folders and links."""

import re
import shlex
from pathlib import Path

import duckdb
import pytest
import typer

from flows.cli import app
from warehouse.catalogue_tables import create_schema
from warehouse.saved_queries import sql_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [shlex.split(line, comments=True) for line in "".join(BLOCKS).splitlines()]
FPT = [command[1:] for command in COMMANDS if command[0].endswith("/fpt")]


@pytest.mark.parametrize("words", FPT, ids=lambda words: " ".join(words)[:40])
def test_a_command_is_understood(words):
    group = typer.main.get_command(app)
    command = group.commands[words[0]]
    command.make_context(words[0], list(words[1:]))  # raises on an unknown option or value


@pytest.mark.parametrize(
    "query", [words[1] for words in FPT if words[0] == "sql" and not words[1].startswith("-")]
)
def test_a_query_fits_the_tables(query):
    with duckdb.connect() as connection:
        create_schema(connection)
        connection.execute(sql_of(query))


def test_every_command_is_in_the_table():
    named = set(re.findall(r"`fpt ([\w-]+)`", README))
    assert named == set(typer.main.get_command(app).commands)


def test_make_targets_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {words[1] for words in COMMANDS if words[0] == "make"} <= targets


def test_folders_and_links_exist():
    tree = re.findall(r"^([\w-]+/)\s", README, re.MULTILINE)
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert len(tree) >= 8
    assert [name for name in tree + links if not (ROOT / name).exists()] == []
