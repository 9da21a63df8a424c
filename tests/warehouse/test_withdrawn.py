"""A person's data goes at once, also while others ask: they are told, and asking again is well."""

import re
from contextlib import contextmanager

import duckdb
import pytest

from warehouse import published, questions
from warehouse.asked import Place, _reply
from warehouse.errors import RefusedError
from warehouse.forgetting import forget
from warehouse.keeping import keep_whole
from warehouse.questions import ask

ROWS = [(user, item, 100 * user + item) for user in (1, 2) for item in (10, 11, 12)]
LOST = r"The store is not whole: got store/.* is missing. .*doctor --mend"
COUNT = "SELECT count(*) FROM raw.ratings"


@pytest.fixture
def forgets_meanwhile(home, publish_rows):
    """Whoever opens the catalogue holds the one before while user 1 is forgotten."""
    publish_rows("with", ROWS)
    publish_rows("without", [row for row in ROWS if row[0] == 2])
    with pytest.MonkeyPatch.context() as patch:

        def after(real):
            @contextmanager
            def opening(*words, **named):
                with real(*words, **named) as connection:
                    patch.undo()
                    forget(home, "ml-1m", 1)
                    yield connection

            return opening

        def at(module, name: str) -> None:
            patch.setattr(module, name, after(getattr(module, name)))

        yield at


@pytest.fixture
def said(home, tmp_path):
    """What `fpt sql` says of a question."""
    place = Place(str(home.root), str(tmp_path / "spill"), 0, 0, 0, 0)

    def of(question: str) -> str:
        with (tmp_path / "answer").open("w") as file:
            refusal, _ = _reply(place, file, question, "json")
        return "" if refusal is None else str(RefusedError(**refusal))

    return of


def test_our_own_question_is_told_what_happened(home, forgets_meanwhile):
    forgets_meanwhile(questions, "reading")
    with pytest.raises(RefusedError, match=r"withdrawn meanwhile: got publication 3 .*Ask again"):
        ask(home, COUNT)
    assert ask(home, COUNT).item() == 3


def test_a_question_of_people_is_told_what_happened(forgets_meanwhile, said):
    forgets_meanwhile(published, "opened")
    assert said(COUNT).startswith("What was asked has been withdrawn meanwhile")
    assert said(COUNT) == ""


def test_who_holds_the_copy_open_meets_a_missing_file_and_opens_it_again(home, publish_rows):
    publish_rows("with", ROWS)
    publish_rows("without", [row for row in ROWS if row[0] == 2])
    with duckdb.connect(str(home.published), read_only=True) as reader:
        assert reader.execute(COUNT).fetchall() == [(9,)]
        forget(home, "ml-1m", 1)
        with pytest.raises(duckdb.IOException, match=r"No files found"):
            reader.execute(COUNT)
    with duckdb.connect(str(home.published), read_only=True) as reader:
        assert reader.execute(COUNT).fetchall() == [(3,)]


@pytest.mark.files_only  # a lake refuses, as the folder may not be mounted
def test_a_file_that_is_lost_is_not_withdrawn(home, publish_rows, said):
    publish_rows("with", ROWS)
    (path,) = (home.store / "raw.ratings").glob("*/*.parquet")
    path.unlink()
    with pytest.raises(RefusedError, match=LOST):
        ask(home, COUNT)
    assert re.match(LOST, said(COUNT))
    list(keep_whole(home))
    assert ask(home, COUNT).item() == 0
    assert said(COUNT) == ""


@pytest.mark.parametrize("folder", ["", "store/raw.ratings/"])
def test_what_is_wrong_with_a_question_is_not_put_on_the_store(home, publish_rows, said, folder):
    publish_rows("with", ROWS)
    question = f"FROM '{home.root}/{folder}nothing.parquet'"
    assert re.match(r"The question was refused: .*nothing.parquet", said(question))
    with pytest.raises(RefusedError, match=r"The question was refused: .*nothing.parquet"):
        ask(home, question)
