"""Untrusted text, made fit to be shown."""

SHOWN_CHARACTERS = 200


def visible(text: str) -> str:
    """The beginning of a text, its control characters as `?`.

    >>> visible("a\\x1b[31m")
    'a?[31m'
    """
    return "".join(char if char.isprintable() else "?" for char in text[:SHOWN_CHARACTERS])
