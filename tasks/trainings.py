"""One training that is asked for: its id, its names, and how far it is.

Without Prefect, whose packages take longer to import than all of this takes.
"""

from dataclasses import dataclass

from fpt_model.files.finished import problem
from fpt_model.variants import AnyConfig
from fpt_model.version import code_version
from tasks import folders
from tasks.settings import preset_name
from warehouse.home import Home
from warehouse.identity import identify
from warehouse.records import Snapshot

DONE, PUBLISH, GO_ON, TO_DO = "done", "to publish", "to go on", "to do"


@dataclass(frozen=True)
class Training:
    """One training to be done: a configuration, a seed and the snapshot to train on."""

    snapshot: Snapshot
    config: AnyConfig
    seed: int

    @property
    def run_id(self) -> str:
        """Hash of all that determines the outcome."""
        return run_id(self.snapshot.snapshot_id, self.config, self.seed)

    @property
    def preset(self) -> str:
        """Its preset's name in tables, with the settings that were changed."""
        return preset_name(self.config)

    @property
    def group(self) -> str:
        """What its seeds are called together."""
        return f"{self.config.model} {self.snapshot.label}"

    @property
    def lock(self) -> str:
        """Held by the one flow that trains any seed of these settings."""
        preset, *changed = self.preset.split()
        own = f"-{identify('settings', *changed)[:8]}" if changed else ""
        return f"train-{self.snapshot.snapshot_id}-{self.config.model}-{preset}{own}"

    @property
    def name(self) -> str:
        """What it is called in logs and the UI."""
        return f"{self.group} seed {self.seed}"


def run_id(snapshot_id: str, config: AnyConfig, seed: int) -> str:
    """Id of the training of that configuration and seed, by the code as it is now."""
    return identify("run", snapshot_id, config.to_dict(), seed, code_version())


def is_ranked(home: Home, training: Training) -> bool:
    """Whether the training's folder is whole, with ranks, made here or on another machine."""
    folder = home.run(training.run_id)
    return not problem(folder) and not folders.lost_ranks(folder)


def state_of(home: Home, identity: str, checkpoint: str | None) -> str:
    """How far a training is, for those who only look; a run finds the same.

    Args:
        home: of the pipeline.
        identity: its run's id.
        checkpoint: checksum of its weights, if it is published.
    """
    folder = home.run(identity)
    if (
        checkpoint
        and not folders.lost_weights(folder, checkpoint)
        and not folders.lost_ranks(folder)
    ):
        return DONE
    if not problem(folder) and not folders.lost_ranks(folder):
        return PUBLISH
    return GO_ON if folders.is_begun(folder) else TO_DO
