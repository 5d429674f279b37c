import random
from collections import deque

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

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


def assert_goes_on(saved, fresh, before, after):
    """Both of two environments make the same steps, where the second is brought to a state of the first."""
    saved.reset(seed=1)
    for _ in steps(saved, before, seed=0):
        pass
    state = environment_state(saved)
    assert_plain(state)
    expected = list(steps(saved, after, seed=1))
    restore_environment(fresh, state)
    for mine, others in zip(expected, steps(fresh, after, seed=1), strict=True):
        for left, right in zip(mine, others, strict=True):
            np.testing.assert_array_equal(left, right)
    for environments in (saved, fresh):
        environments.close()


CLASSIC = [
    "CartPole-v1",
    "Acrobot-v1",
    "MountainCar-v0",
    "MountainCarContinuous-v0",
    "Pendulum-v1",
    "FrozenLake-v1",
    "Taxi-v4",
    "Blackjack-v1",
]


@pytest.mark.parametrize("env_id", CLASSIC)
@pytest.mark.parametrize("vectorization", ["sync", "native", "next step"])
def test_a_restored_environment_goes_on_as_the_saved_one(env_id, vectorization):
    def made():
        if vectorization == "next step":
            makers = [lambda: gymnasium.make(env_id)] * 3
            return SyncVectorEnv(makers, autoreset_mode=AutoresetMode.NEXT_STEP)
        if vectorization == "native" and gymnasium.spec(env_id).vector_entry_point is None:
            return Recipe(env_id).make(3)
        return Recipe(env_id, vectorization=vectorization).make(3)

    # over a truncation at 200 steps, and many terminations
    assert_goes_on(made(), made(), before=230, after=300)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_environments_in_processes_are_asked_for_their_states(env_id):
    recipe = Recipe(env_id, ("NormalizeObservation",), "async")
    assert_goes_on(recipe.make(3), recipe.make(3), before=230, after=100)


@pytest.mark.parametrize(
    ("wrapper", "env_id"),
    [
        ("FrameStackObservation(3)", "CartPole-v1"),
        ("RecordEpisodeStatistics(2)", "CartPole-v1"),
        ("NormalizeObservation", "Acrobot-v1"),
        ("NormalizeReward", "Pendulum-v1"),
        ("TimeAwareObservation", "CartPole-v1"),
        ("DelayObservation(2)", "CartPole-v1"),
        ("MaxAndSkipObservation(3)", "CartPole-v1"),
        ("StickyAction(0.4)", "CartPole-v1"),
        ("FlattenObservation", "FrozenLake-v1"),
        ("TimeLimit(17)", "CartPole-v1"),
    ],
)
def test_wrappers_go_on_too(wrapper, env_id):
    recipe = Recipe(env_id, (wrapper,))
    saved, fresh = recipe.make(2), recipe.make(2)
    assert_goes_on(saved, fresh, before=75, after=60)
    if wrapper.startswith("Record"):
        assert fresh.envs[0].return_queue == saved.envs[0].return_queue
        assert fresh.envs[0].return_queue.maxlen == 2


# SWIG's types have no module; where that warning is an error, importing Box2D ends the process.
pytestmark = pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")

BOX2D = [
    ("LunarLander-v3", {"enable_wind": True}),
    ("LunarLanderContinuous-v3", {}),
    ("BipedalWalker-v3", {}),
    ("BipedalWalkerHardcore-v3", {}),
]


@pytest.mark.parametrize("before", [0, 1, 60, 700])
@pytest.mark.parametrize(("env_id", "settings"), BOX2D)
def test_a_world_of_box2d_goes_on(env_id, settings, before):
    assert_goes_on(*(Recipe(env_id).make(2, **settings) for _ in range(2)), before=before, after=300)


def test_a_car_of_box2d_goes_on():
    assert_goes_on(*(Recipe("CarRacing-v3", ("TimeLimit(40)",)).make(1) for _ in range(2)), before=60, after=30)


