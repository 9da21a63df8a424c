"""The numbers that archives give users and movies: one limit, for SQL and for Python."""

import re

from warehouse.errors import RefusedError

User = int | str  # a number of an archive, or an id of own data
MAX_ID = 2**31 - 1  # prepared tables hold them in 32 bits
_WHOLE = re.compile("[1-9][0-9]*")
_NUMBER = re.compile("-?[0-9]{1,18}")


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


def user_of(word: User, *, own: bool) -> User:
    """Who is meant: a user's id in own data as it is, a number of an archive.

    >>> user_of("007", own=True), user_of("007", own=False)
    ('007', 7)

    Raises:
        RefusedError: it is no number.
    """
    if own:
        return str(word)
    if isinstance(word, str) and not _NUMBER.fullmatch(word):
        expected = "the user's number in the archive"
        raise RefusedError("A user of an archive is a number", got=repr(word), expected=expected)
    return int(word)
