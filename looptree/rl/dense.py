"""Linear layers with ReLU between them, asked and differentiated without autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

Layers = Sequence[tuple[Tensor, Tensor]]  # of each the weight (outputs, inputs) and the bias (outputs,)

_threshold_backward = torch.ops.aten.threshold_backward.grad_input


def dense(layers: Layers, features: Tensor) -> list[Tensor]:
    """What goes into each layer, and the outputs `(batch, outputs)` of the last one, for features `(batch, inputs)`."""
    activations = [features]
    *hidden, (weight, bias) = layers
    for hidden_weight, hidden_bias in hidden:
        activations.append(linear(activations[-1], hidden_weight, hidden_bias).relu_())
    activations.append(linear(activations[-1], weight, bias))
    return activations


class LayerArrays:
    """Weights and biases as NumPy arrays on their very memory, for acting: making such arrays takes as long as what is
    done with them."""

    def __init__(self) -> None:
        self._pointers: list[int] = []
        self._arrays: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def of(self, layers: Layers) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """The arrays of these layers, which are made anew where weights have been replaced, or moved."""
        pointers = [tensor.data_ptr() for layer in layers for tensor in layer]
        if pointers != self._pointers:
            self._arrays = [(weight.detach().numpy(), bias.detach().numpy()) for weight, bias in layers]
            self._pointers = pointers
        return self._arrays

    def __reduce__(self) -> tuple[type[LayerArrays], tuple[()]]:
        return LayerArrays, ()  # a copy has weights of its own to find


class DenseRow:
    """The same for a single observation, in NumPy: a third of the time.

    Each output is a dot product of its own, which takes one thread, and comes out the same wherever an array happens to
    lie in memory; a product of a matrix and a vector would take several.
    """

    def __init__(self) -> None:
        self._arrays = LayerArrays()

    def __call__(self, layers: Layers, observation: NDArray[Any]) -> NDArray[np.float32]:
        """The outputs `(1, outputs)` for an observation `(1, *shape)`, whose numbers are the inputs."""
        features = observation.reshape(-1).astype(np.float32, copy=False)
        *hidden, (weight, bias) = self._arrays.of(layers)
        for hidden_weight, hidden_bias in hidden:
            features = np.vecdot(hidden_weight, features)
            features += hidden_bias
            np.maximum(features, 0.0, out=features)
        outputs: NDArray[np.float32] = (np.vecdot(weight, features) + bias)[np.newaxis]
        return outputs


def dense_gradient(layers: Layers, activations: Sequence[Tensor], slopes: Tensor, gradients: Layers) -> None:
    """Write into `gradients` the gradient of the sum of slopes * outputs, where `slopes` are `(batch, outputs)` and
    `activations` what `dense` gave."""
    for number in range(len(layers) - 1, -1, -1):
        inputs, (weight_gradient, bias_gradient) = activations[number], gradients[number]
        torch.mm(slopes.t(), inputs, out=weight_gradient)
        torch.sum(slopes, 0, out=bias_gradient)
        if number > 0:
            slopes = slopes.mm(layers[number][0])
            _threshold_backward(slopes, inputs, 0, grad_input=slopes)
