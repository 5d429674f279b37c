"""A loop whose state is whatever it is given, and exact comparison of states."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

from looptree import Callback, Checkpoint, Loop
from looptree.callbacks.checkpoints import Loaded, newest_checkpoint


class Holds(Callback):
    """Has a state."""

    def __init__(self, state: Any) -> None:
        self.state = state

    def state_dict(self) -> Any:
        return {"held": self.state}

    def load_state_dict(self, state: Any) -> None:
        self.state = state["held"]


class Steps(Loop):
    """A loop of one event."""

    def on_step(self) -> None:
        pass


def save(folder: Path, state: Any, times: int = 1, keep: int = 3) -> None:
    """A run of so many passes that ends with a checkpoint of the state."""
    Steps(cbs=[Holds(state), Checkpoint(folder, keep=keep)]).run(times)


def load(folder: Path) -> Any:
    """The state in the newest checkpoint."""
    return held(newest_checkpoint(folder))


def held(loaded: Loaded) -> Any:
    return loaded.state["cbs"]["holds"]["held"]


def assert_same(value: Any, expected: Any, at: str = "state") -> None:
    """Two states are the same, to the last bit, with the types of everything in them."""
    assert type(value) is type(expected), at
    if isinstance(expected, dict):
        assert list(map(repr, value)) == list(map(repr, expected)), at
        for key, mine, other in zip(expected, value.values(), expected.values(), strict=True):
            assert_same(mine, other, f"{at}, {key!r}")
    elif isinstance(expected, list | tuple):
        assert len(value) == len(expected), at
        for number, (mine, other) in enumerate(zip(value, expected, strict=True)):
            assert_same(mine, other, f"{at}, {number}")
    elif isinstance(expected, np.ndarray | np.generic):
        assert (value.dtype, value.shape) == (expected.dtype, expected.shape), at
        assert value.tobytes() == expected.tobytes(), at
        assert value.flags.c_contiguous or value.flags.f_contiguous, at
        if expected.flags.c_contiguous or expected.flags.f_contiguous:
            assert value.flags.f_contiguous == expected.flags.f_contiguous, at
    elif isinstance(expected, float | complex):
        number = complex(expected)
        bits = struct.pack("dd", number.real, number.imag)
        assert struct.pack("dd", complex(value).real, complex(value).imag) == bits, at
    else:
        assert value == expected, at
