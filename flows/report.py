"""The report: what is published, as one HTML file."""

from pathlib import Path

from flows.answers import refuse_simple
from fpt_model.version import code_version
from tasks.answering import answer
from warehouse.errors import RefusedError
from warehouse.explanation import explanation, item_column
from warehouse.home import Home
from warehouse.placing import put_in_place
from warehouse.raw_ids import User
from warehouse.recommending import chosen, request, sample_user
from warehouse.records import Choice
from warehouse.report.facts import Attention, Example, asked, gather
from warehouse.report.page import page

TOP = 10


def report(home: Path, output: Path, user: User | None) -> Path:
    """Write the report; its example is that user, or one with a middling history if none is named.

    Raises:
        RefusedError: nothing is published yet; no training can be asked about `user`.
    """
    place = Home.at(home)
    text = page(gather(place, _examples(place, user)))
    partial = output.with_name(f"{output.name}.partial")
    partial.write_text(text, encoding="utf-8")
    return put_in_place(partial, output)


def _examples(place: Home, user: User | None) -> dict[str, Example | str]:
    """Of each snapshot what a model says, or why none could be asked: that takes its weights."""
    found: dict[str, Example | str] = {}
    refused: RefusedError | None = None
    for snapshot_id, run_id in asked(place, code_version()).items():
        try:
            found[snapshot_id] = _example(place, run_id, user)
        except RefusedError as error:
            found[snapshot_id] = str(error)
            refused = error
    if user is not None and refused and not any(isinstance(one, Example) for one in found.values()):
        raise refused
    return found


def _example(place: Home, run_id: str, user: User | None) -> Example:
    of = chosen(place, Choice(run_id=run_id), code_version())
    refuse_simple(of)
    number = sample_user(place, of) if user is None else user
    about = request(place, of, [number])
    explained = answer(place, of, about, ["explain"])
    advised = answer(place, of, about, ["recommend", "--top", str(TOP)])
    recommended = advised.select("rank", "title", "genres", movie=item_column(advised)).to_dicts()
    return Example(Attention(number, of.name, explanation(explained).to_dicts()), recommended)
