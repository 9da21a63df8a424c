"""The prompt of `fpt sql`: SQL over several lines, questions by name; an error does not end it."""

import readline
from collections.abc import Callable
from functools import partial

from flows import console
from tasks.ends import ends
from warehouse.errors import RefusedError
from warehouse.named import named_questions

TABLES = """
    SELECT table_schema || '.' || table_name AS name, table_comment AS says
    FROM information_schema.tables ORDER BY ALL
"""
HELP = """SQL ends with ; and may have several lines. A question's name alone asks that question.
.list    questions with a name
.tables  tables and views; DESCRIBE mart.metrics; shows the columns of one
.quit    or Ctrl-D: leave; Ctrl-C: forget the line"""


def converse(answer: Callable[[str], None], show_names: Callable[[], None]) -> None:
    """Read questions from the terminal and answer them, until the end of input or `.quit`.

    Args:
        answer: prints the answer to a question.
        show_names: prints the questions with a name.
    """
    ends.release()  # a Ctrl-C forgets the line
    commands: dict[str, Callable[[], None]] = {
        ".help": lambda: console.out.print(HELP),
        ".list": show_names,
        ".tables": lambda: answer(TABLES),
    }
    _complete([*commands, ".quit", *(named.name for named in named_questions())])
    console.out.print("The published tables, read-only. .help tells what can be asked.")
    while (question := _read()) is not None:
        _survive(commands.get(question, partial(answer, question)))


def _read() -> str | None:
    """The next question; None at the end."""
    lines: list[str] = []
    while True:
        try:
            lines.append(input("  …> " if lines else "fpt> "))
        except EOFError:
            console.out.print()
            return None
        except KeyboardInterrupt:
            console.out.print()
            lines = []
            continue
        text = "\n".join(lines).strip()
        if text == ".quit":
            return None
        if text.endswith(";") or text.startswith(".") or _is_name(text):
            return text.rstrip("; \n")
        if not text:
            lines = []


def _is_name(text: str) -> bool:
    return text in {named.name for named in named_questions()}


def _survive(action: Callable[[], None]) -> None:
    try:
        action()
    except RefusedError as error:
        console.fail(str(error))
    except KeyboardInterrupt:
        console.fail("interrupted")


def _complete(words: list[str]) -> None:
    """The tab key fills in names."""

    def fill(text: str, state: int) -> str | None:
        fitting = [word for word in words if word.startswith(text)]
        return fitting[state] if state < len(fitting) else None

    readline.set_completer(fill)
    readline.set_completer_delims(" \t\n")
    readline.parse_and_bind("tab: complete")
