"""Small environments whose right answers are known."""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv


class Diary(gymnasium.Env):
    """Writes down every step itself. Observations are (env, episode, step); the reward is 100 episode + step.

    Episode k of environment i lasts 1 + (i + k) % 4 steps; even episodes terminate, odd ones are truncated.
    """

    def __init__(self, number: int) -> None:
        self.observation_space = gymnasium.spaces.Box(-1, 1e6, (3,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(7)
        self.number = number
        self.episode = -1
        self.clock = 0
        self.log: list[tuple[Any, ...]] = []

    def observe(self) -> np.ndarray:
        return np.array([self.number, self.episode, self.clock], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.clock = 0
        return self.observe(), {}

    def step(self, action):
        before = self.observe()
        self.clock += 1
        over = self.clock == 1 + (self.number + self.episode) % 4
        terminated, truncated = over and self.episode % 2 == 0, over and self.episode % 2 == 1
        reward = 100.0 * self.episode + self.clock
        self.log.append((tuple(before), int(action), reward, terminated, truncated, tuple(self.observe())))
        return self.observe(), reward, terminated, truncated, {}


def diaries(num_envs: int, mode: AutoresetMode) -> SyncVectorEnv:
    return SyncVectorEnv([lambda number=number: Diary(number) for number in range(num_envs)], autoreset_mode=mode)


class Identity(gymnasium.Env):
    """One of four lamps is lit; pressing its button gives 1, any other 0. An episode is cut after 100
    steps."""

    def __init__(self) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 1, (4,), np.float32)
        self.action_space = gymnasium.spaces.Discrete(4)
        self.lamp = 0
        self.clock = 0

    def observe(self) -> np.ndarray:
        self.lamp = int(self.np_random.integers(4))
        return np.eye(4, dtype=np.float32)[self.lamp]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.clock = 0
        return self.observe(), {}

    def step(self, action):
        reward = float(action == self.lamp)
        self.clock += 1
        return self.observe(), reward, False, self.clock == 100, {}


class Overwriting(gymnasium.Env):
    """Writes each observation over the one before: (episode, step), as an array, or as `form` says in a Dict or a
    Tuple. An episode is cut after 3 steps."""

    def __init__(self, form: str = "array") -> None:
        self.numbers = np.zeros(2, np.float32)
        space = gymnasium.spaces.Box(0, 100, (2,), np.float32)
        spaces = {"Dict": gymnasium.spaces.Dict({"0": space}), "Tuple": gymnasium.spaces.Tuple([space])}
        self.observation_space = spaces.get(form, space)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.form = form

    def observe(self) -> Any:
        return {"array": self.numbers, "Dict": {"0": self.numbers}, "Tuple": (self.numbers,)}[self.form]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.numbers[:] = self.numbers[0] + 1, 0
        return self.observe(), {}

    def step(self, action):
        self.numbers[1] += 1
        return self.observe(), 1.0, False, bool(self.numbers[1] == 3), {}


class Fragile(gymnasium.Env):
    """Breaks as `fault` says: "raise", "exit", "kill" or "unpicklable" in step `at` of its first episode, or "reset" at
    its end, where it is reset (with `first`, in its first reset). Where `once` names a file, only the first process to
    come that far breaks.

    Observations are (a number drawn at reset, step); an episode lasts 12 steps, and each gives 1.
    """

    def __init__(self, fault: str = "", at: int = 7, once: Path | None = None, first: bool = False) -> None:
        self.observation_space = gymnasium.spaces.Box(0, 100, (2,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(2)
        self.fault, self.at, self.once = fault, at, once
        self.episode = 0 if first and fault == "reset" else -1
        self.clock = 0
        self.start = 0.0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode += 1
        self.clock = 0
        self.start = self.np_random.random()
        if self.fault == "reset" and self.episode == 1:
            self.break_down()
        return np.array([self.start, 0.0]), {}

    def step(self, action):
        self.clock += 1
        if self.fault not in ("", "reset") and self.episode == 0 and self.clock == self.at:
            self.break_down()
        return np.array([self.start, self.clock]), 1.0, self.clock == 12, False, {}

    def break_down(self) -> None:
        if self.once is not None:
            if self.once.exists():
                return
            self.once.touch()
        if self.fault == "exit":
            os._exit(3)
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "unpicklable":

            class Local(Exception):
                pass

            raise Local("it fell")
        raise RuntimeError("it fell")


class Engine(itertools.count):
    """Something that no one can save: how far it has come is not in its attributes."""


class Physics(Identity):
    """An environment with an engine inside."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine()


class Adaptive(gymnasium.ObservationWrapper):
    """Shows how far an observation is from the mean of all so far, over all episodes."""

    def __init__(self, env: gymnasium.Env) -> None:
        super().__init__(env)
        self.seen = 0
        self.mean = np.zeros(env.observation_space.shape)

    def observation(self, observation):
        self.seen += 1
        self.mean += (observation - self.mean) / self.seen
        return (observation - self.mean).astype(observation.dtype)


def register() -> None:
    toys = {
        "LooptreeIdentity-v0": Identity,
        "LooptreePhysics-v0": Physics,
        "LooptreeFragile-v0": Fragile,
        "LooptreeOverwriting-v0": Overwriting,
    }
    for name, maker in toys.items():
        if name not in gymnasium.registry:
            gymnasium.register(name, maker)
