"""Small learners of each kind, and what they have learnt."""

import dataclasses

import torch

from looptree.rl.algorithms.a2c import A2C, A2CSettings
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.algorithms.ppo import PPO, PPOSettings
from tests.rl.toys import register

SMALL_DQN = DQNSettings(
    total_env_steps=600,
    env_steps_per_pass=50,
    gradient_steps_per_pass=4,
    learning_starts_env_steps=200,
    replay_capacity=300,
    batch_size=16,
    hidden_sizes=(16,),
    learning_rate=1e-3,
    target_every_env_steps=20,
    epsilon_fraction=0.5,
    evaluate_every_env_steps=150,
    evaluation_episodes=3,
)

SMALL_PPO = PPOSettings(
    total_env_steps=480,
    num_envs=3,
    steps_per_rollout=16,
    epochs=2,
    batch_size=16,
    hidden_sizes=(16,),
    learning_rate=1e-3,
    anneal_learning_rate=True,
    anneal_clip_range=True,
    normalise_observations=True,
    normalise_rewards=True,
    evaluate_every_env_steps=150,
    evaluation_episodes=3,
)

SMALL_A2C = A2CSettings(
    total_env_steps=240, num_envs=4, hidden_sizes=(16,), evaluate_every_env_steps=100, evaluation_episodes=3
)


def small_dqn(seed=0, env_id="CartPole-v1", cbs=(), **changes):
    """12 passes, of which the last 9 learn."""
    return DQN(env_id, dataclasses.replace(SMALL_DQN, **changes), cbs, seed=seed)


def small_ppo(seed=0, env_id="CartPole-v1", cbs=(), **changes):
    """10 passes."""
    return PPO(env_id, dataclasses.replace(SMALL_PPO, **changes), cbs, seed=seed)


def small_a2c(seed=0, env_id="Acrobot-v1", cbs=(), **changes):
    """12 passes."""
    return A2C(env_id, dataclasses.replace(SMALL_A2C, **changes), cbs, seed=seed)


def dqn_of_lamps(cbs=(), seed=0):
    """One that is to find out which button belongs to which lamp."""
    register()
    settings = DQNSettings(
        total_env_steps=1200,
        env_steps_per_pass=8,
        gradient_steps_per_pass=8,
        learning_starts_env_steps=100,
        replay_capacity=1200,
        hidden_sizes=(32,),
        learning_rate=2e-3,
        gamma=0.4,
        target_every_env_steps=50,
        epsilon_fraction=0.3,
        evaluate_every_env_steps=400,
        evaluation_episodes=5,
    )
    return DQN("LooptreeIdentity-v0", settings, cbs, seed=seed)


def parameters(learner):
    """The parameters of the network, as they are now."""
    return [parameter.detach().clone() for parameter in learner.network.parameters()]


def same(left, right):
    """Whether tensors are equal, pair by pair."""
    return all(torch.equal(mine, others) for mine, others in zip(left, right, strict=True))


def assert_learns(learner):
    """The optimizer works on what the network acts from."""
    gradient_steps = getattr(learner.update, "minibatch", learner.update)
    held = [part for group in gradient_steps.optimizer.param_groups for part in group["params"]]
    before = parameters(learner)
    with torch.no_grad():
        for part in held:
            part += 1.0
        assert same([values + 1.0 for values in before], learner.network.parameters())
        for part, values in zip(learner.network.parameters(), before, strict=True):
            part.copy_(values)
