"""Timing on a machine that has other things to do: contenders take turns, many short ones."""

import gc
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import process_time_ns

Contender = Callable[[int], int]
"""Does so many passes, and gives the nanoseconds they took. It makes its objects anew each time: where in memory
they happen to lie is worth 10 % of a pass, and so becomes one more thing that the rounds level out."""

WARM_UP = 100
"""Passes before the clock starts, after which CPython has specialised the code."""


def timed(function: Callable[..., object], *arguments: object) -> int:
    """The nanoseconds of processor time that one call takes, whatever else runs on the machine."""
    start = process_time_ns()
    function(*arguments)
    return process_time_ns() - start


class Clocked:
    """Data for a trainer whose run does much around its passes: it times those alone.

    One item more than the passes is given out, and the clock stops when that one is asked for,
    because not every trainer asks again after the last.
    """

    def __init__(self, passes: int) -> None:
        self.passes = passes
        self.elapsed_ns = 0

    def __len__(self) -> int:
        return self.passes + 1

    def __iter__(self) -> Iterator[int]:
        start = process_time_ns()
        yield from range(self.passes)
        self.elapsed_ns = process_time_ns() - start
        yield self.passes


@dataclass(frozen=True)
class Effort:
    """How long measuring may take."""

    rounds: int
    slice_ms: float


@dataclass(frozen=True)
class Turns:
    """Nanoseconds a pass of each contender, one figure for each round.

    What a contender costs is read off its fastest round: the others tell what else the machine had to do.
    """

    rounds_ns: dict[str, list[float]]

    def ns(self, name: str) -> float:
        """Nanoseconds a pass."""
        return min(self.rounds_ns[name])

    def ratio(self, name: str, base: str) -> float:
        """How many times what the base costs."""
        return self.ns(name) / self.ns(base)


def take_turns(contenders: dict[str, Contender], effort: Effort) -> Turns:
    """Let each contender run a slice in every round, in an order that changes.

    A run before the first round tells how many passes fill a slice. The garbage collector is off meanwhile, and runs
    between the rounds.
    """
    least = 50
    passes = {}
    for name, run in contenders.items():
        run(least)
        passes[name] = max(least, int(effort.slice_ms * 1e6 * least / run(least)))
    rounds_ns: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    shuffle = random.Random(0).shuffle
    for _ in range(effort.rounds):
        shuffle(order)
        gc.collect()
        gc.disable()
        try:
            for name in order:
                rounds_ns[name].append(contenders[name](passes[name]) / passes[name])
        finally:
            gc.enable()
    return Turns(rounds_ns)
