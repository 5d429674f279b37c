"""Writing a checkpoint: beside its place, to the disk, and only then into its place."""

from __future__ import annotations

import datetime
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from looptree.callbacks.checkpoints.errors import CheckpointError
from looptree.callbacks.checkpoints.layout import (
    ARRAYS,
    FORMAT,
    MANIFEST,
    STATE,
    folder_of,
    numbered,
    sealed,
)
from looptree.callbacks.checkpoints.reading import load_checkpoint
from looptree.callbacks.checkpoints.tree import Parts
from looptree.observe.versions import versions

# What safetensors has a type for.
_KNOWN = frozenset(["<f8", "<f4", "<f2", "<c8", "<i8", "<i4", "<i2", "|i1", "<u8", "<u4", "<u2", "|u1", "|b1"])


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
        checkpoints.mkdir(parents=True, exist_ok=True)
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


def _write_files(folder: Path, count: int, parts: Parts) -> dict[str, Any]:
    """Write all files of a checkpoint to the disk, and give its manifest."""
    (folder / STATE).write_bytes(parts.text)
    save_file({name: _storable(array) for name, array in parts.arrays.items()}, folder / ARRAYS)
    (folder / ARRAYS).chmod((folder / STATE).stat().st_mode)  # safetensors lets nobody else read it
    manifest = {
        "format": FORMAT,
        "count": count,
        "written_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        "files": {name: _summed_up(folder / name) for name in (STATE, ARRAYS)},
        "saved": parts.saved,
        "not_saved": parts.not_saved,
    }
    (folder / MANIFEST).write_text(sealed(manifest))
    _summed_up(folder / MANIFEST)
    _to_disk(folder)
    return manifest


def _summed_up(path: Path) -> dict[str, Any]:
    """The size and checksum of a file, which is on the disk then."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _to_disk(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """An array as safetensors can take it: without gaps, of a type that it knows; no copy where it can be helped."""
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        array = array.T
    gapless = np.ascontiguousarray(array)
    if gapless.dtype.str in _KNOWN:
        return gapless
    return gapless.reshape(-1).view(np.uint8) if gapless.nbytes else np.empty(0, np.uint8)


def _place(written: Path, place: Path, manifest: dict[str, Any]) -> Path:
    """Let what was written take its place, unless the very same is there."""
    if os.path.lexists(place):
        if _holds(place, manifest):
            _remove(written)
            return place
        _delete(place)
    written.rename(place)
    _to_disk(place.parent)
    return place


def _holds(place: Path, manifest: dict[str, Any]) -> bool:
    """Whether a checkpoint is whole and has the same contents as another of that manifest."""
    try:
        there = load_checkpoint(place)
    except (CheckpointError, OSError):
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
