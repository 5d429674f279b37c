"""Environments in which the right action is what is shown, and one that never ends."""

from __future__ import annotations

import functools

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FrameStackObservation


class Shown(gymnasium.Env):
    """Shows a member of a space of actions; the reward says how much of it the action repeats, 1 at most. An
    episode is cut after 50 steps."""

    def __init__(self, actions: gymnasium.Space) -> None:
        self.action_space = actions
        self.clock = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.clock = 0
        return self.show(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        reward = self.reward(action)
        self.clock += 1
        return self.show(), reward, False, self.clock == 50, {}

    def show(self) -> np.ndarray:
        raise NotImplementedError

    def reward(self, action) -> float:
        raise NotImplementedError


class ShownOption(Shown):
    """A Discrete space that is counted from -1."""

    observation_space = spaces.Box(0, 1, (3,), np.float32)

    def __init__(self) -> None:
        super().__init__(spaces.Discrete(3, start=-1))

    def show(self):
        self.target = int(self.np_random.integers(3)) - 1
        return np.eye(3, dtype=np.float32)[self.target + 1]

    def reward(self, action):
        return float(action == self.target)


class ShownOptions(Shown):
    """A MultiDiscrete space, one of whose choices is counted from 5."""

    observation_space = spaces.Box(0, 1, (5,), np.float32)

    def __init__(self) -> None:
        super().__init__(spaces.MultiDiscrete([2, 3], start=[0, 5]))

    def show(self):
        self.target = np.array([0, 5]) + self.np_random.integers([2, 3])
        return np.concatenate([np.eye(2)[self.target[0]], np.eye(3)[self.target[1] - 5]]).astype(np.float32)

    def reward(self, action):
        return float((action == self.target).mean())


class ShownBits(Shown):
    """A MultiBinary space."""

    observation_space = spaces.Box(0, 1, (4,), np.float32)

    def __init__(self) -> None:
        super().__init__(spaces.MultiBinary([2, 2]))

    def show(self):
        self.target = self.np_random.integers(0, 2, (2, 2))
        return self.target.reshape(-1).astype(np.float32)

    def reward(self, action):
        return float((action == self.target).mean())


class ShownPoint(Shown):
    """A Box with bounds far from -1 and 1; half a way off is worth nothing any more."""

    observation_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self) -> None:
        super().__init__(spaces.Box(np.float32([-30, 100]), np.float32([10, 500]), dtype=np.float32))

    def show(self):
        self.target = self.np_random.uniform(-0.8, 0.8, 2).astype(np.float32)
        return self.target

    def reward(self, action):
        middle, half = np.array([-10, 300]), np.array([20, 200])
        return float(1 - 2 * np.abs((action - middle) / half - self.target).mean())


def picture(number: int) -> np.ndarray:
    """One of four images: a different quarter of each is white."""
    image = np.zeros((36, 36, 1), np.uint8)
    row, column = 18 * (number // 2), 18 * (number % 2)
    image[row : row + 18, column : column + 18] = 255
    return image


def in_entries(number: int) -> dict:
    """A number of which no entry alone says all."""
    return {"left": picture(number % 2), "inner": {"top": (0, np.int64(number // 2)), "nothing": np.zeros(3)}}


IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
SEEN = {  # kinds of observations, and how a number from 0 to 3 looks in each
    "Number": (spaces.Discrete(4, start=-2), lambda number: np.int64(number - 2)),
    "Choices": (
        spaces.MultiDiscrete([[2, 2]], start=[[5, 0]]),
        lambda number: np.array([[5 + number // 2, number % 2]]),
    ),
    "Digits": (spaces.MultiBinary([1, 2]), lambda number: np.array([[number // 2, number % 2]], np.int8)),
    "Grid": (spaces.Box(0, 1, (2, 2), np.float64), lambda number: np.eye(4)[number].reshape(2, 2)),
    "Image": (IMAGE, picture),
    "Entries": (
        spaces.Dict(
            left=IMAGE,
            inner=spaces.Dict(
                top=spaces.Tuple([spaces.Discrete(1), spaces.Discrete(2)]),
                nothing=spaces.Box(-np.inf, np.inf, (3,), np.float64),
            ),
        ),
        in_entries,
    ),
}


class Seen(Shown):
    """A number from 0 to 3, shown in one kind of observations, is to be named."""

    def __init__(self, kind: str) -> None:
        super().__init__(spaces.Discrete(4))
        self.observation_space, self.look = SEEN[kind]

    def show(self):
        self.target = int(self.np_random.integers(4))
        return self.look(self.target)

    def reward(self, action):
        return float(action == self.target)


class Before(Seen):
    """What was shown one step before is to be named; every step shows one image, as `stacked` shows two."""

    def __init__(self) -> None:
        super().__init__("Image")

    def reset(self, *, seed=None, options=None):
        self.shown = 0
        return super().reset(seed=seed)

    def show(self):
        self.target, self.shown = self.shown, int(self.np_random.integers(4))
        return self.look(self.shown)


def stacked() -> gymnasium.Env:
    """The last two images of `Before`."""
    return FrameStackObservation(Before(), 2, padding_type="zero")


class ShownDistance(Shown):
    """A Box that is bounded on one side only, below in one dimension and above in the other."""

    observation_space = spaces.Box(0, 1, (2,), np.float32)

    def __init__(self) -> None:
        super().__init__(spaces.Box(np.float32([50, -np.inf]), np.float32([np.inf, -7]), dtype=np.float32))

    def show(self):
        self.target = self.np_random.uniform(0, 1, 2).astype(np.float32)
        return self.target

    def reward(self, action):
        return float(1 - np.abs(np.abs(action - [50, -7]) - self.target).mean())


class Endless(gymnasium.Env):
    """Goes round four places; every step is worth 1. Nothing but a limit on its time ends it."""

    observation_space = spaces.Box(0, 1, (4,), np.float32)
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return np.eye(4, dtype=np.float32)[self.place], {}

    def step(self, action):
        self.place = (self.place + 1) % 4
        return np.eye(4, dtype=np.float32)[self.place], 1.0, False, False, {}


def register() -> None:
    limits = {
        "LooptreeOption-v0": (ShownOption, None),
        "LooptreeOptions-v0": (ShownOptions, None),
        "LooptreeBits-v0": (ShownBits, None),
        "LooptreePoint-v0": (ShownPoint, None),
        "LooptreeDistance-v0": (ShownDistance, None),
        "LooptreeEndless-v0": (Endless, 8),
        "LooptreeBefore-v0": (Before, None),
        "LooptreeStacked-v0": (stacked, None),
    }
    for kind in SEEN:
        limits[f"LooptreeSeen{kind}-v0"] = (functools.partial(Seen, kind), None)
    for name, (maker, limit) in limits.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, maker, max_episode_steps=limit)
