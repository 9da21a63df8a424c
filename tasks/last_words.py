"""What is said of a command that was told to end; it imports next to nothing, as it comes first."""

import itertools
import sys
from collections.abc import Sequence

INTERRUPTED = "interrupted; the same command goes on"
_AS_JSON = (
    '{{"what": "interrupted", "got": null, "expected": null, '
    '"to_do": "the same command goes on", "code": {code}}}'
)


def asks_json(words: Sequence[str] | None = None) -> bool:
    """Whether a command line asks for JSON, its errors too; this process's own by default.

    >>> asks_json(["run", "--json"]), asks_json(["sql", "--format", "json"]), asks_json(["run"])
    (True, True, False)
    """
    typed = sys.argv[1:] if words is None else list(words)
    pairs = itertools.pairwise(typed)
    return bool({"--json", "--format=json"} & set(typed)) or ("--format", "json") in pairs


def interrupted(code: int) -> str:
    """The one line on it, as people or scripts read it."""
    return _AS_JSON.format(code=code) if asks_json() else f"error: {INTERRUPTED}"
