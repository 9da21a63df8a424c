"""The prompt of `fpt sql`: SQL over several lines, questions by name; an error does not end it."""

import readline
from collections.abc import Callable, Mapping
from functools import partial

from flows import console
from tasks.ends import ends
from warehouse.errors import RefusedError
from warehouse.saved_queries import may_be_name, nearest, saved_queries

TABLES = "SHOW TABLES"
HELP = """SQL ends with ; and may have several lines. A question's name alone asks that question.
Settings follow its name: slices model=SAS-FPT
.list    questions with a name, and their settings
.tables  tables and views; DESCRIBE leaderboard; shows the columns of one
.quit    or Ctrl-D: leave; Ctrl-C: forget the line, end the question"""
WORDS = {"help": ".help", "quit": ".quit", "exit": ".quit", "?": ".help"}


def converse(answer: Callable[[str], None], show_names: Callable[[], None]) -> None:
    """Read questions from the terminal and answer them, until the end of input or `quit`.

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
    _complete([*commands, ".quit", *(one.name for one in saved_queries())])
    console.out.print("The published tables, read-only. help tells what can be asked, quit leaves.")
    going_on, untold = True, False
    while going_on:
        try:
            if untold:
                console.fail("interrupted")
                untold = False
            going_on = _survive(partial(_turn, commands, answer))
        except KeyboardInterrupt:  # another one, while the first was being told
            untold = True


def _turn(commands: Mapping[str, Callable[[], None]], answer: Callable[[str], None]) -> bool:
    """A question and its answer; False at the end."""
    question = _read()
    if question is None:
        return False
    if question.startswith(".") and question not in commands:
        meant = nearest(question, [*commands, ".quit"])
        raise RefusedError("No such command", got=question, expected=" or ".join(meant) or ".help")
    commands.get(question, partial(answer, question))()
    return True


def _read() -> str | None:
    """The next question; None at the end."""
    lines: list[str] = []
    while True:
        try:
            lines.append(input("  …> " if lines else "fpt> "))
        except (EOFError, OSError):  # the latter when the terminal is gone
            console.out.print()
            return None
        except KeyboardInterrupt:
            console.out.print()
            lines = []
            continue
        text = "\n".join(lines).strip()
        text = WORDS.get(text.rstrip("; ").lower(), text)
        if text == ".quit":
            return None
        one_line = len(lines) == 1
        if text.endswith(";") or (one_line and (text.startswith(".") or may_be_name(text))):
            return text.rstrip("; \n")
        if not text:
            lines = []


def _survive(turn: Callable[[], bool]) -> bool:
    """Take a turn; whatever fails in it, another may follow."""
    try:
        return turn()
    except RefusedError as error:
        console.fail(str(error))
    except KeyboardInterrupt:
        console.fail("interrupted")
    except Exception as error:
        console.fail(f"{type(error).__name__}: {error}")
    return True


def _complete(words: list[str]) -> None:
    """The tab key fills in names."""

    def fill(text: str, state: int) -> str | None:
        fitting = [word for word in words if word.startswith(text)]
        return fitting[state] if state < len(fitting) else None

    readline.set_completer(fill)
    readline.set_completer_delims(" \t\n")
    readline.parse_and_bind("tab: complete")
