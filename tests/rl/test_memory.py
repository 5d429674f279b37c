import gymnasium
import numpy as np
import pytest
import torch

from looptree.core.errors import BadSetting, StateMismatch
from looptree.rl.errors import EmptyMemory
from looptree.rl.memory import ReplayBuffer
from looptree.rl.seeding import stream
from looptree.rl.transition import Transition

TWO_NUMBERS = gymnasium.spaces.Box(-1e6, 1e6, (2,), np.float64)
BUTTONS = gymnasium.spaces.Discrete(10)


def buffer(capacity, seed=0):
    return ReplayBuffer(capacity, TWO_NUMBERS, BUTTONS, stream(seed, "replay"))


def step(*numbers, real=None, terminated=None, truncated=None):
    """The step of `len(numbers)` environments whose every field tells the number."""
    rows = np.array(numbers, np.float64)
    no = np.zeros(len(rows), bool)
    return Transition(
        observation=np.stack([rows, -rows], 1),
        action=rows.astype(np.int64) % 10,
        reward=rows * 10,
        terminated=no if terminated is None else np.array(terminated),
        truncated=no if truncated is None else np.array(truncated),
        next_observation=np.stack([rows + 1, -rows - 1], 1),
        real=~no if real is None else np.array(real),
    )


def stored(memory):
    return memory.columns["reward"][: len(memory)].tolist()


def test_every_column_of_a_row_is_of_one_transition():
    memory = buffer(8)
    for number in range(6):
        memory.add(step(number, terminated=[number == 3]))
    batch = memory.sample(200)
    number = batch.reward / 10
    assert set(number.tolist()) == {0, 1, 2, 3, 4, 5}
    assert torch.equal(batch.observation, torch.stack([number, -number], 1))
    assert torch.equal(batch.next_observation, torch.stack([number + 1, -number - 1], 1))
    assert torch.equal(batch.action, number.long())
    assert torch.equal(batch.terminated, (number == 3).float())
    assert (batch.observation.dtype, batch.action.dtype, batch.reward.dtype) == (
        torch.float32,
        torch.int64,
        torch.float32,
    )


def test_the_oldest_rows_are_written_over():
    memory = buffer(5)
    for number in range(0, 8, 2):
        memory.add(step(number, number + 1))
    assert len(memory) == 5
    assert stored(memory) == [50, 60, 70, 30, 40]


def test_a_step_may_reach_over_the_end():
    memory = buffer(3)
    memory.add(step(0, 1))
    memory.add(step(2, 3))
    assert stored(memory) == [30, 10, 20]
    memory.add(step(4, 5))
    assert stored(memory) == [30, 40, 50]


def test_rows_that_are_no_experience_are_left_out():
    memory = buffer(10)
    memory.add(step(1, 2, 3, real=[True, False, True]))
    memory.add(step(4, 5, 6, real=[False, False, False]))
    assert stored(memory) == [10, 30]


def test_a_truncated_row_keeps_its_next_observation_and_goes_on():
    memory = buffer(1)
    memory.add(step(7, truncated=[True]))
    batch = memory.sample(1)
    assert batch.terminated.tolist() == [0.0]
    assert batch.next_observation.tolist() == [[8.0, -8.0]]


def test_all_rows_are_drawn_equally_often():
    memory = buffer(4)
    memory.add(step(0, 1, 2, 3))
    counts = torch.bincount((memory.sample(40_000).reward / 10).long())
    assert ((counts - 10_000).abs() < 500).all()  # six standard deviations


def test_the_seed_decides_what_is_drawn():
    drawn = []
    for seed in (0, 0, 1):
        memory = buffer(100, seed)
        memory.add(step(*range(100)))
        drawn.append(memory.sample(20).reward.tolist())
    assert drawn[0] == drawn[1] != drawn[2]


def test_cutting_the_episodes_marks_the_rows_of_the_latest_step():
    memory = buffer(4)
    memory.add(step(0, 1))
    memory.add(step(2, 3, 4, terminated=[False, True, False]))
    memory.cut_episodes()
    assert stored(memory) == [40, 10, 20, 30]
    assert memory.columns["truncated"].tolist() == [1, 0, 1, 0]


def test_a_loaded_buffer_goes_on_as_the_saved_one():
    memory = buffer(5)
    for number in range(7):
        memory.add(step(number))
    memory.sample(3)
    loaded = buffer(5, seed=99)
    loaded.load_state_dict(memory.state_dict())
    for each in (memory, loaded):
        each.add(step(7))
    assert stored(loaded) == stored(memory)
    for mine, others in zip(memory.sample(50), loaded.sample(50), strict=True):
        assert torch.equal(mine, others)


def test_a_saved_state_does_not_change_any_more():
    memory = buffer(2)
    memory.add(step(1))
    state = memory.state_dict()
    memory.add(step(2))
    memory.add(step(3))
    assert state["columns"]["reward"].tolist() == [10]


def test_errors_say_what_would_fit():
    with pytest.raises(BadSetting) as error:
        buffer(0)
    assert str(error.value) == "A replay buffer of capacity 0 holds nothing; 1 or more would fit."
    with pytest.raises(EmptyMemory) as error:
        buffer(1).sample(1)
    assert str(error.value) == "The replay buffer is empty; add transitions before a batch is drawn."
    with pytest.raises(StateMismatch) as error:
        buffer(3).load_state_dict(buffer(2).state_dict())
    assert str(error.value) == (
        "The state is of a replay buffer of capacity 2, this one's is 3; "
        "make it with the capacity of the run that was saved."
    )
    other = ReplayBuffer(2, gymnasium.spaces.Box(0, 1, (5,)), BUTTONS, stream(0))
    with pytest.raises(StateMismatch) as error:
        other.load_state_dict(buffer(2).state_dict())
    assert str(error.value) == (
        "The state keeps 'observation' in shape (2,) a row, this replay buffer in (5,); "
        "make it for the spaces of the run that was saved."
    )
    with pytest.raises(BadSetting) as error:
        ReplayBuffer(2, gymnasium.spaces.Text(3), BUTTONS, stream(0))
    assert str(error.value) == (
        "A replay buffer cannot store members of Text(1, 3, charset=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        "abcdefghijklmnopqrstuvwxyz); Box or Discrete would fit."
    )
