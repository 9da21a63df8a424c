"""Questions with a name: one SQL file each, whose first comments say what it answers and takes.

`-- What it answers.`, then a line `-- $name = default: meaning` for each setting, and
`-- first: what makes rows` where it may well be empty. Settings are put in as SQL values.
"""

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from warehouse.database import quoted, statements
from warehouse.datasets import NAMES
from warehouse.errors import RefusedError

FOLDER = Path(__file__).parent / "sql" / "questions" / "named"
ALL = "all"
Own = Callable[[], Sequence[str]]
# by slug, as `mart.models` has them, and what is none of them but stands beside them
MODELS: Mapping[str, str] = {
    "sasrec": "SASRec",
    "sse_pt": "SSE-PT",
    "tisasrec": "TiSASRec",
    "tisasrec_plus": "TiSASRec+",
    "tisasrec_plus_plus": "TiSASRec++",
    "sas_fpt": "SAS-FPT",
    "hstu": "HSTU",
    "recent_popularity": "Recent popularity",
    "bpr": "BPR",
    "als": "ALS",
    "item_knn": "item-kNN",
    "ease": "EASE^R",
    "markov_chain": "Markov chain",
    "ridge": "Ridge",
    "popularity": "popularity",
}
CHOICES: Mapping[str, Sequence[str]] = {
    "dataset": NAMES,
    "retention": ("5-core", "cold-start"),
    "protocol": ("uniform_100", "full"),
    "model": tuple(MODELS.values()),
    "slice": ("everybody", "history", "popularity", "season"),
}
IMPORTED = " (imported)"  # the end of the names of others' models, which may be any
WHOLE = {"k"}  # settings that are numbers
_NAME = re.compile(r"[\w-]+")
_SETTING = re.compile(r"-- \$(\w+) = (\S+): (.+)")
_FIRST = re.compile(r"-- first: (.+)")
_SHOW_TABLES = re.compile(r"SHOW\s+TABLES\s*;?", re.IGNORECASE)
# what begins a statement, and may be its first line alone
_BEGINNINGS = {
    *("select", "with", "from", "values", "pivot", "table"),
    *("show", "describe", "desc", "summarize", "explain"),
}


@dataclass(frozen=True)
class Setting:
    """What a question takes.

    Attributes:
        name: without the `$`.
        default: `all` for no condition.
        says: what it is.
    """

    name: str
    default: str
    says: str


@dataclass(frozen=True)
class SavedQuery:
    """A question that is asked by its name.

    Attributes:
        name: of its file, without `.sql`.
        description: its first comment.
        sql: the whole file.
        settings: what it takes, by name.
        first: what makes rows where there are none; empty where nothing need be done.
    """

    name: str
    description: str
    sql: str
    settings: Mapping[str, Setting]
    first: str

    @property
    def takes(self) -> str:
        """Its settings in a line, as they are typed."""
        return " ".join(f"{one.name}={one.default}" for one in self.settings.values())

    def filled(self, given: Mapping[str, str], own: Own = tuple) -> str:
        """Its SQL with values for its settings.

        Args:
            given: values by name.
            own: names of own data sets, asked for where a data set is none that everybody knows.

        Raises:
            RefusedError: it does not take one of them, or not with this value.
        """
        for name in given:
            if name not in self.settings:
                raise RefusedError(
                    f"{self.name} has no setting of this name",
                    got=name,
                    expected=self.takes or "no setting at all",
                )
        values = {
            name: _value(name, given.get(name, one.default), own)
            for name, one in self.settings.items()
        }
        return re.sub(r"\$(\w+)", lambda found: values.get(found[1], found[0]), self.sql)


def saved_queries() -> list[SavedQuery]:
    """All of them, by name."""
    return [_read(path) for path in sorted(FOLDER.glob("*.sql"))]


def _read(path: Path) -> SavedQuery:
    sql = path.read_text(encoding="utf-8")
    lines = sql.splitlines()
    settings = [Setting(*found.groups()) for line in lines if (found := _SETTING.fullmatch(line))]
    first = next((found[1] for line in lines if (found := _FIRST.fullmatch(line))), "")
    description = lines[0].removeprefix("--").strip()
    return SavedQuery(path.stem, description, sql, {one.name: one for one in settings}, first)


def _value(name: str, text: str, own: Own) -> str:
    """A setting's value as SQL."""
    if text == ALL:
        return "NULL::BIGINT" if name in WHOLE else "NULL::VARCHAR"
    if name in WHOLE:
        if not re.fullmatch(r"\d{1,18}", text):
            raise RefusedError(f"{name} is no whole number", got=text)
        return text
    return quoted(_chosen(name, text, own))


def _chosen(name: str, text: str, own: Own) -> str:
    """One of the words that a setting takes, whatever its case; a model by its slug as well."""
    known = CHOICES.get(name)
    if known is None or (name == "model" and text.endswith(IMPORTED)):
        return text
    spelled = MODELS.get(text.lower(), text) if name == "model" else text
    found = next((word for word in known if word.lower() == spelled.lower()), None)
    if found is None and name == "dataset":
        known = (*known, *own())
        found = text if text in known else None
    if found is None:
        raise RefusedError(
            f"There is no such {name}", got=text, expected=", ".join(nearest(text, known) or known)
        )
    return found


def nearest(word: str, known: Sequence[str]) -> list[str]:
    """Words that may have been meant, whatever their case."""
    by_lower = {one.lower(): one for one in known}
    return [by_lower[one] for one in get_close_matches(word.lower(), by_lower, n=2, cutoff=0.6)]


def may_be_name(text: str) -> bool:
    """Whether a line is a question's name with settings, spelled right or not, and no SQL."""
    return _words(text) is not None


def saved_query(question: str) -> SavedQuery | None:
    """The question that a text names, with settings or without; None: the text is SQL.

    Raises:
        RefusedError: it would be a name, and no question has that name.
    """
    words = _words(question)
    if words is None:
        return None
    known = {one.name: one for one in saved_queries()}
    if words[0] not in known:
        meant = nearest(words[0], list(known))
        raise RefusedError(
            "No question has this name",
            got=words[0],
            expected=" or ".join(meant) if meant else ", ".join(known),
            to_do="`fpt sql --list` tells what each answers; anything else is SQL",
        )
    return known[words[0]]


def sql_of(question: str, own: Own = tuple) -> str:
    """The SQL that a text means: itself, or the question that it names with its settings.

    Args:
        question: the text.
        own: see `SavedQuery.filled`.

    Raises:
        RefusedError: no question has that name, or takes these settings.
    """
    if _SHOW_TABLES.fullmatch(question.strip()):
        return statements("questions/tables")
    found = saved_query(question)
    if found is None:
        return question
    return found.filled(dict(_settings(_words(question) or [])), own)


def _words(text: str) -> list[str] | None:
    """A name and its settings; None where the text is anything else."""
    try:
        words = shlex.split(text)
    except ValueError:
        return None
    if not words or not _NAME.fullmatch(words[0]) or words[0].lower() in _BEGINNINGS:
        return None
    return words if all(re.match(r"\w+=.", word) for word in words[1:]) else None


def _settings(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word in words[1:]:
        name, _, value = word.partition("=")
        yield name, value
