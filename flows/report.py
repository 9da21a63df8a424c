"""The report: what is published, as one HTML file."""

from pathlib import Path

from flows.advice import asked_training, explain
from warehouse.choosing import ANY
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.placing import put_in_place
from warehouse.report.facts import Attention, gather
from warehouse.report.page import page


def report(home: Path, output: Path, user: int | None) -> Path:
    """Write the report; the attention is that of a user, of one with a middling history if none.

    Raises:
        RefusedError: nothing is published yet; `user` can't be explained.
    """
    place = Home.at(home)
    attention, why_not = _attention(place, user)
    text = page(gather(place, attention, why_not))
    partial = output.with_name(f"{output.name}.partial")
    partial.write_text(text, encoding="utf-8")
    return put_in_place(partial, output)


def _attention(place: Home, user: int | None) -> tuple[Attention | None, str]:
    """What a model looks at, or why none could be asked: a report needs no trained weights."""
    try:
        # the page says which data set it is: the one named last, or the newest
        of = asked_training(place, ANY, lambda offers: offers[0])
        return explain(place, of, user), ""
    except RefusedError as error:
        if user is not None:
            raise
        return None, str(error)
