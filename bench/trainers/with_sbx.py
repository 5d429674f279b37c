"""SBX, which is Stable-Baselines3 with its networks and updates in JAX; its DQN does not clip gradients."""

import sbx
import torch
from stable_baselines3.common.env_util import make_vec_env
from tasks import ENDLESS, Task
from trainers.with_sb3 import Wait
from turns import Turns


def steps_of_state(model) -> int:
    policy = model.policy
    return int((policy.qf_state if hasattr(policy, "qf_state") else policy.actor_state).step)


def train(task: Task, threads: int, turns: Turns) -> None:
    torch.set_num_threads(threads)
    environments = make_vec_env(task.env_id, task.num_envs, seed=0)
    model = getattr(sbx, task.algorithm.upper())("MlpPolicy", environments, seed=0, **task.theirs)
    model.learn(ENDLESS, Wait(turns, steps_of_state))
