"""Reading a checkpoint. What stands in its files is believed only as far as it has been checked: nothing of it is
unpickled, evaluated, or imported, and no other file is opened because it is named there."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import re
import stat
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from looptree.callbacks.checkpoints.dtypes import dtype_from_plain
from looptree.callbacks.checkpoints.errors import DamagedCheckpoint, NoCheckpoint, WrongCheckpointFormat
from looptree.callbacks.checkpoints.layout import (
    ARRAYS,
    CHECKPOINTS,
    FORMAT,
    LARGEST_TEXT,
    MANIFEST,
    STATE,
    checkpoints_of,
    numbered,
    unsealed,
)
from looptree.callbacks.checkpoints.tree import put_together
from looptree.observe.versions import versions

# The bytes of one number of each type that is written.
_ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "C64": 8, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1,
}  # fmt: skip

_VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,60}")

# What comes of reading what makes no sense.
_SENSELESS = (
    AttributeError, IndexError, KeyError, MemoryError, OverflowError, RecursionError, TypeError, ValueError,
    struct.error,
)  # fmt: skip


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
        except DamagedCheckpoint as error:
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
    manifest = _manifest(path)
    text = _checked_text(path, STATE, manifest["files"][STATE])
    try:
        with _checked_arrays(path, manifest["files"][ARRAYS]) as arrays:
            state = put_together(json.loads(text, parse_constant=_no_constant), arrays.get)
    except (SafetensorError, *_SENSELESS) as error:
        raise DamagedCheckpoint(
            f"{path} is damaged: what {STATE} and {ARRAYS} say makes no sense ({_in_short(error)})."
        ) from error
    return Loaded(state, manifest["count"], manifest, path)


def _manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, if it is one that can be read here."""
    with _opened(path / MANIFEST) as file:
        text = file.read(LARGEST_TEXT)
    try:
        manifest = unsealed(text)
        _check_versions(manifest["versions"])
        if manifest["format"] != FORMAT:
            raise WrongCheckpointFormat(_what_reads(path, manifest["format"], manifest["versions"]["looptree"]))
        if type(manifest["count"]) is not int or set(manifest["files"]) != {STATE, ARRAYS}:
            raise ValueError("it is of other files")
    except _SENSELESS as error:
        raise DamagedCheckpoint(
            f"{path} is damaged: {MANIFEST} is not what was written ({_in_short(error)})."
        ) from error
    return manifest


def _check_versions(named: dict[str, str]) -> None:
    """Versions are shown to people, and in a command."""
    for text in (*named, *named.values()):
        if not _VERSION.fullmatch(text):
            raise ValueError(f"{text[:50]!r} is no version")


def _what_reads(path: Path, number: Any, version: str) -> str:
    """What to do with a checkpoint of another format, which a version of looptree wrote."""
    now = versions()["looptree"]
    if type(number) is not int:
        raise ValueError(f"{number!r} is no format")
    if number > FORMAT:
        return (
            f"{path} was written by looptree {version} in format {number}; this is looptree {now}, which reads formats "
            f"up to {FORMAT}. Go on with that version or a newer one: pip install 'looptree>={version}'."
        )
    return (
        f"{path} was written by looptree {version} in format {number}, which looptree {now} does not read any more. "
        f"Go on with the version that wrote it: pip install 'looptree=={version}'."
    )


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """A file of a checkpoint, opened: never one somewhere else, and nothing that could be waited for."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        what = "is a link" if path.is_symlink() else f"cannot be read ({error.strerror})"
        raise DamagedCheckpoint(f"{path.parent} is damaged: {path.name} {what}.") from error
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise DamagedCheckpoint(f"{path.parent} is damaged: {path.name} is no file.")
    with open(number, "rb") as file:
        yield file


@contextlib.contextmanager
def _checked(path: Path, name: str, expected: dict[str, Any]) -> Iterator[BufferedReader]:
    """A file of a checkpoint, if it is the one that the manifest is of."""
    with _opened(path / name) as file:
        size = os.fstat(file.fileno()).st_size
        if size != expected["bytes"]:
            raise DamagedCheckpoint(
                f"{path} is damaged: {name} has {size:,} bytes, and had {expected['bytes']:,} when it was written."
            )
        if hashlib.file_digest(file, "sha256").hexdigest() != expected["sha256"]:
            raise DamagedCheckpoint(f"{path} is damaged: {name} is not what was written.")
        file.seek(0)
        yield file


def _checked_text(path: Path, name: str, expected: dict[str, Any]) -> bytes:
    with _checked(path, name, expected) as file:
        if expected["bytes"] > LARGEST_TEXT:
            raise DamagedCheckpoint(f"{path} is damaged: {name} is larger than any that is written.")
        return file.read()


@contextlib.contextmanager
def _checked_arrays(path: Path, expected: dict[str, Any]) -> Iterator[_Arrays]:
    with _checked(path, ARRAYS, expected) as file:
        yield _Arrays(path / ARRAYS, file)


class _Arrays:
    """The arrays in a file of safetensors.

    They are views of the file, which the system reads when they are looked at: a replay buffer that is copied into its
    place is never held twice.
    """

    def __init__(self, path: Path, file: BufferedReader) -> None:
        with safe_open(path, "np") as tensors:  # which finds out whether everything is within the file
            sizes = {name: _tensor_bytes(tensors.get_slice(name)) for name in tensors.offset_keys()}
        self._bytes = np.memmap(file, np.uint8, "c")
        self._places: dict[str, tuple[int, int]] = {}  # the first byte of each array, and their number
        start = len(self._bytes) - sum(sizes.values())
        for name, size in sizes.items():
            self._places[name] = start, size
            start += size

    def get(self, name: str, plain_dtype: Any, shape: list[int], order: str) -> NDArray[Any]:
        """An array. Raises one of `_SENSELESS` where there is none of that name, or of another size."""
        dtype = dtype_from_plain(plain_dtype)
        start, size = self._places[name]
        if not all(type(length) is int and length >= 0 for length in shape) or order not in ("C", "F"):
            raise ValueError(f"{name!r} has shape {shape!r}, order {order!r}")
        if dtype.itemsize * math.prod(shape) != size:
            raise ValueError(f"{name!r} has {size} bytes, which are not {shape!r} of {dtype}")
        return np.ndarray(shape, dtype, self._bytes, start, order="F" if order == "F" else "C")


def _tensor_bytes(tensor: Any) -> int:
    shape: list[int] = tensor.get_shape()
    return _ITEM_BYTES[tensor.get_dtype()] * math.prod(shape)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _in_short(error: BaseException) -> str:
    """What an error says, in one line that can be shown: the file may have said it."""
    return "".join(character if character.isprintable() else "?" for character in str(error)[:300])
