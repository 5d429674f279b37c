"""Numbers that are NaN or infinite: from environments that really give them, and from losses that really explode."""

import math
import re
import warnings

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from looptree import Callback
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.algorithms.dqn import DQN
from looptree.rl.algorithms.ppo import PPO
from looptree.rl.errors import NotFinite
from looptree.rl.finite import all_finite
from looptree.rl.source import GymSource


class Rotten(gymnasium.Env):
    """Gives `number` as its `part` in step `at`: "observation", "reward", or "last", the observation with which that
    step ends the episode; "first" is the observation of its second episode. Episodes take 20 steps."""

    def __init__(self, part="", number=math.nan, at=50):
        self.observation_space = gymnasium.spaces.Box(-math.inf, math.inf, (2,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.part, self.number, self.at = part, number, at
        self.steps = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.array([0.0, self.number if self.part == "first" and self.steps else 0.0], np.float32), {}

    def step(self, action):
        self.steps += 1
        now = self.steps == self.at
        second = self.number if now and self.part in ("observation", "last") else 0.5
        reward = self.number if now and self.part == "reward" else 1.0
        over = (now and self.part == "last") or self.steps % 20 == 0
        return np.array([self.steps % 20, second], np.float32), reward, over, False, {}


class Entries(gymnasium.ObservationWrapper):
    """Shows what it wraps as an entry of a Dict."""

    def __init__(self, env):
        super().__init__(env)
        inner = gymnasium.spaces.Dict({"numbers": env.observation_space, "lamp": gymnasium.spaces.Discrete(2)})
        self.observation_space = inner

    def observation(self, observation):
        return {"numbers": observation, "lamp": 1}


class Keeping(Callback):
    """Keeps the parameters as they are after each gradient step."""

    def __init__(self):
        self.kept = None
        self.steps = 0

    def after_step(self):
        if hasattr(self.loop, "optimizer"):
            self.kept = parameters_of(self.parent)
            self.steps += 1


def parameters_of(learner):
    return [parameter.detach().clone() for parameter in learner.network.parameters()]


def unspoilt(learner, keeping):
    """Whether the parameters are finite, and those of the latest gradient step that was made."""
    return all(
        torch.equal(now, then) and bool(now.isfinite().all())
        for now, then in zip(learner.network.parameters(), keeping.kept, strict=True)
    )


@pytest.fixture
def rotten():
    """Registers an environment that goes bad, and gives its id."""
    names = []

    def register(*wrappers, **settings):
        name = f"LooptreeRotten{len(names)}-v0"

        def make(**_):
            env = Rotten(**settings)
            for wrapper in wrappers:
                env = wrapper(env)
            return env

        gymnasium.register(name, make)
        names.append(name)
        return name

    yield register
    for name in names:
        del gymnasium.registry[name]


def small(algorithm, **changes):
    settings = ALGORITHMS[algorithm].settings
    own = {"steps_per_rollout": 8} if algorithm in ("ppo", "a2c") else {"learning_starts_env_steps": 8}
    given = {"total_env_steps": 2_000, "hidden_sizes": (8,), "evaluation_episodes": 1, **own, **changes}
    return settings(**given)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    ("part", "number"),
    [("observation", math.nan), ("observation", -math.inf), ("reward", math.nan), ("reward", math.inf)],
)
def test_what_an_environment_gives_stops_the_run_at_once(algorithm, part, number, rotten):
    keeping = Keeping()
    learner = ALGORITHMS[algorithm].learner(rotten(part=part, number=number), small(algorithm), keeping)
    with pytest.raises(NotFinite) as error:
        learner.run()
    place = "reward[0]" if part == "reward" else "observation[0, 1]"
    assert str(error.value).startswith(f"{place} of SyncVectorEnv(")
    assert f" is {number:g} after 49 env steps; the first index is the environment's." in str(error.value)
    assert learner.ended.startswith(f"failed in GymSource.on_step: NotFinite: {place} of ")
    assert learner.env_steps == 49
    assert keeping.steps > 5 and unspoilt(learner, keeping)


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize(("part", "at"), [("last", 13), ("first", 20)])
def test_ends_and_beginnings_of_episodes_are_looked_at_too(mode, part, at):
    makers = [Rotten, lambda: Rotten(part, at=at), Rotten]
    source = GymSource(SyncVectorEnv(makers, autoreset_mode=mode))
    made = 0
    with pytest.raises(NotFinite, match=re.escape("observation[1, 1] of SyncVectorEnv(num_envs=3")):
        for _ in source:
            made += 1
    late = part == "first" and mode == AutoresetMode.NEXT_STEP
    assert made == at - 1 + late
    assert source.ended.startswith("failed in GymSource.on_step: NotFinite: ")


def test_the_very_first_observations_are_looked_at():
    env = Rotten("first")
    env.steps = 1
    source = GymSource(SyncVectorEnv([lambda: env]))
    with pytest.raises(NotFinite, match=re.escape("observation[0, 1] of ")):
        source.run()
    assert source.ended.startswith("failed in GymSource.before_run: NotFinite: ")


def test_entries_of_observations_are_looked_at_by_name(rotten):
    learner = DQN(rotten(Entries, part="observation"), small("dqn"))
    with pytest.raises(NotFinite, match=re.escape("observation['numbers'][0, 1] of SyncVectorEnv(")):
        learner.run()
    assert learner.env_steps == 49


def test_an_evaluation_stops_as_well(rotten):
    learner = PPO(rotten(part="reward", at=19), small("ppo", steps_per_rollout=8, evaluate_every_env_steps=16))
    with pytest.raises(NotFinite, match="after 18 env steps"):
        learner.run()
    assert learner.ended.startswith("failed in EpisodeSource.on_step: NotFinite: reward[0] of ")


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # NumPy's, while the agent acts
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_loss_that_explodes_stops_the_run_before_the_step(algorithm):
    keeping = Keeping()
    settings = small(algorithm, learning_rate=1e30)
    learner = ALGORITHMS[algorithm].learner("CartPole-v1", settings, keeping)
    with pytest.raises(NotFinite) as error:
        learner.run()
    said = str(error.value)
    assert re.match(rf"The loss of {learner.name} is \S+ and the length of its gradient \S+, in gradient step ", said)
    assert f"in gradient step {keeping.steps + 1:,} after {learner.env_steps:,} env steps. " in said
    assert "nan" in said or "inf" in said
    assert re.search(r"The first field that is not finite is \w+\S*, -?(nan|inf); it was written by ", said)
    assert re.search(r" by \w+\.\w+ \(looptree/rl/\S+:\d+\)", said)
    assert "at the learning rate (1e+30)" in said
    assert re.match(r"failed in \w+\.on_step: NotFinite: The loss of ", learner.ended)
    assert keeping.steps >= 1 and unspoilt(learner, keeping)


def test_an_infinite_loss_whose_gradient_is_finite_stops_the_run(rotten):
    # Huber's slopes are 1 at most; the mean of 32 losses of 3e38 is infinite all the same.
    learner = DQN(rotten(part="reward", number=3e38, at=3), small("dqn", batch_size=32), keeping := Keeping())
    with pytest.raises(NotFinite) as error:
        learner.run()
    assert re.match(r"The loss of dqn is inf and the length of its gradient \d", str(error.value))
    assert "is not finite is losses[" in str(error.value) or "is not finite is loss, inf" in str(error.value)
    assert keeping.kept is None or unspoilt(learner, keeping)


class Careless(Callback):
    """Takes the root of something that may be negative."""

    def after_target(self):
        if self.loop.count == 20:
            self.loop.targets = (self.loop.targets - 1e6).sqrt()


def test_the_hook_of_a_callback_is_named():
    learner = DQN("CartPole-v1", small("dqn"), [Careless(), keeping := Keeping()])
    with pytest.raises(
        NotFinite,
        match=r"is targets\[0\], nan; it was written by QUpdate.on_target \(.*dqn.py:\d+\), then Careless.aft",
    ):
        learner.run()
    assert keeping.steps == 20 and unspoilt(learner, keeping)


class Spoils(Callback):
    """Puts a number into the rollout that no environment gave."""

    def after_collect(self, _phase="train"):
        if self.loop.count == 3:
            self.memory.reward[2] = math.inf


@pytest.mark.parametrize("algorithm", ["ppo", "a2c"])
def test_what_was_made_of_a_rollout_is_named_where_it_was_made(algorithm):
    learner = ALGORITHMS[algorithm].learner("CartPole-v1", small(algorithm), [Spoils(), keeping := Keeping()])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of inf - inf
        with pytest.raises(
            NotFinite, match=r"is experience\.\w+\[\d+\], -?(nan|inf); it was written by \w+.before_update \(.*ppo"
        ):
            learner.run()
    assert unspoilt(learner, keeping)


@pytest.mark.parametrize("size", [1, 64, 65, 10_000])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_large_numbers_are_finite_and_others_are_not(size, dtype):
    values = np.full((size, 1), np.finfo(dtype).max)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all_finite(values) and all_finite(-values)
        for number in (math.nan, math.inf, -math.inf):
            for place in {0, size // 2, size - 1}:
                spoilt = values.copy()
                spoilt[place] = number
                assert not all_finite(spoilt)
        both = np.array([math.inf, -math.inf], dtype)
        assert not all_finite(both)
    assert all_finite(np.full(size, 255, np.uint8)) and all_finite(np.ones(size, np.bool_))
