"""DQN with an exploration of one's own: actions are drawn by how good they look, and not evenly with a chance epsilon.

The callback stands in for the agent's own `on_select` while training; in the valid phase the agent goes on to choose
the best action. Nothing of DQN is copied or subclassed, and what no longer fits (epsilon-greedy) is taken out.
"""

import dataclasses

import numpy as np

from looptree import Callback, Schedule
from looptree.callbacks import exponential
from looptree.rl.agent import EpsilonGreedy
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.presets import PRESETS


class Boltzmann(Callback):
    """Draws each action with a probability proportional to exp(its value / temperature)."""

    temperature: float

    def __init__(self, seed):
        self.generator = np.random.default_rng(seed)

    def on_select(self, _phase="train", _replace=True):
        # The highest value plus Gumbel noise is a draw from the softmax.
        noise = self.generator.gumbel(size=self.values.shape)
        self.source.action = (self.values / self.temperature + noise).argmax(1)


def dqn_with_boltzmann(env_steps):
    """DQN on CartPole, exploring by a temperature that falls over `env_steps` from 5 to 0.1."""
    preset = PRESETS.settings("dqn", "CartPole-v1", DQNSettings)
    settings = dataclasses.replace(preset, total_env_steps=env_steps, evaluate_every_env_steps=1024)
    cooling = Schedule("temperature", exponential(5.0, 0.1, env_steps), over="env_steps")
    dqn = DQN("CartPole-v1", settings, cooling)
    dqn.source.agent.remove_cb(EpsilonGreedy).add_cb(Boltzmann(seed=0))
    return dqn


if __name__ == "__main__":
    dqn = dqn_with_boltzmann(env_steps=4096)
    print(dqn.source.agent)
    for _ in dqn:
        if dqn.count % 4 == 0:
            greedy, exploring = dqn.valid_return, dqn.episode_return
            print(f"{dqn.env_steps:5} env steps: return {exploring:5.1f} exploring, {greedy:5.1f} greedily")
    print(dqn.ended)