def test_an_episode_that_leads_elsewhere_is_refused():
    saved, other = Recipe("LunarLander-v3").make(1), Recipe("LunarLander-v3").make(1, gravity=-9.0)
    saved.reset(seed=1)
    for _ in steps(saved, 30, seed=0):
        pass
    with pytest.raises(EnvironmentStateError) as error:
        restore_environment(other, environment_state(saved))
    assert str(error.value) == (
        "LunarLander was led to another observation by the same 30 actions; another version of Box2D may be the reason."
    )


MUJOCO = ["Ant", "HalfCheetah", "Hopper", "Humanoid", "HumanoidStandup", "InvertedDoublePendulum", "InvertedPendulum"]
MUJOCO += ["Pusher", "Reacher", "Swimmer", "Walker2d"]


@pytest.mark.parametrize("name", MUJOCO)
def test_a_simulation_of_mujoco_goes_on(name):
    for before in (0, 1, 120):
        assert_goes_on(*(Recipe(f"{name}-v5").make(2) for _ in range(2)), before=before, after=120)


def test_a_changed_model_of_mujoco_is_refused():
    saved, other = (Recipe("Hopper-v5").make(1) for _ in range(2))
    saved.reset(seed=1)
    saved.envs[0].unwrapped.model.opt.gravity[2] = -5.0
    with pytest.raises(EnvironmentStateError) as error:
        restore_environment(other, environment_state(saved))
    assert "MjModel is not as it was made" in str(error.value)


class Moments:
    """A mean, in the way of environments that measure something."""

    def __init__(self):
        self.mean = np.zeros(2)
        self.count = np.float32(0)


