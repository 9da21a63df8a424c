"""The numbers that archives give users and movies: one limit, for SQL and for Python."""

import re

from warehouse.errors import RefusedError

User = int | str  # a number of an archive, or an id of own data
MAX_ID = 2**31 - 1  # prepared tables hold them in 32 bits
_WHOLE = re.compile("[1-9][0-9]*")


def read_id(text: str, what: str) -> int:
    """The number that a field holds; `sql/landing/why_not.sql` reads ratings by the same rule.

    >>> read_id("1500000000", "movie")
    1500000000

    Raises:
        ValueError: the field holds none, or one above the limit.
    """
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{what} is not a whole number from 1")
    if len(text) > len(str(MAX_ID)) or int(text) > MAX_ID:
        raise ValueError(f"{what} is above the limit of ids, {MAX_ID}")
    return int(text)


def user_of(word: str | int, *, own: bool) -> User:
    """Who is meant: a user's id in own data as it is, a number of an archive.

    Raises:
        RefusedError: it is no number.
    """
    if own:
        return str(word)
    try:
        return read_id(str(word), "user")
    except ValueError as error:
        raise RefusedError(
            "No user of an archive can be so",
            got=repr(word),
            expected=f"a whole number from 1 to {MAX_ID}",
        ) from error
