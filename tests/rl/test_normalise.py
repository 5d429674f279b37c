import copy

import numpy as np
import pytest
import torch
from gymnasium import spaces

from looptree import Callback
from looptree.rl.normalise import NormaliseRewards, ObservationNormaliser, merged_moments
from looptree.rl.policies import policy_for
from looptree.rl.rollout import Rollout
from looptree.rl.transition import Transition
from tests.rl.learners import small_ppo
from tests.rl.plain import assert_plain


def rows(seed, count, shape=(3,)):
    return (np.random.default_rng(seed).normal(5.0, 3.0, (count, *shape)) * np.arange(1, 4)).astype(np.float32)


def test_moments_are_those_of_all_rows_together():
    parts = [rows(seed, count).astype(np.float64) for seed, count in enumerate([1, 7, 40, 2])]
    count, mean, variance = 0, np.zeros(3), np.ones(3)
    for part in parts:
        mean, variance = merged_moments(count, mean, variance, part)
        count += len(part)
    everything = np.concatenate(parts)
    np.testing.assert_allclose(mean, everything.mean(0))
    np.testing.assert_allclose(variance, everything.var(0))


def test_observations_far_from_zero_lose_no_precision():
    part = np.float32(1e4) + rows(0, 1000)
    mean, variance = merged_moments(0, np.zeros(3), np.ones(3), part)
    np.testing.assert_allclose(mean, part.astype(np.float64).mean(0), rtol=1e-12)
    np.testing.assert_allclose(variance, part.astype(np.float64).var(0), rtol=1e-9)


def test_observations_come_out_in_units_of_their_spread_and_clipped():
    normaliser = ObservationNormaliser((3,), clip=2.0)
    given = rows(0, 200)
    np.testing.assert_allclose(normaliser.normalise(given), given.clip(-2, 2), rtol=1e-6)  # nothing measured yet
    normaliser.update(given[:50])
    normaliser.update(given[50:])
    expected = ((given - given.mean(0)) / given.std(0)).clip(-2, 2)
    np.testing.assert_allclose(normaliser.normalise(given), expected, rtol=1e-3, atol=1e-4)
    output = normaliser(torch.from_numpy(given))
    assert output.dtype == torch.float32
    np.testing.assert_allclose(output.numpy(), expected, rtol=1e-3, atol=1e-4)
    assert (np.abs(output.numpy()) == 2.0).any()
    assert float(normaliser.count) == 200


def test_its_statistics_are_buffers_and_go_where_the_network_goes():
    normaliser = ObservationNormaliser((3,))
    normaliser.update(rows(0, 20))
    assert sorted(normaliser.state_dict()) == ["count", "mean", "variance"]
    assert list(normaliser.parameters()) == []
    twin = copy.deepcopy(normaliser)
    normaliser.update(rows(1, 20))
    loaded = ObservationNormaliser((3,))
    loaded.load_state_dict(twin.state_dict())
    assert torch.equal(loaded.mean, twin.mean)
    assert not torch.equal(loaded.mean, normaliser.mean)


def rollout_of(rewards, ended, real=None):
    steps, envs = rewards.shape
    rollout = Rollout(steps, envs, spaces.Box(0, 1, (1,)), policy_for("PPO", spaces.Discrete(2)))
    nothing = np.zeros((envs, 1), np.float32)
    real = np.ones_like(ended) if real is None else real
    for step in range(steps):
        rollout.add(
            Transition(
                nothing, np.zeros(envs, int), rewards[step], ended[step], np.zeros(envs, bool), nothing, real[step]
            )
        )
    return rollout


def measured(callback, rollout):
    callback.memory = rollout
    callback.after_collect()
    return rollout.reward.copy()


def test_rewards_are_divided_by_the_deviation_of_their_discounted_sums():
    random = np.random.default_rng(0)
    rewards = random.normal(3.0, 50.0, (60, 4))
    ended = random.random((60, 4)) < 0.1
    callback = NormaliseRewards(4, 0.9)
    first = measured(callback, rollout_of(rewards[:20], ended[:20]))
    second = measured(callback, rollout_of(rewards[20:], ended[20:]))
    sums, running = [], np.zeros(4)
    for reward, end in zip(rewards.astype(np.float32), ended, strict=True):
        running = 0.9 * running + reward
        sums.append(running.copy())
        running[end] = 0.0
    np.testing.assert_allclose(first, (rewards[:20] / np.std(sums[:20])).clip(-10, 10), rtol=1e-5)
    np.testing.assert_allclose(second, (rewards[20:] / np.std(sums)).clip(-10, 10), rtol=1e-5)
    assert callback.mean == pytest.approx(np.mean(sums))
    assert callback.count == 240


def test_rows_of_a_reset_are_not_measured():
    rewards = np.array([[1.0], [2.0], [0.0], [5.0]])
    ended = np.array([[False], [True], [False], [False]])
    with_reset, without = NormaliseRewards(1, 0.9), NormaliseRewards(1, 0.9)
    measured(with_reset, rollout_of(rewards, ended, np.array([[True], [True], [False], [True]])))
    measured(without, rollout_of(rewards[[0, 1, 3]], ended[[0, 1, 3]]))
    assert with_reset.state_dict()["variance"] == pytest.approx(without.state_dict()["variance"])
    assert with_reset.count == 3


def test_large_rewards_are_clipped():
    rewards = np.zeros((100, 1))
    rewards[50] = 1e6
    assert measured(NormaliseRewards(1, 0.0), rollout_of(rewards, rewards > 1)).max() == pytest.approx(10.0, abs=0.06)
    assert measured(NormaliseRewards(1, 0.0, clip=2.0), rollout_of(rewards, rewards > 1)).max() == 2.0


def test_the_statistics_of_rewards_go_on_from_their_state():
    rewards, ended = np.random.default_rng(0).normal(size=(30, 2)), np.zeros((30, 2), bool)
    saved, loaded = NormaliseRewards(2, 0.9), NormaliseRewards(2, 0.9)
    measured(saved, rollout_of(rewards, ended))
    assert_plain(saved.state_dict())
    loaded.load_state_dict(saved.state_dict())
    np.testing.assert_array_equal(*[measured(each, rollout_of(2 * rewards, ended)) for each in (saved, loaded)])


def test_sums_begin_anew_with_the_episodes_after_a_failure():
    class Sums(Callback):
        """Notes what the sums of each rollout go on from."""

        def __init__(self):
            self.begun = []

        def after_collect(self, _phase="train", _order=-2):
            self.begun.append(self.loop.normalise_rewards.sums.tolist())

    class Fail(Callback):
        def before_step(self):
            if self.loop.env_steps >= 60:
                raise OSError("once")

    learner = small_ppo(cbs=[sums := Sums()])
    learner.source.add_cb(fail := Fail())
    with pytest.raises(OSError, match="once"):
        learner.run()
    learner.source.remove_cb(fail)
    learner.run(times=2)
    assert [any(begun) for begun in sums.begun] == [False, False, True]
