"""Ahead: minibatches that are drawn and read several at a time, before each has its turn."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from looptree.rl.memory import Batch, ReplayBuffer
from looptree.rl.q_network import QNetwork

_ROWS = 1_024  # of which most observations are some tens of kilobytes, and stay close to the processor


class Ahead:
    """Minibatches for a run of gradient steps, all rows equally likely.

    With small ones most of the time goes into the calls. So rows are drawn for several minibatches at once, and what is
    asked about the first of them is found out for all. Rows and batches of somebody else's making are dealt with one by
    one. During the run nothing may be added to the memory, and the target network not change.
    """

    def __init__(self, memory: ReplayBuffer, target_network: QNetwork, batches: int, batch_size: int) -> None:
        self._memory = memory
        self._target_network = target_network
        self._left = batches  # that are to be drawn
        self._batch_size = batch_size
        self._block: _Block | None = None
        self._number = 0  # of the minibatch in the block whose turn it is

    def draw(self) -> Tensor:
        """The rows `(batch,)` of the next minibatch."""
        self._number += 1
        if self._block is None or self._number == len(self._block.rows):
            batches = max(1, min(self._left, _ROWS // self._batch_size))
            self._left -= batches
            self._block = _Block(self._memory, self._target_network, batches, self._batch_size)
            self._number = 0
        return self._block.rows[self._number]

    def read(self, rows: Tensor) -> Batch:
        """What is stored in rows `(batch,)`."""
        block = self._block
        if block is not None and rows is block.rows[self._number]:
            return block.batches[self._number]
        return self._memory.read(rows)

    def ask(self, batch: Batch) -> Tensor:
        """What the target network says of the next observations, `(batch, outputs)`."""
        block = self._block
        # What a network says that is not of plain layers may change, as with noise in its weights.
        if block is not None and self._target_network.dense_layers and batch is block.batches[self._number]:
            return block.next_outputs[self._number]
        return self._target_network.ask(batch.next_observation)


class _Block:
    """Minibatches that are drawn at once."""

    def __init__(self, memory: ReplayBuffer, target_network: QNetwork, batches: int, batch_size: int) -> None:
        self._memory = memory
        self._target_network = target_network
        self._batch_size = batch_size
        self._rows = memory.draw(batches * batch_size)
        self.rows: Sequence[Tensor] = torch.split(self._rows, batch_size)

    @cached_property
    def _batch(self) -> Batch:
        return self._memory.read(self._rows)

    @cached_property
    def batches(self) -> list[Batch]:
        columns = [column.split(self._batch_size) for column in self._batch]
        return [Batch(*parts) for parts in zip(*columns, strict=True)]

    @cached_property
    def next_outputs(self) -> Sequence[Tensor]:
        outputs: Sequence[Tensor] = torch.split(
            self._target_network.ask(self._batch.next_observation), self._batch_size
        )
        return outputs
