"""Returns: what was gained after each step of a rollout, as pure functions of arrays `(steps, envs)`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def gae(
    rewards: NDArray[np.floating[Any]],
    values: NDArray[np.floating[Any]],
    next_values: NDArray[np.floating[Any]],
    terminated: NDArray[np.bool_],
    truncated: NDArray[np.bool_],
    real: NDArray[np.bool_],
    gamma: float,
    gae_lambda: float,
) -> NDArray[np.floating[Any]]:
    """Generalised advantage estimates (Schulman et al. 2016, High-dimensional continuous control using
    generalized advantage estimation, equations 11 to 16).

    All arrays are `(steps, envs)`, in the order in which the steps were made. `values` are those of the
    observations acted on, `next_values` those of what the actions led to: at the end of an episode its true
    last observation, in the last row the one that comes next. Beyond a terminated step there is no value;
    a truncated one has the value of what follows. The sum of later errors stops at both. A row that is not
    `real` has no error: the step before an episode broke off is worth what it led to.
    """
    deltas = rewards + gamma * np.where(terminated, 0.0, next_values).astype(values.dtype) - values
    deltas *= real
    decays = np.where(terminated | truncated, 0.0, gamma * gae_lambda).astype(values.dtype)
    advantages = np.empty_like(deltas)
    advantage = np.zeros(deltas.shape[1:], deltas.dtype)
    for step in range(len(deltas) - 1, -1, -1):
        advantage = deltas[step] + decays[step] * advantage
        advantages[step] = advantage
    return advantages


def discounted_sums(
    rewards: NDArray[np.floating[Any]],
    ended: NDArray[np.bool_],
    gamma: float,
    begun: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The discounted sum of an episode's rewards up to each step, `(steps, envs)`, and what the next step goes
    on from, `(envs,)`.

    The newest reward counts whole, each older one `gamma` times as much as the one after it. `begun` `(envs,)`
    has the sums of the episodes under way; where `ended`, the next step begins a new episode.
    """
    sums = np.empty(rewards.shape)
    for step, reward in enumerate(rewards):
        sums[step] = gamma * begun + reward
        begun = np.where(ended[step], 0.0, sums[step])
    return sums, begun
