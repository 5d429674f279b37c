"""What the loops of a program take themselves.

Two ways to see it, for neither is sure alone. `beside_plain` is what a pass takes longer than the same hooks called by
plain code (`plain.py`), both in turns, pass by pass. `own` is what a Profile has as the own time of all loops, their
`items()` with it. But a Profile's own lines stand in the loops too, and much of that time is theirs. So a second
Profile stands within the first: what the outer one sees of a hook or a run more than the inner one is what the lines of
the inner one take there, in the middle of the program; those of the outer one take as long.
"""

import statistics
import time
from time import perf_counter
from typing import NamedTuple

from plain import plain_functions

from looptree import Callback, Loop, Profile

_TURNS = 10  # times as many passes in turns with plain code as in a Profile: a pass takes 3 % more or less by chance


class Engine(NamedTuple):
    """Parts of a run, from 0 to 1."""

    beside_plain: float  # that the loops take more than plain code
    own: float  # the loops' own time
    own_with_profile: float  # that together with the lines of one Profile


def engine(loop: Loop, passes: int) -> Engine:
    """Run some passes of each kind, and see what the loops take of them."""
    in_turns = InTurns()
    loop.run(_TURNS * passes, cbs=in_turns)
    with Profile(loop) as alone:
        loop.run(passes)
    with Profile(loop) as outer, Profile(loop) as inner:
        loop.run(passes)
    hooks = sum(timing.calls for timing in outer if timing.kind == "hook")
    hook_lines_s, run_lines_s = _seen_more(outer, inner, "hook"), _seen_more(outer, inner, "loop")
    # What a loop takes by itself has the lines around its hooks, but for the reading of the clock that counts for the
    # hook, and the lines around its runs of both Profiles.
    lines_s = hook_lines_s - hooks * clock_s() + 2 * run_lines_s
    plain_s = outer.total_s - 2 * (hook_lines_s + run_lines_s)
    return Engine(in_turns.share(), (own_s(outer) - lines_s) / plain_s, own_s(alone) / alone.total_s)


class InTurns(Callback):
    """Has the inner loops of one pass run as they are, and those of the next in plain code."""

    def __init__(self) -> None:
        self.passes_s: tuple[list[float], list[float]] = ([], [])  # as they are; in plain code

    def before_run(self) -> None:
        """Write the plain code."""
        plain = plain_functions(self.loop)
        inner = [plan.target for plan in self.loop.plan.walk() if plan.target is not self.loop]
        self.runs = ([(loop, loop._go) for loop in inner], [(loop, plain[id(loop)]) for loop in inner])

    def before_pass(self) -> None:
        """Let the other one have its turn."""
        for loop, function in self.runs[self.loop.index % 2]:
            loop._go = function
        self.began_s = time.process_time()

    def after_pass(self) -> None:
        """Note what the pass took of the processor."""
        self.passes_s[self.loop.index % 2].append(time.process_time() - self.began_s)

    def finally_run(self) -> None:
        """Leave the loops as they were."""
        for loop, function in self.runs[0]:
            loop._go = function

    def share(self) -> float:
        """How much longer a pass takes than the next one, in plain code: neighbours, for a machine's speed goes up and
        down."""
        return statistics.median(as_it_is_s / plain_s for as_it_is_s, plain_s in zip(*self.passes_s, strict=True)) - 1


def own_s(profile: Profile) -> float:
    """The own time of all loops."""
    return sum(timing.own_s for timing in profile if timing.kind == "loop")


def _seen_more(outer: Profile, inner: Profile, kind: str) -> float:
    """The seconds of hooks or of loops that one Profile has more of than the other."""
    pairs = zip(outer, inner, strict=True)
    return sum(wide.total_s - narrow.total_s for wide, narrow in pairs if wide.kind == kind)


def clock_s(readings: int = 100_000) -> float:
    """Seconds that a reading of the clock takes."""
    began_s = perf_counter()
    for _ in range(readings):
        perf_counter()
    return (perf_counter() - began_s) / readings
