"""DoubleQ: the Q-network chooses the next action, the target network says what it is worth.

van Hasselt, H., Guez, A. and Silver, D., Deep reinforcement learning with double Q-learning, AAAI (2016).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from looptree.core.callback import Callback
from looptree.rl.q_network import QNetwork


class DoubleQ(Callback):
    """Double Q-learning.

        DQN("CartPole-v1", cbs=[DoubleQ()])

    The highest of several noisy values is too high on average, and DQN takes both the choice and the value from it.
    With the choice made by another network, the error of the value is independent of it.
    """

    if TYPE_CHECKING:  # read on the learner
        network: QNetwork
        target_network: QNetwork

    def before_target(self, _replace: bool = True) -> None:
        """Ask both networks about the next observation, and take the action that the Q-network holds for best."""
        update: Any = self.loop
        following = update.batch.next_observation
        update.next_outputs = self.target_network.ask(following)
        update.next_actions = self.network.values(self.network.ask(following)).argmax(1)
        values = self.target_network.values(update.next_outputs)
        update.next_values = values.gather(1, update.next_actions.unsqueeze(1)).squeeze(1)
