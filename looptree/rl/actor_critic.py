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
from looptree.rl.normalise import ObservationNormaliser
from looptree.rl.policies import Policy

_SMALL = 2**17  # multiplications in one product of matrices; OpenBLAS starts threads beyond 2^18


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
        normaliser: ObservationNormaliser | None = None,
    ) -> None:
        """`normaliser`, where there is one, is what both ask of an observation before anything else."""
        super().__init__()
        self.policy = policy
        self.normaliser = normaliser
        sizes = (input_size, *hidden_sizes)
        self._layers = [(f"weight_{layer}", f"bias_{layer}") for layer in range(len(hidden_sizes))]
        for (weight, bias), (inputs, units) in zip(self._layers, itertools.pairwise(sizes), strict=True):
            both = [_orthogonal(inputs, units, math.sqrt(2), generator) for _ in range(2)]
            self.register_parameter(weight, nn.Parameter(torch.stack(both)))
            self.register_parameter(bias, nn.Parameter(torch.zeros(2, 1, units)))
        self._largest_product = max(
            inputs * units for inputs, units in itertools.pairwise((*sizes, policy.output_size))
        )
        self.actor_weight = nn.Parameter(_orthogonal(sizes[-1], policy.output_size, 0.01, generator))
        self.actor_bias = nn.Parameter(torch.zeros(policy.output_size))
        self.critic_weight = nn.Parameter(_orthogonal(sizes[-1], 1, 1.0, generator).squeeze(1))
        self.critic_bias = nn.Parameter(torch.zeros(1))

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """The policy's outputs `(batch, outputs)` and the values `(batch,)` of observations `(batch,
        inputs)`."""
        features = self._read(observation).expand(2, -1, -1)
        for weight, bias in self._layers:
            features = torch.baddbmm(getattr(self, bias), features, getattr(self, weight)).tanh_()
        actor, critic = features.unbind()
        return (
            torch.addmm(self.actor_bias, actor, self.actor_weight),
            torch.addmv(self.critic_bias, critic, self.critic_weight),
        )

    def predict(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        """The policy's outputs `(envs, outputs)` alone, for acting."""
        if len(observation) * self._largest_product > _SMALL:
            with torch.inference_mode():
                features = self._read(torch.tensor(observation))
                for weight, bias in self._layers:
                    features = torch.tanh(torch.addmm(getattr(self, bias)[0], features, getattr(self, weight)[0]))
                return torch.addmm(self.actor_bias, features, self.actor_weight).numpy()
        # NumPy answers in a fifth of the time, and on one thread as long as the matrices are small.
        array = observation.astype(np.float32)
        if self.normaliser is not None:
            array = self.normaliser.normalise(array)
        for weight, bias in self._layers:
            array = array @ getattr(self, weight).detach().numpy()[0]
            array += getattr(self, bias).detach().numpy()[0]
            np.tanh(array, array)
        outputs: NDArray[np.float32] = array @ self.actor_weight.detach().numpy()
        outputs += self.actor_bias.detach().numpy()
        return outputs

    def _read(self, observation: Tensor) -> Tensor:
        observation = observation.float()
        return observation if self.normaliser is None else self.normaliser(observation)


def _orthogonal(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> Tensor:
    return nn.init.orthogonal_(torch.empty(outputs, inputs), gain, generator).T.contiguous()
