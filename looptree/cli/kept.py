"""Kept runs: the learner that a folder written by `looptree train` holds, with the agent that its run kept."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from looptree.cli.usage import UsageError
from looptree.core.errors import BadSetting, LooptreeError, StateMismatch
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.learner import Learner
from looptree.rl.settings import settings_from
from looptree.rl.state import load_module_state


def kept_learner(folder: Path) -> Learner:
    """The learner of a run, whose network is the agent that the run kept.

    Raises:
        UsageError: there is no such folder, something else stands in it, or what the run wrote is damaged.
    """
    learner = _learner(folder, _settings(folder))
    try:
        load_module_state(learner.network, _arrays(folder / "agent.npz"))
    except (StateMismatch, TypeError) as error:
        raise UsageError(f"{folder}: agent.npz is not of the agent that settings.json tells of: {error}") from error
    learner.network.eval()
    return learner


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / "settings.json"
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UsageError(f"{folder}: there is no run; a folder that looptree train wrote would fit.") from error
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}.") from error
    kinds = {"algorithm": str, "env_id": str, "seed": int, "settings": dict}
    if not isinstance(settings, dict) or not all(isinstance(settings.get(name), kinds[name]) for name in kinds):
        raise UsageError(f"{file} is not what looptree train writes.")
    return settings


def _learner(folder: Path, kept: dict[str, Any]) -> Learner:
    file = folder / "settings.json"
    algorithm = ALGORITHMS.get(kept["algorithm"])
    if algorithm is None:
        raise UsageError(f"{file}: there is no algorithm {kept['algorithm']!r}.")
    # JSON has no infinity: looptree train writes the word.
    values = {name: math.inf if value == "inf" else value for name, value in kept["settings"].items()}
    make: Callable[..., Learner] = algorithm.learner
    try:
        return make(kept["env_id"], settings_from(algorithm.settings, values), seed=kept["seed"])
    except BadSetting as error:
        raise UsageError(f"{file}: {error}") from error
    except LooptreeError as error:
        raise UsageError(str(error)) from error


def _arrays(file: Path) -> dict[str, NDArray[Any]]:
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError as error:
        raise UsageError(f"{file} is missing; looptree train writes it.") from error
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise UsageError(f"{file} is damaged; looptree train writes it anew.") from error
