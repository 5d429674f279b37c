import copy
import pickle
import tracemalloc

import gymnasium
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from looptree.core.errors import BadSetting, StateMismatch
from looptree.rl.errors import EmptyMemory, UnfitEnvironment
from looptree.rl.memory import ReplayBuffer
from looptree.rl.seeding import stream
from looptree.rl.transition import Transition
from tests.rl.episodes import STACKS, made_up, stacks
from tests.rl.plain import assert_plain

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


@pytest.mark.parametrize("stacked", [False, True])
def test_a_state_is_not_a_second_buffer(stacked):
    space = gymnasium.spaces.Box(0, 255, (4, 20, 20), np.uint8) if stacked else TWO_NUMBERS
    memory, other = (ReplayBuffer(20_000, space, BUTTONS, stream(0), stacked_frames=stacked) for _ in range(2))
    rows = 500
    observation = np.zeros((rows, *space.shape), space.dtype)
    no = np.zeros(rows, np.bool_)
    for _ in range(50):
        memory.add(Transition(observation, no * 1, no * 1.0, no, no, observation, ~no))
    other.load_state_dict(memory.state_dict())
    tracemalloc.start()
    try:
        state = memory.state_dict()
        other.load_state_dict(state)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 0.3 * memory.nbytes
    memory.add(Transition(observation, no * 1, no + 7.0, no, no, observation, ~no))
    assert 7.0 in state["columns"]["reward"]  # what is kept for longer is to be copied
    assert 7.0 not in other.state_dict()["columns"]["reward"]


# --- every observation once ---------------------------------------------------------------------------------


def assert_holds(memory, kept):
    """The memory's rows are the transitions of a plain list, of which it keeps the newest."""
    assert len(memory) == min(len(kept), memory.capacity)
    newest = range(len(kept) - len(memory), len(kept))
    rows = torch.tensor([number % memory.capacity for number in newest], dtype=torch.int64)
    batch = memory.read(rows)
    for number, row in zip(newest, zip(*batch, strict=True), strict=True):
        observation, action, reward, terminated, next_observation = kept[number]
        np.testing.assert_array_equal(row[0], observation)
        np.testing.assert_array_equal(row[4], next_observation)
        assert [float(each) for each in row[1:4]] == [action, reward, terminated]


def check(memory, script):
    kept = []
    for transition in script.transitions:
        memory.add(transition)
        kept += script.rows(transition)
        assert_holds(memory, kept)


@settings(max_examples=40, deadline=None)
@given(made_up(), st.integers(0, 30))
def test_rows_are_those_of_a_plain_list(script, spare):
    check(ReplayBuffer(script.num_envs + spare, TWO_NUMBERS, BUTTONS, stream(0)), script)


@settings(max_examples=30, deadline=None)
@given(stacks(made_up()), st.integers(0, 30))
def test_stacks_of_frames_are_those_of_a_plain_list(script, spare):
    memory = ReplayBuffer(script.num_envs + spare, STACKS, BUTTONS, stream(0), stacked_frames=True)
    check(memory, script)
    state = memory.state_dict()["observations"]
    kept = len(state["frames"]) - np.count_nonzero(state["free"] < len(state["frames"]))
    assert kept <= 1 + len(memory) + 4 * script.num_envs + 4 * script.cuts  # of 4 in each of twice as many slots


@settings(max_examples=20, deadline=None)
@given(st.booleans().flatmap(lambda stacked: stacks(made_up()) if stacked else made_up()), st.data())
def test_saved_at_any_time_it_goes_on_the_same(script, data):
    stacked = script.space is STACKS
    spare = data.draw(st.sampled_from([5, 50]))

    def fresh():
        capacity = script.num_envs + spare
        return ReplayBuffer(capacity, script.space, BUTTONS, stream(0), stacked_frames=stacked)

    memory = fresh()
    stop = data.draw(st.integers(0, len(script.transitions)))
    for transition in script.transitions[:stop]:
        memory.add(transition)
    loaded, used = fresh(), fresh()
    for transition in script.transitions:
        used.add(transition)
    state = memory.state_dict()
    assert_plain(state)
    loaded.load_state_dict(state)
    used.load_state_dict(state)
    others = [loaded, used, copy.deepcopy(memory), pickle.loads(pickle.dumps(memory))]
    for each in (memory, *others):
        for transition in script.transitions[stop:]:
            each.add(transition)
    if len(memory):
        expected = memory.sample(50)
        for other in others:
            assert all(torch.equal(*pair) for pair in zip(expected, other.sample(50), strict=True))


