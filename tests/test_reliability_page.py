"""docs/reliability.md names tests that are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)))


def test_every_fault_has_its_row():
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.M)] == [*range(1, 45)]


@pytest.mark.parametrize(("file", "beginning"), NAMED)
def test_a_named_test_exists(file, beginning):
    text = (ROOT / file).read_text(encoding="utf-8")
    assert re.search(rf"def {beginning or 'test_'}", text), f"{file} has no {beginning}"


def test_every_command_of_the_page_is_a_target():
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in re.findall(r"`make ([\w-]+)`", PAGE):
        assert re.search(rf"^{name}:", targets, re.M), f"no `make {name}`"
