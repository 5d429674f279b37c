"""Environment states: what an environment needs to go on in the middle of an episode, as plain data.

Gymnasium has no such thing of its own. Many environments, all of classic control and toy text among them, are
nothing but plain attributes and one random generator: those are taken from the environment, from each of its
wrappers, and from each of the environments that `SyncVectorEnv` steps. Where anything else is found (a
physics engine, another process), the environment cannot be saved, and the error says because of what.
"""

from __future__ import annotations

import copy
import enum
from collections import deque
from types import FunctionType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv, VectorWrapper

from looptree.core.errors import StateMismatch
from looptree.rl.errors import EnvironmentStateError
from looptree.rl.state import generator_from, generator_state

AnyEnvironment = gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any]

# Attributes that lead on to other environments, or that the constructor has settled for good.
_STRUCTURE = frozenset({"env", "envs", "env_fns", "metadata", "spec", "_saved_kwargs"})
# Types of what never changes during a run, or is only for people to look at.
_CONSTANTS = (gymnasium.Space, EnvSpec, enum.Enum, type, FunctionType)
_VIEWERS = "pygame"


def environment_state(environment: AnyEnvironment) -> dict[str, Any]:
    """The state of an environment, with that of all it wraps or steps, as plain containers.

    Raises `EnvironmentStateError`, naming what it is that cannot be saved.
    """
    name = type(environment).__name__
    if isinstance(environment, AsyncVectorEnv):
        raise EnvironmentStateError(f"{name} keeps its environments in other processes.")
    state: dict[str, Any] = {"class": name, "fields": {}, "generators": {}}
    for field, value in vars(environment).items():
        if field in _STRUCTURE or _is_constant(value):
            continue
        if isinstance(value, np.random.Generator):
            state["generators"][field] = generator_state(value)
        elif isinstance(value, deque) and _is_plain(list(value)):
            state["fields"][field] = copy.deepcopy(list(value))
        elif _is_plain(value):
            state["fields"][field] = copy.deepcopy(value)
        else:
            raise EnvironmentStateError(f"{name}.{field} ({type(value).__name__}) is no plain data.")
    state["inner"] = [environment_state(inner) for inner in _inner(environment)]
    return state


def restore_environment(environment: AnyEnvironment, state: dict[str, Any]) -> None:
    """Put an environment of the same making where `environment_state` found another.

    Raises `StateMismatch` where the state is of environments of another kind or number.
    """
    inner = _inner(environment)
    if state["class"] != type(environment).__name__ or len(state["inner"]) != len(inner):
        raise StateMismatch(
            f"The state is of a {state['class']} around {len(state['inner'])} environments, this is a "
            f"{type(environment).__name__} around {len(inner)}; make it as in the run that was saved."
        )
    for field, value in state["fields"].items():
        own = getattr(environment, field, None)
        copied = copy.deepcopy(value)
        setattr(environment, field, deque(copied, own.maxlen) if isinstance(own, deque) else copied)
    for field, value in state["generators"].items():
        setattr(environment, field, generator_from(value))
    for member, member_state in zip(inner, state["inner"], strict=True):
        restore_environment(member, member_state)


def _inner(environment: AnyEnvironment) -> list[AnyEnvironment]:
    """The environments right below one: those it steps, the one it wraps, or none."""
    if isinstance(environment, SyncVectorEnv):
        return list(environment.envs)
    if isinstance(environment, gymnasium.Wrapper | VectorWrapper):
        return [environment.env]
    return []


def _is_constant(value: Any) -> bool:
    return isinstance(value, _CONSTANTS) or type(value).__module__.startswith(_VIEWERS)


def _is_plain(value: Any) -> bool:
    """Whether a value is made of nothing but arrays, numbers, strings and containers of those."""
    if isinstance(value, np.ndarray):
        return not value.dtype.hasobject
    if isinstance(value, dict):
        return all(_is_plain(key) and _is_plain(member) for key, member in value.items())
    if isinstance(value, list | tuple | set):
        return all(_is_plain(member) for member in value)
    return value is None or isinstance(value, bool | int | float | complex | str | bytes | np.generic)
