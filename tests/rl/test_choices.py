"""An observation that is none of its space stops the run, and says which environment gave it."""

import re

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Dict, Discrete, MultiDiscrete, Tuple
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.algorithms.ppo import PPO, PPOSettings
from looptree.rl.errors import UnfitEnvironment
from looptree.rl.source import GymSource

EPISODE = 10


class Rooms(gymnasium.Env):
    """Observations `good`, but `strange` after some steps."""

    action_space = Discrete(2)

    def __init__(self, space, good, strange=None, at=None):
        self.observation_space = space
        self.good, self.strange, self.at = good, strange, at

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.seen(), {}

    def step(self, action):
        self.steps += 1
        return self.seen(), 1.0, self.steps == EPISODE, False, {}

    def seen(self):
        return self.strange if self.steps == self.at else self.good


def source_of(mode, *rooms):
    return GymSource(SyncVectorEnv([lambda each=each: each for each in rooms], autoreset_mode=mode))


CHOICES = {
    "beyond the last": (Discrete(4), 3, 7, "observation[1]", "is 7 ", "0 to 3"),
    "before the first": (Discrete(4, start=5), 5, 4, "observation[1]", "is 4 ", "5 to 8"),
    "several": (MultiDiscrete([2, 5]), np.array([1, 4]), np.array([2, 0]), "observation[1, 0]", "is 2 ", "0 to 1"),
    "in rows": (
        MultiDiscrete([[2, 5], [3, 3]], start=[[0, 0], [0, -1]]),
        np.array([[1, 4], [2, -1]]),
        np.array([[1, 4], [2, 2]]),
        "observation[1, 1, 1]",
        "is 2 ",
        "-1 to 1",
    ),
    "entry": (
        Dict(rooms=Tuple([Discrete(2), Discrete(3)])),
        {"rooms": (1, 2)},
        {"rooms": (1, 3)},
        "observation['rooms']['1'][1]",
        "is 3 ",
        "0 to 2",
    ),
}


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("at", [0, 4, EPISODE])
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
def test_a_number_of_no_option_stops_the_run(mode, at, choice):
    space, good, strange, place, number, fitting = CHOICES[choice]
    source = source_of(mode, Rooms(space, good), Rooms(space, good, strange, at))
    with pytest.raises(UnfitEnvironment) as error:
        source.run(times=30)
    if at == EPISODE and mode == AutoresetMode.SAME_STEP:
        place = f"next_{place}"
    said = str(error.value)
    assert said.startswith(f"{place} of SyncVectorEnv(") and number in said
    assert f"after {2 * max(0, at - 1)} env steps" in said and f"By its space, {fitting} would fit" in said
    assert source.count == max(0, at - 1)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_member_of_the_space_is_seen(choice):
    space, good, *_ = CHOICES[choice]
    assert source_of(AutoresetMode.SAME_STEP, Rooms(space, good)).run(times=30).env_steps == 30


@pytest.mark.parametrize(
    ("learner", "settings"),
    [
        (DQN, DQNSettings(total_env_steps=200, learning_starts_env_steps=8, evaluation_episodes=1)),
        (PPO, PPOSettings(total_env_steps=200, steps_per_rollout=50, evaluation_episodes=1)),
    ],
)
def test_a_learner_names_the_environment(learner, settings):
    name = f"LooptreeRooms{learner.__name__}-v0"
    gymnasium.register(name, lambda: Rooms(Discrete(4), 0, 9, at=6), disable_env_checker=True)
    with pytest.raises(UnfitEnvironment, match=re.escape(f"({name}, num_envs=1) is 9 after 5 env steps")):
        learner(name, settings).run()
