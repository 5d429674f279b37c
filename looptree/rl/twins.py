"""Two networks of linear layers with a tanh behind each, side by side, asked and differentiated without autograd."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TwinLayers = Sequence[tuple[Tensor, Tensor]]  # of each the weights (2, inputs, units) and the biases (2, 1, units)

_tanh_backward = torch.ops.aten.tanh_backward


def twins(layers: TwinLayers, features: Tensor) -> list[Tensor]:
    """What goes into each layer, and what comes out of the last, all `(2, batch, units)`, for features `(batch,
    inputs)`."""
    activations = [features.expand(2, -1, -1)]
    for weight, bias in layers:
        activations.append(torch.baddbmm(bias, activations[-1], weight).tanh_())
    return activations


def twins_gradient(layers: TwinLayers, activations: Sequence[Tensor], slopes: Tensor, gradients: TwinLayers) -> None:
    """Write into `gradients` the gradient of the sum of slopes * what comes out, where `slopes` are `(2, batch, units)`
    and `activations` what `twins` gave."""
    for number in range(len(layers) - 1, -1, -1):
        inputs, (weight_gradient, bias_gradient) = activations[number], gradients[number]
        slopes = _tanh_backward(slopes, activations[number + 1])
        torch.bmm(inputs.transpose(1, 2), slopes, out=weight_gradient)
        torch.sum(slopes, 1, keepdim=True, out=bias_gradient)
        if number > 0:
            slopes = slopes.bmm(layers[number][0].transpose(1, 2))
