"""ReplayBuffer: the newest transitions, and batches drawn from them at random."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from looptree.core.errors import BadSetting, StateMismatch
from looptree.rl.errors import EmptyMemory
from looptree.rl.observations import Observations, StackedObservations, WholeObservations
from looptree.rl.packed import as_bytes, kept_type
from looptree.rl.seeding import numpy_generator
from looptree.rl.state import generator_from, generator_state
from looptree.rl.transition import Transition


class Batch(NamedTuple):
    """Transitions drawn from a memory, one a row."""

    observation: Tensor  # (batch, *observation shape)
    action: Tensor  # (batch, *action shape), int64 for discrete actions
    reward: Tensor  # (batch,) float32
    terminated: Tensor  # (batch,) float32: 1.0 where nothing follows; 0.0 elsewhere, at truncations too
    next_observation: Tensor  # (batch, *observation shape)


class ReplayBuffer:
    """The newest `capacity` transitions, first in, first out (Lin 1992; Mnih et al. 2015).

    The real rows of each step are written side by side. Observations of floating point are kept as float32, others as
    they are. Of the two ways in which an episode ends only `terminated` ends a value: a truncated row keeps its true
    next observation, from whose value a learner goes on.

    Each observation is kept once. The observation of a row stands in the slot of the row's number, and `next_slots`
    says for each row where its next observation stands: in the slot of the row that goes on from there, or, where none
    does (at the end of an episode, and at each environment's latest row), in one of the slots past the last row.
    """

    def __init__(
        self,
        capacity: int,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        seed: np.random.SeedSequence,
        *,
        stacked_frames: bool = False,
    ) -> None:
        """`capacity` is in transitions; the spaces are those of a single environment. With `stacked_frames`,
        observations are stacks of frames along their first axis, and each frame is kept once.

        Raises `BadSetting` where the capacity is below 1, and `UnfitEnvironment` where members of the spaces are no
        arrays of numbers.
        """
        if capacity < 1:
            raise BadSetting(f"A replay buffer of capacity {capacity} holds nothing; 1 or more would fit.")
        self.capacity = capacity
        self.added = 0  # transitions in the buffer's life
        self.generator = numpy_generator(seed)
        discrete = isinstance(action_space, gymnasium.spaces.Discrete)
        action, action_dtype = ((), torch.int64) if discrete else _layout(action_space)
        self._set(
            {
                "action": torch.zeros((capacity, *action), dtype=action_dtype),
                "reward": torch.zeros(capacity),
                "terminated": torch.zeros(capacity),
            },
            torch.zeros(capacity, dtype=torch.int32),
        )
        ends = capacity // 16 + 16
        kind = StackedObservations if stacked_frames else WholeObservations
        self.observations: Observations = kind(capacity + ends, *_layout(observation_space))
        self._free = list(range(capacity + ends - 1, capacity - 1, -1))  # slots past the rows that hold nothing
        self._latest_rows = np.zeros(0, np.int64)  # (envs,) the row that is to be gone on from, -1 for none
        self._latest_slots = np.zeros(0, np.int64)  # (envs,) where the next observation of that row stands

    def _set(self, columns: dict[str, Tensor], next_slots: Tensor) -> None:
        self.columns = columns
        self.next_slots = next_slots
        # The same memory, which NumPy writes faster than torch.
        self._arrays: dict[str, NDArray[Any]] = {name: column.numpy() for name, column in columns.items()}
        self._next_slots: NDArray[np.int32] = next_slots.numpy()

    def __len__(self) -> int:
        """The number of transitions that can be drawn."""
        return min(self.added, self.capacity)

    @property
    def nbytes(self) -> int:
        """The bytes that everything takes."""
        columns = sum(array.nbytes for array in self._arrays.values())
        return columns + self._next_slots.nbytes + self.observations.nbytes

    def add(self, transition: Transition) -> None:
        """Store the real rows of one step, over the oldest ones where the buffer is full."""
        if len(transition.real) != len(self._latest_rows):
            self._begin(len(transition.real))
        (envs,) = transition.real.nonzero()
        if len(envs) == len(transition.real):
            self._store(envs, transition)
        elif len(envs):
            self._store(envs, Transition._make(values[envs] for values in transition))
        over = transition.terminated | transition.truncated  # rows that are not real too: an episode broke off there
        if np.count_nonzero(over):
            self._latest_rows[over] = -1

    def _store(self, envs: NDArray[np.int64], transition: Transition) -> None:
        """Write the rows of environments `envs` `(n,)`, all of them real."""
        count = len(envs)
        start = self.added % self.capacity
        rows = np.arange(start, start + count)
        at: slice | NDArray[np.int64] = slice(start, start + count)  # the same, written to in half the time
        if start + count > self.capacity:
            at = rows = rows % self.capacity
        slots = self._place(envs, rows, as_bytes(transition.observation))
        self._arrays["action"][at] = transition.action
        self._arrays["reward"][at] = transition.reward
        self._arrays["terminated"][at] = transition.terminated
        self._next_slots[at] = slots
        self.observations.write_next(slots, as_bytes(transition.next_observation), rows)
        self._latest_rows[envs] = rows
        self.added += count

    def _place(self, envs: NDArray[np.int64], rows: NDArray[np.int64], observation: NDArray[Any]) -> NDArray[np.int64]:
        """Put observations `(n, *shape)` into new rows `(n,)`, and give the slots `(n,)` for those that follow."""
        latest, slots = self._latest_rows[envs], self._latest_slots[envs]
        # A source that began new episodes without ending the old ones does not go on from where it was.
        goes_on = (latest >= 0) & self.observations.hold(slots, observation)
        everywhere = np.count_nonzero(goes_on) == len(envs)
        self._next_slots[latest if everywhere else latest[goes_on]] = rows if everywhere else rows[goes_on]
        if self.added + len(rows) > self.capacity:
            self._clear(rows)
        if everywhere:
            self.observations.copy(rows, slots)
        else:
            begins = ~goes_on
            self.observations.copy(rows[goes_on], slots[goes_on])
            self.observations.write(rows[begins], observation[begins])
            slots[begins] = [self._free_slot() for _ in range(np.count_nonzero(begins))]
            self._latest_slots[envs] = slots
        return slots

    def _begin(self, num_envs: int) -> None:
        """From now on there are that many environments."""
        if num_envs > self.capacity:
            raise BadSetting(
                f"A replay buffer of capacity {self.capacity} is too small for steps of {num_envs} environments; "
                f"{num_envs} or more would fit."
            )
        self._latest_rows = np.full(num_envs, -1)
        self._latest_slots = np.zeros(num_envs, np.int64)

    def _free_slot(self) -> int:
        """A slot past the rows that holds nothing."""
        if not self._free:
            slots = len(self.observations)
            grown = slots + (slots - self.capacity) // 2
            self.observations.grow(grown)
            self._free.extend(range(grown - 1, slots - 1, -1))
        return self._free.pop()

    def _clear(self, rows: NDArray[np.int64]) -> None:
        """Free the slots past the rows that were needed for rows that are now written over."""
        slots = self._next_slots[rows]
        ends = slots[slots >= self.capacity].astype(np.int64)
        if len(ends):
            self.observations.release(ends)
            self._free.extend(ends.tolist())

    def draw(self, batch_size: int) -> Tensor:
        """Rows `(batch_size,)`, each drawn uniformly from all that are stored, with replacement.

        Raises `EmptyMemory` where nothing is stored.
        """
        if self.added == 0:
            raise EmptyMemory("The replay buffer is empty; add transitions before a batch is drawn.")
        return torch.from_numpy(self.generator.integers(0, len(self), batch_size))

    def read(self, rows: Tensor, last_rows: Tensor | None = None) -> Batch:
        """The transitions in rows `(batch,)`. With `last_rows` `(batch,)`, how each ends (`terminated` and
        `next_observation`) is that of another row, to which several steps have led."""
        columns, observations = self.columns, self.observations
        last_rows = rows if last_rows is None else last_rows
        return Batch(
            observations.read(rows),
            columns["action"].index_select(0, rows),
            columns["reward"].index_select(0, rows),
            columns["terminated"].index_select(0, last_rows),
            observations.read(self.next_slots.index_select(0, last_rows)),
        )

    def sample(self, batch_size: int) -> Batch:
        """`batch_size` transitions, drawn by `draw`."""
        return self.read(self.draw(batch_size))

    def cut_episodes(self) -> None:
        """The episodes under way do not go on in what is stored next: they count as truncated."""
        self._latest_rows[:] = -1

    def state_dict(self) -> dict[str, Any]:
        """The stored rows, where the next one goes, and the state of the random generator.

        Of a buffer of gigabytes nobody wants a second one: its arrays are views, which change as transitions are added.
        Whoever keeps the state for longer copies it.
        """
        size = len(self)
        return {
            "capacity": self.capacity,
            "added": self.added,
            "columns": {name: array[:size] for name, array in self._arrays.items()},
            "next_slots": self._next_slots[:size],
            "observation_shape": self.observations.shape,
            "observations": self.observations.state_dict(self._parts(len(self.observations))),
            "free": np.array(self._free, np.int64),
            "latest_rows": self._latest_rows.copy(),
            "latest_slots": self._latest_slots.copy(),
            "generator": generator_state(self.generator),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, by copying it into the buffer's own arrays.

        Raises `StateMismatch` where the state is of a buffer of another capacity or for other spaces.
        """
        if state["capacity"] != self.capacity:
            raise StateMismatch(
                f"The state is of a replay buffer of capacity {state['capacity']}, this one's is "
                f"{self.capacity}; make it with the capacity of the run that was saved."
            )
        shapes = {name: values.shape[1:] for name, values in state["columns"].items()}
        self._check_shape("observation", tuple(state["observation_shape"]), self.observations.shape)
        for name, array in self._arrays.items():
            self._check_shape(name, shapes[name], array.shape[1:])
        self.added = state["added"]
        size = len(self)
        for name, array in self._arrays.items():
            array[:size] = state["columns"][name]
        self._next_slots[:size] = state["next_slots"]
        self._next_slots[size:] = 0
        slots = self.capacity + len(state["observations"]["slots"][1])
        if slots > len(self.observations):
            self.observations.grow(slots)
        self._free = [*range(len(self.observations) - 1, slots - 1, -1), *state["free"].tolist()]
        self.observations.load_state_dict(state["observations"], self._parts(slots))
        self._latest_rows = state["latest_rows"].copy()
        self._latest_slots = state["latest_slots"].copy()
        self.generator = generator_from(state["generator"])

    def _parts(self, slots: int) -> tuple[slice, slice]:
        """Of that many slots, those that may hold something: those of the stored rows, and those past all rows."""
        return slice(len(self)), slice(self.capacity, slots)

    def _check_shape(self, name: str, given: tuple[int, ...], fits: tuple[int, ...]) -> None:
        if given != fits:
            raise StateMismatch(
                f"The state keeps {name!r} in shape {given} a row, this replay buffer in {fits}; "
                f"make it for the spaces of the run that was saved."
            )

    def __getstate__(self) -> dict[str, Any]:
        # Copied on their own, the arrays would be other memory than the tensors, and only one of them be written.
        return {name: value for name, value in self.__dict__.items() if name not in ("_arrays", "_next_slots")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._set(self.columns, self.next_slots)


def _layout(space: gymnasium.Space[Any]) -> tuple[tuple[int, ...], torch.dtype]:
    """The shape and type in which the members of a space are stored; packed ones as bytes."""
    row = as_bytes(np.zeros(1, kept_type(space)))
    return row.shape[1:], torch.from_numpy(row).dtype
