import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from looptree.core.errors import BadSetting
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.variants.c51 import (
    C51,
    CategoricalReading,
    cross_entropies,
    cross_entropy_slopes,
    entropies,
    of_actions,
    projected,
)


def project(probabilities, reward, discount, low, high):
    row = torch.tensor([probabilities])
    returns = torch.linspace(low, high, len(probabilities))
    return projected(row, torch.tensor([float(reward)]), torch.tensor([float(discount)]), returns)[0].tolist()


def test_projections_of_known_numbers():
    spread = [0.25, 0.5, 0.25]  # of returns 0, 1 and 2
    assert project(spread, 0, 1, 0.0, 2.0) == spread  # every return falls on itself
    assert project(spread, 1, 1, 0.0, 2.0) == [0, 0.25, 0.75]  # the last two beyond the end and on it
    assert project(spread, 0.5, 1, 0.0, 2.0) == [0.125, 0.375, 0.5]  # each half way to the next
    assert project(spread, 0.75, 0, 0.0, 2.0) == [0.25, 0.75, 0]  # all on the reward, where nothing follows
    assert project(spread, 2, 0, 0.0, 2.0) == [0, 0, 1]  # on the last return
    assert project(spread, 0, 0, 0.0, 2.0) == [1, 0, 0]  # on the first
    assert project(spread, 5, 1, 0.0, 2.0) == [0, 0, 1]
    assert project(spread, -5, 1, 0.0, 2.0) == [1, 0, 0]
    assert project(spread, 0, 0.5, 0.0, 2.0) == [0.25 + 0.25, 0.25 + 0.25, 0]


rewards = st.one_of(st.floats(-200, 200, width=32), st.integers(-120, 120).map(float))
bounds = st.tuples(st.floats(-100, 90, width=32), st.floats(0.125, 200, width=32)).map(lambda b: (b[0], b[0] + b[1]))


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 101), bounds, st.lists(rewards, min_size=1, max_size=8), st.floats(0, 1, width=32), st.data())
def test_no_mass_is_lost_and_none_is_negative(atoms, ends, given_rewards, discount, data):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    probabilities = torch.randn(len(given_rewards), atoms, generator=generator).mul(5).softmax(1)
    returns = torch.linspace(*ends, atoms)
    mass = projected(probabilities, torch.tensor(given_rewards), torch.full((len(given_rewards),), discount), returns)
    assert (mass >= 0).all()
    torch.testing.assert_close(mass.sum(1), torch.ones(len(given_rewards)), rtol=0, atol=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 60), st.floats(0.5, 1, width=32), st.data())
def test_the_mean_is_kept_where_nothing_falls_beyond_the_ends(atoms, discount, data):
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**31)))
    probabilities = torch.randn(4, atoms, generator=generator).softmax(1)
    returns = torch.linspace(0.0, 10.0, atoms)
    highest = 10 * (1 - discount)
    reward = torch.rand(4, generator=generator) * highest
    mass = projected(probabilities, reward, torch.full((4,), discount), returns)
    torch.testing.assert_close(mass @ returns, reward + discount * (probabilities @ returns), rtol=0, atol=1e-4)


def test_returns_of_whole_numbers_keep_their_mass_on_cartpole():
    # -100 to 100 in 101 atoms, rewards of 1: where the reference loses the mass of what falls on a return
    returns = torch.linspace(-100, 100, 101)
    for atom in range(101):
        probabilities = torch.nn.functional.one_hot(torch.tensor([atom]), 101).float()
        mass = projected(probabilities, torch.tensor([2.0]), torch.tensor([1.0]), returns)
        assert mass[0, min(atom + 1, 100)] == pytest.approx(1.0, abs=1e-4)


def test_values_are_mean_returns():
    reading = CategoricalReading(3, 0.0, 10.0)
    outputs = torch.log(torch.tensor([[0.5, 0.25, 0.25, 0.125, 0.125, 0.75]]))
    torch.testing.assert_close(reading.values(outputs), torch.tensor([[3.75, 8.125]]))
    assert of_actions(reading.logits(outputs), torch.tensor([1])).exp().tolist() == [[0.125, 0.125, 0.75]]


def test_losses_of_known_numbers():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]]))
    targets = torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    losses = cross_entropies(logits, targets)
    log = torch.tensor([0.5, 0.25, 0.8]).log()
    torch.testing.assert_close(losses, torch.stack([-(log[0] + log[1]) / 2, -log[2]]))
    torch.testing.assert_close(entropies(targets), torch.tensor([2.0, 1.0]).log())


def test_slopes_are_those_of_the_losses():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    targets = torch.rand(5, 7, generator=generator, dtype=torch.float64)
    targets /= targets.sum(1, keepdim=True)
    (slopes,) = torch.autograd.grad(cross_entropies(logits, targets).sum(), logits)
    torch.testing.assert_close(cross_entropy_slopes(logits, targets), slopes)


def test_errors_are_divergences_from_the_targets():
    settings = DQNSettings(total_env_steps=200, env_steps_per_pass=50, learning_starts_env_steps=50)
    learner = DQN("CartPole-v1", settings, [C51(11, 0.0, 50.0)]).run(times=1)
    update = learner.update
    assert update.errors.shape == update.losses.shape == (32,)
    torch.testing.assert_close(update.errors, (update.losses - entropies(update.targets)).clamp(min=0))
    assert float(learner.loss) == pytest.approx(update.losses.mean().item())
    torch.testing.assert_close(update.targets.sum(1), torch.ones(32))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"atoms": 1}, "C51(atoms=1): a whole number of 2 or more would fit."),
        ({"atoms": 2.5}, "C51(atoms=2.5): a whole number of 2 or more would fit."),
        ({"atoms": "3"}, "C51(atoms='3'): a whole number of 2 or more would fit."),
        ({"low": "0"}, "C51(low='0'): a finite number would fit."),
        ({"low": float("nan")}, "C51(low=nan): a finite number would fit."),
        ({"high": float("inf")}, "C51(high=inf): a finite number would fit."),
        ({"low": 3.0, "high": 3.0}, "C51(low=3.0, high=3.0): these contradict each other; low < high would fit."),
    ],
)
def test_settings_that_cannot_be(given, message):
    with pytest.raises(BadSetting) as error:
        C51(**given)
    assert str(error.value) == message
