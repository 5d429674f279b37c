"""PoolVectorEnv: the environments of EnvPool, where that is installed, as Gymnasium has vector environments."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from looptree.core.errors import nearest
from looptree.rl.errors import EnvironmentUnavailable, UnfitEnvironment, UnknownEnvironment


class PoolVectorEnv(VectorEnv[Any, Any, NDArray[Any]]):
    """Environments that EnvPool steps in threads of its own (Weng et al. 2022, EnvPool: A highly parallel reinforcement
    learning environment execution engine).

    They reset themselves one step late. EnvPool settles seeds when a pool is made, and gives neighbours the seeds s,
    s + 1 and so on, which the pool of the next s shares; so a reset with a seed makes a new pool here, in which each
    environment has a seed of its own.

    Raises `EnvironmentUnavailable` where EnvPool is not installed, `UnknownEnvironment`, with the nearest id, where it
    has no such environment, and `UnfitEnvironment` where several players act in it.
    """

    def __init__(self, env_id: str, num_envs: int, **settings: Any) -> None:
        self._envpool = _envpool(env_id)
        self._arguments = {"task_id": env_id, "num_envs": num_envs, **settings}
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.NEXT_STEP}
        self._fill()
        if self._pool.config["max_num_players"] > 1:
            raise UnfitEnvironment(f"{env_id} of EnvPool is for several players; an environment of one would fit.")
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin a new episode in every environment, with a seed in a new pool."""
        if seed is not None:
            self._pool.close()
            seeds = np.random.default_rng(seed).choice(2**31, self.num_envs, replace=False)
            self._fill(seed=seeds.tolist())
        first: tuple[Any, dict[str, Any]] = self._pool.reset()
        return first

    def step(
        self, actions: Any
    ) -> tuple[Any, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Step every environment, or reset it where the latest step ended its episode."""
        observation, reward, terminated, truncated, infos = self._pool.step(actions)
        return observation, reward.astype(np.float64), terminated, truncated, infos

    def close_extras(self, **settings: Any) -> None:
        """End the threads."""
        self._pool.close()

    def _fill(self, **seed: Any) -> None:
        """Make a pool."""
        self._pool = self._envpool.make_gymnasium(**self._arguments, **seed)
        with warnings.catch_warnings():  # the bounds are in double precision: Gymnasium warns that it has rounded them
            warnings.filterwarnings("ignore", ".*precision lowered")
            self.single_observation_space = self._pool.observation_space
            self.single_action_space = self._pool.action_space


def _envpool(env_id: str) -> Any:
    """The package, which has such an environment."""
    try:
        envpool = importlib.import_module("envpool")
    except ImportError as error:
        raise EnvironmentUnavailable(
            f"{env_id} cannot be made by EnvPool, which cannot be imported ({error}): pip install 'looptree[envpool]'"
        ) from error
    ids = envpool.list_all_envs()
    if env_id not in ids:
        close = nearest(env_id, ids)
        raise UnknownEnvironment(
            f"EnvPool has no environment {env_id!r}; "
            + (f"nearest is {close!r}." if close else "it lists all by envpool.list_all_envs().")
        )
    return envpool
