import copy
import itertools
import math

import pytest
import torch
from torch import nn

from looptree import Callback
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.algorithms.dqn import DQN, DQNSettings, taken
from looptree.rl.backward import ByAutograd, ByHand
from looptree.rl.dense import dense, dense_gradient
from looptree.rl.encoders import Numbers
from looptree.rl.flat import FlatParameters, clipped
from looptree.rl.optimizers import Adam
from looptree.rl.q_network import QDesign
from looptree.rl.seeding import stream
from looptree.rl.state import load_optimizer_state, optimizer_state
from looptree.rl.variants.c51 import cross_entropies, of_actions
from looptree.rl.variants.prioritized import Prioritized

GENERATOR = torch.Generator().manual_seed(0)


def layers(*sizes):
    made = []
    for inputs, outputs in itertools.pairwise(sizes):
        weight = torch.randn(outputs, inputs, generator=GENERATOR, dtype=torch.float64, requires_grad=True)
        made.append((weight, torch.randn(outputs, generator=GENERATOR, dtype=torch.float64, requires_grad=True)))
    return made


def plain_network(hidden_sizes=(16, 8)):
    return QDesign(stream(0)).network(Numbers([4]), hidden_sizes, 3)


@pytest.mark.parametrize("sizes", [(3, 2), (3, 5, 2), (3, 5, 4, 1)])
def test_the_gradient_of_dense_layers_is_that_of_autograd(sizes):
    made = layers(*sizes)
    observation = torch.randn(6, sizes[0], generator=GENERATOR)
    slopes = torch.randn(6, sizes[-1], generator=GENERATOR, dtype=torch.float64)
    features = observation.double()
    for number, (weight, bias) in enumerate(made):
        features = nn.functional.linear(features if number == 0 else features.relu(), weight, bias)
    parameters = [part for layer in made for part in layer]
    expected = torch.autograd.grad(features, parameters, slopes)

    detached = [(weight.detach().float(), bias.detach().float()) for weight, bias in made]
    activations = dense(detached, observation)
    gradients = [(torch.empty_like(weight), torch.empty_like(bias)) for weight, bias in detached]
    dense_gradient(detached, activations, slopes.float(), gradients)
    torch.testing.assert_close(activations[-1], features.detach().float())
    for found, wanted in zip([part for layer in gradients for part in layer], expected, strict=True):
        torch.testing.assert_close(found, wanted.float(), rtol=1e-4, atol=1e-5)


def test_by_hand_and_by_autograd_agree_on_a_network():
    network = plain_network()
    flat = FlatParameters(network.parameters())
    observation = torch.randn(32, 4, generator=GENERATOR)
    slopes = torch.randn(32, 3, generator=GENERATOR)
    found = []
    for backward in (ByHand(network.encoder, network.dense_layers, flat), ByAutograd(network, flat)):
        torch.testing.assert_close(backward.forward(observation), network.ask(observation))
        found.append(backward.gradient(slopes))
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    ("name", "kind"), [("dqn", ByHand), ("d3qn", ByAutograd), ("c51", ByHand), ("rainbow", ByAutograd)]
)
def test_networks_of_linear_layers_are_done_by_hand(name, kind):
    learner = ALGORITHMS[name].learner("CartPole-v1")
    assert type(learner.network.backward(learner.flat)) is kind


class Compare(Callback):
    """Works out each gradient from the loss as a whole, and compares it with the one that the step went down."""

    def __init__(self):
        self.compared = 0

    def before_step(self):
        update, network = self.loop, self.learner.network
        outputs, actions = network(update.batch.observation), update.batch.action
        if network.reading.outputs_per_action > 1:
            losses = cross_entropies(of_actions(network.reading.logits(outputs), actions), update.targets)
        else:
            losses = torch.nn.functional.smooth_l1_loss(taken(outputs, actions), update.targets, reduction="none")
        weights = [callback.weights for callback in self.learner.cbs if isinstance(callback, Prioritized)]
        loss = (losses * weights[0] if weights else losses).mean()
        torch.testing.assert_close(loss.detach(), self.learner.loss)
        self.expected = torch.cat([part.flatten() for part in torch.autograd.grad(loss, self.learner.flat.parameters)])

    def after_step(self):
        torch.testing.assert_close(self.learner.flat.vector.grad, self.expected)
        self.compared += 1


@pytest.mark.parametrize("name", ["dqn", "d3qn", "c51", "rainbow"])
def test_each_step_goes_down_the_gradient_of_the_loss(name):
    algorithm = ALGORITHMS[name]
    settings = algorithm.settings(
        total_env_steps=400,
        env_steps_per_pass=100,
        gradient_steps_per_pass=5,
        batch_size=16,
        hidden_sizes=(8, 8),
        max_gradient_norm=math.inf,
    )
    compare = Compare()
    learner = algorithm.learner("CartPole-v1", settings)
    learner.update.add_cb(compare)
    learner.run()
    assert compare.compared == 20


def test_a_gradient_is_clipped_to_the_norm():
    gradient = torch.tensor([3.0, 4.0])
    assert clipped(gradient, 10.0)[0] is gradient
    assert gradient.tolist() == [3.0, 4.0]
    shorter, norm = clipped(gradient, 1.0)
    torch.testing.assert_close(shorter, torch.tensor([0.6, 0.8]))
    assert norm == 5.0


def test_adam_does_what_torchs_does():
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 50)) for _ in range(2))
    adam, torchs = Adam(ours, 1e-2, 1e-5), torch.optim.Adam([theirs], 1e-2, eps=1e-5, fused=True)
    for number in range(30):
        if number == 20:
            adam.param_groups[0]["lr"] = torchs.param_groups[0]["lr"] = 3e-3
        gradient = torch.randn(50, generator=GENERATOR)
        ours.grad, theirs.grad = gradient.clone(), gradient
        adam.step()
        torchs.step()
        assert torch.equal(ours, theirs)


def test_adam_goes_on_from_its_state_and_from_a_copy():
    vector = nn.Parameter(torch.linspace(-1, 1, 50))
    adam = Adam(vector, 1e-2)
    gradients = torch.randn(10, 50, generator=GENERATOR)

    def go(adam, gradients):
        for gradient in gradients:
            adam.param_groups[0]["params"][0].grad = gradient
            adam.step()
        return adam.param_groups[0]["params"][0].detach().clone()

    go(adam, gradients[:5])
    copied = copy.deepcopy(adam)
    other = Adam(nn.Parameter(vector.detach().clone()), 1e-2)
    load_optimizer_state(other, optimizer_state(adam))
    expected = go(adam, gradients[5:])
    assert torch.equal(go(copied, gradients[5:]), expected)
    assert torch.equal(go(other, gradients[5:]), expected)


def test_a_learner_and_its_copy_go_different_ways():
    settings = DQNSettings(total_env_steps=400, env_steps_per_pass=100, gradient_steps_per_pass=4, hidden_sizes=(8, 8))
    learner = DQN("CartPole-v1", settings).run(2)
    copied = copy.deepcopy(learner)
    before = learner.flat.vector.detach().clone()
    copied.run()
    assert torch.equal(learner.flat.vector, before)
    assert not torch.equal(copied.flat.vector, before)
    learner.run()
    assert torch.equal(learner.flat.vector, copied.flat.vector)
