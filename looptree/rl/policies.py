"""Policies: distributions over the actions of a space, whose parameters a network gives.

Each is two things in one. For acting it draws actions in NumPy from the network's outputs; for learning it
gives the log-probability and the entropy in torch, written out in as few operations as they take. Actions are
the agent's own: `to_environment` makes of them what the environment's space has.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor, nn

from looptree.rl.fits import fitting_actions

_LOG_2_PI = math.log(2 * math.pi)


class Policy(nn.Module, ABC):
    """A distribution over actions; `outputs` are what a network says of each observation."""

    output_size: int  # numbers that the network has to give
    action_shape: tuple[int, ...]  # of a single action as it is sampled
    action_dtype: torch.dtype

    @abstractmethod
    def sample(self, outputs: NDArray[np.float32], generator: np.random.Generator) -> NDArray[Any]:
        """Actions `(envs, *action shape)` drawn for outputs `(envs, output size)`."""

    @abstractmethod
    def mode(self, outputs: NDArray[np.float32]) -> NDArray[Any]:
        """The likeliest actions `(envs, *action shape)`, the first of several that are equal."""

    @abstractmethod
    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """The log-probabilities (or densities) `(batch,)` of actions `(batch, *action shape)`."""

    @abstractmethod
    def entropy(self, outputs: Tensor) -> Tensor:
        """The entropies `(batch,)` in nats."""

    def slopes(self, outputs: Tensor, actions: Tensor, of_log_prob: Tensor, of_entropy: float) -> tuple[Tensor, ...]:
        """The slopes at the outputs `(batch, output size)`, and after them those at the policy's own parameters, of a
        loss that has the slopes `of_log_prob` `(batch,)` at the log-probabilities of actions `(batch, *action shape)`,
        and the slope `of_entropy` at every entropy.

        This is what autograd finds; a policy that has a formula is quicker.
        """
        with torch.enable_grad():
            outputs = outputs.detach().requires_grad_()
            loss = self.log_prob(outputs, actions).dot(of_log_prob)
            if of_entropy:
                loss = loss + of_entropy * self.entropy(outputs).sum()
        return torch.autograd.grad(loss, [outputs, *self.parameters()])

    @abstractmethod
    def to_environment(self, actions: NDArray[Any]) -> NDArray[Any]:
        """The members `(envs, *shape)` of the environment's space that stand for actions."""