def test_observations_without_end_are_stored_once_and_the_last_of_episodes_too():
    memory = buffer(6)
    for number in range(4):
        memory.add(step(number, terminated=[number == 1]))
    # 0 to 3 stand in the rows' own slots; what follows 1 (the end of its episode) and 3 (the newest) stands elsewhere
    assert memory.next_slots[:4].tolist() == [1, 6, 3, 7]


def test_there_is_room_for_as_many_ends_as_rows():
    memory = buffer(100)
    few = memory.nbytes
    for number in range(250):
        memory.add(step(3 * number, terminated=[True]))
    assert memory.nbytes > few
    batch = memory.read(torch.arange(100))
    assert torch.equal(batch.next_observation[:, 0], batch.observation[:, 0] + 1)
    loaded, used = buffer(100), buffer(100)
    for number in range(300):
        used.add(step(3 * number, 5 * number, terminated=[True, True]))
    for other in (loaded, used):
        other.load_state_dict(memory.state_dict())
        for mine, others in zip(batch, other.read(torch.arange(100)), strict=True):
            assert torch.equal(mine, others)
    small = buffer(100)
    small.add(step(1))
    used.load_state_dict(small.state_dict())
    for number in range(250):
        used.add(step(3 * number, terminated=[True]))
    batch = used.read(torch.arange(100))
    assert torch.equal(batch.next_observation[:, 0], batch.observation[:, 0] + 1)
    assert set(batch.observation[:, 0].tolist()) == {3 * number for number in range(150, 250)}


def test_a_source_that_begins_anew_without_an_end_cuts_the_episode():
    memory = buffer(6)
    memory.add(step(0))
    memory.add(step(5))
    assert memory.read(torch.tensor([0])).next_observation.tolist() == [[1.0, -1.0]]
    assert memory.next_slots[0] >= 6


def test_cut_episodes_do_not_go_on():
    memory = buffer(6)
    memory.add(step(0, 10))
    memory.cut_episodes()
    memory.add(step(1, 11))
    batch = memory.read(torch.tensor([0, 1]))
    assert batch.next_observation.tolist() == [[1.0, -1.0], [11.0, -11.0]]
    assert batch.terminated.tolist() == [0.0, 0.0]
    assert (memory.next_slots[:2] >= 6).all()


def test_a_million_transitions_of_cartpole_in_60_megabytes():
    space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    memory = ReplayBuffer(1_000_000, space, gymnasium.spaces.Discrete(2), stream(0))
    envs, steps = 2_000, 600
    generator = np.random.default_rng(0)
    no = np.zeros(envs, np.bool_)
    observation = generator.random((envs, 4), np.float32)
    for number in range(steps):
        following = generator.random((envs, 4), np.float32)
        ends = generator.random(envs) < 1 / 20  # as long as the episodes of a random policy
        memory.add(Transition(observation, ends * 1, ends * 1.0 + number, ends, no, following, ~no))
        observation = np.where(ends[:, None], generator.random((envs, 4), np.float32), following)
    assert len(memory) == 1_000_000
    assert memory.nbytes < 60e6


def test_a_hundred_thousand_stacks_of_frames_in_a_gigabyte():
    space = gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8)
    memory = ReplayBuffer(100_000, space, gymnasium.spaces.Discrete(6), stream(0), stacked_frames=True)
    assert memory.nbytes < 1e9
    # Smaller, and full: what one transition takes does not grow with the number of episodes that it is from.
    memory = ReplayBuffer(500, space, gymnasium.spaces.Discrete(6), stream(0), stacked_frames=True)
    empty = memory.nbytes
    generator = np.random.default_rng(0)
    no, yes = np.array([False]), np.array([True])
    for number in range(1_200):
        if number % 50 == 0:
            stack = np.repeat(generator.integers(0, 256, (1, 84, 84), np.uint8), 4, 0)
        following = np.concatenate([stack[1:], generator.integers(0, 256, (1, 84, 84), np.uint8)])
        ends = yes if number % 50 == 49 else no
        memory.add(Transition(stack[None], no * 1, no * 1.0, ends, no, following[None], yes))
        stack = following
    assert len(memory) == 500
    assert memory.nbytes == empty < 500 * 10_000


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
        buffer(2).add(step(1, 2, 3))
    assert str(error.value) == (
        "A replay buffer of capacity 2 is too small for steps of 3 environments; 3 or more would fit."
    )
    with pytest.raises(UnfitEnvironment) as error:
        ReplayBuffer(2, gymnasium.spaces.Text(3, charset="abc"), BUTTONS, stream(0))
    assert str(error.value) == (
        "Members of Text(1, 3, charset=abc) are no arrays of numbers; Box, Discrete, MultiDiscrete, MultiBinary, and "
        "Dict and Tuple of those would fit."
    )
