"""Prioritized: what surprised the network is learnt from more often.

Schaul, T., Quan, J., Antonoglou, I. and Silver, D., Prioritized experience replay, ICLR (2016).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from looptree.core.callback import Callback
from looptree.core.errors import BadSetting
from looptree.rl.errors import EmptyMemory
from looptree.rl.memory import ReplayBuffer
from looptree.rl.settings import is_of
from looptree.rl.variants.sum_tree import SumTree


def importance_weights(priorities: NDArray[np.float64], total: float, stored: int, beta: float) -> NDArray[np.float64]:
    """(stored * priority / total)^-beta, over the highest of the batch: `(batch,)`, from 0 to 1.

    They make up for rows being drawn more or less often than all `stored` ones equally, in full with a `beta` of 1.
    """
    weights = (stored * priorities / total) ** -beta
    scaled: NDArray[np.float64] = weights / weights.max()
    return scaled


class Prioritized(Callback):
    """Proportional prioritisation: a row is drawn in proportion to (|error| + `least_error`)^`alpha`.

        DQN("CartPole-v1", cbs=[Prioritized()])

    The error is the update's of the last time when the row was drawn, `errors`; new rows get the highest priority that
    there has been, so that each is likely to be seen soon. A batch is drawn from as many equal shares of the sum of
    all priorities. Its rows are weighted in the loss by `importance_weights`, whose beta grows in a straight line from
    `beta` to 1 at the end of the run.
    """

    if TYPE_CHECKING:  # read on the learner
        memory: ReplayBuffer
        env_steps: int
        total_env_steps: int

    def __init__(self, alpha: float = 0.6, beta: float = 0.4, least_error: float = 1e-6) -> None:
        for name, value in (("alpha", alpha), ("beta", beta)):
            if not is_of(float, value) or not 0 <= value <= 1:
                raise BadSetting(f"Prioritized({name}={value!r}): a number from 0 to 1 would fit.")
        if not is_of(float, least_error) or not 0 < least_error < math.inf:
            raise BadSetting(f"Prioritized(least_error={least_error!r}): a finite number above 0 would fit.")
        self.alpha = alpha
        self.beta = beta
        self.least_error = least_error
        self.tree = SumTree(0)  # the priorities: as many as the memory has rows, from the first batch on
        self.added = 0  # how many of the memory's transitions have one
        self.highest = 1.0

    @property
    def present_beta(self) -> float:
        """How far the weights make up for the priorities now."""
        done = min(self.env_steps / self.total_env_steps, 1.0)
        return self.beta + (1.0 - self.beta) * done

    def before_sample(self, _replace: bool = True) -> None:
        """Draw rows by their priority.

        Raises `EmptyMemory` where nothing is stored.
        """
        update: Any = self.loop
        tree = self.tree = self._with_new_rows()
        total, batch_size = tree.total, update.batch_size
        shares = (np.arange(batch_size) + self.memory.generator.random(batch_size)) / batch_size
        rows = tree.find(shares * total)
        weights = importance_weights(tree.get(rows), total, len(self.memory), self.present_beta)
        update.rows = torch.from_numpy(rows)
        self.weights = torch.from_numpy(weights.astype(np.float32))

    def after_loss(self, _replace: bool = True) -> None:
        """Take the weighted mean over the batch, and give its rows new priorities."""
        update: Any = self.loop
        update.learner.loss = (self.weights * update.losses).mean()
        if update.slopes is not None:
            update.slopes *= (self.weights / len(self.weights)).unsqueeze(1)
        priorities = (np.abs(update.errors.detach().numpy().astype(np.float64)) + self.least_error) ** self.alpha
        self.highest = max(self.highest, float(priorities.max()))
        self.tree.set(update.rows.numpy(), priorities)

    def _with_new_rows(self) -> SumTree:
        """The tree, in which all rows that are stored have a priority."""
        memory = self.memory
        if len(memory) == 0:
            raise EmptyMemory("The replay buffer is empty; add transitions before a batch is drawn.")
        tree = self.tree if len(self.tree) else SumTree(memory.capacity)
        if self.added < memory.added:
            first = max(self.added, memory.added - memory.capacity)
            tree.set(np.arange(first, memory.added) % memory.capacity, self.highest)
            self.added = memory.added
        return tree

    def state_dict(self) -> dict[str, Any]:
        """The priorities, as a view: they change with every batch."""
        return {"tree": self.tree.state_dict(), "added": self.added, "highest": self.highest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.tree.load_state_dict(state["tree"])
        self.added = state["added"]
        self.highest = state["highest"]
