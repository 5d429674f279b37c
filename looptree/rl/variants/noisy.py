"""Noisy: exploration by noise in the weights, whose size is learnt, instead of random actions.

Fortunato, M. et al., Noisy networks for exploration, ICLR (2018).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from looptree.core.errors import BadSetting
from looptree.rl.q_network import NetworkPart, QDesign, QNetwork
from looptree.rl.seeding import child, numpy_generator
from looptree.rl.settings import is_of
from looptree.rl.state import generator_from, generator_state


class NoisyLinear(nn.Module):
    """A linear layer with weights mean + noise * e, and biases likewise, whose means and noises are learnt.

    The random numbers e are factorised, as the paper has it for DQN: that of a weight is the product of one of its
    input and one of its output, that of a bias the one of its output. They stay as they are until `draw_noise`. In eval
    mode there is no noise.
    """

    noise_in: Tensor  # (inputs,)
    noise_out: Tensor  # (outputs,)

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator, initial_noise: float) -> None:
        """Means begin uniform between plus and minus 1/sqrt(inputs), noises as `initial_noise`/sqrt(inputs)."""
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight: Tensor = nn.Parameter(torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator))
        self.bias: Tensor = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))
        self.weight_noise = nn.Parameter(torch.full((outputs, inputs), initial_noise * bound))
        self.bias_noise = nn.Parameter(torch.full((outputs,), initial_noise * bound))
        self.register_buffer("noise_in", torch.zeros(inputs), persistent=False)
        self.register_buffer("noise_out", torch.zeros(outputs), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """The outputs `(batch, outputs)` for features `(batch, inputs)`."""
        weight, bias = self.weight, self.bias
        if self.training:
            weight = torch.addcmul(weight, self.weight_noise, torch.outer(self.noise_out, self.noise_in))
            bias = torch.addcmul(bias, self.bias_noise, self.noise_out)
        return nn.functional.linear(features, weight, bias)


def draw_noise(layers: Iterable[NoisyLinear], generator: np.random.Generator) -> None:
    """Give layers new random numbers: sign(x) sqrt(|x|) of normal x, so that their products have variance 2/pi."""
    tensors = [noise for layer in layers for noise in (layer.noise_in, layer.noise_out)]
    sizes = [len(noise) for noise in tensors]
    normal = generator.standard_normal(sum(sizes), np.float32)
    drawn = torch.from_numpy(np.copysign(np.sqrt(np.abs(normal)), normal))
    for noise, part in zip(tensors, drawn.split(sizes), strict=True):
        noise.copy_(part)


def noisy_layers(network: nn.Module) -> list[NoisyLinear]:
    """The noisy layers of a network, in their order."""
    return [layer for layer in network.modules() if isinstance(layer, NoisyLinear)]


class Noisy(NetworkPart):
    """Noisy networks: all linear layers after the encoder are `NoisyLinear`; epsilon is 0 as soon as learning starts.

        DQN("CartPole-v1", cbs=[Noisy()])

    As in the paper's algorithm 1, new noise is drawn for each step that is acted on, for both networks for each batch,
    and once more for what the Q-network says of the batch, so that it is independent of what a `DoubleQ` asked it.
    Evaluation is without noise.
    """

    if TYPE_CHECKING:  # read on the learner
        learner: Any
        network: QNetwork
        target_network: QNetwork
        env_steps: int
        learning_starts_env_steps: int

    generator: np.random.Generator

    def __init__(self, initial_noise: float = 0.5) -> None:
        if not is_of(float, initial_noise) or not 0 < initial_noise < math.inf:
            raise BadSetting(f"Noisy(initial_noise={initial_noise!r}): a finite number above 0 would fit.")
        self.initial_noise = initial_noise
        self.layers: list[NoisyLinear] = []
        self.target_layers: list[NoisyLinear] = []

    def into(self, design: QDesign) -> QDesign:
        """The design with noisy layers."""
        self.generator = numpy_generator(child(design.seed, "noise"))
        linear = functools.partial(NoisyLinear, initial_noise=self.initial_noise)
        return design.replace(self, "linear", linear)

    def before_run(self) -> None:
        """Find the noisy layers."""
        super().before_run()
        self.layers, self.target_layers = noisy_layers(self.network), noisy_layers(self.target_network)

    def before_collect(self, _phase: str = "train") -> None:
        """Take no random actions once learning has started."""
        if self.env_steps >= self.learning_starts_env_steps:
            self.learner.epsilon = 0.0

    def before_forward(self, _phase: str = "train") -> None:
        """New noise for the step that is to be acted on."""
        draw_noise(self.layers, self.generator)

    def after_sample(self) -> None:
        """New noise for the choice and the value of the next actions."""
        draw_noise(self.layers, self.generator)
        draw_noise(self.target_layers, self.generator)

    def before_loss(self) -> None:
        """New noise for what is learnt."""
        draw_noise(self.layers, self.generator)

    def state_dict(self) -> dict[str, Any]:
        """The random generator; all noise that matters later is drawn later."""
        return {"generator": generator_state(self.generator)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.generator = generator_from(state["generator"])
