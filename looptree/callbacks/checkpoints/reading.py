"""Reading a checkpoint. What stands in its files is believed only as far as it has been checked: nothing of it is
unpickled, evaluated, or imported, and no other file is opened because it is named there."""

from __future__ import annotations

import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from looptree.callbacks.checkpoints.arrays import Arrays
from looptree.callbacks.checkpoints.errors import DamagedCheckpoint, NoCheckpoint
from looptree.callbacks.checkpoints.files import checked, damage, in_short
from looptree.callbacks.checkpoints.layout import (
    ARRAYS,
    CHECKPOINTS,
    LARGEST_TEXT,
    MANIFEST,
    STATE,
    checkpoints_of,
    numbered,
)
from looptree.callbacks.checkpoints.manifest import read_manifest
from looptree.callbacks.checkpoints.tree import put_together
from looptree.core.errors import StateMismatch
from looptree.core.loop import Loop
from looptree.observe.versions import versions

# What comes of loading a state in which something is missing, or something else.
_MISFITS = (AttributeError, IndexError, KeyError, MemoryError, OverflowError, TypeError, ValueError, RuntimeError)


class CheckpointPassedOver(UserWarning):
    """The newest checkpoint is damaged, and an older one was loaded."""


@dataclass(frozen=True)
class Loaded:
    """A checkpoint that was read.

    The arrays of `state` are read from the file when they are looked at; what is written to them goes into memory, and
    never into the file.
    """

    state: Any  # what `state_dict()` gave
    count: int  # passes done
    manifest: dict[str, Any]
    path: Path

    @property
    def other_versions(self) -> tuple[str, ...]:
        """A sentence for each package, or Python itself, that was another version when the checkpoint was written."""
        then, now = self.manifest["versions"], versions()
        return tuple(
            f"written with {name} {then[name]}, read with {now[name]}"
            for name in then
            if name in now and now[name] != then[name]
        )

    def into(self, loop: Loop) -> None:
        """Bring a loop, made as the one that was saved, into the state.

        Raises:
            StateMismatch: the state is of a loop of another making, or of one as another version had it.
        """
        try:
            loop.load_state_dict(self.state)
        except _MISFITS as error:
            then, now = self.manifest["versions"]["looptree"], versions()["looptree"]
            fits = f" Go on with the version that wrote it: pip install 'looptree=={then}'." if then != now else ""
            raise StateMismatch(
                f"{self.path} was written by looptree {then}; this is looptree {now}, whose {loop.name} cannot go on "
                f"from its state ({type(error).__name__}: {in_short(error)}).{fits}"
            ) from error


def newest_checkpoint(folder: str | os.PathLike[str]) -> Loaded:
    """The newest whole checkpoint of a run's folder; damaged ones that are newer are named in a warning.

    Raises:
        NoCheckpoint: there is none, or none that is whole.
        WrongCheckpointFormat: the newest one is of another format.
        DamagedCheckpoint: the folder's checkpoints are somewhere else, behind a link.
    """
    run = Path(folder)
    passed_over: list[str] = []
    for path in reversed(numbered(checkpoints_of(run))):
        try:
            loaded = load_checkpoint(path)
        except (DamagedCheckpoint, NoCheckpoint) as error:
            passed_over.append(str(error))
            continue
        for problem in passed_over:
            warnings.warn(f"{problem} The one before it is used: {path}.", CheckpointPassedOver, stacklevel=2)
        return loaded
    if passed_over:
        raise NoCheckpoint(f"{run} has no whole checkpoint left: {' '.join(passed_over)}")
    raise NoCheckpoint(
        f"{run} has no checkpoint. Name the folder of a run that has {CHECKPOINTS!r} in it, as "
        f"Checkpoint({str(run)!r}) writes them."
    )


def load_checkpoint(folder: str | os.PathLike[str]) -> Loaded:
    """Read the checkpoint in a folder, after a check of every byte of it.

    Raises:
        NoCheckpoint: the folder holds none.
        DamagedCheckpoint: it is not what was written.
        WrongCheckpointFormat: it is of another format.
    """
    path = Path(folder)
    if not path.is_dir() or not os.path.lexists(path / MANIFEST):
        hint = f" newest_checkpoint({str(path)!r}) reads a run's." if (path / CHECKPOINTS).is_dir() else ""
        raise NoCheckpoint(f"{path} is no checkpoint: it has no {MANIFEST}.{hint}")
    manifest = read_manifest(path)
    with damage(path, f"what {STATE} and {ARRAYS} say makes no sense"):
        text = _text(path / STATE, manifest["files"][STATE])
        with checked(path / ARRAYS, manifest["files"][ARRAYS]) as file:
            arrays = Arrays(path / ARRAYS, file)
        state = put_together(json.loads(text, parse_constant=_no_constant), arrays.get)
    return Loaded(state, manifest["count"], manifest, path)


def _text(path: Path, expected: dict[str, Any]) -> bytes:
    """The contents of a file of JSON that is the expected one."""
    with checked(path, expected) as file:
        if expected["bytes"] > LARGEST_TEXT:
            raise ValueError(f"{path.name} is larger than any that is written")
        return file.read()


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")
