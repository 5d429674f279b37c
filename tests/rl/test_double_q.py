import torch

from looptree import Callback
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.memory import Batch
from looptree.rl.variants.double_q import DoubleQ

SETTINGS = DQNSettings(total_env_steps=200, env_steps_per_pass=50, learning_starts_env_steps=50, gamma=0.5)


class Known(Callback):
    """Puts a batch of two rows in the place of what was drawn, and keeps the targets."""

    def after_sample(self):
        update = self.loop
        update.batch = Batch(
            observation=torch.zeros(2, 4),
            action=torch.tensor([0, 1]),
            reward=torch.tensor([1.0, 2.0]),
            terminated=torch.tensor([0.0, 1.0]),
            next_observation=torch.zeros(2, 4),
        )
        update.discounts = 0.5 * (1 - update.batch.terminated)

    def after_target(self):
        self.targets = self.loop.targets


def say(network, *values):
    """Let a network say the same values of everything."""
    with torch.no_grad():
        network.head.linears[-1].weight.zero_()
        network.head.linears[-1].bias.copy_(torch.tensor(values))


def targets(*variants):
    known = Known()
    learner = DQN("CartPole-v1", SETTINGS, [known, *variants])
    say(learner.network, 7.0, 6.0)
    say(learner.target_network, 10.0, 20.0)
    learner.run(times=1)
    return known.targets.tolist()


def test_the_network_chooses_and_the_target_network_values():
    assert targets() == [1 + 0.5 * 20, 2]
    assert targets(DoubleQ()) == [1 + 0.5 * 10, 2]
