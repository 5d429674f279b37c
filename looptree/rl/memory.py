"""ReplayBuffer: the newest transitions, and batches drawn from them at random."""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor

from looptree.core.errors import BadSetting, StateMismatch
from looptree.rl.errors import EmptyMemory
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

    The real rows of each step are written side by side. Observations of floating point are kept as float32,
    others as they are. Of the two ways in which an episode ends only `terminated` ends a value: a truncated
    row keeps its true next observation, from whose value a learner goes on.
    """

    def __init__(
        self,
        capacity: int,
        observation_space: gymnasium.Space[Any],
        action_space: gymnasium.Space[Any],
        seed: np.random.SeedSequence,
    ) -> None:
        """`capacity` is in transitions; the spaces are those of a single environment.

        Raises `BadSetting` where the capacity is below 1.
        """
        if capacity < 1:
            raise BadSetting(f"A replay buffer of capacity {capacity} holds nothing; 1 or more would fit.")
        self.capacity = capacity
        self.size = 0  # the rows that hold something
        self.position = 0  # the row to be written next
        self.newest = 0  # how many rows the latest step wrote
        self.generator = numpy_generator(seed)
        observation, observation_dtype = _layout(observation_space)
        action, action_dtype = _layout(action_space)
        self.columns: dict[str, Tensor] = {
            "observation": torch.zeros((capacity, *observation), dtype=observation_dtype),
            "action": torch.zeros((capacity, *action), dtype=action_dtype),
            "reward": torch.zeros(capacity),
            "terminated": torch.zeros(capacity),
            "truncated": torch.zeros(capacity),
            "next_observation": torch.zeros((capacity, *observation), dtype=observation_dtype),
        }

    def __len__(self) -> int:
        """The number of transitions that can be drawn."""
        return self.size

    def add(self, transition: Transition) -> None:
        """Store the real rows of one step, over the oldest ones where the buffer is full."""
        real = transition.real
        count = int(np.count_nonzero(real))
        if count == 0:
            return
        start, stop = self.position, self.position + count
        rows: Any = slice(start, stop) if stop <= self.capacity else np.arange(start, stop) % self.capacity
        for name, column in self.columns.items():
            values = getattr(transition, name)
            column.numpy()[rows] = values if count == len(real) else values[real]
        self.position = stop % self.capacity
        self.size = min(self.size + count, self.capacity)
        self.newest = count

    def sample(self, batch_size: int) -> Batch:
        """`batch_size` transitions, each drawn uniformly from all that are stored, with replacement.

        Raises `EmptyMemory` where nothing is stored.
        """
        if self.size == 0:
            raise EmptyMemory("The replay buffer is empty; add transitions before a batch is drawn.")
        rows = torch.from_numpy(self.generator.integers(0, self.size, batch_size))
        columns = self.columns
        return Batch(*[columns[name].index_select(0, rows) for name in Batch._fields])

    def cut_episodes(self) -> None:
        """Mark the rows of the latest step as truncated: their episodes do not go on in what is stored
        next."""
        rows = np.arange(self.position - self.newest, self.position) % self.capacity
        running = self.columns["terminated"].numpy()[rows] == 0
        self.columns["truncated"].numpy()[rows[running]] = 1.0

    def state_dict(self) -> dict[str, Any]:
        """The stored rows, where the next one goes, and the state of the random generator."""
        return {
            "capacity": self.capacity,
            "position": self.position,
            "newest": self.newest,
            "columns": {name: column[: self.size].numpy().copy() for name, column in self.columns.items()},
            "generator": generator_state(self.generator),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises `StateMismatch` where the state is of a buffer of another capacity or other columns.
        """
        if state["capacity"] != self.capacity:
            raise StateMismatch(
                f"The state is of a replay buffer of capacity {state['capacity']}, this one's is "
                f"{self.capacity}; make it with the capacity of the run that was saved."
            )
        for name, column in self.columns.items():
            saved = state["columns"][name]
            if saved.shape[1:] != tuple(column.shape[1:]):
                raise StateMismatch(
                    f"The state keeps {name!r} in shape {saved.shape[1:]} a row, this replay buffer in "
                    f"{tuple(column.shape[1:])}; make it for the spaces of the run that was saved."
                )
            self.size = len(saved)
            column[: self.size] = torch.from_numpy(saved)
        self.position = state["position"]
        self.newest = state["newest"]
        self.generator = generator_from(state["generator"])


def _layout(space: gymnasium.Space[Any]) -> tuple[tuple[int, ...], torch.dtype]:
    """The shape and type in which the members of a space are stored."""
    if space.shape is None or space.dtype is None:
        raise BadSetting(f"A replay buffer cannot store members of {space}; Box or Discrete would fit.")
    if np.issubdtype(space.dtype, np.floating):
        return space.shape, torch.float32
    return space.shape, torch.from_numpy(np.zeros(0, space.dtype)).dtype
