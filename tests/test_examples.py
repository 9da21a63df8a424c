"""The examples in docstrings of the code give what they say."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("flows", "tasks", "warehouse", "expectations", "fpt_model")
FILES = sorted(
    path.relative_to(ROOT)
    for room in ROOMS
    for path in (ROOT / room).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


def test_there_are_examples():
    assert {path.parts[0] for path in FILES} >= {"flows", "tasks", "warehouse", "fpt_model"}


@pytest.mark.parametrize("path", FILES, ids=str)
def test_what_an_example_says_is_so(path, capsys):
    module = importlib.import_module(".".join(path.with_suffix("").parts))
    found = doctest.testmod(module)
    assert found.attempted, "doctest finds no example here"
    assert found.failed == 0, capsys.readouterr().out
