"""Networks: modules that torch trains and that act from the very same parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from looptree.rl.backward import Backward, ByAutograd
from looptree.rl.flat import FlatParameters
from looptree.rl.packed import as_bytes
from looptree.rl.threads import one_thread


class Network(nn.Module):
    """A module that an agent can ask without autograd, in arrays.

    `forward` is torch's, for learning; `predict` is for acting, and answers from the same parameter objects,
    so that what acts is never older than what was trained.
    """

    def predict(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        """The outputs `(envs, outputs)` for observations `(envs, *observation shape)`."""
        with torch.inference_mode():
            # Copied, for torch aligns its memory: where an array happens to lie must not change the last bit.
            output: NDArray[np.float32] = self(torch.tensor(as_bytes(observation))).numpy(force=True)
        return output

    def backward(self, flat: FlatParameters) -> Backward:
        """The quickest way to the gradient of a loss; `flat` has the network's parameters."""
        return ByAutograd(self, flat)


Layer = nn.Linear | nn.Conv2d
Initialise = Callable[[Layer, torch.Generator], Any]  # gives a layer its initial weights


def uniform(layer: Layer, generator: torch.Generator) -> None:
    """Weights and biases uniform between plus and minus 1/sqrt(inputs of an output): torch's own choice, but drawn from
    a given generator instead of the global one."""
    bound = 1 / math.sqrt(layer.weight[0].numel())
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator)


def orthogonal(layer: Layer, generator: torch.Generator) -> None:
    """Weights whose outputs are orthogonal, of gain sqrt(2) as befits a ReLU; biases zero (Saxe et al. 2014, Exact
    solutions to the nonlinear dynamics of learning in deep linear neural networks)."""
    orthogonal_weights(layer.weight, math.sqrt(2), generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def orthogonal_weights(weights: Tensor, gain: float, generator: torch.Generator) -> Tensor:
    """Fill `weights` `(outputs, ...)` so that the outputs are orthogonal; the same generator gives the same ones,
    however many threads torch has."""
    with one_thread():
        return nn.init.orthogonal_(weights, gain, generator)


def linear_layer(inputs: int, outputs: int, initialise: Initialise, generator: torch.Generator) -> nn.Linear:
    """A linear layer."""
    # Made without storage first: torch would draw the initial weights from the global generator.
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    initialise(layer, generator)
    return layer


def convolution(
    inputs: int, outputs: int, width: int, stride: int, initialise: Initialise, generator: torch.Generator
) -> nn.Conv2d:
    """A layer of square filters, from images of `inputs` channels to images of `outputs` channels."""
    layer = nn.Conv2d(inputs, outputs, width, stride, device="meta").to_empty(device="cpu")
    initialise(layer, generator)
    return layer


def uniform_linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer that begins `uniform`."""
    return linear_layer(inputs, outputs, uniform, generator)
