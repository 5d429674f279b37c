"""ActorCritic: a policy's network and a value network side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from looptree.rl.networks import Network
from looptree.rl.policies import Policy


class ActorCritic(Network):
    """Two networks of the same shape that share nothing, tanh between their layers: the actor says what the
    policy needs, the critic how much an observation is worth.

    The hidden layers of the two are kept as one tensor, `(2, inputs, units)`, so that one operation does for
    both. Initial weights are orthogonal, of gain sqrt(2) in hidden layers, 0.01 for the actor's outputs and
    1 for the critic's; biases are zero (Engstrom et al. 2020, Implementation matters in deep policy
    gradients; Andrychowicz et al. 2021, What matters in on-policy reinforcement learning).
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        policy: Policy,
        generator: torch.Generator,
        normaliser: nn.Module | None = None,
    ) -> None:
        """`normaliser`, where there is one, is what both ask of an observation before anything else."""
        super().__init__()
        self.policy = policy
        self.normaliser = normaliser
        sizes = (input_size, *hidden_sizes)
        self.weights = nn.ParameterList(
            torch.stack([_orthogonal(inputs, units, math.sqrt(2), generator) for _ in range(2)])
            for inputs, units in itertools.pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(2, 1, units) for units in hidden_sizes)
        self.actor_weight = nn.Parameter(_orthogonal(sizes[-1], policy.output_size, 0.01, generator))
        self.actor_bias = nn.Parameter(torch.zeros(policy.output_size))
        self.critic_weight = nn.Parameter(_orthogonal(sizes[-1], 1, 1.0, generator).squeeze(1))
        self.critic_bias = nn.Parameter(torch.zeros(1))

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """The policy's outputs `(batch, outputs)` and the values `(batch,)` of observations `(batch,
        inputs)`."""
        features = self._read(observation).expand(2, -1, -1)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            features = torch.tanh(torch.baddbmm(bias, features, weight))
        actor, critic = features.unbind()
        return (
            torch.addmm(self.actor_bias, actor, self.actor_weight),
            torch.addmv(self.critic_bias, critic, self.critic_weight),
        )

    def predict(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        """The policy's outputs `(envs, outputs)` alone, for acting."""
        with torch.inference_mode():
            features = self._read(torch.tensor(observation))
            for weight, bias in zip(self.weights, self.biases, strict=True):
                features = torch.tanh(torch.addmm(bias[0], features, weight[0]))
            outputs: NDArray[np.float32] = torch.addmm(self.actor_bias, features, self.actor_weight).numpy()
        return outputs

    def _read(self, observation: Tensor) -> Tensor:
        observation = observation.float()
        return observation if self.normaliser is None else self.normaliser(observation)


def _orthogonal(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> Tensor:
    return nn.init.orthogonal_(torch.empty(outputs, inputs), gain, generator).T.contiguous()
