"""The error of a command line that cannot be carried out as it was given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from looptree.core.errors import LooptreeError


class UsageError(LooptreeError):
    """A word of the command line does not fit; the message is one sentence, and says what would."""


@contextlib.contextmanager
def readable(folder: Path) -> Iterator[None]:
    """A folder that this `with` looks into, where the system does not let it, does not fit.

    Raises:
        UsageError: that is so.
    """
    try:
        yield
    except OSError as error:
        raise UsageError(f"{folder} cannot be read: {error.strerror}.") from error
