"""Names of models that are not ours."""

import re
from collections.abc import Collection

from warehouse.errors import RefusedError

LONGEST_NAME = 40


def refuse_name(name: str, taken: Collection[str]) -> None:
    """Refuse a name under which a model could be taken for one of ours.

    Args:
        name: of the imported model.
        taken: names and slugs of ours.

    Raises:
        RefusedError: it is one of them, or no name.
    """
    if not re.fullmatch(rf"[^\W_][\w .+^()-]{{0,{LONGEST_NAME - 1}}}", name):
        raise RefusedError(
            "This is no name for a model",
            got=repr(name),
            expected=f"up to {LONGEST_NAME} letters, digits, blanks and _ . + - ^ ( ), "
            "beginning with a letter or digit",
        )
    if name.casefold() in {one.casefold() for one in taken}:
        raise RefusedError(
            "One of our own models has this name",
            got=name,
            to_do="Give another one, such as its own with a word more",
        )