class Cluttered(gymnasium.Env):
    """Has of everything that people put into environments, and shows whether it is all in order."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (9,), np.float64)

    def __init__(self):
        self.action_space = gymnasium.spaces.Discrete(2)
        self.goals = gymnasium.spaces.Dict({"far": gymnasium.spaces.Box(0, 1), "near": gymnasium.spaces.Discrete(9)})
        self.visits = {(0, 0): 0}
        self.names = np.array(["here", "there"])
        self.seen = set()
        self.recent = deque(maxlen=3)
        self.scale = np.float32(1.1)
        self.phasor = 1j
        self.key = b"key"
        self.moments = Moments()
        self.measured = [self.moments, Moments()]
        self.squared = lambda number: number**2

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.goals.seed(int(self.np_random.integers(1000)))
        self.position = np.zeros(2)
        self.track = [self.position]  # the newest is the one that moves
        self.latest = {"here": self.track}
        self.moments.owner = self
        return self.shown(), {}

    def step(self, action):
        self.position += self.np_random.normal(size=2) * (1 if action else -1)
        cell = tuple(int(value) for value in self.position)
        self.visits[cell] = self.visits.get(cell, 0) + 1
        self.seen.add(cell)
        self.recent.append(np.float64(self.position.sum()))
        self.scale *= np.float32(1.01)
        self.phasor *= 1j**0.1
        self.key = bytes([self.key[0] ^ 1, *self.key[1:]])
        self.moments.mean += self.position
        self.measured[1].count += np.float32(0.1)
        return self.shown(), float(self.visits[cell]), bool(self.np_random.random() < 0.02), False, {}

    def shown(self):
        return np.array(
            [
                self.goals.sample()["near"],
                len(self.visits) + len(self.seen),
                sum(self.recent),
                self.squared(self.scale),
                self.phasor.real,
                self.key[0],
                self.measured[0].mean[0],
                self.moments.owner.measured[1].count,
                self.latest["here"][0][1],
            ]
        )


def cluttered(num_envs=2):
    return SyncVectorEnv([Cluttered] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)


@pytest.mark.parametrize("before", [0, 1, 150])
def test_whatever_stands_in_attributes_goes_on(before):
    assert_goes_on(cluttered(), cluttered(), before, after=60)


class Counted(gymnasium.Wrapper):
    """Says of itself what is to be saved; its engine is not."""

    def __init__(self, environment):
        super().__init__(environment)
        self.engine = open(__file__)
        self.steps = 0

    def step(self, action):
        self.steps += 1
        observation, _, *others = self.env.step(action)
        return observation, float(self.steps), *others

    def close(self):
        self.engine.close()

    def state_dict(self):
        return {"steps": self.steps, "env": environment_state(self.env)}

    def load_state_dict(self, state):
        self.steps = state["steps"]
        restore_environment(self.env, state["env"])


def test_an_environment_with_a_state_dict_is_asked_for_it():
    assert_goes_on(*(SyncVectorEnv([lambda: Counted(gymnasium.make("CartPole-v1"))]) for _ in range(2)), 40, 50)


class Views(Cluttered):
    """Two arrays are one."""

    def reset(self, *, seed=None, options=None):
        first = super().reset(seed=seed)
        self.height = self.position[1:]
        return first


class Lottery(Cluttered):
    """Draws from a generator that keeps to itself."""

    def __init__(self):
        super().__init__()
        self.drum = random.Random(3)


class Snake(Cluttered):
    """Has a list that is in itself."""

    def __init__(self):
        super().__init__()
        self.rings = [{1, 2}]
        self.rings.append(self.rings)


class Link:
    """Holds the one before it."""

    def __init__(self, before):
        self.before = before


class Chained(Cluttered):
    """Has a chain of things that hold one another."""

    def __init__(self):
        super().__init__()
        self.chain = None
        for _ in range(100):
            self.chain = Link(self.chain)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Chained, "Link.before (Link) is held by one thing that is held by another, and so on."),
        (Views, "Views.position and Views.height are arrays in the same memory."),
        (Lottery, "Lottery.drum (Random) is no plain data."),
        (Snake, "Snake.rings.1 (list) holds itself."),
    ],
)
def test_what_would_not_be_exact_is_refused(kind, reason):
    environments = SyncVectorEnv([kind])
    environments.reset(seed=0)
    with pytest.raises(EnvironmentStateError) as error:
        environment_state(environments)
    assert str(error.value) == reason


def test_what_cannot_be_saved_is_named():
    register()
    for vectorization in ("sync", "async"):
        environments = Recipe("LooptreePhysics-v0", vectorization=vectorization).make(2)
        environments.reset(seed=[0, 1])
        with pytest.raises(EnvironmentStateError) as error:
            environment_state(environments)
        environments.close()
        assert str(error.value) == "Physics.engine (Engine) is no plain data."
    with pytest.raises(EnvironmentStateError) as error:
        environment_state(environments)
    assert str(error.value) == "RestartingVectorEnv(LooptreePhysics-v0, num_envs=2) is closed."
    processes = AsyncVectorEnv([lambda: gymnasium.make("CartPole-v1")])
    try:
        with pytest.raises(EnvironmentStateError) as error:
            environment_state(processes)
    finally:
        processes.close()
    assert str(error.value) == "AsyncVectorEnv keeps its environments in other processes."


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_state_of_other_environments_is_refused(vectorization):
    def made(env_id, num_envs):
        return Recipe(env_id, vectorization=vectorization).make(num_envs)

    saved, more, others = made("CartPole-v1", 2), made("CartPole-v1", 3), made("Acrobot-v1", 2)
    saved.reset(seed=[0, 1])
    state = environment_state(saved)
    with pytest.raises(StateMismatch) as error:
        restore_environment(more, state)
    counted = {
        "sync": "In the state, SyncVectorEnv.envs has 2 members, here 3;",
        "async": "The state is of 2 environments, here are 3;",
    }
    assert str(error.value) == f"{counted[vectorization]} make the environments as in the run that was saved."
    with pytest.raises(StateMismatch) as error:
        restore_environment(others, state)
    assert str(error.value) == (
        "In the state, PassiveEnvChecker.env is a CartPoleEnv, here a AcrobotEnv; make the environments as in the run "
        "that was saved."
    )
    for environments in (saved, more, others):
        environments.close()


def test_a_state_calls_nothing():
    environments = Recipe("CartPole-v1", vectorization="sync").make(1)
    environments.reset(seed=[0])
    state = environment_state(environments)
    generator = state["inner"]["envs"]["inner"][0]["inner"]["env"]["inner"]["env"]["inner"]["env"]["inner"][
        "_np_random"
    ]
    generator["generator"] = {"bit_generator": "get_state"}
    with pytest.raises(StateMismatch) as error:
        restore_environment(environments, state)
    assert str(error.value) == "The state is of a random generator of kind 'get_state', which NumPy does not have."
