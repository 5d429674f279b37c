"""Save: a file appears whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from looptree.core.errors import LooptreeError


class CannotSave(LooptreeError, OSError):
    """A file could not be written where it was asked for; nothing of it is left there."""


def save_whole(contents: str | bytes, path: str | os.PathLike[str]) -> Path:
    """Write a text or bytes beside the file that is wanted, and only then let it take that file's place.

    Raises:
        CannotSave: the folder does not exist or cannot be written, or at the path is something else than a file: a
            folder, or a device, which would be replaced too.
    """
    wanted = Path(path)
    beside = wanted.parent / f".{wanted.name}.{os.getpid()}.part"
    try:
        only_a_file(wanted)
        beside.unlink(missing_ok=True)
        with beside.open("xb") as file:  # never through a link that stands there
            file.write(contents.encode() if isinstance(contents, str) else contents)
        beside.replace(wanted)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise CannotSave(f"{wanted} cannot be written: {error.strerror}. {_what_fits(wanted)}") from error
    return wanted


def only_a_file(wanted: Path) -> None:
    """Raises OSError where at a path is something that is no file, and whose place none is to take: a folder, a device,
    a pipe."""
    if os.path.exists(wanted) and not wanted.is_file():
        raise OSError(errno.EINVAL, "it is no ordinary file")


def _what_fits(wanted: Path) -> str:
    if wanted.is_dir():
        return f"It is a folder; name a file in it, as {str(wanted / 'profile.json')!r}."
    if not wanted.parent.exists():
        return f"There is no folder {str(wanted.parent)!r}; make it first, or name a file in one that there is."
    return "Name a file in a folder that you may write to."
