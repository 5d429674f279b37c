"""Checkpoints: the whole state of a loop in files, from which a later run goes on exactly.

    Learner(cbs=Checkpoint("runs/first")).run()
    ...
    newest_checkpoint("runs/first").into(learner)

Nothing in the files is pickled, and nothing that they name is imported. Needs the packages `numpy` and `safetensors`.
"""

from __future__ import annotations

from looptree.callbacks.checkpoints.checkpoint import Checkpoint, CheckpointNotWritten
from looptree.callbacks.checkpoints.errors import (
    CheckpointError,
    CheckpointsAhead,
    DamagedCheckpoint,
    NoCheckpoint,
    UnsavableState,
    WrongCheckpointFormat,
)
from looptree.callbacks.checkpoints.reading import CheckpointPassedOver, Loaded, load_checkpoint, newest_checkpoint

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "CheckpointNotWritten",
    "CheckpointPassedOver",
    "CheckpointsAhead",
    "DamagedCheckpoint",
    "Loaded",
    "NoCheckpoint",
    "UnsavableState",
    "WrongCheckpointFormat",
    "load_checkpoint",
    "newest_checkpoint",
]
