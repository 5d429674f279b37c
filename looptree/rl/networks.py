"""Networks: modules that torch trains and that act from the very same parameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


class Network(nn.Module):
    """A module that an agent can ask without autograd, in arrays.

    `forward` is torch's, for learning; `predict` is for acting, and answers from the same parameter objects,
    so that what acts is never older than what was trained.
    """

    def predict(self, observation: NDArray[Any]) -> NDArray[np.float32]:
        """The outputs `(envs, outputs)` for observations `(envs, *observation shape)`."""
        with torch.inference_mode():
            # Copied, for torch aligns its memory: where an array happens to lie must not change the last bit.
            output: NDArray[np.float32] = self(torch.tensor(observation)).numpy(force=True)
        return output


class MLP(Network):
    """Linear layers with ReLU between them.

    The initial weights and biases are uniform between plus and minus 1/sqrt(inputs of the layer), which is
    torch's own choice, but drawn from a given generator instead of the global one.
    """

    def __init__(
        self, input_size: int, hidden_sizes: Sequence[int], output_size: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.output_size = output_size
        sizes = (input_size, *hidden_sizes, output_size)
        # Made without storage first: nn.Linear would draw its initial weights from the global generator.
        linears = [
            nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
            for inputs, outputs in itertools.pairwise(sizes)
        ]
        for linear in linears:
            bound = 1 / math.sqrt(linear.in_features)
            for parameter in linear.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator)
        self.linears = nn.ModuleList(linears)

    def forward(self, observation: Tensor) -> Tensor:
        """The outputs `(batch, outputs)` for observations `(batch, inputs)`."""
        observation = observation.float()
        *hidden, last = self.linears
        for linear in hidden:
            observation = torch.relu(linear(observation))
        output: Tensor = last(observation)
        return output
