"""What an update trains, and what of a learner's own parts its evaluations, copies and states hold."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from looptree import Callback, Cancel
from looptree.core.errors import BadSetting, StateMismatch
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.algorithms.ppo import PPO, PPOSettings
from looptree.rl.q_network import NetworkPart, ValueHead

SMALL = DQNSettings(total_env_steps=400, learning_starts_env_steps=64, hidden_sizes=(16,), evaluation_episodes=3)
ON_POLICY = PPOSettings(total_env_steps=400, num_envs=2, steps_per_rollout=16, batch_size=8, evaluation_episodes=3)


def dqn(cbs=None, **changes):
    return DQN("CartPole-v1", DQNSettings(**{**vars(SMALL), **changes}), cbs)


def ppo(cbs=None):
    return PPO("CartPole-v1", ON_POLICY, cbs)


def test_an_optimizer_of_other_parameters_is_refused_with_the_line_to_write():
    learner = dqn()
    learner.update.optimizer = torch.optim.RMSprop(learner.network.parameters(), lr=1e-2)
    with pytest.raises(
        BadSetting, match=r"no gradient step would change them\. Write RMSprop\(\[dqn\.flat\.vector\], "
    ):
        learner.run()
    learner.update.optimizer = torch.optim.RMSprop([learner.flat.vector], lr=1e-2)
    before = learner.flat.vector.clone()
    learner.run()
    assert not torch.equal(before, learner.flat.vector)


@pytest.mark.parametrize(("make", "name"), [(dqn, "head.linears.0.weight"), (ppo, "actor_weight")])
def test_a_frozen_parameter_is_refused_and_not_trained(make, name):
    learner = make()
    frozen = dict(learner.network.named_parameters())[name].requires_grad_(False)
    before = frozen.clone()
    with pytest.raises(BadSetting, match=r"needs no gradient, but an update trains all parameters"):
        learner.run()
    assert torch.equal(before, frozen)


def another_network(learner):
    learner.network = copy.deepcopy(learner.network)


def another_layer(learner):
    learner.network.head.linears[-1] = nn.Linear(16, 2)


def another_weight(learner):
    learner.network.critic_weight = nn.Parameter(learner.network.critic_weight.clone())


@pytest.mark.parametrize(
    ("make", "replace"), [(dqn, another_network), (dqn, another_layer), (ppo, another_network), (ppo, another_weight)]
)
def test_a_network_that_was_replaced_is_refused(make, replace):
    learner = make()
    replace(learner)
    with pytest.raises(BadSetting, match="has other parameters than when its learner was made"):
        learner.run()


class WithoutBias(NetworkPart):
    def into(self, design):
        return design.replace(self, "linear", lambda inputs, outputs, _: nn.Linear(inputs, outputs, bias=False))


def test_linear_layers_without_bias_are_trained():
    learner = dqn(WithoutBias())
    before = learner.flat.vector.clone()
    learner.run()
    assert not torch.equal(before, learner.flat.vector)


class Swings(Callback):
    """Pushes to the side to which the pole falls, whatever the network says."""

    def on_select(self, _replace=True):
        self.source.action = (self.observation[:, 2] + self.observation[:, 3] > 0).astype(np.int64)


@pytest.mark.parametrize("make", [dqn, ppo])
def test_the_agent_of_the_evaluations_is_the_one_that_is_evaluated(make):
    learner = make()
    assert (learner.evaluate(5) < 100).all()
    learner.valid_source.agent.add_cb(Swings())
    assert learner.run(phases="valid").valid_return > 150
    assert (learner.evaluate(5) > 150).all()


class Centred(ValueHead):
    """Keeps the mean of what comes in, in a buffer."""

    def __init__(self, sizes, *others):
        super().__init__(sizes, *others)
        self.register_buffer("mean", torch.zeros(sizes[0]))

    def forward(self, features):
        if self.training:
            self.mean += 0.1 * (features.detach().mean(0) - self.mean)
        return super().forward(features - self.mean)


class CentredHead(NetworkPart):
    def into(self, design):
        return design.replace(self, "head", Centred)


def test_the_target_network_gets_the_buffers_too():
    class Compares(Callback):
        def after_collect(self, _order=100, _phase="train"):
            if self.env_steps % 40 == 0:
                self.same = torch.equal(self.network.head.mean, self.target_network.head.mean)

    compares = Compares()
    learner = dqn([CentredHead(), compares], target_every_env_steps=40, env_steps_per_pass=40)
    learner.network.head.mean += 1.0
    learner.run(times=3)
    assert compares.same
    assert learner.network.head.mean.any()


def test_a_learning_rate_that_was_changed_goes_on_in_a_state():
    whole = dqn().run(times=30)
    whole.update.optimizer.param_groups[0]["lr"] = 1e-6
    other = dqn()
    other.load_state_dict(whole.state_dict())
    for learner in (whole, other):
        learner.run()
    assert torch.equal(whole.flat.vector, other.flat.vector)


class Fewer(Callback):
    """Learns from the first rows of each minibatch only."""

    def after_sample(self):
        update = self.learner.update
        update.batch = type(update.batch)(*(column[:8] for column in update.batch))
        update.discounts = update.discounts[:8]


def test_the_gradient_is_the_mean_of_the_rows_that_there_are():
    class Compares(Callback):
        def after_loss(self, _order=100):
            learner = self.learner
            values = learner.network(learner.update.batch.observation)
            taken = values.gather(1, learner.update.batch.action.unsqueeze(1)).squeeze(1)
            loss = nn.functional.smooth_l1_loss(taken, learner.update.targets)
            expected = learner.flat.gradient_of(loss)
            torch.testing.assert_close(learner.update.backward.gradient(learner.update.slopes), expected)
            self.compared = True

    compares = Compares()
    learner = dqn(hidden_sizes=(8,))
    learner.update.add_cb(Fewer()).add_cb(compares)
    learner.run(times=30)
    assert compares.compared


@pytest.mark.parametrize("num_envs", [2, 4])
def test_a_state_of_another_number_of_environments_is_refused(num_envs):
    state = dqn(num_envs=3).run(times=10).state_dict()
    with pytest.raises(StateMismatch, match=f"is of 3 environments side by side, and this one steps {num_envs}"):
        dqn(num_envs=num_envs).load_state_dict(state)


def test_the_source_of_a_rollout_can_be_pulled_on():
    learner = ppo().run(times=2)
    assert next(iter(learner.source)).reward.shape == (2,)
    learner.source.run(times=40)
    assert not math.isnan(float(learner.run().loss))


def test_a_rollout_without_a_row_teaches_nothing():
    class Skips(Callback):
        def before_run(self):
            self.gradient_steps = []

        def before_collect(self, _phase="train"):
            if self.loop.index == 1:
                self.learner.memory.clear()
                raise Cancel("collect")

        def after_pass(self):
            self.gradient_steps.append(self.learner.gradient_steps)

    skips = Skips()
    assert ppo(skips).run(times=3).count == 3
    first, second, third = skips.gradient_steps
    assert 0 < first == second < third
