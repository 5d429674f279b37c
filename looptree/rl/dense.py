"""Linear layers with ReLU between them, asked and differentiated without autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Layers = Sequence[tuple[Tensor, Tensor]]  # of each the weight (outputs, inputs) and the bias (outputs,)

_threshold_backward = torch.ops.aten.threshold_backward


def dense(layers: Layers, observation: Tensor) -> list[Tensor]:
    """What goes into each layer, and the outputs `(batch, outputs)` of the last one, for observations `(batch,
    inputs)`."""
    activations = [observation.float()]
    *hidden, (weight, bias) = layers
    for hidden_weight, hidden_bias in hidden:
        activations.append(torch.addmm(hidden_bias, activations[-1], hidden_weight.t()).relu_())
    activations.append(torch.addmm(bias, activations[-1], weight.t()))
    return activations


class DenseRow:
    """The same for a single observation, in NumPy on the very memory of the weights: a third of the time.

    Each output is a dot product of its own, which takes one thread, and comes out the same wherever an array happens to
    lie in memory; a product of a matrix and a vector would take several.
    """

    def __init__(self) -> None:
        self._pointers: list[int] = []
        self._layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def __call__(self, layers: Layers, observation: NDArray[Any]) -> NDArray[np.float32]:
        """The outputs `(1, outputs)` for an observation `(1, inputs)`."""
        pointers = [tensor.data_ptr() for layer in layers for tensor in layer]
        if pointers != self._pointers:  # weights have been replaced, or moved
            self._layers = [(weight.detach().numpy(), bias.detach().numpy()) for weight, bias in layers]
            self._pointers = pointers
        features = observation[0].astype(np.float32, copy=False)
        *hidden, (weight, bias) = self._layers
        for hidden_weight, hidden_bias in hidden:
            features = np.vecdot(hidden_weight, features)
            features += hidden_bias
            np.maximum(features, 0.0, out=features)
        outputs: NDArray[np.float32] = (np.vecdot(weight, features) + bias)[np.newaxis]
        return outputs

    def __reduce__(self) -> tuple[type[DenseRow], tuple[()]]:
        return DenseRow, ()  # a copy has weights of its own to find


def dense_gradient(layers: Layers, activations: Sequence[Tensor], slopes: Tensor, gradients: Layers) -> None:
    """Write into `gradients` the gradient of the sum of slopes * outputs, where `slopes` are `(batch, outputs)` and
    `activations` what `dense` gave."""
    for number in range(len(layers) - 1, -1, -1):
        inputs, (weight_gradient, bias_gradient) = activations[number], gradients[number]
        torch.mm(slopes.t(), inputs, out=weight_gradient)
        torch.sum(slopes, 0, out=bias_gradient)
        if number > 0:
            slopes = _threshold_backward(slopes.mm(layers[number][0]), inputs, 0)
