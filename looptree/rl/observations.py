"""Where a memory keeps observations: each in a slot of its own, or frame by frame where they are stacks of frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Slots = NDArray[np.int64]  # (n,)


class Observations(Protocol):
    """Numbered slots, each with room for one observation."""

    shape: tuple[int, ...]  # of one observation

    @property
    def nbytes(self) -> int:
        """The bytes that everything takes."""
        ...

    def __len__(self) -> int:
        """The number of slots."""
        ...

    def grow(self, slots: int) -> None:
        """Have that many slots, more than before; the contents stay."""
        ...

    def read(self, slots: Tensor) -> Tensor:
        """The observations `(n, *shape)` in slots `(n,)`, as a tensor of their own."""
        ...

    def hold(self, slots: Slots, observation: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each slot `(n,)` holds this observation, one of `(n, *shape)`."""
        ...

    def write(self, slots: Slots, observation: NDArray[Any]) -> None:
        """Put observations `(n, *shape)` with which episodes begin into slots `(n,)`."""
        ...

    def write_next(self, slots: Slots, observation: NDArray[Any], previous: Slots) -> None:
        """Put observations `(n, *shape)` into slots `(n,)` that follow those in the slots `previous` `(n,)`."""
        ...

    def copy(self, slots: Slots, source: Slots) -> None:
        """Put what the slots `source` `(n,)` hold into slots `(n,)`."""
        ...

    def release(self, slots: Slots) -> None:
        """What these slots hold is not needed any more."""
        ...

    def state_dict(self, parts: Sequence[slice]) -> dict[str, Any]:
        """The contents of the slots in these parts, under "slots" an array for each; arrays are views of what is kept
        here."""
        ...

    def load_state_dict(self, state: dict[str, Any], parts: Sequence[slice]) -> None:
        """Take over what `state_dict` gave for the same parts."""
        ...


