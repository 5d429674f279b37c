"""How a network's parameters learn which way to go: from the slopes of a loss at its outputs to a gradient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from looptree.rl.dense import dense, dense_gradient
from looptree.rl.flat import FlatParameters
from looptree.rl.q_network import QNetwork


class Backward(Protocol):
    """Asks a network in a way that its gradient can be taken from the answer."""

    def forward(self, observation: Tensor) -> Sequence[Tensor]:
        """What `gradient` needs to know of observations `(batch, *observation shape)`; the last tensor has the outputs
        `(batch, outputs)`."""
        ...

    def gradient(self, activations: Sequence[Tensor], slopes: Tensor) -> Tensor:
        """The gradient `(parameters,)` of a loss that has these `slopes` `(batch, outputs)` at the outputs."""
        ...


class ByAutograd:
    """For any network."""

    def __init__(self, network: QNetwork, flat: FlatParameters) -> None:
        self.network = network
        self.parameters = flat.parameters

    def forward(self, observation: Tensor) -> Sequence[Tensor]:
        """The outputs, with the graph behind them."""
        return (self.network(observation),)

    def gradient(self, activations: Sequence[Tensor], slopes: Tensor) -> Tensor:
        """What autograd finds."""
        parts = torch.autograd.grad(activations[-1], self.parameters, slopes)
        return torch.cat([part.reshape(-1) for part in parts])


class ByHand:
    """For linear layers with ReLU between them: autograd takes as long for a network of this kind as all the
    arithmetic does."""

    def __init__(self, network: QNetwork, flat: FlatParameters) -> None:
        self.layers = [(weight.detach(), bias.detach()) for weight, bias in network.dense_layers]
        self.vector = torch.zeros_like(flat.vector, requires_grad=False)
        parts = dict(zip(map(id, flat.parameters), flat.split(self.vector), strict=True))
        self.gradients = [(parts[id(weight)], parts[id(bias)]) for weight, bias in network.dense_layers]

    def forward(self, observation: Tensor) -> Sequence[Tensor]:
        """The activations of all layers."""
        return dense(self.layers, observation)

    def gradient(self, activations: Sequence[Tensor], slopes: Tensor) -> Tensor:
        """The same vector each time."""
        dense_gradient(self.layers, activations, slopes, self.gradients)
        return self.vector


def backward_of(network: QNetwork, flat: FlatParameters) -> Backward:
    """The quickest way for a network whose parameters are those of `flat`."""
    return ByHand(network, flat) if network.dense_layers else ByAutograd(network, flat)
