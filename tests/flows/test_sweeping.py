"""A command that fails sweeps up what it began, and never what another one is at work on."""

import pytest

from flows.sweeping import swept
from warehouse.database import locked
from warehouse.home import Home


@pytest.mark.parametrize(
    ("sign", "stays"), [("flow-other", True), ("alone-other", True), ("train-other", False)]
)
def test_what_another_run_stages_stays(sign, stays, tmp_path):
    """A run with a server of its own is one, too."""
    home = Home.at(tmp_path / "home")
    folder = home.staging / "jobs-0123"

    def fail() -> None:
        with swept(home.root):
            folder.mkdir()
            (folder / "jobs.json").write_text("{}")
            raise ZeroDivisionError

    with locked(home, sign), pytest.raises(ZeroDivisionError):
        fail()
    assert (folder / "jobs.json").exists() == stays
