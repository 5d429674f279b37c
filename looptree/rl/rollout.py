"""Rollout: the steps that a policy has just made, in their order."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from looptree.rl.packed import as_bytes, kept_type
from looptree.rl.policies import Policy
from looptree.rl.transition import Transition


class Experience(NamedTuple):
    """Steps to learn from, one a row, in any order."""

    observation: Tensor  # (batch, *observation shape)
    action: Tensor  # (batch, *action shape)
    log_prob: Tensor  # (batch,) of the action, under the policy that took it
    value: Tensor  # (batch,) what the critic said of the observation
    advantage: Tensor  # (batch,)
    target: Tensor  # (batch,) what the critic should have said


class Rollout:
    """Up to `capacity` steps of `envs` environments side by side, row by row as they were made.

    Each observation is kept once: what an action led to is what the next row begins with. Only the true last
    observations of truncated episodes, whose value counts and which may not come next, are kept besides. Rows
    of a reset (see `Transition.real`) are kept in their place, and left out by `rows`.

    A rollout is filled and used within one pass of a learner, and so has no state between two of them.
    """

    def __init__(self, capacity: int, num_envs: int, observation_space: gymnasium.Space[Any], policy: Policy) -> None:
        """`observation_space` is that of a single environment.

        Raises `UnfitEnvironment` where observations are no arrays of numbers.
        """
        self.num_envs = num_envs
        self.steps = 0  # that hold something
        self._observation = np.zeros((capacity + 1, num_envs), kept_type(observation_space))
        self._action = torch.zeros((capacity, num_envs, *policy.action_shape), dtype=policy.action_dtype).numpy()
        self._reward = np.zeros((capacity, num_envs), np.float32)
        self._terminated = np.zeros((capacity, num_envs), np.bool_)
        self._truncated = np.zeros((capacity, num_envs), np.bool_)
        self._real = np.zeros((capacity, num_envs), np.bool_)
        self._following: NDArray[Any] = self._observation[0]  # what came after the last step
        self._last: list[Any] = []  # observations of truncated episodes
        self._last_at: list[tuple[int, int]] = []  # the step and the environment in which each of those ended

    def clear(self) -> None:
        """Hold nothing."""
        self.steps = 0
        self._last.clear()
        self._last_at.clear()

    def add(self, transition: Transition) -> None:
        """Store one step of all environments, real or not; where there is no room left, a new rollout begins."""
        if self.steps == len(self._reward):
            self.clear()
        step = self.steps
        self._observation[step] = transition.observation
        self._following = transition.next_observation
        self._action[step] = transition.action
        self._reward[step] = transition.reward
        self._terminated[step] = transition.terminated
        self._truncated[step] = truncated = transition.truncated
        self._real[step] = transition.real
        if truncated.any():
            for env in np.flatnonzero(truncated):
                self._last.append(transition.next_observation[env])
                self._last_at.append((step, int(env)))
        self.steps = step + 1

    @property
    def observation(self) -> NDArray[Any]:
        """The observations acted on, `(steps, envs, *observation shape)`."""
        return self._observation[: self.steps]

    @property
    def action(self) -> NDArray[Any]:
        """The actions taken, `(steps, envs, *action shape)`."""
        return self._action[: self.steps]

    @property
    def reward(self) -> NDArray[np.float32]:
        """What they earned, `(steps, envs)`; may be changed in place."""
        return self._reward[: self.steps]

    @property
    def terminated(self) -> NDArray[np.bool_]:
        """Where episodes terminated, `(steps, envs)`."""
        return self._terminated[: self.steps]

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """Where they were truncated, `(steps, envs)`."""
        return self._truncated[: self.steps]

    @property
    def real(self) -> NDArray[np.bool_]:
        """Where something happened, `(steps, envs)`."""
        return self._real[: self.steps]

    def seen(self) -> Tensor:
        """All observations of which `values` wants to know the value, `(rows, *observation shape)`, packed ones as
        bytes: those acted on, what came after the last, and the last ones of truncated episodes."""
        self._observation[self.steps] = self._following
        rows = self._observation[: self.steps + 1].reshape(-1, *self._observation.shape[2:])
        if self._last:
            rows = np.concatenate([rows, np.stack(self._last).astype(rows.dtype)])
        return torch.from_numpy(as_bytes(rows))

    def values(self, of_seen: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """From the values `(rows,)` of all that was `seen`: those of the observations acted on, and those of
        what the actions led to, both `(steps, envs)`."""
        in_order = of_seen[: (self.steps + 1) * self.num_envs].reshape(self.steps + 1, self.num_envs)
        following = in_order[1:].copy()
        for (step, env), value in zip(self._last_at, of_seen[in_order.size :], strict=True):
            following[step, env] = value
        return in_order[:-1], following

    def rows(self, values: NDArray[Any]) -> NDArray[Any]:
        """Of values `(steps, envs, ...)` those of real steps, one after the other: `(real steps, ...)`."""
        real = self.real
        return values.reshape(-1, *values.shape[2:]) if real.all() else values[real]
