"""Optimizers: what an update needs of one, and Adam for one vector of parameters."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Optimizer(Protocol):
    """What torch's optimizers have, as far as an update needs it."""

    param_groups: list[dict[str, Any]]

    def step(self) -> Any:
        """Go a step down the gradient that the parameters have."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on."""
        ...

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Take over what `state_dict` gave."""
        ...


class Adam:
    """Adam (Kingma, D. P. and Ba, J., Adam: a method for stochastic optimization, ICLR 2015) for one vector.

    It does what `torch.optim.Adam(fused=True)` does, whose step takes about three times as long for a small network:
    that is ready for many tensors on any device, and most of its time goes into sorting out which it has.
    """

    def __init__(self, vector: nn.Parameter, learning_rate: float, epsilon: float = 1e-8) -> None:
        """`vector` `(parameters,)` is what is to be improved; `epsilon` is added to the root of the second moment."""
        self.param_groups: list[dict[str, Any]] = [{"params": [vector], "lr": learning_rate, "eps": epsilon}]
        self.mean = torch.zeros_like(vector, requires_grad=False)  # of the gradients
        self.square = torch.zeros_like(vector, requires_grad=False)  # of the gradients, on average
        self.steps = torch.zeros(())

    def step(self) -> None:
        """Go a step down the vector's `grad`."""
        group = self.param_groups[0]
        vector = group["params"][0]
        self.steps += 1
        torch._fused_adam_(
            [vector.detach()],
            [vector.grad],
            [self.mean],
            [self.square],
            [],
            [self.steps],
            lr=group["lr"],
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """The moments, the number of steps and the learning rate."""
        return {**self._moments(), "lr": self.param_groups[0]["lr"]}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        """Take over what `state_dict` gave."""
        for name, value in self._moments().items():
            value.copy_(state[name])
        self.param_groups[0]["lr"] = state.get("lr", self.param_groups[0]["lr"])  # which older states have not

    def _moments(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "square": self.square, "steps": self.steps}
