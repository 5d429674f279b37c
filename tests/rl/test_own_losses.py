"""Losses of one's own: what a hook adds to an algorithm's loss is added, and one that stands in its place is learnt."""

import math

import pytest
import torch

from looptree import Callback
from looptree.rl.algorithms.dqn import taken
from looptree.rl.backward import ByAutograd
from looptree.rl.errors import NoGradient
from looptree.rl.variants.noisy import Noisy
from looptree.rl.variants.prioritized import Prioritized
from tests.rl.identities import register
from tests.rl.learners import parameters, same, small_a2c, small_dqn, small_ppo

# Each kind of algorithm, and whether autograd finds the gradient of its own loss.
MADE = {
    "dqn": (small_dqn, False),
    "prioritized dqn": (lambda cbs=(), **changes: small_dqn(cbs=[Prioritized(), *cbs], **changes), False),
    "noisy dqn": (lambda cbs=(), **changes: small_dqn(cbs=[Noisy(), *cbs], **changes), True),
    "ppo": (small_ppo, False),
    "a2c": (small_a2c, False),
    "ppo of images": (
        lambda cbs=(), **changes: small_ppo(
            env_id="LooptreeSeenEntries-v0", normalise_observations=False, cbs=cbs, **changes
        ),
        True,
    ),
}


def made(name, cbs=()):
    register()
    learner, by_autograd = MADE[name][0](cbs=cbs, max_gradient_norm=math.inf), MADE[name][1]
    assert isinstance(learner.network.backward(learner.flat), ByAutograd) == by_autograd
    return learner


class Steps(Callback):
    """Notes loss, gradient and parameters at each gradient step of an Update."""

    def __init__(self):
        self.losses, self.gradients, self.at = [], [], []

    def before_step(self):
        self.losses.append(self.learner.loss.detach().clone())
        self.at.append(self.learner.flat.vector.detach().clone())

    def after_step(self):
        self.gradients.append(self.learner.flat.vector.grad.clone())


def steps_of(learner):
    """A run of the learner, as Steps notes it."""
    steps = Steps()
    getattr(learner.update, "minibatch", learner.update).add_cb(steps)
    learner.run()
    return steps


class Decay(Callback):
    """Adds the square of the parameters' length to the loss."""

    def __init__(self, weight):
        self.weight = weight

    def after_loss(self):
        squares = sum(parameter.square().sum() for parameter in self.learner.network.parameters())
        self.learner.loss = self.learner.loss + self.weight * squares


@pytest.mark.parametrize("name", MADE)
def test_what_a_hook_adds_to_a_loss_is_added_to_its_gradient(name):
    plain, decayed = steps_of(made(name)), steps_of(made(name, [Decay(0.1)]))
    at = plain.at[0]
    assert torch.equal(at, decayed.at[0])
    torch.testing.assert_close(decayed.losses[0], plain.losses[0] + 0.1 * at.dot(at))
    assert plain.gradients[0].abs().max() > 1e-3
    torch.testing.assert_close(decayed.gradients[0], plain.gradients[0] + 0.2 * at)


@pytest.mark.parametrize("name", MADE)
def test_a_term_without_weight_changes_nothing(name):
    assert same(parameters(made(name).run()), parameters(made(name, [Decay(0.0)]).run()))


def test_a_term_may_leave_parts_of_the_network_out():
    class MoreEntropy(Callback):
        def after_loss(self):
            minibatch, policy = self.loop, self.learner.network.policy
            outputs, _ = self.learner.network(minibatch.batch.observation)
            self.learner.loss = self.learner.loss - 0.01 * policy.entropy(outputs).mean()

    by_setting = steps_of(small_ppo(entropy_coefficient=0.01))
    by_hook = steps_of(small_ppo(cbs=[MoreEntropy()]))
    torch.testing.assert_close(by_hook.losses[0], by_setting.losses[0])
    torch.testing.assert_close(by_hook.gradients[0], by_setting.gradients[0], rtol=1e-3, atol=1e-5)


def squares(learner, update):
    """The squared errors `(batch,)`, with a graph."""
    return (taken(learner.network(update.batch.observation), update.batch.action) - update.targets).square()


class SquaredErrors(Callback):
    """In place of on_loss alone."""

    def on_loss(self, _replace=True):
        self.loop.losses = squares(self.learner, self.loop)
        self.loop.errors = self.loop.losses.sqrt()


class SquaredLoss(Callback):
    """In place of both hooks."""

    def on_loss(self, _replace=True):
        self.learner.loss = squares(self.learner, self.loop).mean()

    def after_loss(self, _replace=True):
        pass


def test_losses_with_a_graph_are_enough_for_dqn():
    losses, loss = small_dqn(cbs=[SquaredErrors()]), small_dqn(cbs=[SquaredLoss()])
    assert steps_of(losses).losses == steps_of(loss).losses
    assert same(parameters(losses), parameters(loss))
    assert not same(parameters(losses), parameters(small_dqn().run()))


def test_losses_with_a_graph_are_weighted_by_prioritized():
    class Weighted(Callback):
        """Works the gradient out of the weights that the batch was drawn with."""

        def __init__(self):
            self.expected = []

        def after_loss(self):
            loss = (prioritized.weights * squares(self.learner, self.loop)).mean()
            self.expected.append(self.learner.flat.gradient_of(loss))

    prioritized, weighted = Prioritized(), Weighted()
    learner = small_dqn(cbs=[prioritized, SquaredErrors(), weighted], max_gradient_norm=math.inf)
    found = steps_of(learner).gradients
    assert len(found) > 20 and len(prioritized.weights.unique()) > 4
    torch.testing.assert_close(found, weighted.expected)


@pytest.mark.parametrize("passes", [0, 1])  # with the algorithm's own loss before
def test_half_an_own_loss_is_refused_with_the_hooks_to_replace(passes):
    class Half(Callback):
        def on_loss(self, _replace=True):
            self.learner.loss = squares(self.learner, self.loop).mean()

    learner = small_dqn(learning_starts_env_steps=0).run(times=passes)
    before = parameters(learner)
    with pytest.raises(NoGradient) as error:
        learner.run(cbs=[Half()])
    assert str(error.value) == (
        "The loss of dqn cannot be differentiated: it has no graph, and update has no slopes of it. Ask the network "
        "itself, self.learner.network(self.loop.batch.observation), and work the loss out of what it says, in place of "
        "'on_loss' and 'after_loss' (_replace=True)."
    )
    assert same(before, parameters(learner))


def test_a_loss_that_leads_to_no_parameter_is_refused():
    class Elsewhere(Callback):
        def on_loss(self, _replace=True):
            self.learner.loss = torch.nn.Parameter(torch.ones(())).square()

    learner = small_ppo(cbs=[Elsewhere()])
    with pytest.raises(NoGradient, match=r"^None of the 6 parameters is in the graph of the loss"):
        learner.run()
