"""Environment states: what an environment needs to go on in the middle of an episode, as plain data.

Gymnasium has no such thing of its own. But an environment is an object that holds others: wrappers hold what they wrap,
`SyncVectorEnv` the environments that it steps, a normaliser its moments. Its state is what stands in all of their
attributes. Plain data and random generators are taken from there; an object that has `state_dict` and `load_state_dict`
is asked for its own; MuJoCo has calls for it (see `looptree.rl.mujoco_state`). Where anything else is found (another
physics engine, an open file), the environment cannot be saved, and the error says because of what.

A state is put back into an environment of the same making, attribute by attribute. It names none but attributes that
are there: nothing is made, imported or called because a state says so.
"""

from __future__ import annotations

import copy
import enum
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AsyncVectorEnv, VectorEnv

from looptree.core.errors import StateMismatch
from looptree.rl.errors import EnvironmentStateError
from looptree.rl.mujoco_state import is_mujoco, load_mujoco_state, mujoco_state
from looptree.rl.pool import PoolVectorEnv
from looptree.rl.state import generator_from, generator_state

AnyEnvironment = gymnasium.Env[Any, Any] | VectorEnv[Any, Any, Any]

# Attributes of environments that the constructor has settled for good, and those of a space that it has not.
_ARGUMENTS = {"_saved_kwargs", "_ezpickle_args", "_ezpickle_kwargs"}
_SETTLED = frozenset({"env_fns", "metadata", "spec", "_cached_spec", *_ARGUMENTS})
_DRAWN_FROM = frozenset({"_np_random", "spaces"})
# Types of what never changes during a run, and modules with what is only for people to look at.
_CONSTANTS = (
    EnvSpec,
    enum.Enum,
    type,
    ModuleType,
    FunctionType,
    BuiltinFunctionType,
    MethodType,
    partial,
    PurePath,
    np.dtype,
    np.ufunc,
)
_VIEWERS = ("pygame", "gymnasium.envs.mujoco.mujoco_rendering")

_DEEPEST = 40  # things that hold one another: far more than environments need, fewer than a checkpoint can have
_SEED_BITS = 64  # that a seed has; one by chance has 128
_LISTS: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}


class _Python:
    """An object of a class that is written in Python: all that it has is in its attributes."""


def environment_state(environment: AnyEnvironment) -> dict[str, Any]:
    """The state of an environment, with that of all it wraps or steps, as plain containers.

    Raises `EnvironmentStateError`, naming what it is that cannot be saved.
    """
    return _Reader().state(environment, type(environment).__name__, "")


def restore_environment(environment: AnyEnvironment, state: dict[str, Any]) -> None:
    """Put an environment of the same making where `environment_state` found another. It is reset first, so that
    everything is there that a reset makes.

    Raises `StateMismatch` where the state is of environments of another kind or number, and `EnvironmentStateError`
    where it turns out that the environment cannot be brought there.
    """
    if "own" not in state:
        environment.reset(seed=0)
    _Writer().bring(environment, state, type(environment).__name__, "")


