"""What trainers are compared on: the same settings in looptree's names and in those of Stable-Baselines3."""

from dataclasses import dataclass
from typing import Any

ENDLESS = 10**8
"""Env steps, more than any benchmark makes: a run is left in the middle."""

DQN_DECAY_ENV_STEPS = 8_000
"""Steps in which rl-zoo's DQN for CartPole-v1 lowers the share of random actions."""


@dataclass(frozen=True)
class Task:
    """An algorithm, an environment and settings, and how many times a peer's env steps a second are asked for.

    `theirs` goes to the constructors of Stable-Baselines3 and SBX as it is, `ours` into the algorithm's settings.
    """

    title: str
    algorithm: str
    env_id: str
    num_envs: int
    ours: dict[str, Any]
    theirs: dict[str, Any]
    env_steps_per_pass: int
    gradient_steps_per_pass: int
    warm_up_passes: int
    passes_per_turn: int
    at_least: dict[str, float]


TASKS = {
    "ppo-cartpole": Task(
        title="PPO on CartPole-v1: 8 envs x 128 steps, 4 epochs of minibatches of 256, 2 x [64, 64]",
        algorithm="ppo",
        env_id="CartPole-v1",
        num_envs=8,
        ours={"steps_per_rollout": 128, "batch_size": 256, "epochs": 4},
        theirs={"n_steps": 128, "batch_size": 256, "n_epochs": 4},
        env_steps_per_pass=1_024,
        gradient_steps_per_pass=16,
        warm_up_passes=4,
        passes_per_turn=8,
        at_least={"SB3": 3.0, "SBX": 2.0},
    ),
    "ppo-halfcheetah": Task(
        title="PPO on HalfCheetah-v5: 8 envs x 256 steps, 10 epochs of minibatches of 512, 2 x [64, 64]",
        algorithm="ppo",
        env_id="HalfCheetah-v5",
        num_envs=8,
        ours={"steps_per_rollout": 256, "batch_size": 512, "epochs": 10},
        theirs={"n_steps": 256, "batch_size": 512, "n_epochs": 10},
        env_steps_per_pass=2_048,
        gradient_steps_per_pass=40,
        warm_up_passes=2,
        passes_per_turn=3,
        at_least={"SB3": 1.5, "SBX": 1.3},
    ),
    "dqn-cartpole": Task(
        title="DQN on CartPole-v1: 256 env steps, then 128 minibatches of 64, [256, 256]",
        algorithm="dqn",
        env_id="CartPole-v1",
        num_envs=1,
        ours={
            "env_steps_per_pass": 256,
            "gradient_steps_per_pass": 128,
            "learning_starts_env_steps": 1_000,
            "replay_capacity": 100_000,
            "batch_size": 64,
            "hidden_sizes": (256, 256),
            "learning_rate": 2.3e-3,
            "target_every_env_steps": 10,
            "epsilon_fraction": DQN_DECAY_ENV_STEPS / ENDLESS,
            "epsilon_end": 0.04,
        },
        theirs={
            "train_freq": 256,
            "gradient_steps": 128,
            "learning_starts": 1_000,
            "buffer_size": 100_000,
            "batch_size": 64,
            "policy_kwargs": {"net_arch": [256, 256]},
            "learning_rate": 2.3e-3,
            "target_update_interval": 10,
            "exploration_fraction": DQN_DECAY_ENV_STEPS / ENDLESS,
            "exploration_final_eps": 0.04,
        },
        env_steps_per_pass=256,
        gradient_steps_per_pass=128,
        warm_up_passes=6,
        passes_per_turn=5,
        at_least={"SB3": 2.5, "SBX": 1.0},
    ),
}
