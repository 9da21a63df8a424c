"""Whether the Prefect server of this process is its own, and ends with it."""

from dataclasses import dataclass


@dataclass
class Temporary:
    """The one of this process."""

    used: bool = False


temporary = Temporary()
