"""FlatParameters: all parameters of a network as one vector, on which an optimizer is quick."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from looptree.core.errors import BadSetting, listed
from looptree.rl.errors import NoGradient


class FlatParameters:
    """One vector that holds what all of some parameters hold: each of them is a view of a part of it.

        flat = FlatParameters(network.parameters())
        optimizer = torch.optim.Adam([flat.vector])
        flat.vector.grad, norm = clipped(flat.gradient_of(loss), max_norm=0.5)
        optimizer.step()
        flat.mark_changed()

    For a small network a step of an optimizer costs by the number of tensors, not by their size. The parameters
    stay the objects that they were, for acting, saving and tracing.
    """

    gradient: Tensor  # (parameters,) room for a gradient that is worked out part by part
    gradients: dict[Tensor, Tensor]  # the parts of it, by parameter

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        """The parameters have one type of numbers and are on one device."""
        self.parameters = list(parameters)
        self.vector = nn.Parameter(torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters]))
        self._tie()
        self._make_room()

    def tie(self) -> None:
        """Make the parameters views of the vector again where they are not: copies of the two have come apart."""
        if not self._is_tied():
            with torch.no_grad():
                self.vector.copy_(torch.cat([parameter.reshape(-1) for parameter in self.parameters]))
            self._tie()

    def check_trainable(self, network: nn.Module) -> None:
        """Raise `BadSetting` where a parameter is frozen: a step is made for the whole vector."""
        if all(parameter.requires_grad for parameter in self.parameters):
            return
        names = [name for name, parameter in network.named_parameters() if not parameter.requires_grad]
        raise BadSetting(
            f"{listed(names) or 'A parameter'} of {type(network).__name__} needs no gradient, but an update trains all "
            f"parameters of a network. What is to stay as it is, make a buffer: register_buffer in a part of your own."
        )

    def check_complete(self, network: nn.Module) -> None:
        """Raise `BadSetting` where a network has other parameters than these: it, or a layer, has been replaced."""
        now = list(network.parameters())
        if len(now) != len(self.parameters) or any(a is not b for a, b in zip(now, self.parameters, strict=True)):
            raise BadSetting(
                f"{type(network).__name__} has other parameters than when its learner was made: the optimizer, the "
                f"agents and the target network hold those. Copy values into the network that there is, "
                f"learner.network.load_state_dict(...), or plug a part of your own in when the learner is made."
            )

    def parts(self, vector: Tensor) -> dict[Tensor, Tensor]:
        """By parameter the part of a vector `(parameters,)` that belongs to it, in its shape."""
        parts = vector.split([parameter.numel() for parameter in self.parameters])
        return {parameter: part.view_as(parameter) for parameter, part in zip(self.parameters, parts, strict=True)}

    def gradient_of(self, loss: Tensor | Sequence[Tensor], slopes: Tensor | Sequence[Tensor] | None = None) -> Tensor:
        """The gradient `(parameters,)` of a loss `()`, or of a loss that has these `slopes` at tensors of their shapes,
        as the graph behind it says. A loss may leave parameters out, whose gradient is 0.

        Raises `NoGradient` where it leaves out all of them.
        """
        parts = torch.autograd.grad(loss, self.parameters, slopes, allow_unused=slopes is None)
        if slopes is None:
            parts = self._filled(parts)
        return torch.cat([part.reshape(-1) for part in parts])

    def _filled(self, parts: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
        """Parts of a gradient, with zeros for the parameters that have none."""
        if all(part is None for part in parts):
            raise NoGradient(
                f"None of the {len(parts)} parameters is in the graph of the loss: it was worked out of what another "
                f"network says, or a copy of this one. Ask the network itself, self.learner.network."
            )
        pairs = zip(self.parameters, parts, strict=True)
        return tuple(torch.zeros_like(parameter) if part is None else part for parameter, part in pairs)

    def mark_changed(self) -> None:
        """Count a change of each parameter, as torch itself does for one that is changed by its own name."""
        torch.autograd.graph.increment_version(self.parameters)

    def _make_room(self) -> None:
        self.gradient = torch.zeros_like(self.vector, requires_grad=False)
        self.gradients = self.parts(self.gradient)

    def _tie(self) -> None:
        for parameter, value in self.parts(self.vector.detach()).items():
            parameter.data = value

    def _is_tied(self) -> bool:
        start = self.vector.data_ptr()
        for parameter in self.parameters:
            if parameter.data_ptr() != start:
                return False
            start += parameter.nbytes
        return True

    def __getstate__(self) -> dict[str, Any]:
        return {"parameters": self.parameters, "vector": self.vector}  # each part would be copied as all of the room

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.parameters, self.vector = state["parameters"], state["vector"]
        self._make_room()


def clipped(gradient: Tensor, max_norm: float) -> tuple[Tensor, float]:
    """A gradient `(parameters,)`, scaled down in place where it is longer than `max_norm`, and how long it was."""
    norm = float(torch.linalg.vector_norm(gradient))
    return gradient.mul_(max_norm / norm) if norm > max_norm else gradient, norm
