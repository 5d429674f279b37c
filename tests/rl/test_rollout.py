import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from looptree.rl.errors import UnfitEnvironment
from looptree.rl.policies import policy_for
from looptree.rl.returns import gae
from looptree.rl.rollout import Rollout
from looptree.rl.source import GymSource
from tests.rl.toys import diaries

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


def filled(mode, num_envs=3, steps=30, capacity=40):
    environments = diaries(num_envs, mode)
    policy = policy_for("PPO", environments.single_action_space)
    rollout = Rollout(capacity, num_envs, environments.single_observation_space, policy)
    source = GymSource(environments, times=steps)
    for transition in source:
        rollout.add(transition)
    return rollout, environments, source


def worth(observation):
    """A value of what a diary shows that tells episodes and steps apart."""
    return 1000.0 * observation[..., 1] + 10 * observation[..., 2]


@pytest.mark.parametrize("mode", MODES)
def test_real_rows_are_what_the_environments_wrote_down(mode):
    rollout, environments, source = filled(mode)
    assert rollout.steps == 30
    for env in range(3):
        real = rollout.real[:, env]
        log = environments.envs[env].log
        assert [tuple(row) for row in rollout.observation[real, env]] == [row[0] for row in log]
        assert rollout.action[real, env].tolist() == [row[1] for row in log]
        assert rollout.reward[real, env].tolist() == [row[2] for row in log]
        assert rollout.terminated[real, env].tolist() == [row[3] for row in log]
        assert rollout.truncated[real, env].tolist() == [row[4] for row in log]
    count = source.env_steps
    assert (count < 90) == (mode == AutoresetMode.NEXT_STEP)
    for column in (rollout.observation, rollout.action, rollout.reward):
        assert len(rollout.rows(column)) == count
    assert rollout.rows(rollout.real).all()


@pytest.mark.parametrize("mode", MODES)
def test_values_are_of_what_was_acted_on_and_of_what_that_led_to(mode):
    rollout, environments, _ = filled(mode)
    values, following = rollout.values(worth(rollout.seen().numpy()))
    for env in range(3):
        real = rollout.real[:, env]
        log = environments.envs[env].log
        assert values[real, env].tolist() == [worth(np.array(row[0])) for row in log]
        for value, row in zip(following[real, env], log, strict=True):
            if not row[3]:  # beyond a terminated step there is none
                assert value == worth(np.array(row[5]))


@pytest.mark.parametrize("mode", MODES)
def test_advantages_reach_neither_over_episodes_nor_over_rows_of_a_reset(mode):
    rollout, environments, _ = filled(mode)
    values, following = rollout.values(worth(rollout.seen().numpy()))
    ends = rollout.terminated, rollout.truncated
    advantages = gae(rollout.reward, values, following, *ends, rollout.real, 0.9, 0.8)
    for env in range(3):
        mine = advantages[rollout.real[:, env], env]
        log = environments.envs[env].log
        expected, later = [], 0.0
        for before, _, reward, terminated, truncated, after in reversed(log):
            beyond = 0.0 if terminated else 0.9 * worth(np.array(after))
            later = reward + beyond - worth(np.array(before)) + (0.0 if terminated or truncated else 0.72 * later)
            expected.append(later)
        np.testing.assert_allclose(mine, expected[::-1], rtol=1e-4, atol=1e-2)


def test_both_ways_of_resetting_give_the_same_advantages():
    found = []
    for mode in MODES:
        rollout, _, _ = filled(mode, num_envs=1, steps=36)
        values, following = rollout.values(worth(rollout.seen().numpy()))
        advantages = gae(
            rollout.reward, values, following, rollout.terminated, rollout.truncated, rollout.real, 0.9, 0.8
        )
        found.append(rollout.rows(advantages)[:15])
    np.testing.assert_array_equal(*found)


def test_it_is_filled_anew():
    rollout, environments, source = filled(AutoresetMode.SAME_STEP)
    logs = [len(env.log) for env in environments.envs]
    rollout.clear()
    assert rollout.steps == 0
    assert len(rollout.observation) == 0
    for transition in source:
        rollout.add(transition)
    for env, before in enumerate(logs):
        log = environments.envs[env].log[before:]
        assert [tuple(row) for row in rollout.observation[:, env]] == [row[0] for row in log]
        values, following = rollout.values(worth(rollout.seen().numpy()))
        assert following[-1, env] == worth(np.array(log[-1][5]))
        assert values[0, env] == worth(np.array(log[0][0]))


def test_numbers_keep_their_kind():
    policy = policy_for("PPO", gymnasium.spaces.Discrete(2))
    images = Rollout(3, 2, gymnasium.spaces.Box(0, 255, (4, 4), np.uint8), policy)
    assert images.seen().dtype == torch.uint8
    assert images.seen().shape == (2, 4, 4)
    doubles = Rollout(3, 2, gymnasium.spaces.Box(0, 1, (4,), np.float64), policy)
    assert doubles.seen().dtype == torch.float32


def test_what_it_cannot_store():
    with pytest.raises(UnfitEnvironment):
        Rollout(3, 2, gymnasium.spaces.Text(3), policy_for("PPO", gymnasium.spaces.Discrete(2)))