class WholeObservations:
    """Observations one by one, each in a row of one tensor."""

    def __init__(self, slots: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        self.shape = shape
        self._set(torch.from_numpy(np.zeros((slots, *shape), _numpy_dtype(dtype))))

    def _set(self, rows: Tensor) -> None:
        self._rows = rows
        self._array = rows.numpy()  # the same memory, which NumPy writes faster than torch

    @property
    def nbytes(self) -> int:
        """The bytes that everything takes."""
        return self._array.nbytes

    def __len__(self) -> int:
        """The number of slots."""
        return len(self._array)

    def grow(self, slots: int) -> None:
        """Have that many slots, more than before; the contents stay."""
        self._set(torch.from_numpy(_grown(self._array, slots)))

    def read(self, slots: Tensor) -> Tensor:
        """The observations `(n, *shape)` in slots `(n,)`, as a tensor of their own."""
        return self._rows.index_select(0, slots)

    def hold(self, slots: Slots, observation: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each slot `(n,)` holds this observation, one of `(n, *shape)`."""
        same = self._array.take(slots, 0) == observation.astype(self._array.dtype, copy=False)
        held: NDArray[np.bool_] = same.reshape(len(slots), -1).all(1)
        return held

    def write(self, slots: Slots, observation: NDArray[Any]) -> None:
        """Put observations `(n, *shape)` with which episodes begin into slots `(n,)`."""
        self._array[slots] = observation

    def write_next(self, slots: Slots, observation: NDArray[Any], previous: Slots) -> None:
        """Put observations `(n, *shape)` into slots `(n,)` that follow those in the slots `previous` `(n,)`."""
        self._array[slots] = observation

    def copy(self, slots: Slots, source: Slots) -> None:
        """Put what the slots `source` `(n,)` hold into slots `(n,)`."""
        self._array[slots] = self._array.take(source, 0)

    def release(self, slots: Slots) -> None:
        """What these slots hold is not needed any more."""

    def state_dict(self, parts: Sequence[slice]) -> dict[str, Any]:
        """The contents of the slots in these parts, as views."""
        return {"slots": [self._array[part] for part in parts]}

    def load_state_dict(self, state: dict[str, Any], parts: Sequence[slice]) -> None:
        """Take over what `state_dict` gave for the same parts."""
        for part, rows in zip(parts, state["slots"], strict=True):
            self._array[part] = rows

    def __getstate__(self) -> dict[str, Any]:
        # A copy of both would be two memories, of which one is written and the other read.
        return {"shape": self.shape, "rows": self._rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.shape = state["shape"]
        self._set(state["rows"])


class StackedObservations:
    """Observations that are stacks of frames along their first axis, as `FrameStackObservation` makes them: each frame
    is kept once, however many stacks it stands in.

    An observation that follows another one shares all but its newest frame with it; one with which an episode begins
    may be the same frame several times. Where neither is so, all its frames are kept.
    """

    def __init__(self, slots: int, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        """`shape` is `(frames, *frame shape)`."""
        self.shape = shape
        depth, *frame = shape
        self._index = np.zeros((slots, depth), np.int32)  # the frames of each slot; 0 is a frame that stays empty
        frames = slots + 1
        self._frames = np.zeros((frames, *frame), _numpy_dtype(dtype))
        self._uses = np.zeros(frames, np.int32)  # how often a frame stands in a slot
        self._free = np.arange(frames - 1, 0, -1)  # frames that hold nothing are a stack: the next is its last
        self._num_free = frames - 1

    @property
    def nbytes(self) -> int:
        """The bytes that everything takes."""
        return self._index.nbytes + self._frames.nbytes + self._uses.nbytes + self._free.nbytes

    def __len__(self) -> int:
        """The number of slots."""
        return len(self._index)

    def grow(self, slots: int) -> None:
        """Have that many slots, more than before; the contents stay."""
        self._index = _grown(self._index, slots)

    def read(self, slots: Tensor) -> Tensor:
        """The observations `(n, *shape)` in slots `(n,)`, as a tensor of their own."""
        index = torch.from_numpy(self._index).index_select(0, slots)
        frames = torch.from_numpy(self._frames).index_select(0, index.flatten())
        return frames.view(len(slots), *self.shape)

    def hold(self, slots: Slots, observation: NDArray[Any]) -> NDArray[np.bool_]:
        """Whether each slot `(n,)` holds this observation, one of `(n, *shape)`."""
        pairs = zip(slots, self._cast(observation), strict=True)
        return np.array([np.array_equal(self._frames[self._index[slot]], stack) for slot, stack in pairs], np.bool_)

    def write(self, slots: Slots, observation: NDArray[Any]) -> None:
        """Put observations `(n, *shape)` with which episodes begin into slots `(n,)`."""
        for slot, stack in zip(slots, self._cast(observation), strict=True):
            self._put(slot, self._kept_anew(stack))

    def write_next(self, slots: Slots, observation: NDArray[Any], previous: Slots) -> None:
        """Put observations `(n, *shape)` into slots `(n,)` that follow those in the slots `previous` `(n,)`."""
        for slot, stack, before in zip(slots, self._cast(observation), previous, strict=True):
            index = self._index[before]
            if np.array_equal(self._frames[index[1:]], stack[:-1]):
                self._put(slot, [*index[1:].tolist(), self._keep(stack[-1])])
            else:
                self._put(slot, self._kept_anew(stack))

    def copy(self, slots: Slots, source: Slots) -> None:
        """Put what the slots `source` `(n,)` hold into slots `(n,)`."""
        for slot, other in zip(slots, source, strict=True):
            self._put(slot, self._index[other].tolist())

    def release(self, slots: Slots) -> None:
        """What these slots hold is not needed any more."""
        for slot in slots:
            self._put(slot, [0] * len(self._index[slot]))

    def _cast(self, observation: NDArray[Any]) -> NDArray[Any]:
        return observation.astype(self._frames.dtype, copy=False)

    def _kept_anew(self, stack: NDArray[Any]) -> list[int]:
        """Keep the frames of a stack, one that comes several times running once."""
        kept: list[int] = []
        for number, frame in enumerate(stack):
            again = number > 0 and np.array_equal(frame, stack[number - 1])
            kept.append(kept[-1] if again else self._keep(frame))
        return kept

    def _keep(self, frame: NDArray[Any]) -> int:
        if self._num_free == 0:
            self._add_frames()
        self._num_free -= 1
        number = int(self._free[self._num_free])
        self._frames[number] = frame
        return number

    def _put(self, slot: np.int64, frames: list[int]) -> None:
        """Let a slot hold frames, and free those that stood only there."""
        former = self._index[slot].tolist()
        for number in frames:
            self._uses[number] += 1
        self._index[slot] = frames
        for number in former:
            self._uses[number] -= 1
            if self._uses[number] == 0 and number != 0:
                self._free[self._num_free] = number
                self._num_free += 1

    def _add_frames(self) -> None:
        held = len(self._frames)
        frames = held + held // 8 + 16
        self._frames = _grown(self._frames, frames)
        self._uses = _grown(self._uses, frames)
        self._free = _grown(self._free, frames)
        self._free[: frames - held] = np.arange(frames - 1, held - 1, -1)
        self._num_free = frames - held

    def state_dict(self, parts: Sequence[slice]) -> dict[str, Any]:
        """Which frames make up the slots in these parts, all frames up to the last one that is in use, and the numbers
        of those that hold nothing, as views."""
        last = int(self._uses.nonzero()[0].max(initial=0))
        return {
            "slots": [self._index[part] for part in parts],
            "frames": self._frames[: last + 1],
            "free": self._free[: self._num_free],
        }

    def load_state_dict(self, state: dict[str, Any], parts: Sequence[slice]) -> None:
        """Take over what `state_dict` gave for the same parts."""
        frames, free = state["frames"], state["free"]
        held = len(frames) + int(np.count_nonzero(free >= len(frames)))
        while len(self._frames) < held:
            self._add_frames()
        total = len(self._frames)
        self._frames[: len(frames)] = frames
        self._index[:] = 0
        for part, index in zip(parts, state["slots"], strict=True):
            self._index[part] = index
        self._uses = np.bincount(self._index.ravel(), minlength=total).astype(np.int32)
        self._num_free = total - held + len(free)
        self._free[: self._num_free] = np.concatenate([np.arange(total - 1, held - 1, -1), free])


def _numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    found: np.dtype[Any] = torch.empty(0, dtype=dtype).numpy().dtype
    return found


def _grown(array: NDArray[Any], rows: int) -> NDArray[Any]:
    """A copy with room for that many rows."""
    grown = np.zeros((rows, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown
