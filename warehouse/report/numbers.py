"""Numbers and lists as people write them."""

from collections.abc import Sequence


def figure(value: float | None) -> str:
    """Four digits without the zero, as in the papers; a dash for nothing.

    >>> figure(0.80561), figure(1.0), figure(-0.0262), figure(None)
    ('.8056', '1.0000', '−.0262', '–')
    """
    if value is None:
        return "–"
    sign = "−" if round(value, 4) < 0 else ""
    return sign + f"{abs(value):.4f}".removeprefix("0")


def signed(value: float) -> str:
    """A difference, with its sign.

    >>> signed(0.0262), signed(-0.0262), signed(0.00001)
    ('+.0262', '−.0262', '.0000')
    """
    return ("+" if round(value, 4) > 0 else "") + figure(value)


def margin(value: float | None) -> str:
    """Half the width of an interval; nothing where there is none.

    >>> margin(0.0123), margin(None)
    ('± .0123', '')
    """
    return "" if value is None else f"± {figure(value)}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """
    >>> listed(["a"]), listed(["a", "b", "c"], "or")
    ('a', 'a, b or c')
    """
    return f" {last} ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
