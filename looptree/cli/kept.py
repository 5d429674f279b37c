"""Kept runs: the learner that a folder written by `looptree train` holds, with the agent that its run kept."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from numpy.typing import NDArray

from looptree.cli.options import RunFolder
from looptree.cli.results import AGENT
from looptree.cli.usage import UsageError
from looptree.core.errors import BadSetting, LooptreeError, StateMismatch
from looptree.observe.runs.folder import SETTINGS, NotReadable, file_in, json_in
from looptree.rl.learner import Learner
from looptree.rl.made_with import made_again
from looptree.rl.state import load_module_state, module_state

_HEAD_BYTES = 1 << 14  # of an array in a file, at most


@dataclass(frozen=True)
class KeptOptions:
    """The options of what makes a run's learner again."""

    folder: RunFolder = None
    env_id: Annotated[str | None, tyro.conf.arg(metavar="MODULE:ID")] = None
    """The environment of a run whose environment is of a module: what a file names is not imported."""
    wrappers: Annotated[tuple[str, ...] | None, tyro.conf.arg(metavar="MODULE:CLASS")] = None
    """The wrappers of a run of which one is of a module."""


def begun_learner(folder: Path, options: KeptOptions) -> Learner:
    """The learner of a run as it was when that began.

    Raises:
        UsageError: there is no such folder, or something else stands in it.
    """
    file = folder / SETTINGS
    try:
        return made_again(json_in(folder, SETTINGS), options.env_id, options.wrappers)
    except NotReadable as error:
        if isinstance(error.__cause__, FileNotFoundError | NotADirectoryError):
            raise UsageError(f"{folder}: there is no run; a folder that looptree train wrote would fit.") from error
        raise UsageError(f"{file} cannot be read: {error}.") from error
    except BadSetting as error:
        raise UsageError(f"{file}: {error}") from error
    except LooptreeError as error:
        raise UsageError(str(error)) from error


def kept_learner(folder: Path, options: KeptOptions) -> Learner:
    """The learner of a run, whose network is the agent that the run kept.

    Raises:
        UsageError: there is no such folder, something else stands in it, or what the run wrote is damaged.
    """
    learner = begun_learner(folder, options)
    load_kept(learner, folder)
    learner.network.eval()
    return learner


def load_kept(learner: Learner, folder: Path) -> None:
    """Give the network of a run's learner the agent that the run kept.

    Raises:
        UsageError: there is none, it is of something else, or it is damaged.
    """
    own = module_state(learner.network)
    most_bytes = sum(values.nbytes + _HEAD_BYTES for values in own.values())
    try:
        load_module_state(learner.network, _arrays(folder, most_bytes))
    except (StateMismatch, TypeError) as error:
        raise UsageError(f"{folder}: {AGENT} is not of the agent that {SETTINGS} tells of: {error}") from error


def _arrays(folder: Path, most_bytes: int) -> dict[str, NDArray[Any]]:
    file = folder / AGENT
    try:
        with file_in(folder, AGENT).open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            if sum(member.file_size for member in arrays.zip.infolist()) > most_bytes:
                raise StateMismatch("its arrays are larger.")
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise UsageError(
            f"{file} is missing; looptree resume {folder} brings the run to its end where it has not come to it, and "
            f"writes it."
        ) from error
    except PermissionError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile, NotReadable) as error:
        raise UsageError(
            f"{file} is damaged; looptree resume {folder} writes it anew, from the newest checkpoint."
        ) from error
