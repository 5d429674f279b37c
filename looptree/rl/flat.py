"""FlatParameters: all parameters of a network as one vector, on which an optimizer is quick."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class FlatParameters:
    """One vector that holds what all of some parameters hold: each of them is a view of a part of it.

        flat = FlatParameters(network.parameters())
        optimizer = torch.optim.Adam([flat.vector])
        flat.set_gradient(loss, max_norm=0.5)
        optimizer.step()
        flat.mark_changed()

    For a small network a step of an optimizer costs by the number of tensors, not by their size. The parameters
    stay the objects that they were, for acting, saving and tracing.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        """The parameters have one type of numbers and are on one device."""
        self.parameters = list(parameters)
        self.vector = nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters]))
        self._tie()

    def tie(self) -> None:
        """Make the parameters views of the vector again where they are not: copies of the two have come apart."""
        if not self._is_tied():
            with torch.no_grad():
                self.vector.copy_(torch.cat([parameter.reshape(-1) for parameter in self.parameters]))
            self._tie()

    def split(self, vector: Tensor) -> list[Tensor]:
        """The parts of a vector `(parameters,)` that belong to each parameter, in its shape."""
        parts = vector.split([parameter.numel() for parameter in self.parameters])
        return [part.view_as(parameter) for part, parameter in zip(parts, self.parameters, strict=True)]

    def set_gradient(self, loss: Tensor, max_norm: float) -> None:
        """Give the vector the gradient of a loss `()`, scaled down to `max_norm` where it is longer."""
        gradients = torch.autograd.grad(loss, self.parameters)
        self.vector.grad = clipped(torch.cat([part.reshape(-1) for part in gradients]), max_norm)

    def mark_changed(self) -> None:
        """Count a change of each parameter, as torch itself does for one that is changed by its own name."""
        torch.autograd.graph.increment_version(self.parameters)

    def _tie(self) -> None:
        for parameter, value in zip(self.parameters, self.split(self.vector.detach()), strict=True):
            parameter.data = value

    def _is_tied(self) -> bool:
        start = self.vector.data_ptr()
        for parameter in self.parameters:
            if parameter.data_ptr() != start:
                return False
            start += parameter.nbytes
        return True


def clipped(gradient: Tensor, max_norm: float) -> Tensor:
    """A gradient `(parameters,)`, scaled down in place where it is longer than `max_norm`."""
    norm = float(torch.linalg.vector_norm(gradient))
    return gradient.mul_(max_norm / norm) if norm > max_norm else gradient
