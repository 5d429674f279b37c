import gymnasium
import numpy as np
import pytest

from looptree.core.errors import StateMismatch
from looptree.rl.environment_state import environment_state, restore_environment
from looptree.rl.environments import Recipe
from looptree.rl.errors import EnvironmentStateError
from tests.rl.plain import assert_plain
from tests.rl.toys import register


def steps(environments, number, seed):
    """Some random steps, as (observation, reward, terminated, truncated) each."""
    generator = np.random.default_rng(seed)
    space = environments.single_action_space
    for _ in range(number):
        if isinstance(space, gymnasium.spaces.Discrete):
            actions = generator.integers(0, space.n, environments.num_envs)
        else:
            actions = generator.uniform(space.low, space.high, (environments.num_envs, *space.shape))
            actions = actions.astype(space.dtype)
        yield environments.step(actions)[:4]


@pytest.mark.parametrize("vectorization", ["sync", "native"])
@pytest.mark.parametrize(
    "env_id",
    [
        "CartPole-v1",
        "Acrobot-v1",
        "MountainCar-v0",
        "MountainCarContinuous-v0",
        "Pendulum-v1",
        "FrozenLake-v1",
        "Taxi-v4",
        "Blackjack-v1",
    ],
)
def test_a_restored_environment_goes_on_as_the_saved_one(env_id, vectorization):
    if vectorization == "native" and gymnasium.spec(env_id).vector_entry_point is None:
        vectorization = "auto"
    num_envs = 3
    saved, fresh = (Recipe(env_id, vectorization=vectorization).make(num_envs) for _ in range(2))
    saved.reset(seed=[1, 2, 3] if vectorization != "native" else 1)
    for _ in steps(saved, 230, seed=0):  # over a truncation at 200 steps, and many terminations
        pass
    state = environment_state(saved)
    assert_plain(state)
    expected = list(steps(saved, 300, seed=1))
    restore_environment(fresh, state)
    for mine, others in zip(expected, steps(fresh, 300, seed=1), strict=True):
        for left, right in zip(mine, others, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("wrapper", ["FrameStackObservation(3)", "RecordEpisodeStatistics(2)"])
def test_wrappers_that_look_back_do_so_after_the_restoring_too(wrapper):
    saved, fresh = (Recipe("CartPole-v1", (wrapper,)).make(2) for _ in range(2))
    for environments in (saved, fresh):
        environments.reset(seed=[1, 2])
    for _ in steps(saved, 75, seed=0):
        pass
    state = environment_state(saved)
    assert_plain(state)
    expected = list(steps(saved, 50, seed=1))
    restore_environment(fresh, state)
    for mine, others in zip(expected, steps(fresh, 50, seed=1), strict=True):
        for left, right in zip(mine, others, strict=True):
            np.testing.assert_array_equal(left, right)
    if wrapper.startswith("Record"):
        assert fresh.envs[0].return_queue == saved.envs[0].return_queue
        assert fresh.envs[0].return_queue.maxlen == 2


def test_what_cannot_be_saved_is_named():
    register()
    environments = Recipe("LooptreePhysics-v0").make(2)
    environments.reset(seed=[0, 1])
    with pytest.raises(EnvironmentStateError) as error:
        environment_state(environments)
    assert str(error.value) == "Physics.engine (Engine) is no plain data."
    processes = Recipe("CartPole-v1", vectorization="async").make(1)
    try:
        with pytest.raises(EnvironmentStateError) as error:
            environment_state(processes)
    finally:
        processes.close()
    assert str(error.value) == "RestartingVectorEnv keeps its environments in other processes."


def test_a_state_of_other_environments_is_refused():
    state = environment_state(Recipe("CartPole-v1", vectorization="sync").make(2))
    with pytest.raises(StateMismatch) as error:
        restore_environment(Recipe("CartPole-v1", vectorization="sync").make(3), state)
    assert str(error.value) == (
        "The state is of a SyncVectorEnv around 2 environments, this is a SyncVectorEnv around 3; "
        "make it as in the run that was saved."
    )
