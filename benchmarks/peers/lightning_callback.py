"""A watch as a callback of Lightning, which is published under two names."""

from typing import Any

from peer import Peer
from watches import Watch


def callback(base: type, peer: Peer, watch: Watch) -> Any:
    """A callback that lets a watch look on.

    Args:
        base: `Callback` of the package whose trainer it is for; they refuse each other's.
        peer: gets the trainer's optimiser.
        watch: looks on.
    """

    class Watching(base):
        def __deepcopy__(self, _: Any) -> "Watching":
            return self  # RecTools copies its trainer; there is one watch

        def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
            (peer.optimizer,) = trainer.optimizers
            watch.begin_epoch()

        def on_train_batch_end(self, *_: Any) -> None:
            watch.after_step()

        def on_train_epoch_end(self, *_: Any) -> None:
            watch.end_epoch()

    return Watching()


def trainer_of(trainer: type, base: type, peer: Peer, watch: Watch) -> Any:
    """A trainer that a watch ends; it keeps and logs nothing. Settings are applied by the watch.

    Args:
        trainer: `Trainer` of `pytorch_lightning` or `lightning`.
        base, peer, watch: see `callback`.
    """
    return trainer(
        accelerator="gpu" if peer.sequences.device.type == "cuda" else "cpu",
        devices=1,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback(base, peer, watch)],
    )
