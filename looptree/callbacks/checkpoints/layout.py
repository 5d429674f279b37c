"""The folder of a checkpoint: where it stands, and which files are in it.

RUN/checkpoints/000000001200/     the state after 1,200 passes
    state.json                    the state without its arrays, as `tree` takes it apart
    arrays.safetensors            its arrays; those of types that safetensors does not know as bytes
    manifest.json                 how this is to be read, the sizes and checksums of the other two, what was not saved

What is being written or deleted stands beside, under a name that begins with a dot.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from looptree.callbacks.checkpoints.errors import DamagedCheckpoint

CHECKPOINTS = "checkpoints"
STATE = "state.json"
ARRAYS = "arrays.safetensors"
MANIFEST = "manifest.json"

LARGEST_TEXT = 16 * 2**20
"""The most bytes of a JSON file that are read: a state's numbers are few, what is long stands in arrays."""

_NUMBERED = re.compile(r"[0-9]{12,}")


def checkpoints_of(run: str | os.PathLike[str]) -> Path:
    """The folder in that of a run in which its checkpoints stand.

    Raises `DamagedCheckpoint` where it leads elsewhere: nothing is to be written or deleted there.
    """
    path = Path(run) / CHECKPOINTS
    if path.is_symlink():
        raise DamagedCheckpoint(f"{path} is a link. A run has its checkpoints in its own folder; move them there.")
    return path


def folder_of(checkpoints: Path, count: int) -> Path:
    """Where the checkpoint after that many passes stands."""
    return checkpoints / f"{count:012d}"


def numbered(checkpoints: Path) -> list[Path]:
    """The folders of the checkpoints in a folder, the oldest first; whether they are whole is to be seen."""
    if not checkpoints.is_dir():
        return []
    found = [path for path in checkpoints.iterdir() if _NUMBERED.fullmatch(path.name)]
    folders = (path for path in found if path.is_dir() and not path.is_symlink())
    return sorted(folders, key=lambda path: int(path.name))
