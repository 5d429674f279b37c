"""Writing a checkpoint: beside its place, to the disk, and only then into its place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from looptree.callbacks.checkpoints.arrays import write_arrays
from looptree.callbacks.checkpoints.errors import CheckpointError
from looptree.callbacks.checkpoints.files import to_disk
from looptree.callbacks.checkpoints.layout import ARRAYS, STATE, folder_of, numbered
from looptree.callbacks.checkpoints.manifest import write_manifest
from looptree.callbacks.checkpoints.reading import load_checkpoint
from looptree.callbacks.checkpoints.tree import Parts


def write_checkpoint(
    checkpoints: Path, count: int, parts: Parts, keep: int, before_placed: Callable[[], object] | None = None
) -> Path:
    """Write the state after `count` passes, and let it take its place among the checkpoints; of those before it, only
    the newest stay, so that there are `keep`.

    The arrays are written as they are, without a copy; they must not change meanwhile. `before_placed` is called when
    everything is on the disk, but not yet in its place.

    Raises:
        OSError, safetensors.SafetensorError: the disk does not take it; nothing of it is left, and nothing else gone.
    """
    beside = checkpoints / f".{count:012d}.part"
    try:
        _make(checkpoints)
        _remove(beside)
        beside.mkdir()
        manifest = _write_files(beside, count, parts)
        if before_placed is not None:
            before_placed()
        place = _place(beside, folder_of(checkpoints, count), manifest)
    except BaseException:
        _remove(beside)
        raise
    before = [path for path in numbered(checkpoints) if int(path.name) < count]
    for path in before[: max(len(before) - (keep - 1), 0)]:
        _delete(path)
    return place


def _make(folder: Path) -> None:
    """Have a folder, for good."""
    if not folder.is_dir():
        folder.mkdir(parents=True)
        to_disk(folder.parent)


def _write_files(folder: Path, count: int, parts: Parts) -> dict[str, Any]:
    """Write all files of a checkpoint to the disk, and give its manifest."""
    (folder / STATE).write_bytes(parts.text)
    write_arrays(folder / ARRAYS, parts.arrays)
    (folder / ARRAYS).chmod((folder / STATE).stat().st_mode)  # safetensors lets nobody else read it
    manifest = write_manifest(folder, count, parts)
    to_disk(folder)
    return manifest


def _place(written: Path, place: Path, manifest: dict[str, Any]) -> Path:
    """Let what was written take its place, unless the very same is there."""
    if os.path.lexists(place):
        if _holds(place, manifest):
            _remove(written)
            return place
        _delete(place)
    written.rename(place)
    to_disk(place.parent)
    return place


def _holds(place: Path, manifest: dict[str, Any]) -> bool:
    """Whether a checkpoint is whole and has the same contents as another of that manifest."""
    try:
        there = load_checkpoint(place)
    except CheckpointError:
        return False
    return bool(there.manifest["files"] == manifest["files"])


def _delete(path: Path) -> None:
    """Take a checkpoint out of its place, and then delete it: half of one is never seen."""
    gone = path.with_name(f".{path.name}.gone")
    _remove(gone)
    path.rename(gone)
    _remove(gone)


def _remove(path: Path) -> None:
    """Remove a folder with all that is in it, if it is there; of a link only the link."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def clear_away(checkpoints: Path) -> None:
    """Delete what a process left behind that ended while it wrote or deleted a checkpoint."""
    if checkpoints.is_dir():
        for path in checkpoints.iterdir():
            if path.name.startswith(".") and path.suffix in (".part", ".gone"):
                _remove(path)
