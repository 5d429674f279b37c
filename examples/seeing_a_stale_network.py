"""A bug that hides for months elsewhere, seen in a few lines: the agent acts by a stale copy of the network.

Somewhere the network was copied (for another device, or by a `deepcopy` too many), and the agent goes on acting by
the copy while the learner trains the original. Nothing fails, the loss goes down, and the returns of training stay
where they are. A trace of every field called `network` tells: the one that acts is changed by nobody.
"""

import copy

from looptree import Trace
from looptree.rl.algorithms.dqn import DQN, DQNSettings

SETTINGS = DQNSettings(total_env_steps=600, env_steps_per_pass=100, gradient_steps_per_pass=20)


def with_stale_network():
    """A DQN whose agent got a copy of the network."""
    dqn = DQN("CartPole-v1", SETTINGS)
    dqn.source.agent.network = copy.deepcopy(dqn.network)
    return dqn


def print_writers(dqn):
    """Train, and print who changed the network of whom, and which of them are one object."""
    with Trace(dqn, "network") as trace:
        dqn.run()
    print(trace.summary())


if __name__ == "__main__":
    print("with the bug")
    print_writers(with_stale_network())
    print("without")
    print_writers(DQN("CartPole-v1", SETTINGS))
