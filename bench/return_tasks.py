"""What is trained to see how well it learns: algorithm, environment, the return that was published, and the bar."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ReturnTask:
    """A training run with the settings of the preset, `changes` aside, and what is asked of the median seed.

    Returns are those of greedy episodes. The bar is on the agent that a run keeps, or, with `no_worse_than`, on the
    last one: it may not be worse than the worst seed of that other task.
    """

    title: str
    algorithm: str
    env_id: str
    changes: dict[str, Any] = field(default_factory=dict)
    published: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    no_worse_than: str | None = None
    by_sb3: bool = False


CLEANRL_PPO = {
    "total_env_steps": 500_000,
    "num_envs": 4,
    "steps_per_rollout": 128,
    "batch_size": 128,
    "epochs": 4,
    "learning_rate": 2.5e-4,
    "anneal_learning_rate": True,
    "value_clip_range": 0.2,
    "value_coefficient": 0.25,
    "entropy_coefficient": 0.01,
    "gae_lambda": 0.95,
    "normalise_observations": False,
    "normalise_rewards": False,
}
"""The defaults of CleanRL's ppo.py, whose value loss has a factor of one half more."""

HALFCHEETAH = {"total_env_steps": 300_000}

RETURN_TASKS = {
    "ppo-cartpole": ReturnTask("PPO CartPole-v1 100k", "ppo", "CartPole-v1", {}, 500.0, at_least=475),
    "ppo-pendulum": ReturnTask("PPO Pendulum-v1 100k", "ppo", "Pendulum-v1", {}, -172.2, at_least=-250),
    "ppo-lunarlander": ReturnTask("PPO LunarLander-v3 1M", "ppo", "LunarLander-v3", {}, 242.1, at_least=200),
    "ppo-halfcheetah": ReturnTask(
        "PPO HalfCheetah-v5 300k", "ppo", "HalfCheetah-v5", HALFCHEETAH, no_worse_than="sb3-halfcheetah"
    ),
    "sb3-halfcheetah": ReturnTask("  SB3 with the same settings", "ppo", "HalfCheetah-v5", HALFCHEETAH, by_sb3=True),
    "a2c-cartpole": ReturnTask("A2C CartPole-v1 500k", "a2c", "CartPole-v1", {}, 500.0, at_least=475),
    "dqn-acrobot": ReturnTask("DQN Acrobot-v1 100k", "dqn", "Acrobot-v1", {}, -76.6, at_least=-90),
    "dqn-mountaincar": ReturnTask("DQN MountainCar-v0 120k", "dqn", "MountainCar-v0", {}, -100.9, at_least=-115),
    "dqn-cartpole": ReturnTask("DQN CartPole-v1 50k", "dqn", "CartPole-v1", {}, 500.0, at_least=475),
    "d3qn-cartpole": ReturnTask("double+dueling+n-step CartPole-v1", "d3qn", "CartPole-v1", at_least=475),
    "c51-cartpole": ReturnTask("C51 CartPole-v1", "c51", "CartPole-v1", at_least=475),
    "rainbow-cartpole": ReturnTask("rainbow CartPole-v1", "rainbow", "CartPole-v1", at_least=475),
    "ppo-mountaincar": ReturnTask(
        "control: CleanRL's PPO MountainCar-v0", "ppo", "MountainCar-v0", CLEANRL_PPO, -200.0, at_most=-199.5
    ),
}

QUICK = {
    "dqn": {"total_env_steps": 600, "learning_starts_env_steps": 200, "evaluate_every_env_steps": 300},
    "ppo": {"total_env_steps": 256, "num_envs": 2, "steps_per_rollout": 64, "epochs": 1},
    "a2c": {"total_env_steps": 256},
}
"""Changes that make a run of each kind short; the variants of DQN are run as DQN."""


def quick_changes(algorithm: str) -> dict[str, Any]:
    return QUICK.get(algorithm, QUICK["dqn"]) | {"evaluation_episodes": 2}
