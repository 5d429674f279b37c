import copy
import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces

from looptree.rl.actor_critic import ActorCritic
from looptree.rl.backward import ByAutograd
from looptree.rl.encoders import Numbers
from looptree.rl.flat import FlatParameters, clipped
from looptree.rl.normalise import ObservationNormaliser
from looptree.rl.policies import policy_for
from looptree.rl.seeding import stream, torch_generator
from looptree.rl.state import load_module_state, module_state


def made(seed=0, hidden_sizes=(16, 8), actions=None, normaliser=None):
    policy = policy_for("PPO", actions or spaces.Discrete(3))
    return ActorCritic(Numbers([5]), hidden_sizes, policy, torch_generator(stream(seed, "network")), normaliser)


def observations(rows=7, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, 5)).astype(np.float32)


def apart(network, observation, which, weight, bias):
    """One of the two networks by itself."""
    features = torch.from_numpy(observation)
    for layer in range(2):
        features = torch.tanh(
            features @ getattr(network, f"weight_{layer}")[which] + getattr(network, f"bias_{layer}")[which]
        )
    return features @ weight + bias


@pytest.fixture
def network():
    network = made()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    return network


def test_actor_and_critic_share_nothing(network):
    given = observations()
    outputs, values = network(torch.from_numpy(given))
    actor = apart(network, given, 0, network.actor_weight, network.actor_bias)
    critic = apart(network, given, 1, network.critic_weight, network.critic_bias)
    torch.testing.assert_close(outputs, actor)
    torch.testing.assert_close(values, critic)
    (gradient,) = torch.autograd.grad(values.sum(), [network.weight_0])
    assert not gradient[0].any()
    assert gradient[1].any()


@pytest.mark.parametrize("rows", [1, 7, 3_000])
def test_what_acts_is_what_learns(network, rows):
    given = observations(rows)
    before = given.copy()
    outputs = network.predict(given)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, network(torch.from_numpy(given))[0].detach(), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(given, before)
    with torch.no_grad():
        network.actor_bias += 1
    np.testing.assert_allclose(network.predict(given), outputs + 1, rtol=1e-5, atol=1e-6)
    load_module_state(network, module_state(made(5)))
    np.testing.assert_array_equal(network.predict(given), made(5).predict(given))


def test_acting_sees_observations_as_learning_does():
    normaliser = ObservationNormaliser((5,))
    normaliser.update(3 + 2 * observations(50))
    network = made(normaliser=normaliser)
    with torch.no_grad():
        network.actor_weight *= 100
    for rows in (4, 20_000):
        given = (3 + 2 * observations(rows)).astype(np.float64)
        expected = network(torch.from_numpy(given))[0].detach()
        np.testing.assert_allclose(network.predict(given), expected, rtol=1e-3, atol=1e-4)
    assert "normaliser.mean" in network.state_dict()


def test_initial_weights_are_orthogonal_and_come_from_the_seed_alone():
    before = torch.get_rng_state()
    network, again, other = made(0, (16, 32)), made(0, (16, 32)), made(1, (16, 32))
    assert torch.equal(torch.get_rng_state(), before)
    for mine, same, others in zip(network.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, same)
        assert not mine.any() or not torch.equal(mine, others)
    for weight in (*network.weight_0, *network.weight_1):  # (inputs, units), fewer of the former
        torch.testing.assert_close(weight @ weight.T, 2 * torch.eye(len(weight)))
    torch.testing.assert_close(network.actor_weight.T @ network.actor_weight, 1e-4 * torch.eye(3))
    assert float(network.critic_weight.detach().norm()) == pytest.approx(1.0)
    assert not torch.equal(network.weight_0[0], network.weight_0[1])
    for name, parameter in network.named_parameters():
        assert parameter.any() != ("bias" in name)


def test_without_hidden_layers_it_is_linear():
    network = made(hidden_sizes=())
    given = observations()
    outputs, values = network(torch.from_numpy(given))
    torch.testing.assert_close(outputs, torch.from_numpy(given) @ network.actor_weight)
    torch.testing.assert_close(values, torch.from_numpy(given) @ network.critic_weight)
    np.testing.assert_allclose(network.predict(given), outputs.detach(), rtol=1e-4, atol=1e-7)


