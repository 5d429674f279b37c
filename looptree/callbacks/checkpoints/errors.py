"""The errors of checkpoints: states that cannot be written, files that cannot be read."""

from __future__ import annotations

from looptree.core.errors import LooptreeError


class CheckpointError(LooptreeError):
    """The base of every error about checkpoints."""


class UnsavableState(CheckpointError):
    """A state holds something else than arrays, numbers, strings and plain containers of those."""


class CheckpointsAhead(CheckpointError):
    """A run was begun in a folder that has checkpoints of more passes than its loop has done."""


class NoCheckpoint(CheckpointError):
    """A folder has no checkpoint, or none that is whole."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint is not what was written: something is missing, was changed, or makes no sense."""


class WrongCheckpointFormat(CheckpointError):
    """A checkpoint was written by a version of looptree that keeps them in another format."""
