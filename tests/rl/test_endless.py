"""A task that never ends, and is only cut into episodes: what is to come after a cut counts in what it is worth."""

import pytest
import torch

from looptree import Callback
from looptree.rl.algorithms import ALGORITHMS
from tests.rl.identities import register

ON_POLICY = {
    "total_env_steps": 8_000,
    "num_envs": 4,
    "hidden_sizes": (16,),
    "max_gradient_norm": 100.0,
    "gamma": 0.95,
    "gae_lambda": 1.0,
    "anneal_learning_rate": True,
}
REPLAYING = {
    "total_env_steps": 3_000,
    "num_envs": 2,
    "env_steps_per_pass": 10,
    "gradient_steps_per_pass": 10,
    "batch_size": 64,
    "replay_capacity": 500,
    "hidden_sizes": (16,),
    "learning_rate": 0.003,
    "target_every_env_steps": 20,
    "gamma": 0.9,
}
RUNS = {
    "ppo": ON_POLICY | {"steps_per_rollout": 40, "epochs": 8, "learning_rate": 0.02},
    "a2c": ON_POLICY | {"steps_per_rollout": 10, "learning_rate": 0.01},
    "dqn": REPLAYING,
    "d3qn": REPLAYING,
    "c51": REPLAYING | {"lowest_return": 0.0, "highest_return": 20.0},
}


class NothingBeyondTruncation(Callback):
    """The mistake of taking a limit of time for an end of the task."""

    def after_step(self, _order=-2):
        transition = self.loop.transition
        self.loop.transition = transition._replace(terminated=transition.terminated | transition.truncated)


def values_learnt(name, cbs=()):
    """What the network says the places are worth (of all actions), and what they are: 1 for ever, discounted."""
    algorithm = ALGORITHMS[name]
    settings = algorithm.settings(**RUNS[name], evaluate_every_env_steps=100_000)
    learner = algorithm.learner("LooptreeEndless-v0", settings)
    for callback in cbs:
        learner.source.add_cb(callback)
    network = learner.run().network
    with torch.no_grad():
        said = network(torch.eye(4))[1] if name in ("ppo", "a2c") else network.values(network(torch.eye(4)))
    return said, 1 / (1 - settings.gamma)


@pytest.mark.parametrize("name", RUNS)
def test_what_comes_after_a_cut_counts(name):
    register()
    said, right = values_learnt(name)
    assert (abs(said - right) < 1).all(), said


@pytest.mark.parametrize("name", RUNS)
def test_without_what_comes_after_it_every_value_is_wrong(name):
    register()
    said, right = values_learnt(name, [NothingBeyondTruncation])
    assert (abs(said - right) > 1).all(), said
