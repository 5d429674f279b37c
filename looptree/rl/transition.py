"""Transition: what one step of a batch of environments gives."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Transition(NamedTuple):
    """One step of `envs` environments side by side.

    `terminated` (the task ended: no value beyond) and `truncated` (a limit of time or place cut the episode:
    the next observation has a value) are kept apart; where both are set, terminated counts.
    `next_observation` is what the action led to, at the end of an episode its true last observation, never
    the first of the next one. Where `real` is False, nothing happened but the reset of an environment that
    resets itself one step late, or of one that broke, whose row is truncated: such a row is no experience, is
    not to be stored, and counts neither as a step nor in a return.
    """

    observation: NDArray[Any]  # (envs, *observation shape)
    action: NDArray[Any]  # (envs, *action shape)
    reward: NDArray[np.float64]  # (envs,)
    terminated: NDArray[np.bool_]  # (envs,)
    truncated: NDArray[np.bool_]  # (envs,)
    next_observation: NDArray[Any]  # (envs, *observation shape)
    real: NDArray[np.bool_]  # (envs,)
