"""Files of a checkpoint, opened and checked; whatever is wrong with them makes it a damaged one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import struct
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from looptree.callbacks.checkpoints.errors import DamagedCheckpoint

# What comes of reading what makes no sense, or what the disk does not give back.
_UNREADABLE = (
    AttributeError, IndexError, KeyError, MemoryError, OSError, OverflowError, RecursionError, TypeError, ValueError,
    SafetensorError, struct.error,
)  # fmt: skip


@contextlib.contextmanager
def damage(checkpoint: Path, what: str) -> Iterator[None]:
    """Whatever goes wrong within is a damage of the checkpoint, which the error tells together with its cause."""
    try:
        yield
    except _UNREADABLE as error:
        raise DamagedCheckpoint(f"{checkpoint} is damaged: {what} ({in_short(error)}).") from error


def in_short(error: BaseException) -> str:
    """What an error says, in one line that can be shown: the file may have said it."""
    return "".join(character if character.isprintable() else "?" for character in str(error)[:300])


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A file of a checkpoint, opened: never one somewhere else, and nothing that could be waited for."""
    with damage(path.parent, f"{path.name} cannot be read"):
        if path.is_symlink():
            raise ValueError("it is a link")
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise ValueError("it is no file")
        with open(number, "rb") as file:
            yield file


@contextlib.contextmanager
def checked(path: Path, expected: dict[str, Any]) -> Iterator[BufferedReader]:
    """A file of a checkpoint, opened, if it is the one that `summed_up` has told of."""
    with opened(path) as file:
        with damage(path.parent, f"{path.name} is not what was written"):
            size = os.fstat(file.fileno()).st_size
            if size != expected["bytes"]:
                raise ValueError(f"it has {size} bytes, and had {expected['bytes']}")
            if _sums(file) != expected:
                raise ValueError("its checksum is another")
        file.seek(0)
        yield file


def summed_up(path: Path) -> dict[str, Any]:
    """The size and checksum of a file, which is on the disk then."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return _sums(file)


def _sums(file: BufferedReader) -> dict[str, Any]:
    return {"bytes": os.fstat(file.fileno()).st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def to_disk(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
