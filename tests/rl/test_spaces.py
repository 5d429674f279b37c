"""What is shown in every kind of observations is learnt to be named, and every kind of actions to name it."""

import pytest

from looptree.rl.algorithms import ALGORITHMS
from tests.rl.identities import SEEN, register

register()

DQN_SETTINGS = {
    "total_env_steps": 600,
    "env_steps_per_pass": 8,
    "gradient_steps_per_pass": 8,
    "learning_starts_env_steps": 100,
    "replay_capacity": 400,
    "batch_size": 16,
    "hidden_sizes": (32,),
    "learning_rate": 2e-3,
    "gamma": 0.4,
    "target_every_env_steps": 50,
    "epsilon_fraction": 0.3,
    "evaluate_every_env_steps": 300,
    "evaluation_episodes": 2,
}
PPO_SETTINGS = {
    "total_env_steps": 1_500,
    "num_envs": 4,
    "steps_per_rollout": 64,
    "epochs": 6,
    "hidden_sizes": (32,),
    "learning_rate": 5e-3,
    "gamma": 0.4,
    "evaluate_every_env_steps": 100_000,
    "evaluation_episodes": 2,
}
DEEP = {"learning_rate": 1e-3}  # with an image a network is deep, and wants shorter steps


def made(name, kind, seed=0, **changes):
    algorithm = ALGORITHMS[name]
    shared = PPO_SETTINGS if name == "ppo" else DQN_SETTINGS
    deep = DEEP if kind in ("Image", "Entries") else {}
    return algorithm.learner(f"LooptreeSeen{kind}-v0", algorithm.settings(**shared | deep | changes), seed=seed)


@pytest.mark.parametrize("kind", SEEN)
@pytest.mark.parametrize("name", ["dqn", "ppo"])
def test_naming_what_is_shown(name, kind):
    longer = {"total_env_steps": 3_000} if (name, kind) == ("ppo", "Entries") else {}
    assert made(name, kind, **longer).run().evaluate(5).mean() > 45  # of 50; by chance 12.5
