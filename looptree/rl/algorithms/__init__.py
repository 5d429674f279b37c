"""The algorithms by name, each with its settings and with presets for environments that it was tuned on."""

from __future__ import annotations

from typing import Any, NamedTuple

from looptree.rl.algorithms import a2c, categorical_dqn, d3qn, dqn, ppo, rainbow
from looptree.rl.learner import Learner


class Algorithm(NamedTuple):
    """A learner made as `learner(env_id, settings, seed=0)`, the dataclass of its settings, and presets by
    env id."""

    learner: type[Learner]
    settings: type[Any]
    presets: dict[str, Any]


ALGORITHMS = {
    "a2c": Algorithm(a2c.A2C, a2c.A2CSettings, a2c.PRESETS),
    "c51": Algorithm(categorical_dqn.CategoricalDQN, categorical_dqn.CategoricalDQNSettings, categorical_dqn.PRESETS),
    "d3qn": Algorithm(d3qn.D3QN, d3qn.D3QNSettings, d3qn.PRESETS),
    "dqn": Algorithm(dqn.DQN, dqn.DQNSettings, dqn.PRESETS),
    "ppo": Algorithm(ppo.PPO, ppo.PPOSettings, ppo.PRESETS),
    "rainbow": Algorithm(rainbow.Rainbow, rainbow.RainbowSettings, rainbow.PRESETS),
}