class _Reader:
    """Takes states.

    A state has under "fields" what is plain, by attribute, and under "inner" the states of all else; what was found
    elsewhere before has only, under "as", where. `path` says where in the whole environment something stands, `name`
    how an error calls it.
    """

    def __init__(self) -> None:
        self._found: dict[int, str] = {}  # the path of each thing, by its id
        self._kept: list[Any] = []  # what would otherwise go away meanwhile, and leave its id to another

    def state(self, thing: Any, name: str, path: str) -> dict[str, Any]:
        """The state of anything but plain data."""
        kind = type(thing).__name__
        if path.count("/") > _DEEPEST:
            raise EnvironmentStateError(f"{name} ({kind}) is held by one thing that is held by another, and so on.")
        if id(thing) in self._found:
            found = self._found[id(thing)]
            if type(thing) in (dict, *_LISTS.values()) and path.startswith(f"{found}/"):
                raise EnvironmentStateError(f"{name} ({kind}) holds itself.")
            return {"class": kind, "as": found}
        self._found[id(thing)] = path
        if isinstance(thing, np.random.Generator):
            return {"class": kind, "generator": generator_state(thing)}
        if is_mujoco(thing):
            return {"class": kind, "mujoco": mujoco_state(thing)}
        if _has_own_way(thing):
            return {"class": kind, "own": thing.state_dict()}
        if isinstance(thing, AsyncVectorEnv):
            raise EnvironmentStateError(f"{kind} keeps its environments in other processes.")
        if isinstance(thing, PoolVectorEnv):
            raise EnvironmentStateError(f"{kind} keeps its environments in EnvPool, which tells no state of them.")
        return {"class": kind, **self._members_of(thing, name, path)}

    def _members_of(self, thing: Any, name: str, path: str) -> dict[str, Any]:
        kind = type(thing)
        if kind is dict and not _has_plain_keys(thing) and all(map(_is_plain, thing.values())):
            items = [list(item) for item in thing.items()]
            self._kept.append(items)
            return {"items": self.state(items, name, f"{path}/items")}
        members = _members(thing)
        if members is None:
            raise EnvironmentStateError(f"{name} ({kind.__name__}) is no plain data.")
        owner = name if kind is dict or kind in _LISTS.values() else kind.__name__
        _refuse_overlaps(members, owner)
        fields, inner = {}, {}
        for field, value in members.items():
            place = f"{path}/{field}"
            if _is_plain(value) and self._is_new(value, place):
                fields[field] = copy.deepcopy(value)
            elif not _is_constant(value):
                inner[field] = self.state(value, f"{owner}.{field}", place)
        order = {"keys": list(members)} if kind is dict else {}
        return {**order, "fields": fields, "inner": inner}

    def _is_new(self, value: Any, path: str) -> bool:
        """Whether plain data is met for the first time, with all in it that can be changed by others who hold it."""
        changeable = list(_changeable(value, path))
        here = {id(part): place for place, part in changeable}
        if len(here) < len(changeable) or not self._found.keys().isdisjoint(here):
            return False
        self._found.update(here)
        return True


class _Writer:
    """Puts states back."""

    def __init__(self) -> None:
        self._put: dict[str, Any] = {}  # what stands at a path now

    def bring(self, thing: Any, state: dict[str, Any], name: str, path: str) -> Any:
        """Bring a thing to a state, which was taken of what stood in its place; where that cannot be, make what is to
        stand there. What stands there then.

        Raises `StateMismatch` where it is a thing of another kind.
        """
        if "as" in state:
            return self._put[state["as"]]
        self._put[path] = thing  # others may hold it that are brought to their states before it is
        self._put[path] = brought = self._brought(thing, state, name, path)
        return brought

    def _brought(self, thing: Any, state: dict[str, Any], name: str, path: str) -> Any:
        kind = state["class"]
        if "generator" in state:
            return _generator(thing, state["generator"])
        if "items" in state:
            return dict(self.bring(None, state["items"], name, f"{path}/items"))
        if "keys" in state:
            made = dict.fromkeys(state["keys"])
            self._fill(thing, made.__setitem__, state, name, path)
            return made
        if kind in _LISTS:
            return self._list(thing, state, name, path)
        if type(thing).__name__ != kind:
            raise _mismatch(f"in the state, {name} is a {kind}, here a {type(thing).__name__}")
        if "mujoco" in state:
            load_mujoco_state(thing, state["mujoco"])
        elif "own" in state:
            thing.load_state_dict(state["own"])
        else:
            self._fill(thing, partial(setattr, thing), state, kind, path)
        return thing

    def _list(self, thing: Any, state: dict[str, Any], name: str, path: str) -> Any:
        """A list, or another kind of such, of the members that a state has."""
        made = _LISTS[state["class"]]
        here = len(thing) if type(thing) is made else 0
        saved = len(state["fields"]) + len(state["inner"])
        if saved != here and any(_is_of_an_object(inner) for inner in state["inner"].values()):
            raise _mismatch(f"in the state, {name} has {saved} members, here {here}")
        members: list[Any] = [None] * saved
        self._fill(thing if here else [], members.__setitem__, state, name, path)
        return deque(members, thing.maxlen) if made is deque and type(thing) is deque else made(members)

    def _fill(self, thing: Any, put: Callable[[Any, Any], None], state: dict[str, Any], name: str, path: str) -> None:
        """Put the members of a state in their places, each brought to its own state."""
        for field, value in state["fields"].items():
            own = copy.deepcopy(value)
            self._put.update(_changeable(own, f"{path}/{field}"))
            put(field, own)
        members = _members(thing) or {}
        for field, inner in state["inner"].items():
            put(field, self.bring(members.get(field), inner, f"{name}.{field}", f"{path}/{field}"))


