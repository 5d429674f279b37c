"""Stable-Baselines3."""

import stable_baselines3
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from tasks import ENDLESS, Task
from turns import Turns


class Wait(BaseCallback):
    """Holds the model before each rollout until it is its turn."""

    def __init__(self, turns: Turns, gradient_steps) -> None:
        super().__init__()
        self.turns = turns
        self.gradient_steps = gradient_steps

    def _on_rollout_start(self) -> None:
        self.turns.before_pass(self.model.num_timesteps, lambda: self.gradient_steps(self.model))

    def _on_step(self) -> bool:
        return True


def steps_of_adam(model) -> int:
    states = list(model.policy.optimizer.state.values())
    return int(states[0]["step"]) if states else 0


def train(task: Task, threads: int, turns: Turns) -> None:
    torch.set_num_threads(threads)
    environments = make_vec_env(task.env_id, task.num_envs, seed=0)
    algorithm = getattr(stable_baselines3, task.algorithm.upper())
    model = algorithm("MlpPolicy", environments, seed=0, device="cpu", **task.theirs)
    model.learn(ENDLESS, Wait(turns, steps_of_adam))
