"""The algorithms by name, each with its settings and with presets for environments that it was tuned on."""

from __future__ import annotations

from typing import Any, NamedTuple

from looptree.rl.algorithms import a2c, dqn, ppo
from looptree.rl.learner import Learner


class Algorithm(NamedTuple):
    """A learner made as `learner(env_id, settings, seed=0)`, the dataclass of its settings, and presets by
    env id."""

    learner: type[Learner]
    settings: type[Any]
    presets: dict[str, Any]


ALGORITHMS = {
    "a2c": Algorithm(a2c.A2C, a2c.A2CSettings, a2c.PRESETS),
    "dqn": Algorithm(dqn.DQN, dqn.DQNSettings, dqn.PRESETS),
    "ppo": Algorithm(ppo.PPO, ppo.PPOSettings, ppo.PRESETS),
}
