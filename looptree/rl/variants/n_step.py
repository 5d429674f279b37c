"""NStep: targets from the rewards of several steps.

Sutton, R. S., Learning to predict by the methods of temporal differences, Machine Learning 3 (1988); in deep
Q-learning: Hessel, M. et al., Rainbow, AAAI (2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from looptree.core.callback import Callback
from looptree.core.errors import BadSetting
from looptree.rl.memory import ReplayBuffer
from looptree.rl.settings import is_of


class Windows(NamedTuple):
    """The steps that follow each other from some rows of a memory on."""

    returns: Tensor  # (batch,) the discounted sum of their rewards
    lengths: Tensor  # (batch,) how many there are
    last_rows: Tensor  # (batch,) the row of the last of them


def windows(memory: ReplayBuffer, rows: Tensor, steps: int, gamma: float) -> Windows:
    """Up to `steps` steps of the same episode from each of `rows` `(batch,)` on.

    A window ends early with the episode, terminated or truncated, and with the latest step that is stored of it.
    """
    rewards = memory.columns["reward"]
    returns = rewards.index_select(0, rows)
    lengths = torch.ones_like(returns)
    for number in range(1, steps):
        following = memory.next_slots.index_select(0, rows)
        goes_on = following < memory.capacity  # a slot past the rows holds an observation from which none goes on
        rows = torch.where(goes_on, following, rows)
        returns += gamma**number * goes_on * rewards.index_select(0, rows)
        lengths += goes_on
    return Windows(returns, lengths, rows)


class NStep(Callback):
    """Targets r + gamma r' + ... + gamma^n max_a Q(s^(n), a): the rewards of `steps` steps, and the value of what they
    led to.

        DQN("CartPole-v1", cbs=[NStep(3)])

    A window that ends early (see `windows`) counts with the length that it has: its discount is gamma to the power of
    that, and the value that of its last step's true next observation, or 0 where the episode terminated.
    """

    if TYPE_CHECKING:  # read on the learner
        gamma: float
        memory: ReplayBuffer

    def __init__(self, steps: int = 3) -> None:
        if not is_of(int, steps) or steps < 1:
            raise BadSetting(f"NStep(steps={steps!r}): a whole number of 1 or more would fit.")
        self.steps = steps

    def on_sample(self, _replace: bool = True) -> None:
        """Read the first and the last of the steps from each row on, and the rewards of all."""
        update: Any = self.loop
        found = windows(self.memory, update.rows, self.steps, self.gamma)
        update.batch = self.memory.read(update.rows, found.last_rows)._replace(reward=found.returns)
        update.discounts = self.gamma**found.lengths * (1.0 - update.batch.terminated)
