"""Seeds: one independent random stream for each use, all derived from the one seed of a run."""

from __future__ import annotations

import operator
import zlib
from typing import Any

import numpy as np
import torch

from looptree.core.errors import BadSetting


def stream(seed: int, *names: str) -> np.random.SeedSequence:
    """The random stream that a run of this seed keeps for one use, such as `stream(0, "train",
    "environments")`.

    Streams of different names are independent, whatever others are drawn from and in whichever order; the
    same seed and names give the same stream in every process. Raises what `checked_seed` does.
    """
    return child(np.random.SeedSequence(checked_seed(seed)), *names)


def checked_seed(seed: Any) -> int:
    """A seed as a plain number. Raises `BadSetting` for what is no whole number of 0 or more."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise BadSetting(f"seed={seed!r}: a whole number of 0 or more would fit.")
    return number


def child(sequence: np.random.SeedSequence, *names: str) -> np.random.SeedSequence:
    """The stream of a use within another one."""
    key = tuple(zlib.crc32(name.encode()) for name in names)
    return np.random.SeedSequence(sequence.entropy, spawn_key=(*sequence.spawn_key, *key))


def numpy_generator(sequence: np.random.SeedSequence) -> np.random.Generator:
    """A NumPy generator (PCG64) that starts from a stream."""
    return np.random.Generator(np.random.PCG64(sequence))


def torch_generator(sequence: np.random.SeedSequence) -> torch.Generator:
    """A torch generator (CPU) that starts from a stream."""
    return torch.Generator().manual_seed(integer_seed(sequence))


def environment_seeds(sequence: np.random.SeedSequence, num_envs: int) -> list[int]:
    """A seed for each of `num_envs` environments: integers of 63 bits, from one child of the stream for
    each."""
    return [integer_seed(child) for child in sequence.spawn(num_envs)]


def integer_seed(sequence: np.random.SeedSequence) -> int:
    """A stream as one non-negative integer of 63 bits, for libraries that are seeded by a number."""
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
