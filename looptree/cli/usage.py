"""Usage: which commands there are, and the error of a command line that cannot be carried out as it was given."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from looptree.core.errors import LooptreeError, listed, nearest

COMMANDS = {
    "train": "train an agent, print where the time went, and evaluate the agent that the run keeps",
    "resume": "go on with a run that was interrupted or killed, from its last checkpoint",
    "describe": "print what would run, in which order, from which line, without running it",
    "profile": "train, and print calls and times of every hook",
    "trace": "train, and print which hook changed which field; or print what was traced in a run",
    "runs": "list what was trained: how far each run came, its return, and how it ended",
    "why": "print which hook made a field of a run what it was, and what it read",
    "report": "write a page about a run, or about several beside each other; or follow one in a browser",
    "play": "play episodes of the agent that a run kept, print their returns, and film them",
    "presets": "list the settings that are known to work, by algorithm and environment",
}

HELP_FLAGS = ("-h", "--help")


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


def what_fits(name: str, names: Iterable[str]) -> str:
    """What would fit instead of a name that is none of these."""
    close = nearest(name, names)
    return f"nearest is {close!r}." if close else f"{listed(names)} would fit."
