"""Vector environments: making them by id, finding what is wrong with an id, and how they reset themselves."""

from __future__ import annotations

import difflib
import importlib
from typing import Any, Literal

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import Error
from gymnasium.vector import AutoresetMode, VectorEnv

from looptree.core.errors import BadSetting, listed
from looptree.rl.errors import EnvironmentUnavailable, UnfitEnvironment, UnknownEnvironment

Vectorization = Literal["auto", "native", "sync", "async"]


def make_environments(
    env_id: str, num_envs: int, vectorization: Vectorization = "auto", **settings: Any
) -> VectorEnv[Any, Any, Any]:
    """`num_envs` environments of one id side by side; `settings` go to the environment's own constructor.

    "native" is the environment's own vector class, "sync" steps one after the other in this process, "async"
    each in a process of its own. "auto" takes the native class where there is one and more than one
    environment is asked for (its array operations cost more than a single plain environment), else "sync".
    Environments in sync and async reset themselves in the step that ends an episode, so that no step is spent
    on a reset.

    Raises `UnknownEnvironment` (with the nearest ids), `EnvironmentUnavailable` where it cannot be made here,
    and `BadSetting` for a number of environments below 1 or a vectorization that there is none of.
    """
    if num_envs < 1:
        raise BadSetting(f"num_envs={num_envs}: at least 1 environment is needed.")
    spec = environment_spec(env_id)
    if vectorization == "auto":
        vectorization = "native" if spec.vector_entry_point is not None and num_envs > 1 else "sync"
    try:
        if vectorization == "native":
            if spec.vector_entry_point is None:
                raise BadSetting(f"{env_id} has no native vector class; vectorization='sync' or 'async' would fit.")
            return gymnasium.make_vec(env_id, num_envs, "vector_entry_point", **settings)
        if vectorization in ("sync", "async"):
            same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
            return gymnasium.make_vec(env_id, num_envs, vectorization, vector_kwargs=same_step, **settings)
    except (Error, ImportError) as error:
        raise EnvironmentUnavailable(f"{env_id} cannot be made here: {error}") from error
    raise BadSetting(f"vectorization={vectorization!r} is unknown; 'auto', 'native', 'sync' or 'async' would fit.")


def single_spaces(env_id: str) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
    """The observation space and the action space of a single environment.

    Raises what `make_environments` raises.
    """
    environments = make_environments(env_id, 1, "sync")
    environments.close()
    return environments.single_observation_space, environments.single_action_space


def environment_spec(env_id: str) -> EnvSpec:
    """What Gymnasium has registered under an id, or under the id in `module:id` once the module is imported.

    Raises `UnknownEnvironment`, with the nearest ids that would fit, and where the module cannot be imported.
    """
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
    except ImportError as error:
        raise UnknownEnvironment(
            f"{module!r}, which is to register {name!r}, cannot be imported: {error}. A module on Python's path before "
            f"the colon would fit."
        ) from error
    try:
        return gymnasium.spec(name)
    except (Error, ImportError) as error:
        names = {name.lower(): name for name in gymnasium.registry}
        close = [names[name] for name in difflib.get_close_matches(name.lower(), names, n=3)]
        if close:
            hint = f"The nearest ids are {listed(close)}."
        elif module:
            hint = f"Importing {module!r} does not register it."
        else:
            hint = "Import the package that registers it, or name that too: 'package:Name-v0'."
        raise UnknownEnvironment(f"No environment is registered as {name!r}. {hint}") from error


def autoreset_mode(environments: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """When the environments reset themselves: one step after the end of an episode, or in the step that ends
    it.

    Raises `UnfitEnvironment` where they do not do so at all.
    """
    # Not all vector environments state their mode; the ones that do not follow Gymnasium's default.
    mode = environments.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    if mode == AutoresetMode.DISABLED:
        raise UnfitEnvironment(
            f"{environments} does not reset itself; make it with AutoresetMode.SAME_STEP or NEXT_STEP."
        )
    return AutoresetMode(mode)
