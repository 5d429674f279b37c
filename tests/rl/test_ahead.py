import gymnasium
import numpy as np
import pytest
import torch

from looptree.rl.ahead import Ahead
from looptree.rl.encoders import Numbers
from looptree.rl.memory import ReplayBuffer
from looptree.rl.q_network import QDesign
from looptree.rl.seeding import stream
from looptree.rl.transition import Transition
from looptree.rl.variants.noisy import Noisy

OBSERVATIONS, ACTIONS = gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Discrete(2)


def filled(steps=200):
    memory = ReplayBuffer(1_000, OBSERVATIONS, ACTIONS, stream(0))
    random, yes, no = np.random.default_rng(0), np.ones(1, np.bool_), np.zeros(1, np.bool_)
    for number in range(steps):
        here, there = random.normal(size=(2, 1, 3)).astype(np.float32)
        memory.add(Transition(here, np.array([number % 2]), np.array([float(number)]), no, yes, there, yes))
    return memory


def network():
    return QDesign(stream(1)).network(Numbers([3]), (8, 8), 2)


@pytest.mark.parametrize(("batches", "batch_size"), [(1, 4), (40, 64), (3, 700), (2, 2_000)])
def test_minibatches_are_what_they_would_be_one_by_one(batches, batch_size):
    memory, other, target = filled(), filled(), network()
    ahead = Ahead(memory, target, batches, batch_size)
    for _ in range(batches):
        rows = ahead.draw()
        batch = ahead.read(rows)
        assert torch.equal(rows, other.draw(batch_size))
        for found, expected in zip(batch, other.read(rows), strict=True):
            assert torch.equal(found, expected)
        torch.testing.assert_close(ahead.ask(batch), target.ask(batch.next_observation))
    assert memory.generator.bit_generator.state == other.generator.bit_generator.state


def test_nothing_is_drawn_before_it_is_wanted():
    memory = filled()
    before = memory.generator.bit_generator.state
    ahead = Ahead(memory, network(), 5, 8)
    rows = torch.tensor([3, 1, 3])
    assert ahead.read(rows).reward.tolist() == [3.0, 1.0, 3.0]
    assert ahead.ask(ahead.read(rows)).shape == (3, 2)
    assert memory.generator.bit_generator.state == before


def test_rows_and_batches_of_somebody_else_are_dealt_with_too():
    memory, target = filled(), network()
    ahead = Ahead(memory, target, 5, 8)
    ahead.read(ahead.draw())
    rows = torch.tensor([3, 1, 3])
    assert ahead.read(rows).reward.tolist() == [3.0, 1.0, 3.0]
    batch = memory.read(rows)
    assert torch.equal(ahead.ask(batch), target.ask(batch.next_observation))


def test_a_network_with_noise_is_asked_for_each_minibatch():
    noisy = Noisy()
    target = noisy.into(QDesign(stream(1))).network(Numbers([3]), (8, 8), 2)
    ahead = Ahead(filled(), target, 5, 8)
    batch = ahead.read(ahead.draw())
    first = ahead.ask(batch)
    with torch.no_grad():
        for parameter in target.parameters():
            parameter += 1
    assert not torch.equal(ahead.ask(batch), first)
