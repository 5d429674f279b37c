"""Packed observations: of a Dict or a Tuple, all entries of an observation are one element of an array.

A structured array `(envs,)` has a field for each entry, so that it is indexed, copied, stored and shown like any other
array, and `observation["image"]` is the entry `(envs, *entry shape)`. For torch, which has no such type, it is its
bytes `(envs, bytes)`. There are no gaps between the fields: equal observations are equal bytes.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from looptree.rl.errors import UnfitEnvironment

_ARRAYS = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)  # whose members are arrays of numbers


def entries(space: gymnasium.Space[Any]) -> dict[Any, gymnasium.Space[Any]] | None:
    """The spaces of the entries by key, those of a Tuple by number; None where members have no entries."""
    if isinstance(space, spaces.Dict):
        return space.spaces
    if isinstance(space, spaces.Tuple):
        return dict(enumerate(space.spaces))
    return None


def kept_type(space: gymnasium.Space[Any]) -> np.dtype[Any]:
    """The type in which observations of a space are kept and read, with their shape in it: `np.zeros(n, kept_type)` has
    room for `n` of them. Numbers of floating point are float32, others as they are.

    Raises `UnfitEnvironment` where observations, or entries of them, are no arrays of numbers.
    """
    inner = entries(space)
    if inner is not None:
        formats = [kept_type(entry) for entry in inner.values()]
        return np.dtype({"names": [str(key) for key in inner], "formats": formats})
    if not isinstance(space, _ARRAYS):
        raise UnfitEnvironment(
            f"Members of {space} are no arrays of numbers; Box, Discrete, MultiDiscrete, MultiBinary, and Dict and "
            f"Tuple of those would fit."
        )
    floating = np.issubdtype(space.dtype, np.floating)
    return np.dtype((np.float32 if floating else space.dtype, space.shape))


def check_observations(observer: str, space: gymnasium.Space[Any]) -> None:
    """Raise `UnfitEnvironment`, naming the observer, where there is no `kept_type` of observations."""
    try:
        kept_type(space)
    except UnfitEnvironment as error:
        raise UnfitEnvironment(f"{observer} cannot observe {space}, nor can any algorithm here. {error}") from error


def fill(rows: NDArray[Any], space: gymnasium.Space[Any], observation: Any) -> None:
    """Write observations into rows `(n,)` of the `kept_type` of their space; `observation` is as Gymnasium has it, one
    for all or `n` side by side: for a Dict and a Tuple, arrays by key."""
    inner = entries(space)
    if inner is None:
        rows[...] = observation
    else:
        for key, entry in inner.items():
            fill(rows[str(key)], entry, observation[key])


def as_bytes(observation: NDArray[Any]) -> NDArray[Any]:
    """Packed observations `(...)` as the bytes `(..., bytes)` of the same memory, others as they are."""
    if observation.dtype.names is None:
        return observation
    return observation[..., np.newaxis].view(np.uint8)
