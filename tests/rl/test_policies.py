import copy
import math

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import distributions

from looptree.rl.policies import Categorical, DiagonalGaussian, MultiCategorical, policy_for

SPACES = [
    spaces.Discrete(4),
    spaces.Discrete(3, start=-2),
    spaces.Discrete(3, start=4, dtype=np.uint8),
    spaces.MultiDiscrete([2, 3, 4]),
    spaces.MultiDiscrete([[2, 3], [4, 2]], start=[[0, 1], [5, 0]]),
    spaces.MultiBinary(3),
    spaces.MultiBinary([2, 2]),
    spaces.Box(-2, 2, (1,)),
    spaces.Box(np.float32([-1, 0, -np.inf, 5, -np.inf]), np.float32([3, 10, np.inf, np.inf, -5])),
    spaces.Box(-1.0, 1.0, (2, 3), np.float64),
    spaces.Box(-0.3, 2.7, (2,), np.float16),
]


def made(space, batch=6):
    policy = policy_for("PPO", space, 0.3)
    outputs = np.random.default_rng(1).normal(size=(batch, policy.output_size)).astype(np.float32)
    return policy, outputs


def reference(policy, outputs):
    """The same in torch's own distributions."""
    if isinstance(policy, Categorical):
        return distributions.Categorical(logits=outputs)
    if isinstance(policy, DiagonalGaussian):
        return distributions.Independent(distributions.Normal(outputs, policy.log_std.exp().expand_as(outputs)), 1)
    return [distributions.Categorical(logits=logits) for logits in outputs.split(policy.sizes, 1)]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_log_probabilities_entropies_and_gradients_are_those_of_torchs_distributions(space):
    policy, outputs = made(space)
    actions = torch.from_numpy(policy.sample(outputs, np.random.default_rng(0)))
    results = []
    for ours in (True, False):
        inputs = torch.from_numpy(outputs).requires_grad_()
        if ours:
            log_prob, entropy = policy.log_prob(inputs, actions), policy.entropy(inputs)
        else:
            known = reference(policy, inputs)
            if isinstance(known, list):
                log_prob = sum(each.log_prob(action) for each, action in zip(known, actions.unbind(1), strict=True))
                entropy = sum(each.entropy() for each in known)
            else:
                log_prob, entropy = known.log_prob(actions), known.entropy()
        assert log_prob.shape == entropy.shape == (6,)
        parameters = [inputs, *policy.parameters()]
        gradients = torch.autograd.grad((2 * log_prob + 3 * entropy).sum(), parameters, materialize_grads=True)
        results.append([log_prob, entropy, *gradients])
    for mine, others in zip(*results, strict=True):
        torch.testing.assert_close(mine, others, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("of_entropy", [0.0, -0.7])
@pytest.mark.parametrize("space", SPACES, ids=str)
def test_slopes_are_those_of_autograd(space, of_entropy):
    policy, outputs = made(space)
    actions = torch.from_numpy(policy.sample(outputs, np.random.default_rng(0)))
    of_log_prob = torch.randn(6, generator=torch.Generator().manual_seed(0))
    inputs = torch.from_numpy(outputs).requires_grad_()
    loss = (of_log_prob * policy.log_prob(inputs, actions)).sum() + of_entropy * policy.entropy(inputs).sum()
    expected = torch.autograd.grad(loss, [inputs, *policy.parameters()])
    found = policy.slopes(torch.from_numpy(outputs), actions, of_log_prob, of_entropy)
    for mine, others in zip(found, expected, strict=True):
        assert not mine.requires_grad
        torch.testing.assert_close(mine, others, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_actions_are_members_of_the_environments_space(space):
    policy, outputs = made(space, 200)
    for actions in (policy.sample(5 * outputs, np.random.default_rng(0)), policy.mode(5 * outputs)):
        assert actions.shape == (200, *policy.action_shape)
        assert torch.from_numpy(actions).dtype == policy.action_dtype
        for member in policy.to_environment(actions):
            assert space.contains(space.dtype.type(member) if space.shape == () else member)


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_seed_gives_the_same_actions(space):
    policy, outputs = made(space)
    first, again, other = (policy.sample(outputs, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_options_are_sampled_as_often_as_their_logits_say():
    policy = Categorical(spaces.Discrete(3))
    logits = np.tile(np.log(np.float32([0.2, 0.5, 0.3])) + 7, (20_000, 1))
    actions = policy.sample(logits, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(actions) / 20_000, [0.2, 0.5, 0.3], atol=0.01)
    policy = MultiCategorical(spaces.MultiDiscrete([2, 3]))
    logits = np.tile(np.log(np.float32([0.9, 0.1, 0.2, 0.5, 0.3])), (20_000, 1))
    actions = policy.sample(logits, np.random.default_rng(0))
    np.testing.assert_allclose(np.bincount(actions[:, 0]) / 20_000, [0.9, 0.1], atol=0.01)
    np.testing.assert_allclose(np.bincount(actions[:, 1]) / 20_000, [0.2, 0.5, 0.3], atol=0.01)


def test_points_are_sampled_around_the_mean():
    policy = DiagonalGaussian(spaces.Box(-1, 1, (2,)), initial_log_std=math.log(0.5))
    with torch.no_grad():
        policy.log_std[1] = math.log(2.0)
    actions = policy.sample(np.tile(np.float32([3, -1]), (20_000, 1)), np.random.default_rng(0))
    np.testing.assert_allclose(actions.mean(0), [3, -1], atol=0.05)
    np.testing.assert_allclose(actions.std(0), [0.5, 2.0], rtol=0.03)
    assert abs(np.corrcoef(actions.T)[0, 1]) < 0.03


def test_the_mode_is_the_likeliest_action_the_first_of_equals():
    assert Categorical(spaces.Discrete(3)).mode(np.float32([[1, 2, 2], [3, 2, 1]])).tolist() == [1, 0]
    policy = MultiCategorical(spaces.MultiDiscrete([2, 3]))
    assert policy.mode(np.float32([[1, 0, 0, 0, 5]])).tolist() == [[0, 2]]


def test_minus_one_to_one_is_the_way_between_the_bounds_and_clipped_there():
    low, high = [-2, 0, -np.inf, 7, -np.inf], [2, 10, np.inf, np.inf, 7]
    policy = DiagonalGaussian(spaces.Box(np.float32(low), np.float32(high)))
    given = np.float32([[-1] * 5, [0.5, 0, 0.5, 0.5, 0.5], [3] * 5, [-3] * 5])
    expected = [[-2, 0, -1, 7, 5], [1, 5, 0.5, 8.5, 6.5], [2, 10, 3, 11, 7], [-2, 0, -3, 7, 3]]
    np.testing.assert_array_equal(policy.to_environment(given), np.float32(expected))
    # The action as it was sampled is left alone, and so is its probability.
    assert given[2, 0] == 3


def test_bounds_as_wide_as_the_numbers_go_stay_finite():
    widest = np.finfo(np.float32).max
    policy = DiagonalGaussian(spaces.Box(-widest, widest, (1,)))
    assert np.isfinite(policy.to_environment(np.float32([[0.5], [-1.0]]))).all()


def test_a_copy_has_a_deviation_of_its_own():
    policy = DiagonalGaussian(spaces.Box(-1, 1, (2,)))
    twin = copy.deepcopy(policy)
    with torch.no_grad():
        policy.log_std += 1
    assert twin.log_std.tolist() == [0, 0]
