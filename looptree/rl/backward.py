"""How a network's parameters learn which way to go: from the slopes of a loss at what it says to a gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from torch import Tensor, nn

from looptree.rl.dense import Layers, dense, dense_gradient
from looptree.rl.flat import FlatParameters


class Backward(Protocol):
    """Asks a network in a way that its gradient can be taken from the answer."""

    def forward(self, observation: Tensor) -> Any:
        """What the network says of observations `(batch, *observation shape)`, without a graph behind it."""
        ...

    def gradient(self, slopes: Any) -> Tensor:
        """The gradient `(parameters,)` of a loss that has these slopes at the latest answer, each in the shape of what
        it is the slope at."""
        ...


class ByAutograd:
    """For any network."""

    def __init__(self, network: nn.Module, flat: FlatParameters, besides: Iterable[Tensor] = ()) -> None:
        """`besides` are parameters on which the loss depends directly too: their slopes come after those at an answer
        of several tensors."""
        self.network = network
        self.flat = flat
        self.besides = tuple(besides)

    def forward(self, observation: Tensor) -> Any:
        """The answer, whose graph is kept."""
        answer = self.network(observation)
        if isinstance(answer, Tensor):
            self.answer: tuple[Tensor, ...] = (answer,)
            return answer.detach()
        self.answer = (*answer, *self.besides)
        return tuple(part.detach() for part in answer)

    def gradient(self, slopes: Any) -> Tensor:
        """What autograd finds."""
        return self.flat.gradient_of(self.answer, slopes)


class ByHand:
    """For networks in which nothing but linear layers with ReLU between them learns: autograd takes as long for one of
    this kind as all the arithmetic does."""

    def __init__(self, read: Callable[[Tensor], Tensor], layers: Layers, flat: FlatParameters) -> None:
        """`read` makes of observations the features `(batch, inputs)` of the first layer; `layers` are made of the
        parameters."""
        self.read = read
        self.layers = [(weight.detach(), bias.detach()) for weight, bias in layers]
        self.gradients = [(flat.gradients[weight], flat.gradients[bias]) for weight, bias in layers]
        self.vector = flat.gradient

    def forward(self, observation: Tensor) -> Tensor:
        """The outputs `(batch, outputs)`; what went into each layer is kept."""
        self.activations = dense(self.layers, self.read(observation))
        return self.activations[-1]

    def gradient(self, slopes: Tensor) -> Tensor:
        """The same vector each time."""
        dense_gradient(self.layers, self.activations, slopes, self.gradients)
        return self.vector
