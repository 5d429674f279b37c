import copy
import math
import pickle

import numpy as np
import pytest
import torch

from looptree.rl.encoders import Numbers
from looptree.rl.networks import Network
from looptree.rl.q_network import QDesign
from looptree.rl.seeding import stream


def q_network(seed=0, sizes=(16, 8)):
    return QDesign(stream(seed, "network")).network(Numbers([3]), sizes, 2)


def same(network, rows=5):
    observation = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(observation)).numpy()
    np.testing.assert_array_equal(network.predict(observation), expected)
    np.testing.assert_allclose(network.predict(observation[:1]), expected[:1], rtol=1e-5, atol=1e-6)


def test_what_acts_is_what_learns():
    network = q_network()
    same(network)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.1, fused=True)
    network(torch.ones(4, 3)).square().sum().backward()
    optimizer.step()
    same(network)
    before = network.predict(np.ones((1, 3), np.float32))
    with torch.no_grad():
        network.head.linears[-1].bias += 1
    np.testing.assert_allclose(network.predict(np.ones((1, 3), np.float32)), before + 1, rtol=1e-5)


def test_so_it_does_when_the_weights_are_replaced():
    network = q_network()
    same(network)
    network.load_state_dict(q_network(1).state_dict())
    same(network)
    network.load_state_dict(q_network(2).state_dict(), assign=True)
    same(network)
    for parameter in network.parameters():
        parameter.data = parameter.data + 1
    same(network)


def test_a_copy_acts_from_its_own_weights():
    network = q_network()
    same(network)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.mul_(1.5)
        same(other)
        same(network)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_predict_takes_any_numbers_leaves_them_alone_and_records_nothing(dtype):
    network = q_network(sizes=())
    observation = np.ones((1, 3), dtype)
    observation.flags.writeable = False
    assert network.predict(observation).dtype == np.float32
    assert all(parameter.grad is None for parameter in network.parameters())


def test_any_module_can_act():
    class Sum(Network):
        def forward(self, observation):
            return observation.sum(1, keepdim=True)

    assert Sum().predict(np.ones((2, 3), np.float32)).tolist() == [[3.0], [3.0]]


def test_initial_weights_come_from_the_seed_alone():
    before = torch.get_rng_state()
    first, again, other = q_network(0), q_network(0), q_network(1)
    assert torch.equal(torch.get_rng_state(), before)
    for mine, same_seed, other_seed in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, same_seed)
        assert not torch.equal(mine, other_seed)
    for linear in (*first.trunk, *first.head.linears):
        bound = 1 / math.sqrt(linear.in_features)
        assert 0.7 * bound < linear.weight.abs().max() <= bound
