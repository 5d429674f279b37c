"""Profile's share of a real training run: two DQN runs of one seed, pass about, one of them watched."""

import statistics
from collections.abc import Iterator

from measure import timed
from table import Row

from looptree import Profile
from looptree.rl.algorithms.dqn import DQN

ENV_ID = "CartPole-v1"
UNCOUNTED, COUNTED = 6, 40
"""Passes: those before learning begins and is warm, and those compared."""


def rows() -> Iterator[Row]:
    """Milliseconds of processor time a pass, and the median over the passes of what watching adds."""
    plain, watched = DQN(ENV_ID, seed=0), DQN(ENV_ID, seed=0)
    times_ns: dict[DQN, list[int]] = {plain: [], watched: []}
    with Profile(watched):
        for number in range(UNCOUNTED + COUNTED):
            for learner in (plain, watched) if number % 2 else (watched, plain):
                times_ns[learner].append(timed(learner.run, 1))
    pairs = list(zip(times_ns[plain], times_ns[watched], strict=True))[UNCOUNTED:]
    share = statistics.median(second / first for first, second in pairs) - 1
    milliseconds = statistics.median(first for first, _ in pairs) / 1e6
    yield Row(f"DQN on {ENV_ID}, watched by Profile", {"ms": milliseconds, "percent": share * 100}, "percent", 3)
