"""Check staged content; keep the outcomes before a failure stops the run."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from prefect import task
from prefect.artifacts import create_table_artifact

from expectations.facts import Facts
from expectations.outcome import Outcome, stops
from tasks.progress import note
from warehouse import publishing, ranking
from warehouse.datasets import find
from warehouse.errors import RefusedError
from warehouse.home import Home
from warehouse.landing import Load
from warehouse.publishing import TrainedRun, store_outcomes
from warehouse.records import Snapshot

RAW = ("raw_ratings", "raw_items", "raw_users", "raw_rejects")
CORE = ("core_interactions", "core_items", "core_users", "core_candidates", "sequences")
RANKS = ("user_ranks",)
