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

from looptree.rl.backward import Backward, ByAutograd
from looptree.rl.dense import LayerArrays
from looptree.rl.encoders import Encoder, Numbers
from looptree.rl.flat import FlatParameters
from looptree.rl.networks import Network, orthogonal_weights
from looptree.rl.normalise import ObservationNormaliser
from looptree.rl.packed import as_bytes
from looptree.rl.policies import Policy
from looptree.rl.twins import twins, twins_gradient

_IMAGES = 512  # asked about at once: on their way through the filters they are ten times as large
_SMALL = 2**17  # multiplications in one product of matrices; OpenBLAS starts threads beyond 2^18


class ActorCritic(Network):
    """Two networks of the same shape, tanh between their layers: the actor says what the policy needs, the critic how
    much an observation is worth. They share nothing but the encoder, which makes features of an observation.

    The hidden layers of the two are kept as one tensor, `(2, inputs, units)`, so that one operation does for
    both. Initial weights are orthogonal, of gain sqrt(2) in hidden layers, 0.01 for the actor's outputs and
    1 for the critic's; biases are zero (Engstrom et al. 2020, Implementation matters in deep policy
    gradients; Andrychowicz et al. 2021, What matters in on-policy reinforcement learning).
    """

    def __init__(
        self,
        encoder: Encoder,
        hidden_sizes: Sequence[int],
        policy: Policy,
        generator: torch.Generator,
        normaliser: ObservationNormaliser | None = None,
    ) -> None:
        """`normaliser`, where there is one, is what is asked of an observation before anything else."""
        super().__init__()
        self.policy = policy
        self.encoder = encoder
        self.normaliser = normaliser
        sizes = (encoder.size, *hidden_sizes)
        self.hidden: list[tuple[nn.Parameter, nn.Parameter]] = []  # the layers' weights and biases
        for layer, (inputs, units) in enumerate(itertools.pairwise(sizes)):
            both = [_orthogonal(inputs, units, math.sqrt(2), generator) for _ in range(2)]
            weight, bias = nn.Parameter(torch.stack(both)), nn.Parameter(torch.zeros(2, 1, units))
            self.register_parameter(f"weight_{layer}", weight)
            self.register_parameter(f"bias_{layer}", bias)
            self.hidden.append((weight, bias))
        self._reads_numbers = isinstance(encoder, Numbers)
        self._learns_to_read = bool(list(encoder.parameters()))
        self._largest_product = max(
            inputs * units for inputs, units in itertools.pairwise((*sizes, policy.output_size))
        )
        self.actor_weight = nn.Parameter(_orthogonal(sizes[-1], policy.output_size, 0.01, generator))
        self.actor_bias = nn.Parameter(torch.zeros(policy.output_size))
        self.critic_weight = nn.Parameter(_orthogonal(sizes[-1], 1, 1.0, generator).squeeze(1))
        self.critic_bias = nn.Parameter(torch.zeros(1))
        self._arrays = LayerArrays()

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """The policy's outputs `(batch, outputs)` and the values `(batch,)` of observations `(batch, *observation
        shape)`."""
        return self.conclude(self.activations(observation)[-1])

    def activations(self, observation: Tensor) -> list[Tensor]:
        """What goes into each hidden layer, and what comes out of the last, all `(2, batch, units)`."""
        return twins(self.hidden, self._read(observation))

    def conclude(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """What actor and critic say by what comes out of their last hidden layers, `(2, batch, units)`."""
        actor, critic = features.unbind()
        return (
            torch.addmm(self.actor_bias, actor, self.actor_weight),
            torch.addmv(self.critic_bias, critic, self.critic_weight),
        )

    def ask(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` gives, without autograd, for any number of observations."""
        with torch.no_grad():
            if not self._learns_to_read:
                return self.forward(observation)
            outputs, values = zip(*map(self.forward, observation.split(_IMAGES)), strict=True)
            return torch.cat(outputs), torch.cat(values)

    def backward(self, flat: FlatParameters) -> Backward:
        """The quickest way to the gradient of a loss. It asks for slopes at the policy's outputs, at the values, and
        at each parameter that is the policy's own.

        Raises `BadSetting` where the network, or a layer of it, is another one than was made.
        """
        flat.check_complete(self)
        if self._learns_to_read:
            return ByAutograd(self, flat, self.policy.parameters())
        return _ByHand(self, flat)

    def predict(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        """The policy's outputs `(envs, outputs)` alone, for acting."""
        if not self._reads_numbers or len(observation) * self._largest_product > _SMALL:
            with torch.inference_mode():
                features = self._read(torch.tensor(as_bytes(observation)))
                for weight, bias in self.hidden:
                    features = torch.tanh(torch.addmm(bias[0], features, weight[0]))
                return torch.addmm(self.actor_bias, features, self.actor_weight).numpy()
        # NumPy answers in a fifth of the time, and on one thread as long as the matrices are small.
        array = observation.astype(np.float32)
        if self.normaliser is not None:
            array = self.normaliser.normalise(array)
        array = array.reshape(len(array), self.encoder.size)
        *hidden, (last_weights, last_biases) = self._arrays.of([*self.hidden, (self.actor_weight, self.actor_bias)])
        for weights, biases in hidden:
            array = array @ weights[0]
            array += biases[0]
            np.tanh(array, array)
        outputs: NDArray[np.float32] = array @ last_weights
        outputs += last_biases
        return outputs

    def _read(self, observation: Tensor) -> Tensor:
        return self.encoder.forward(observation if self.normaliser is None else self.normaliser(observation.float()))


class _ByHand:
    """The gradient where the encoder learns nothing: without autograd, which takes longer than all the arithmetic."""

    def __init__(self, network: ActorCritic, flat: FlatParameters) -> None:
        self.network = network
        self.vector, parts = flat.gradient, flat.gradients
        self.hidden = [(parts[weight], parts[bias]) for weight, bias in network.hidden]
        self.actor_weight, self.actor_bias = parts[network.actor_weight], parts[network.actor_bias]
        self.critic_weight, self.critic_bias = parts[network.critic_weight], parts[network.critic_bias]
        self.policy = [parts[parameter] for parameter in network.policy.parameters()]

    def forward(self, observation: Tensor) -> tuple[Tensor, Tensor]:
        """The policy's outputs and the values; what went into each layer is kept."""
        with torch.no_grad():
            self.activations = self.network.activations(observation)
            return self.network.conclude(self.activations[-1])

    def gradient(self, slopes: Sequence[Tensor]) -> Tensor:
        """The same vector each time."""
        of_outputs, of_values, *of_policy = slopes
        features = self.activations[-1]
        of_features = torch.empty_like(features)
        with torch.no_grad():
            self._of_actor(features[0], of_outputs, of_features[0])
            self._of_critic(features[1], of_values, of_features[1])
            twins_gradient(self.network.hidden, self.activations, of_features, self.hidden)
        for part, slope in zip(self.policy, of_policy, strict=True):
            part.copy_(slope)
        return self.vector

    def _of_actor(self, features: Tensor, slopes: Tensor, of_features: Tensor) -> None:
        """Write the gradient of the actor's last layer, and the slopes at what went into it."""
        torch.mm(features.t(), slopes, out=self.actor_weight)
        torch.sum(slopes, 0, out=self.actor_bias)
        torch.mm(slopes, self.network.actor_weight.t(), out=of_features)

    def _of_critic(self, features: Tensor, slopes: Tensor, of_features: Tensor) -> None:
        """The same for the critic's."""
        torch.mv(features.t(), slopes, out=self.critic_weight)
        torch.sum(slopes, 0, keepdim=True, out=self.critic_bias)
        torch.outer(slopes, self.network.critic_weight, out=of_features)


def _orthogonal(inputs: int, outputs: int, gain: float, generator: torch.Generator) -> Tensor:
    return orthogonal_weights(torch.empty(outputs, inputs), gain, generator).T.contiguous()
