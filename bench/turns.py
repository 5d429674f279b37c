"""Turns: trainers that each live in a process of their own and train only when it is their turn.

A process is started once and goes on with one run, so that a turn has no start-up in it, every trainer keeps its own
settings of threads, and no two ever train at the same time.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

HERE = Path(__file__).parent


class TrainerFailed(Exception):
    """A trainer's process has ended, or did other work than was asked of it."""


@dataclass(frozen=True)
class Turn:
    """What one turn did."""

    seconds: float
    env_steps: int
    gradient_steps: int


class Turns:
    """A trainer's side: it says when a pass begins, and is held there until it is its turn."""

    def __init__(self, orders: TextIO, reports: TextIO) -> None:
        self.orders = orders
        self.reports = reports
        self.passes_left = 0
        self.begun: tuple[float, int, int] | None = None  # when, and the steps made until then

    def before_pass(self, env_steps: int, gradient_steps: Callable[[], int]) -> None:
        """`env_steps` and `gradient_steps` are all that the run has made so far."""
        if self.passes_left == 0:
            now = time.perf_counter()
            steps = gradient_steps()
            if self.begun is not None:
                then, env_steps_then, steps_then = self.begun
                turn = Turn(now - then, env_steps - env_steps_then, steps - steps_then)
                print(json.dumps(asdict(turn)), file=self.reports, flush=True)
            order = self.orders.readline()
            if not order:
                raise SystemExit
            self.passes_left = int(order)
            self.begun = time.perf_counter(), env_steps, steps
        self.passes_left -= 1


class Trainer:
    """The other side: a trainer in a process of its own."""

    def __init__(self, module: str, task: str, threads: int) -> None:
        """`module` is one of `trainers`; `threads` are torch's, and not for looptree, which chooses its own."""
        self.name = f"{module} on {task}"
        self.process = subprocess.Popen(
            [sys.executable, HERE / "trainers", module, task, str(threads)],
            env=os.environ
            | {"PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def turn(self, passes: int) -> Turn:
        """Let it make so many passes, and wait for them."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{passes}\n")
        self.process.stdin.flush()
        report = self.process.stdout.readline()
        if not report:
            raise TrainerFailed(f"{self.name} has ended; what it printed says why.")
        return Turn(**json.loads(report))

    def close(self) -> None:
        """End its process."""
        self.process.communicate()
