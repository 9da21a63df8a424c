"""What a run finds when it begins: one thing that can't be finished keeps no other from being."""

import logging

from tasks import flow_runs
from warehouse.catalogue import writing
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.kept_catalogues import copy_fault


def test_what_can_not_be_forgotten_to_the_end_keeps_nothing_from_being_mended(
    tmp_path, monkeypatch, caplog
):
    home = Home.at(tmp_path / "home")
    with writing(home):
        pass
    home.published.unlink()

    def refused(_: Home) -> list[str]:
        raise RefusedError("This user may not")

    monkeypatch.setattr("warehouse.forgetting.go_on", refused)
    monkeypatch.setattr(flow_runs, "get_run_logger", logging.getLogger)
    monkeypatch.setattr(flow_runs, "tell", lambda _: None)
    flow_runs.clear_up(home, "")
    assert "This user may not" in caplog.text
    assert copy_fault(home) == ""
