"""Ahead: minibatches that are drawn, read and asked about several at a time, before each has its turn."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property

import torch
from torch import Tensor

from looptree.rl.memory import Batch, ReplayBuffer
from looptree.rl.q_network import Answer, QNetwork
from looptree.rl.threads import thread_beside

_ROWS = 4_096  # in a block: with fewer the threads stand in each other's way more often
_NUMBERS = 2**24  # in the observations of a block, so that images do not fill the memory
_FIRST = 2  # minibatches in the first block, so that there is soon something to do on the other thread
_GROWTH = 4  # from block to block
_FEWEST = 8  # minibatches for which it pays to begin another thread


class Ahead:
    """Minibatches for a run of gradient steps, all rows equally likely.

    With small ones most of the time goes into the calls. So rows are drawn and read for a block of minibatches at once;
    and while this thread makes gradient steps, another one asks the target network about the next block. It does
    nothing else: each call of torch takes turns with those made here.

    What comes out is the same as one by one; only where a minibatch is no multiple of 16 rows, an answer may differ in
    its last bit. In a run in which others act too, who may change what is stored or the target network, rows are read
    and the network is asked only in their turn; and where something was added to the memory, rows that have not had
    theirs are given back and drawn anew. Rows and batches of somebody else's making are dealt with one by one.
    """

    def __init__(self) -> None:
        self._block: _Block | None = None  # of the minibatch whose turn it is
        self._next: _Block | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._turn = self._undrawn = 0

    def begin(self, memory: ReplayBuffer, minibatches: int, batch_size: int, *, alone: bool) -> None:
        """Begin a run of so many gradient steps, `alone` where nobody else acts in it."""
        self._memory = memory
        self._batch_size = batch_size
        self._alone = alone
        self._undrawn = minibatches
        rows = min(_ROWS, _NUMBERS // max(1, math.prod(memory.observations.shape)))
        self._most = max(1, rows // batch_size)  # minibatches in a block
        self._size = min(_FIRST, self._most)  # of the next block
        self._turn = 0  # in the block

    def draw(self) -> Tensor:
        """The rows `(batch,)` of the next minibatch."""
        self._turn += 1
        if self._block is not None and self._block.added != self._memory.added:
            self._give_back()
        if self._block is None or self._turn == len(self._block.rows):
            self._block, self._next = self._next or self._new_block(), None
            self._turn = 0
        return self._block.rows[self._turn]

    def read(self, rows: Tensor) -> Batch:
        """What is stored in rows `(batch,)`."""
        block = self._block
        if self._alone and block is not None and rows is block.rows[self._turn]:
            return block.batches[self._turn]
        return self._memory.read(rows)

    def ask(self, network: QNetwork, batch: Batch) -> Answer:
        """What a target network says of the next observations of a batch."""
        block = self._block
        # What a network says that is not of plain layers may change, as with noise in its weights.
        if self._alone and block is not None and batch is block.batches[self._turn] and network.dense_layers:
            if self._next is None and self._undrawn:
                self._look_ahead(network)
            return block.answers(network)[self._turn]
        return network.answer(batch.next_observation)

    def end(self) -> None:
        """End the run: the other thread ends too, and rows that have not had their turn are given back."""
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)
            self._thread = None
        self._turn += 1
        self._give_back()

    def _new_block(self) -> _Block:
        minibatches = max(1, min(self._undrawn, self._size))
        self._undrawn -= minibatches
        self._size = min(_GROWTH * self._size, self._most)
        return _Block(self._memory, minibatches, self._batch_size)

    def _look_ahead(self, network: QNetwork) -> None:
        if self._thread is None and self._undrawn >= _FEWEST:
            self._thread = thread_beside()
        if self._thread is not None:
            self._next = self._new_block()
            self._next.ask_on(self._thread, network)

    def _give_back(self) -> None:
        blocks = [block for block in (self._block, self._next) if block is not None]
        unused = sum(len(block.rows) for block in blocks) - self._turn
        if blocks and unused:
            blocks[0].give_back(self._turn)
            self._undrawn += unused
        self._block = self._next = None

    def __reduce__(self) -> tuple[type[Ahead], tuple[()]]:
        return Ahead, ()  # a copy has runs of its own


class _Block:
    """Minibatches that are drawn at once, and what is found out about them."""

    _asking: Future[Answer] | None = None
    _answers: list[Answer] | None = None

    def __init__(self, memory: ReplayBuffer, minibatches: int, batch_size: int) -> None:
        self.added = memory.added
        self._memory = memory
        self._batch_size = batch_size
        self._stored = len(memory)
        self._generator = memory.generator
        self._state = self._generator.bit_generator.state
        self._rows = memory.draw(minibatches * batch_size)
        self.rows: Sequence[Tensor] = torch.split(self._rows, batch_size)

    def give_back(self, turns: int) -> None:
        """Leave the memory's generator as if no more than `turns` minibatches had been drawn."""
        self._generator.bit_generator.state = self._state
        self._generator.integers(0, self._stored, turns * self._batch_size)

    def ask_on(self, thread: ThreadPoolExecutor, network: QNetwork) -> None:
        """Have the network asked on another thread."""
        self._asking = thread.submit(network.answer, self._batch.next_observation)

    @cached_property
    def _batch(self) -> Batch:
        return self._memory.read(self._rows)

    @cached_property
    def batches(self) -> list[Batch]:
        """What is stored in the rows of each minibatch."""
        return [Batch(*parts) for parts in _split(self._batch, self._batch_size)]

    def answers(self, network: QNetwork) -> list[Answer]:
        """What the network says of each minibatch."""
        if self._answers is None:
            asking = self._asking
            answer = network.answer(self._batch.next_observation) if asking is None else asking.result()
            self._answers = [Answer(*parts) for parts in _split(answer, self._batch_size)]
        return self._answers


def _split(columns: Iterable[Tensor], size: int) -> Iterator[tuple[Tensor, ...]]:
    """Columns `(rows, ...)` in pieces of `size` rows."""
    return zip(*(column.split(size) for column in columns), strict=True)
