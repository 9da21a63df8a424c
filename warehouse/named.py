"""Questions with a name: one SQL file each, whose first comment says what it answers."""

import re
from dataclasses import dataclass
from pathlib import Path

from warehouse.errors import RefusedError

FOLDER = Path(__file__).parent / "sql" / "questions" / "named"
_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True)
class NamedQuestion:
    """A question that is asked by its name.

    Attributes:
        name: of its file, without `.sql`.
        description: its first comment.
        sql: the whole file.
    """

    name: str
    description: str
    sql: str


def named_questions() -> list[NamedQuestion]:
    """All of them, by name."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.sql"))}
    return [
        NamedQuestion(name, sql.splitlines()[0].removeprefix("--").strip(), sql)
        for name, sql in texts.items()
    ]


def sql_of(question: str) -> str:
    """The SQL that a question means: itself, or the file of that name.

    Raises:
        RefusedError: it is a single word, and no question has that name.
    """
    if not _NAME.fullmatch(question.strip()):
        return question
    known = {named.name: named.sql for named in named_questions()}
    if question.strip() not in known:
        raise RefusedError(
            "No question has this name",
            got=question.strip(),
            expected=", ".join(known),
            to_do="`fpt sql --list` tells what each answers; anything else is SQL",
        )
    return known[question.strip()]
