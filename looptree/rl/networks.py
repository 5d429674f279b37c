"""Networks: modules that torch trains and that act from the very same parameters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from looptree.rl.backward import Backward, ByAutograd
from looptree.rl.flat import FlatParameters


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

    def backward(self, flat: FlatParameters) -> Backward:
        """The quickest way to the gradient of a loss; `flat` has the network's parameters."""
        return ByAutograd(self, flat)


def uniform_linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer whose weights and biases are uniform between plus and minus 1/sqrt(inputs): torch's own choice,
    but drawn from a given generator instead of the global one."""
    # Made without storage first: nn.Linear would draw its initial weights from the global generator.
    linear = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    bound = 1 / math.sqrt(inputs)
    for parameter in linear.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator)
    return linear
