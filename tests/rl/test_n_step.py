import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from looptree.core.errors import BadSetting
from looptree.rl.memory import ReplayBuffer
from looptree.rl.seeding import stream
from looptree.rl.transition import Transition
from looptree.rl.variants.n_step import NStep, windows
from tests.rl.episodes import NUMBERS, made_up

BUTTONS = gymnasium.spaces.Discrete(10)


def remembered(transitions, capacity):
    memory = ReplayBuffer(capacity, NUMBERS, BUTTONS, stream(0))
    for transition in transitions:
        memory.add(transition)
    return memory


def by_hand(script, capacity):
    """The rows of the script that are still stored, each with those that follow it in its episode, as plain lists."""
    rows, going = [], {}
    for transition in script.transitions:
        for env in np.flatnonzero(transition.real):
            number, observation = len(rows), transition.observation[env]
            rows.append(
                {
                    "reward": transition.reward[env],
                    "terminated": transition.terminated[env],
                    "next": transition.next_observation[env],
                    "following": None,
                }
            )
            if env in going and np.array_equal(rows[going[env]]["next"], observation):
                rows[going[env]]["following"] = number
            going[env] = number
            if transition.terminated[env] or transition.truncated[env]:
                del going[env]
        for env in np.flatnonzero(transition.truncated & ~transition.real):
            going.pop(env, None)
    return rows, range(max(len(rows) - capacity, 0), len(rows))


@settings(max_examples=80, deadline=None)
@given(made_up(), st.integers(0, 20), st.integers(1, 5))
def test_windows_are_those_of_plain_lists(script, spare, steps):
    gamma, capacity = 0.5, script.num_envs + spare
    memory = remembered(script.transitions, capacity)
    rows, stored = by_hand(script, capacity)
    for first in stored:
        found = windows(memory, torch.tensor([first % capacity]), steps, gamma)
        batch = memory.read(torch.tensor([first % capacity]), found.last_rows)
        members = [first]
        while len(members) < steps and rows[members[-1]]["following"] is not None:
            members.append(rows[members[-1]]["following"])
        assert found.lengths.item() == len(members)
        expected = sum(gamma**number * rows[member]["reward"] for number, member in enumerate(members))
        assert found.returns.item() == pytest.approx(expected)
        assert batch.terminated.item() == rows[members[-1]]["terminated"]
        np.testing.assert_array_equal(batch.next_observation[0], rows[members[-1]]["next"])


def line(numbers, ends=()):
    """Steps of one environment: from each number to the next, with the number as reward."""
    for number in numbers:
        yield Transition(
            observation=np.full((1, 2), number, np.float64),
            action=np.array([0]),
            reward=np.array([float(number)]),
            terminated=np.array([(number, "terminated") in ends]),
            truncated=np.array([(number, "truncated") in ends]),
            next_observation=np.full((1, 2), number + 1, np.float64),
            real=np.array([True]),
        )


class Plugged:
    """Enough of an update, and of the learner above it, for NStep to stand in."""

    gamma = 0.5

    def __init__(self, memory, rows):
        self.memory = memory
        self.rows = torch.tensor(rows)
        self.name = "update"


def sampled(memory, rows, steps):
    plugged = Plugged(memory, rows)
    n_step = NStep(steps)
    n_step.loop = n_step.parent = plugged
    n_step.on_sample()
    return plugged


def test_the_end_of_an_episode_ends_a_window():
    memory = remembered(line(range(10), {(3, "terminated"), (7, "truncated")}), 20)
    plugged = sampled(memory, [0, 2, 3, 4, 6, 7, 8, 9], 3)
    # 2 and 3 end in a termination, beyond which nothing has a value; 6 and 7 in a truncation; 8 and 9 with the latest
    assert plugged.batch.reward.tolist() == [0 + 0.5 + 0.5, 2 + 1.5, 3, 4 + 2.5 + 1.5, 6 + 3.5, 7, 8 + 4.5, 9]
    assert plugged.discounts.tolist() == [0.125, 0, 0, 0.125, 0.25, 0.5, 0.25, 0.5]
    assert plugged.batch.next_observation[:, 0].tolist() == [3, 4, 4, 7, 8, 8, 10, 10]
    assert plugged.batch.observation[:, 0].tolist() == [0, 2, 3, 4, 6, 7, 8, 9]


def test_no_window_goes_over_a_step_that_was_lost():
    memory = ReplayBuffer(10, NUMBERS, BUTTONS, stream(0))
    lost = next(line([2]))._replace(reward=np.zeros(1), truncated=np.array([True]), real=np.array([False]))
    lost = lost._replace(next_observation=lost.observation)
    for transition in [lost, *line([0, 1]), lost, *line([2, 3])]:  # the new episode begins where the old one stood
        memory.add(transition)
    assert len(memory) == 4
    plugged = sampled(memory, [0, 1, 2, 3], 3)
    assert plugged.batch.reward.tolist() == [0 + 0.5, 1, 2 + 1.5, 3]
    assert plugged.discounts.tolist() == [0.25, 0.5, 0.25, 0.5]  # what it stood at has a value, as after a truncation
    assert plugged.batch.next_observation[:, 0].tolist() == [2, 2, 4, 4]


def test_no_window_goes_over_the_write_head():
    memory = remembered(line(range(8)), 5)  # 3 to 7 are stored, 5 in row 0
    plugged = sampled(memory, [0, 1, 2, 3, 4], 3)
    assert plugged.batch.reward.tolist() == [5 + 3 + 7 / 4, 6 + 3.5, 7, 3 + 2 + 5 / 4, 4 + 2.5 + 6 / 4]
    assert plugged.discounts.tolist() == [0.125, 0.25, 0.5, 0.125, 0.125]
    assert plugged.batch.next_observation[:, 0].tolist() == [8, 8, 8, 6, 7]


def test_one_step_is_what_dqn_does_itself():
    memory = remembered(line(range(10), {(3, "terminated"), (7, "truncated")}), 20)
    rows = torch.arange(10)
    plugged = sampled(memory, rows.tolist(), 1)
    for mine, others in zip(plugged.batch, memory.read(rows), strict=True):
        assert torch.equal(mine, others)
    assert torch.equal(plugged.discounts, 0.5 * (1 - plugged.batch.terminated))


@pytest.mark.parametrize("steps", [0, 2.5, "3", True, None])
def test_a_number_of_steps_that_cannot_be(steps):
    with pytest.raises(BadSetting) as error:
        NStep(steps)
    assert str(error.value) == f"NStep(steps={steps!r}): a whole number of 1 or more would fit."