class Categorical(Policy):
    """One of `n` actions; the outputs are their logits. For `Discrete`."""

    action_shape = ()
    action_dtype = torch.int64

    def __init__(self, space: spaces.Discrete) -> None:
        super().__init__()
        self.output_size = int(space.n)
        self.start = space.start
        self.dtype = space.dtype

    def sample(self, outputs: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.int64]:
        """The highest of the logits with Gumbel noise on them: distributed as their softmax says."""
        return self.mode(outputs + generator.gumbel(size=outputs.shape))

    def mode(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        """The actions of the highest logit."""
        likeliest: NDArray[np.int64] = outputs.argmax(1)
        return likeliest

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """The log-softmax of the logits at the actions."""
        return -nn.functional.cross_entropy(outputs, actions, reduction="none")

    def entropy(self, outputs: Tensor) -> Tensor:
        """Minus the expected log-probability."""
        log_probs = torch.log_softmax(outputs, 1)
        return -(log_probs.exp() * log_probs).sum(1)

    def slopes(self, outputs: Tensor, actions: Tensor, of_log_prob: Tensor, of_entropy: float) -> tuple[Tensor, ...]:
        """A logit raises the log-probability of its own action by 1, and that of every action by minus its
        probability p; it raises the entropy by -p (log p + entropy)."""
        log_probs = torch.log_softmax(outputs, 1)
        probs, of_log_prob = log_probs.exp(), of_log_prob.unsqueeze(1)
        slopes = (-of_log_prob * probs).scatter_add_(1, actions.unsqueeze(1), of_log_prob)
        if of_entropy:
            expected = (probs * log_probs).sum(1, keepdim=True)
            slopes -= of_entropy * probs * (log_probs - expected)
        return (slopes,)

    def to_environment(self, actions: NDArray[Any]) -> NDArray[Any]:
        """The actions, counted from where the space starts."""
        members: NDArray[Any] = np.add(actions, self.start, dtype=self.dtype, casting="unsafe")
        return members


class MultiCategorical(Policy):
    """Several choices at once, each independent of the others; the outputs are the logits of the first, then
    those of the second, and so on. For `MultiDiscrete` and `MultiBinary`."""

    action_dtype = torch.int64

    def __init__(self, space: spaces.MultiDiscrete | spaces.MultiBinary) -> None:
        super().__init__()
        self.start: NDArray[Any] | int = 0
        if isinstance(space, spaces.MultiBinary):
            self.sizes = [2] * math.prod(space.shape)
        else:
            self.sizes = [int(n) for n in space.nvec.reshape(-1)]
            self.start = space.start
        self.output_size = sum(self.sizes)
        self.action_shape = (len(self.sizes),)
        self.shape = space.shape
        self.dtype = space.dtype
        self._ends = np.cumsum(self.sizes)[:-1]

    def sample(self, outputs: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.int64]:
        """As `Categorical` does, choice by choice."""
        return self.mode(outputs + generator.gumbel(size=outputs.shape))

    def mode(self, outputs: NDArray[Any]) -> NDArray[np.int64]:
        """The options of the highest logit in each choice."""
        return np.stack([logits.argmax(1) for logits in np.split(outputs, self._ends, 1)], 1)

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """The sum over the choices."""
        each = [
            torch.log_softmax(logits, 1).gather(1, action)
            for logits, action in zip(outputs.split(self.sizes, 1), actions.split(1, 1), strict=True)
        ]
        return torch.cat(each, 1).sum(1)

    def entropy(self, outputs: Tensor) -> Tensor:
        """The sum over the choices."""
        log_probs = torch.cat([torch.log_softmax(logits, 1) for logits in outputs.split(self.sizes, 1)], 1)
        return -(log_probs.exp() * log_probs).sum(1)

    def to_environment(self, actions: NDArray[Any]) -> NDArray[Any]:
        """The actions in the shape of the space, counted from where it starts."""
        members: NDArray[Any] = actions.reshape(len(actions), *self.shape) + self.start
        return members.astype(self.dtype)


class DiagonalGaussian(Policy):
    """A normal distribution for each dimension, with the outputs as means, and standard deviations that are
    parameters of their own, the same for all observations. For `Box`.

    An action of -1 to 1 stands for the way from the lower to the upper bound of the space. In a dimension with only one
    bound, -1 is the lower or 1 the upper one, and in one with none an action stands for itself. What lies outside the
    bounds is clipped for the environment only: the probability is that of the action as it was sampled.
    """

    action_dtype = torch.float32

    def __init__(self, space: spaces.Box, initial_log_std: float = 0.0) -> None:
        super().__init__()
        self.output_size = math.prod(space.shape)
        self.action_shape = (self.output_size,)
        self.log_std = nn.Parameter(torch.full((self.output_size,), initial_log_std))
        self.low, self.high = space.low, space.high
        below, above = np.isfinite(self.low), np.isfinite(self.high)
        low = np.where(below, self.low, np.where(above, self.high - 2, -1.0))
        high = np.where(above, self.high, np.where(below, self.low + 2, 1.0))
        low, high = low / 2, high / 2  # at first: the way between the widest bounds is no finite number
        self.centre = (low + high).astype(space.dtype)
        self.reach = (high - low).astype(space.dtype)

    def sample(self, outputs: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
        """The means with noise."""
        std = np.exp(self.log_std.numpy(force=True))
        actions: NDArray[np.float32] = outputs + std * generator.standard_normal(outputs.shape, np.float32)
        return actions

    def mode(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The means."""
        return outputs

    def log_prob(self, outputs: Tensor, actions: Tensor) -> Tensor:
        """The sum of the log-densities of all dimensions."""
        errors = (actions - outputs) * torch.exp(-self.log_std)
        return -0.5 * errors.square().sum(1) - (self.log_std.sum() + 0.5 * self.output_size * _LOG_2_PI)

    def entropy(self, outputs: Tensor) -> Tensor:
        """The same for every row."""
        return (self.log_std.sum() + 0.5 * self.output_size * (1 + _LOG_2_PI)).expand(len(outputs))

    @torch.no_grad()
    def slopes(self, outputs: Tensor, actions: Tensor, of_log_prob: Tensor, of_entropy: float) -> tuple[Tensor, ...]:
        """With an error e of the mean, in standard deviations s, the mean raises the log-density by e / s, and log s
        raises it by e^2 - 1, and the entropy by 1."""
        precision = torch.exp(-self.log_std)
        errors = (actions - outputs) * precision
        of_outputs = errors * of_log_prob.unsqueeze(1)
        of_log_std = (of_outputs * errors).sum(0) + (of_entropy * len(outputs) - of_log_prob.sum())
        return of_outputs * precision, of_log_std

    def to_environment(self, actions: NDArray[Any]) -> NDArray[Any]:
        """The actions scaled to the space's bounds, and clipped to them."""
        shaped = actions.reshape(len(actions), *self.low.shape)
        scaled: NDArray[Any] = (self.centre + self.reach * shaped).clip(self.low, self.high)
        return scaled.astype(self.low.dtype, copy=False)


def policy_for(learner: str, space: gymnasium.Space[Any], initial_log_std: float = 0.0) -> Policy:
    """The policy for a single environment's actions.

    Raises `UnfitEnvironment`, naming the learner, where there is none.
    """
    fitting = fitting_actions(learner, "ppo", space)
    if isinstance(fitting, spaces.Box):
        return DiagonalGaussian(fitting, initial_log_std)
    return Categorical(fitting) if isinstance(fitting, spaces.Discrete) else MultiCategorical(fitting)
