"""Linear layers with ReLU between them, asked and differentiated without autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
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


def dense_gradient(layers: Layers, activations: Sequence[Tensor], slopes: Tensor, gradients: Layers) -> None:
    """Write into `gradients` the gradient of the sum of slopes * outputs, where `slopes` are `(batch, outputs)` and
    `activations` what `dense` gave."""
    for number in range(len(layers) - 1, -1, -1):
        inputs, (weight_gradient, bias_gradient) = activations[number], gradients[number]
        torch.mm(slopes.t(), inputs, out=weight_gradient)
        torch.sum(slopes, 0, out=bias_gradient)
        if number > 0:
            slopes = _threshold_backward(slopes.mm(layers[number][0]), inputs, 0)
