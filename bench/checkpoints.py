"""What checkpoints cost: how long training stands still, what part of it writing them takes, how long loading takes.

    python bench/checkpoints.py            all figures, in about two minutes
    python bench/checkpoints.py --quick    only that it runs
    python bench/checkpoints.py --json     the same rows as JSON

DQN trains on CartPole-v1 as `make demo` does, in turns with and without a checkpoint when a turn begins and another
when it ends, which are all written in the turn; half of what the fastest turn takes longer than the fastest without is
what a checkpoint costs, its thread included. The replay buffer is full from the beginning: with the demo's transitions,
then with a million. A million larger transitions are more than what is copied, so that training stands still while they
are written. Figures depend on the disk behind `--folder`.
"""

import argparse
import dataclasses
import json
import os
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import gymnasium
import numpy as np
from table import Row

from looptree import Callback, Checkpoint, Loop
from looptree.callbacks.checkpoints import newest_checkpoint
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.memory import ReplayBuffer
from looptree.rl.presets import PRESETS
from looptree.rl.transition import Transition

ENV_ID = "CartPole-v1"
EVERY_S = 60
STOP_MS = 50.0
"""The most that training may stand still at the demo's size."""
COST_PERCENT = 1.0
"""The most that a checkpoint every minute may take of training."""
LOAD_S = 5.0
"""The most that loading a million transitions may take."""

NEVER_S = 1e9
PASSES_PER_TURN = 8
FILLED_SIDE_BY_SIDE = 100


class Timed(Checkpoint):
    """Notes for how long it held up the first pass of each run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, every_s=NEVER_S, keep=1)
        self.stops_s: list[float] = []

    def before_pass(self, _order: int = -1000) -> None:
        began_s = perf_counter()
        super().before_pass()
        if self.loop.index == 0:
            self.stops_s.append(perf_counter() - began_s)


class Idle(Callback):
    """Does nothing, so that both kinds of turns plug something in."""


class Holding(Loop):
    """Nothing but a replay buffer."""

    def __init__(self, memory: ReplayBuffer) -> None:
        self.memory = memory
        super().__init__()

    def on_step(self) -> None:
        pass

    def state_dict(self) -> dict[str, object]:
        return super().state_dict() | {"memory": self.memory.state_dict()}


def demo(capacity: int) -> DQN:
    """The demo's run, without evaluations, with room for so many transitions."""
    settings = PRESETS.settings("dqn", ENV_ID, DQNSettings)
    endless = dataclasses.replace(
        settings, replay_capacity=capacity, total_env_steps=10**9, evaluate_every_env_steps=10**9
    )
    return DQN(ENV_ID, endless, seed=0)


def fill(memory: ReplayBuffer, transitions: int) -> None:
    """Episodes of environments side by side, which end now and then."""
    rng = np.random.default_rng(0)
    shape = (FILLED_SIDE_BY_SIDE, *memory.observations.shape)
    observation = rng.standard_normal(shape, np.float32)
    action = np.zeros((FILLED_SIDE_BY_SIDE, *memory.columns["action"].shape[1:]), np.int64)
    never, always = np.zeros(FILLED_SIDE_BY_SIDE, bool), np.ones(FILLED_SIDE_BY_SIDE, bool)
    for _ in range(transitions // FILLED_SIDE_BY_SIDE):
        following = rng.standard_normal(shape, np.float32)
        terminated = rng.random(FILLED_SIDE_BY_SIDE) < 1 / 200
        memory.add(Transition(observation, action, np.ones(len(action)), terminated, never, following, always))
        observation = following


def training_rows(folder: Path, capacity: int, transitions: int, rounds: int) -> Iterator[Row]:
    """What checkpoints cost a training with so many transitions in its replay buffer."""
    learner = demo(capacity)
    fill(learner.memory, transitions)
    checkpoint = Timed(folder)
    learner.run(2)
    plain_s, saved_s = [], []
    for _ in range(rounds):
        plain_s.append(turn_s(learner, Idle()))
        saved_s.append(turn_s(learner, checkpoint))
    stops_ms = [1e3 * stop_s for stop_s in checkpoint.stops_s]
    stop = {"ms": min(stops_ms), "median_ms": statistics.median(stops_ms)}
    at_most = STOP_MS if transitions < 10**6 else None
    yield Row("training stands still", stop, "ms" if at_most else None, at_most=at_most)
    cost_s = (min(saved_s) - min(plain_s)) / 2
    cost = {"ms": 1e3 * cost_s, "share": 100 * cost_s / EVERY_S}
    yield Row(f"a checkpoint takes; one every {EVERY_S} s", cost, "share", at_most=COST_PERCENT)
    yield load_row(folder, learner)


def turn_s(learner: DQN, callback: Callback) -> float:
    """Seconds of a turn of training with a callback."""
    began_s = perf_counter()
    learner.run(PASSES_PER_TURN, cbs=callback)
    return perf_counter() - began_s


def load_row(folder: Path, learner: DQN) -> Row:
    """How long it takes to read the newest checkpoint, all of it, into a learner."""
    fresh = demo(learner.memory.capacity)
    began_s = perf_counter()
    newest_checkpoint(folder).into(fresh)
    load_s = perf_counter() - began_s
    assert fresh.count == learner.count and len(fresh.memory) == len(learner.memory)
    return Row("loading", {"seconds": load_s}, "seconds", at_most=LOAD_S)


def large_rows(folder: Path, transitions: int, rounds: int) -> Iterator[Row]:
    """What it takes to write a buffer that is too large to be copied."""
    space = gymnasium.spaces.Box(-np.inf, np.inf, (17,), np.float32)
    memory = ReplayBuffer(transitions, space, gymnasium.spaces.Discrete(4), np.random.SeedSequence(0))
    fill(memory, transitions)
    checkpoint = Timed(folder)
    loop = Holding(memory)
    for _ in range(rounds):
        memory.columns["reward"] += 1  # so that it is another state, and is written
        loop.run(1, cbs=checkpoint)
    stop_s = min(checkpoint.stops_s)
    yield Row("training stands still", {"ms": 1e3 * stop_s, "median_ms": 1e3 * statistics.median(checkpoint.stops_s)})
    yield Row(f"one every {EVERY_S} s", {"share": 100 * stop_s / EVERY_S}, "share", at_most=COST_PERCENT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=12, help="turns that each gets (default: 12)")
    parser.add_argument("--folder", type=Path, help="where checkpoints are written (default: a temporary folder)")
    parser.add_argument("--quick", action="store_true", help="two turns each, and small buffers")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    rounds = 2 if options.quick else options.rounds
    million = 10_000 if options.quick else 10**6
    data = []
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        sections = {
            "DQN on CartPole-v1, the demo": training_rows(Path(folder, "demo"), 100_000, 50_000, rounds),
            f"the same with {million:,} transitions": training_rows(Path(folder, "million"), million, million, rounds),
            f"{million:,} transitions of 17 numbers each": large_rows(Path(folder, "large"), million, rounds),
        }
        for title, rows in sections.items():
            if not options.json:
                print(title, flush=True)
            for row in rows:
                data.append({"section": title, **row.as_data()})
                if not options.json:
                    print(row, flush=True)
    load = Row(f"load average {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", {})
    print(json.dumps([*data, {"section": "", **load.as_data()}], indent=2) if options.json else load)


if __name__ == "__main__":
    main()
