"""PPO of Stable-Baselines3 with the settings of a PPO run of looptree, and the returns of what it has learnt."""

import numpy as np
import torch
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from looptree.rl.algorithms.ppo import PPOSettings


def linear(start: float):
    return lambda left: start * left


def returns(settings: PPOSettings, env_id: str, seed: int, episodes: int) -> np.ndarray:
    """The returns `(episodes,)` of greedy episodes of the last agent, in environments of other seeds."""
    torch.set_num_threads(1)
    environments = VecNormalize(
        make_vec_env(env_id, settings.num_envs, seed=seed),
        norm_obs=settings.normalise_observations,
        norm_reward=settings.normalise_rewards,
        gamma=settings.gamma,
    )
    model = PPO(
        "MlpPolicy",
        environments,
        learning_rate=linear(settings.learning_rate) if settings.anneal_learning_rate else settings.learning_rate,
        n_steps=settings.steps_per_rollout,
        batch_size=settings.batch_size,
        n_epochs=settings.epochs,
        gamma=settings.gamma,
        gae_lambda=settings.gae_lambda,
        clip_range=settings.clip_range,
        clip_range_vf=settings.value_clip_range if np.isfinite(settings.value_clip_range) else None,
        ent_coef=settings.entropy_coefficient,
        vf_coef=settings.value_coefficient,
        max_grad_norm=settings.max_gradient_norm,
        policy_kwargs={"net_arch": list(settings.hidden_sizes)},
        seed=seed,
        device="cpu",
    )
    model.learn(settings.total_env_steps)
    environments.training = environments.norm_reward = False
    fresh = VecNormalize(make_vec_env(env_id, 1, seed=1_000 + seed), training=False, norm_reward=False)
    fresh.obs_rms = environments.obs_rms
    found, _ = evaluate_policy(model, fresh, episodes, deterministic=True, return_episode_rewards=True)
    return np.array(found)
