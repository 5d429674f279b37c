"""Dueling: a network that tells what a state is worth from what an action adds to it.

Wang, Z. et al., Dueling network architectures for deep reinforcement learning, ICML (2016).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from looptree.rl.q_network import MakeLinear, NetworkPart, QDesign, ValueHead


class DuelingHead(nn.Module):
    """Two streams of hidden layers, one for the value of the state and one for the advantages of the actions:
    Q(s, a) = V(s) + A(s, a) - mean over a' of A(s, a'), the paper's equation 9."""

    def __init__(
        self,
        sizes: Sequence[int],
        num_actions: int,
        outputs_per_action: int,
        linear: MakeLinear,
        generator: torch.Generator,
    ) -> None:
        """`sizes` are the number of features and those of the hidden units of each stream."""
        super().__init__()
        self.shape = num_actions, outputs_per_action
        self.value = ValueHead(sizes, 1, outputs_per_action, linear, generator)
        self.advantage = ValueHead(sizes, num_actions, outputs_per_action, linear, generator)

    def forward(self, features: Tensor) -> Tensor:
        """The outputs `(batch, actions * outputs of each)` for features `(batch, features)`."""
        advantages = self.advantage(features).unflatten(1, self.shape)
        outputs: Tensor = self.value(features).unsqueeze(1) + advantages - advantages.mean(1, keepdim=True)
        return torch.flatten(outputs, 1)


class Dueling(NetworkPart):
    """The dueling architecture: the last hidden layer, and the outputs, are those of a `DuelingHead`.

    DQN("CartPole-v1", cbs=[Dueling()])
    """

    def into(self, design: QDesign) -> QDesign:
        """The design with a `DuelingHead`."""
        return design.replace(self, "head", DuelingHead)