ACTIONS = [spaces.Discrete(3), spaces.MultiDiscrete([2, 3]), spaces.MultiBinary(3), spaces.Box(-1, 1, (2,))]


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("hidden_sizes", [(), (6,), (16, 8)])
@pytest.mark.parametrize("actions", ACTIONS, ids=str)
def test_the_gradient_by_hand_is_that_of_autograd(actions, hidden_sizes, normalised):
    normaliser = ObservationNormaliser((5,)) if normalised else None
    network = made(0, hidden_sizes, actions, normaliser)
    if normaliser is not None:
        normaliser.update(1 + 2 * observations(50))
    flat = FlatParameters(network.parameters())
    flat.vector.data += 0.1 * torch.randn(flat.vector.shape, generator=torch.Generator().manual_seed(1))
    random = torch.Generator().manual_seed(2)
    by_hand, by_autograd = network.backward(flat), ByAutograd(network, flat, network.policy.parameters())
    assert type(by_hand) is not ByAutograd
    for rows in (7, 1, 20):  # an answer is forgotten with the next one
        given = torch.from_numpy(observations(rows)).double()
        shapes = [(rows, network.policy.output_size), (rows,), *(part.shape for part in network.policy.parameters())]
        slopes = [torch.randn(shape, generator=random) for shape in shapes]
        answers = [backward.forward(given) for backward in (by_hand, by_autograd)]
        for mine, others in zip(*answers, strict=True):
            torch.testing.assert_close(mine, others)
            assert not mine.requires_grad and not others.requires_grad
        mine, others = (backward.gradient(slopes) for backward in (by_hand, by_autograd))
        assert mine.shape == flat.vector.shape
        torch.testing.assert_close(mine, others, rtol=1e-4, atol=1e-5)


# --- flat parameters ----------------------------------------------------------------------------------------


def loss_of(network):
    outputs, values = network(torch.from_numpy(observations()))
    return outputs.square().sum() + 3 * (values - 1).square().sum()


@pytest.mark.parametrize("max_norm", [0.5, float("inf")])
def test_a_step_on_the_vector_is_one_on_the_parameters(max_norm):
    one_by_one, together = made(actions=spaces.Box(-1, 1, (2,))), made(actions=spaces.Box(-1, 1, (2,)))
    flat = FlatParameters(together.parameters())
    slow = torch.optim.Adam(one_by_one.parameters(), 0.01, eps=1e-5)
    quick = torch.optim.Adam([flat.vector], 0.01, eps=1e-5)
    for _ in range(5):
        slow.zero_grad()
        (loss_of(one_by_one) + one_by_one.policy.log_std.square().sum()).backward()
        torch.nn.utils.clip_grad_norm_(one_by_one.parameters(), max_norm)
        slow.step()
        loss = loss_of(together) + together.policy.log_std.square().sum()
        flat.vector.grad, _ = clipped(flat.gradient_of(loss), max_norm)
        quick.step()
    for mine, others in zip(together.parameters(), one_by_one.parameters(), strict=True):
        torch.testing.assert_close(mine, others)


def test_parameters_are_seen_to_change():
    network = made()
    flat = FlatParameters(network.parameters())
    versions = [parameter._version for parameter in network.parameters()]
    flat.vector.grad = flat.gradient_of(loss_of(network))
    torch.optim.SGD([flat.vector], 0.1).step()
    flat.mark_changed()
    assert all(parameter._version > before for parameter, before in zip(network.parameters(), versions, strict=True))


@pytest.mark.parametrize("made_anew", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))])
def test_a_copy_is_tied_together_again(made_anew):
    network = made()
    flat = FlatParameters(network.parameters())
    before = network.weight_0.detach().clone()
    twin, twin_flat = made_anew((network, flat))
    twin_flat.tie()
    with torch.no_grad():
        twin_flat.vector += 1
    torch.testing.assert_close(twin.weight_0, before + 1)
    assert torch.equal(network.weight_0, before)
    # Loading goes into the same memory, and what was assigned counts.
    load_module_state(twin, module_state(network))
    twin.actor_bias.data = torch.full((3,), 7.0)
    twin_flat.tie()
    assert torch.equal(twin_flat.vector, torch.cat([part.reshape(-1) for part in twin.parameters()]))
    assert twin.actor_bias.tolist() == [7, 7, 7]
