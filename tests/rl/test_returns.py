import numpy as np
import pytest

from looptree.rl.returns import discounted_sums, gae


def column(values, dtype=np.float64):
    return np.array(values, dtype).reshape(-1, 1)


def at(steps, rows=12):
    marks = np.zeros((rows, 1), np.bool_)
    marks[steps] = True
    return marks


REWARDS = column([101, 102, 103, 200, 104, 105, 106, 201, 107, 108, 109, 202])
NEXT_VALUES = column([2, 3, 4, -1, 5, 6, 7, -2, 8, 9, 10, -3])
# Any value of an episode's first observation gives the same returns; the others are those that came next before.
VALUES = column([77, 2, 3, 4, 55, 5, 6, 7, 33, 8, 9, 10])


REAL = np.ones_like(REWARDS, np.bool_)


@pytest.mark.parametrize(
    ("terminated", "truncated", "expected"),
    [
        (
            [3, 7, 11],
            [],
            [454.8344, 376.1143, 291.298, 200, 464.561, 383.1085, 295.387, 201, 474.2876, 390.1027, 299.476, 202],
        ),
        (
            [11],
            [3, 7],
            [
                *[454.0109, 375.2386, 290.3669, 199.01, 462.9138, 381.3571, 293.5248, 199.02],
                *[474.2876, 390.1027, 299.476, 202],
            ],
        ),
    ],
)
def test_known_returns(terminated, truncated, expected):
    advantages = gae(REWARDS, VALUES, NEXT_VALUES, at(terminated), at(truncated), REAL, 0.99, 0.95)
    np.testing.assert_allclose((advantages + VALUES)[:, 0], expected, atol=1e-4)
    single = [array.astype(np.float32) for array in (REWARDS, VALUES, NEXT_VALUES)]
    advantages = gae(*single, at(terminated), at(truncated), REAL, 0.99, 0.95)
    assert advantages.dtype == np.float32
    np.testing.assert_allclose((advantages + VALUES)[:, 0], expected, rtol=1e-5)


def test_where_both_ends_are_marked_terminated_counts():
    both = gae(REWARDS, VALUES, NEXT_VALUES, at([3, 11]), at([3]), REAL, 0.99, 0.95)
    np.testing.assert_array_equal(both, gae(REWARDS, VALUES, NEXT_VALUES, at([3, 11]), at([]), REAL, 0.99, 0.95))


@pytest.mark.parametrize("gae_lambda", [1.0, 0.9, 0.0])
@pytest.mark.parametrize("gamma", [1.0, 0.99])
@pytest.mark.parametrize("episodes", [1, 3])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_closed_form_for_constant_rewards_and_values(gae_lambda, gamma, episodes, value):
    steps = 64
    ones = np.ones((steps * episodes, 2))
    ends = at(np.arange(steps - 1, steps * episodes, steps), len(ones)).repeat(2, 1)
    advantages = gae(ones, value * ones, value * ones, ends, np.zeros_like(ends), np.ones_like(ends), gamma, gae_lambda)
    for step in range(steps):
        left = steps - step  # steps of the episode, this one included
        errors = np.full(left, 1 + gamma * value - value)
        errors[-1] = 1 - value
        expected = (errors * (gamma * gae_lambda) ** np.arange(left)).sum()
        np.testing.assert_allclose(advantages[step::steps], expected)


def test_it_is_the_sum_over_all_later_errors_of_the_same_episode():
    random = np.random.default_rng(0)
    steps, envs = 40, 5
    rewards, values, next_values = random.normal(size=(3, steps, envs))
    terminated, truncated = random.random((2, steps, envs)) < 0.1
    advantages = gae(rewards, values, next_values, terminated, truncated, np.ones_like(terminated), 0.9, 0.7)
    for env in range(envs):
        for step in range(steps):
            total, weight = 0.0, 1.0
            for later in range(step, steps):
                beyond = 0.0 if terminated[later, env] else 0.9 * next_values[later, env]
                total += weight * (rewards[later, env] + beyond - values[later, env])
                weight *= 0.9 * 0.7
                if terminated[later, env] or truncated[later, env]:
                    break
            assert advantages[step, env] == pytest.approx(total)


def test_a_row_that_is_lost_stands_like_the_end_of_one_rollout_and_before_the_next():
    random = np.random.default_rng(1)
    steps, lost = 20, 7
    rewards, values, next_values = random.normal(size=(3, steps, 1))
    next_values[lost] = values[lost]  # as a source says it: nothing is gained, and the observation stays
    rewards[lost] = 0.0
    terminated, truncated, real = at([12], steps), at([lost, 15], steps), ~at([lost], steps)
    arrays = rewards, values, next_values, terminated, truncated, real
    whole = gae(*arrays, 0.9, 0.7)
    assert whole[lost] == 0.0
    for part in (slice(0, lost), slice(lost + 1, steps)):
        np.testing.assert_array_equal(whole[part], gae(*(array[part] for array in arrays), 0.9, 0.7))
    # The last step before it: r + gamma V - v, with nothing of the 1.5 that would come of the row that is lost.
    known = gae(*(column(x) for x in ([1, 0], [2, 5], [5, 5])), at([], 2), at([1], 2), ~at([1], 2), 0.9, 0.7)
    np.testing.assert_allclose(known[:, 0], [1 + 0.9 * 5 - 2, 0.0])


def test_discounted_sums_go_on_over_calls_and_begin_anew_with_each_episode():
    rewards = np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    ended = np.array([[False, True], [False, False], [True, False]])
    sums, begun = discounted_sums(rewards, ended, 0.5, np.array([8.0, 0.0]))
    np.testing.assert_array_equal(sums, [[5.0, 10.0], [4.5, 20.0], [5.25, 40.0]])
    np.testing.assert_array_equal(begun, [0.0, 40.0])
    first, between = discounted_sums(rewards[:1], ended[:1], 0.5, np.array([8.0, 0.0]))
    rest, after = discounted_sums(rewards[1:], ended[1:], 0.5, between)
    np.testing.assert_array_equal(np.concatenate([first, rest]), sums)
    np.testing.assert_array_equal(after, begun)
