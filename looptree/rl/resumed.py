"""Resumed: a learner made again from a checkpoint of itself, in the state that this holds."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from looptree.callbacks.checkpoints import Loaded, load_checkpoint, newest_checkpoint
from looptree.callbacks.checkpoints.layout import MANIFEST
from looptree.core.errors import StateMismatch
from looptree.rl.agent import Callbacks
from looptree.rl.algorithms import ALGORITHMS, Algorithm
from looptree.rl.learner import Learner
from looptree.rl.made_with import learner_of


def resumed(
    kind: type[Learner],
    path: str | Path,
    cbs: Callbacks | None = None,
    env_id: str | None = None,
    wrappers: Sequence[str] | None = None,
) -> Learner:
    """What `Learner.resume` gives; `kind` is the class on which it was called."""
    loaded = load_checkpoint(path) if (Path(path) / MANIFEST).exists() else newest_checkpoint(path)
    made = _made_with(loaded)
    learner = learner_of(_algorithm(kind, made["learner"], path, loaded), made, env_id, wrappers, cbs)
    loaded.into(learner)
    learner.other_versions = tuple(f"The checkpoint was {each}." for each in loaded.other_versions)
    return learner


def _made_with(loaded: Loaded) -> dict[str, Any]:
    """What the learner of a checkpoint was made with."""
    made = loaded.state.get("made_with") if isinstance(loaded.state, dict) else None
    if not isinstance(made, dict) or not isinstance(made.get("learner"), str):
        raise StateMismatch(f"{loaded.path} does not say what its loop was made with. {_by_hand(loaded)}")
    return made


def _by_hand(loaded: Loaded) -> str:
    return f"Make that as it was, and load what is there: load_checkpoint({str(loaded.path)!r}).into(loop)"


def _algorithm(kind: type[Learner], name: str, path: str | Path, loaded: Loaded) -> Algorithm:
    """What makes a learner whose class has that name: `kind`, or looptree's own of that name where it is a kind of
    `kind`. A class is never looked for elsewhere because a file names it."""
    for algorithm in ALGORITHMS.values():
        if algorithm.learner.__name__ == name and issubclass(algorithm.learner, kind):
            return algorithm
    if kind.__name__ != name:
        raise StateMismatch(f"{path} is of a {name}, not of a {kind.__name__}; {name}.resume({str(path)!r}) would fit.")
    if _takes_what_it_was_made_with(kind):
        for base in kind.__mro__:
            for algorithm in ALGORITHMS.values():
                if algorithm.learner is base:
                    return Algorithm(kind, algorithm.settings)
    raise StateMismatch(
        f"{name} is not made as {name}(env_id, settings, cbs, seed=0) like looptree's own, so that it cannot be made "
        f"again here. {_by_hand(loaded)}"
    )


def _takes_what_it_was_made_with(kind: Any) -> bool:
    try:
        inspect.signature(kind.__init__).bind(None, "env_id", settings=None, cbs=None, seed=0)
    except TypeError:
        return False
    return True
