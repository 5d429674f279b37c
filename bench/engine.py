"""What the loops of a program take themselves: the engine, and their `items()`.

A Profile has that as the own time of the loops. But its own lines stand in the loops too, and much of that time is
theirs. So a second Profile stands within the first: what the outer one sees of a hook or a run more than the inner one
is what the lines of the inner one take there, in the middle of the program; those of the outer one take as long.
"""

from time import perf_counter
from typing import NamedTuple

from looptree import Loop, Profile


class Engine(NamedTuple):
    """Parts of a run, from 0 to 1."""

    share: float  # the loops' own time
    with_profile_share: float  # that together with the lines of one Profile


def engine(loop: Loop, passes: int) -> Engine:
    """Run some passes, and see what the loops take of them."""
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
    return Engine((own_s(outer) - lines_s) / plain_s, own_s(alone) / alone.total_s)


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
