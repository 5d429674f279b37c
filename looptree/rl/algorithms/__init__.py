"""The algorithms by name, each with its settings."""

from __future__ import annotations

from typing import Any, NamedTuple

from looptree.rl.algorithms import a2c, categorical_dqn, d3qn, dqn, ppo, rainbow
from looptree.rl.learner import Learner


class Algorithm(NamedTuple):
    """A learner made as `learner(env_id, settings, seed=0)`, and the dataclass of its settings."""

    learner: type[Learner]
    settings: type[Any]


ALGORITHMS = {
    "a2c": Algorithm(a2c.A2C, a2c.A2CSettings),
    "c51": Algorithm(categorical_dqn.CategoricalDQN, categorical_dqn.CategoricalDQNSettings),
    "d3qn": Algorithm(d3qn.D3QN, d3qn.D3QNSettings),
    "dqn": Algorithm(dqn.DQN, dqn.DQNSettings),
    "ppo": Algorithm(ppo.PPO, ppo.PPOSettings),
    "rainbow": Algorithm(rainbow.Rainbow, rainbow.RainbowSettings),
}
