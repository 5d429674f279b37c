"""C51: a distribution of returns for each action instead of their mean.

Bellemare, M. G., Dabney, W. and Munos, R., A distributional perspective on reinforcement learning, ICML (2017).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from looptree.core.errors import BadSetting
from looptree.rl.q_network import NetworkPart, QDesign, QNetwork, Reading
from looptree.rl.settings import is_of


class CategoricalReading(Reading):
    """The outputs of an action are the logits of a distribution over returns: `atoms` of them, from `low` to `high`."""

    returns: Tensor  # (atoms,)

    def __init__(self, atoms: int, low: float, high: float) -> None:
        super().__init__()
        self.outputs_per_action = atoms
        self.register_buffer("returns", torch.linspace(low, high, atoms), persistent=False)

    def values(self, outputs: Tensor) -> Tensor:
        """The mean returns `(batch, actions)` of outputs `(batch, actions * atoms)`."""
        return torch.matmul(self.logits(outputs).softmax(2), self.returns)

    def logits(self, outputs: Tensor) -> Tensor:
        """Outputs `(batch, actions * atoms)` as `(batch, actions, atoms)`."""
        return outputs.view(len(outputs), -1, self.outputs_per_action)


def projected(probabilities: Tensor, rewards: Tensor, discounts: Tensor, returns: Tensor) -> Tensor:
    """The distributions `(batch, atoms)` of r + discount * return, on the same `returns` `(atoms,)` again.

    `probabilities` are `(batch, atoms)`, `rewards` and `discounts` `(batch,)`. What falls between two returns goes to
    both, the more to the nearer one, and what falls beyond the ends to the last one there (the paper's equation 7 and
    algorithm 1). What falls on a return goes to it whole, so that no mass is lost there.
    """
    atoms = len(returns)
    low, high = returns[0], returns[-1]
    shifted = rewards.unsqueeze(1) + discounts.unsqueeze(1) * returns
    place = ((shifted - low) * ((atoms - 1) / (high - low))).clamp(0, atoms - 1)
    below = place.floor()
    upper_share = place - below
    index = below.long()
    mass = torch.zeros_like(probabilities)
    mass.scatter_add_(1, index, probabilities * (1.0 - upper_share))
    return mass.scatter_add_(1, (index + 1).clamp_(max=atoms - 1), probabilities * upper_share)


def of_actions(logits: Tensor, actions: Tensor) -> Tensor:
    """Of logits `(batch, actions, atoms)` those of the actions `(batch,)` that were taken, `(batch, atoms)`."""
    return logits[torch.arange(len(actions)), actions]


def cross_entropies(logits: Tensor, targets: Tensor) -> Tensor:
    """The losses `(batch,)` of logits `(batch, atoms)` to distributions `(batch, atoms)`."""
    return -(targets * logits.log_softmax(1)).sum(1)


def cross_entropy_slopes(logits: Tensor, targets: Tensor) -> Tensor:
    """How fast each of those losses grows with its logits, `(batch, atoms)`."""
    return logits.softmax(1) - targets


def entropies(distributions: Tensor) -> Tensor:
    """The entropies `(batch,)` of distributions `(batch, atoms)`, in nats."""
    return -torch.xlogy(distributions, distributions).sum(1)


class C51(NetworkPart):
    """Distributional Q-learning: the network gives each action probabilities of `atoms` returns between `low` and
    `high`, and learns to predict those of the next step, shifted by the reward.

        DQN("CartPole-v1", cbs=[C51(51, low=0, high=100)])

    Returns beyond `low` and `high` count as these, so they should lie around what can be reached. The agent goes by
    the mean returns. The update's `errors` are the Kullback-Leibler divergences from the targets, as Rainbow's
    priorities take them.
    """

    if TYPE_CHECKING:  # read on the learner
        network: QNetwork

    def __init__(self, atoms: int = 51, low: float = -10.0, high: float = 10.0) -> None:
        if not is_of(int, atoms) or atoms < 2:
            raise BadSetting(f"C51(atoms={atoms!r}): a whole number of 2 or more would fit.")
        for name, value in (("low", low), ("high", high)):
            if not is_of(float, value) or math.isinf(value):
                raise BadSetting(f"C51({name}={value!r}): a finite number would fit.")
        if not low < high:
            raise BadSetting(f"C51(low={low!r}, high={high!r}): these contradict each other; low < high would fit.")
        self.reading = CategoricalReading(atoms, low, high)

    def into(self, design: QDesign) -> QDesign:
        """The design whose outputs are read as distributions."""
        return design.replace(self, "reading", self.reading)

    def on_target(self, _replace: bool = True) -> None:
        """Shift the distribution that the target network gives the next action."""
        update: Any = self.loop
        following = of_actions(self.reading.logits(update.next_outputs), update.next_actions).softmax(1)
        update.targets = projected(following, update.batch.reward, update.discounts, self.reading.returns)

    def on_loss(self, _replace: bool = True) -> None:
        """Compare with the distributions that the Q-network gives the actions that were taken."""
        update: Any = self.loop
        outputs = update.backward.forward(update.batch.observation)
        logits = of_actions(self.reading.logits(outputs), update.batch.action)
        update.losses = cross_entropies(logits, update.targets)
        update.errors = (update.losses - entropies(update.targets)).clamp_(min=0.0)
        update.slopes = torch.zeros_like(outputs)
        of_all = self.reading.logits(update.slopes)
        of_all[torch.arange(len(logits)), update.batch.action] = cross_entropy_slopes(logits, update.targets)
