"""Fits: which algorithm acts in which spaces, in one table, and refusals that are read off it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from looptree.core.errors import listed
from looptree.rl.errors import UnfitEnvironment


def _is_point(space: gymnasium.Space[Any]) -> bool:
    return isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating)


KINDS: dict[str, Callable[[gymnasium.Space[Any]], bool]] = {
    "Discrete": lambda space: isinstance(space, spaces.Discrete),
    "MultiDiscrete": lambda space: isinstance(space, spaces.MultiDiscrete),
    "MultiBinary": lambda space: isinstance(space, spaces.MultiBinary),
    "Box of floating point": _is_point,
}
"""The kinds of actions by name."""

ACTS_IN = {
    "a2c": tuple(KINDS),
    "c51": ("Discrete",),
    "d3qn": ("Discrete",),
    "dqn": ("Discrete",),
    "ppo": tuple(KINDS),
    "rainbow": ("Discrete",),
}
"""The kinds of actions that each of the algorithms acts in."""


def fitting_actions(learner: str, algorithm: str, space: gymnasium.Space[Any]) -> Any:
    """The space of a single environment's actions, where an algorithm acts in it.

    Raises `UnfitEnvironment`, naming the `learner` that wants to, and the algorithms that do, where it does not.
    """
    kind = next((name for name, is_of in KINDS.items() if is_of(space)), None)
    if kind in ACTS_IN[algorithm]:
        return space
    others = [name for name, kinds in ACTS_IN.items() if kind in kinds]
    if others:
        raise UnfitEnvironment(f"{learner} cannot act in {space}; {listed(others)} can.")
    raise UnfitEnvironment(
        f"{learner} cannot act in {space}, nor can any other algorithm; actions in {listed(ACTS_IN[algorithm])} would "
        f"fit {learner}."
    )
