import numpy as np
import pytest
import torch

from looptree import Callback
from looptree.core.errors import BadSetting
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.seeding import stream, torch_generator
from looptree.rl.variants.noisy import Noisy, NoisyLinear, draw_noise, noisy_layers

SETTINGS = DQNSettings(
    total_env_steps=200, env_steps_per_pass=50, learning_starts_env_steps=60, evaluate_every_env_steps=100
)


def layer(inputs=8, outputs=5, initial_noise=0.5):
    return NoisyLinear(inputs, outputs, torch_generator(stream(0)), initial_noise)


def weights(noisy):
    """The weights and biases with which a layer works: what it makes of one input at a time, and of none."""
    with torch.no_grad():
        bias = noisy(torch.zeros(1, noisy.weight.shape[1]))[0]
        return (noisy(torch.eye(noisy.weight.shape[1])) - bias).T, bias


def test_noise_is_factorised():
    noisy = layer()
    draw_noise([noisy], np.random.default_rng(0))
    found, bias = weights(noisy)
    expected = noisy.weight + noisy.weight_noise * torch.outer(noisy.noise_out, noisy.noise_in)
    torch.testing.assert_close(found, expected.detach())
    torch.testing.assert_close(bias, (noisy.bias + noisy.bias_noise * noisy.noise_out).detach())
    rank = torch.linalg.matrix_rank((found - noisy.weight.detach()) / noisy.weight_noise.detach(), rtol=1e-3)
    assert rank == 1


def test_mean_and_variance_of_the_noise():
    noisy, generator = layer(4, 3), np.random.default_rng(0)
    drawn = []
    for _ in range(20_000):
        draw_noise([noisy], generator)
        drawn.append(torch.outer(noisy.noise_out, noisy.noise_in))
    noise = torch.stack(drawn)
    # f(x) = sign(x) sqrt(|x|) has mean 0 and variance E|x| = sqrt(2/pi); a product of two has 2/pi
    assert noise.mean(0).abs().max() < 0.03
    torch.testing.assert_close(noise.var(0), torch.full((3, 4), 2 / np.pi), rtol=0.05, atol=0)


def test_initial_weights():
    noisy = layer(100, 50)
    assert 0.09 < noisy.weight.abs().max() <= 0.1
    assert noisy.weight_noise.unique().tolist() == pytest.approx([0.05])
    assert noisy.bias_noise.unique().tolist() == pytest.approx([0.05])


def test_in_eval_mode_there_is_no_noise():
    noisy = layer()
    draw_noise([noisy], np.random.default_rng(0))
    features = torch.randn(3, 8, generator=torch_generator(stream(1)))
    assert not torch.equal(noisy(features), torch.nn.functional.linear(features, noisy.weight, noisy.bias))
    assert torch.equal(noisy.eval()(features), torch.nn.functional.linear(features, noisy.weight, noisy.bias))


def test_the_size_of_the_noise_is_learnt():
    noisy = layer()
    draw_noise([noisy], np.random.default_rng(0))
    noisy(torch.ones(1, 8)).sum().backward()
    torch.testing.assert_close(noisy.weight_noise.grad, torch.outer(noisy.noise_out, noisy.noise_in))
    torch.testing.assert_close(noisy.bias_noise.grad, noisy.noise_out)


class Noises(Callback):
    """Notes the noise of the first layer at each step that is acted on, and in each part of an update."""

    def __init__(self):
        self.acting, self.asking, self.targets, self.learning = [], [], [], []
        self.epsilons = []

    def note(self, network, notes):
        notes.append(noisy_layers(network)[0].noise_in.tolist())

    def on_forward(self, _phase="train", _replace=True):
        self.epsilons.append(self.loop.root.epsilon)
        self.note(self.loop.network, self.acting)
        self.loop.values = self.loop.network.predict(self.loop.source.observation)

    def after_target(self):
        self.note(self.loop.root.network, self.asking)
        self.note(self.loop.root.target_network, self.targets)

    def after_loss(self):
        self.note(self.loop.root.network, self.learning)


def test_each_use_has_noise_of_its_own():
    noises = Noises()
    learner = DQN("CartPole-v1", SETTINGS, [Noisy(), noises]).run()
    assert len(noises.acting) == learner.env_steps
    assert len(noises.learning) == learner.update.count > 0
    all_of_them = noises.acting + noises.asking + noises.targets + noises.learning
    assert len({tuple(noise) for noise in all_of_them}) == len(all_of_them)


def test_random_actions_end_where_learning_starts():
    noises = Noises()
    DQN("CartPole-v1", SETTINGS, [Noisy(), noises]).run()
    assert noises.epsilons == [1.0] * 100 + [0.0] * 100


def test_all_linear_layers_are_noisy_and_evaluation_is_not():
    learner = DQN("CartPole-v1", SETTINGS, [Noisy()])
    assert len(noisy_layers(learner.network)) == 3
    assert not any(isinstance(module, torch.nn.Linear) for module in learner.network.modules())
    learner.run()
    assert (learner.evaluate(3) == learner.evaluate(3)).all()


@pytest.mark.parametrize("noise", [0.0, float("inf"), float("nan"), "1"])
def test_noise_that_cannot_be(noise):
    with pytest.raises(BadSetting) as error:
        Noisy(noise)
    assert str(error.value) == f"Noisy(initial_noise={noise!r}): a finite number above 0 would fit."