def _mismatch(what: str) -> StateMismatch:
    return StateMismatch(f"{what[0].upper()}{what[1:]}; make the environments as in the run that was saved.")


def _generator(thing: Any, state: dict[str, Any]) -> np.random.Generator:
    """The generator itself, where it can go on from a state: others may draw from it too."""
    saved = generator_from(state)
    if type(thing) is np.random.Generator and type(thing.bit_generator) is type(saved.bit_generator):
        thing.bit_generator.state = saved.bit_generator.state
        return thing
    return saved


def _members(thing: Any) -> dict[Any, Any] | None:
    """What may change of an object by attribute, or the members of a container; None where there may be more to it."""
    if type(thing) in _LISTS.values():
        return dict(enumerate(thing))
    if type(thing) is dict:
        return dict(thing) if _has_plain_keys(thing) else None
    if not hasattr(thing, "__dict__") or type(thing).__basicsize__ > _Python.__basicsize__:
        return None
    if isinstance(thing, gymnasium.Space):
        return {field: value for field, value in vars(thing).items() if field in _DRAWN_FROM}
    if isinstance(thing, gymnasium.Env | VectorEnv):
        return {field: value for field, value in vars(thing).items() if field not in _SETTLED}
    return dict(vars(thing))


def _has_own_way(thing: Any) -> bool:
    return all(callable(getattr(type(thing), name, None)) for name in ("state_dict", "load_state_dict"))


def _is_of_an_object(state: dict[str, Any]) -> bool:
    """Whether a state is of something that has to be there to be brought to it."""
    return ("inner" in state or "own" in state or "mujoco" in state) and state["class"] not in _LISTS


def _is_constant(value: Any) -> bool:
    if isinstance(value, gymnasium.Space):
        return not _is_drawn_from(value)
    return isinstance(value, _CONSTANTS) or type(value).__module__.startswith(_VIEWERS)


def _is_drawn_from(value: Any) -> bool:
    """Whether a space, or one of several, has a random generator that was seeded or used. Gymnasium gives many spaces
    one that nobody asked for."""
    if isinstance(value, gymnasium.Space):
        members = _members(value) or {}
        return any(_is_drawn_from(member) for member in members.values())
    if isinstance(value, np.random.Generator):
        seed: Any = value.bit_generator.seed_seq
        by_chance = seed.entropy.bit_length() > _SEED_BITS
        return not by_chance or bool(type(value.bit_generator)(seed).state != value.bit_generator.state)
    several = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | tuple) and any(_is_drawn_from(space) for space in several)


def _is_plain(value: Any) -> bool:
    """Whether a value is made of nothing but arrays, numbers, strings, and lists, tuples and dicts of those."""
    kind = type(value)
    if kind is np.ndarray or isinstance(value, np.generic):
        return not value.dtype.hasobject
    if kind is dict:
        return _has_plain_keys(value) and all(_is_plain(member) for member in value.values())
    if kind is list or kind is tuple:
        return all(_is_plain(member) for member in value)
    return value is None or kind in (bool, int, float, complex, str, bytes)


def _has_plain_keys(value: dict[Any, Any]) -> bool:
    return all(type(key) in (str, int) for key in value)


def _changeable(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Where in plain data there is something that can be changed in its place."""
    if isinstance(value, np.ndarray | list | dict):
        yield path, value
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, member in members:
        yield from _changeable(member, f"{path}/{key}")


def _refuse_overlaps(members: dict[Any, Any], owner: str) -> None:
    """Raise `EnvironmentStateError` where two members are arrays in the same memory: brought back, each would have its
    own."""
    arrays = [(field, value) for field, value in members.items() if type(value) is np.ndarray]
    for (field, one), (other_field, other) in itertools.combinations(arrays, 2):
        if one is not other and np.may_share_memory(one, other):
            raise EnvironmentStateError(f"{owner}.{field} and {owner}.{other_field} are arrays in the same memory.")
