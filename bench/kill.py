"""Runs that are killed again and again, and gone on with, end as runs that were never interrupted.

    python bench/kill.py --kills 200    that many, in a few minutes
    python bench/kill.py --json         the same rows as JSON

`looptree train` begins small runs of DQN, PPO, Rainbow and A2C, which write a checkpoint every few hundredths of a
second. SIGKILL ends it at a random moment: before it trains, while it trains, while a checkpoint is written, while the
agent is evaluated. `looptree resume` goes on, and is killed too, until the run comes to its end before that. What it
leaves is then compared with what a run leaves that was never killed: the parameters of its agent, the whole state at
the end, its results, and all rows of passes, metrics and changes but times.

Moments are drawn anew each time; what failed is repeated as nearly as a clock allows with the --draw that it names.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from commands import ENV_ID, Command, get_ready
from remains import differences
from table import Row

from looptree.observe.runs import Run

CHECKPOINT_EVERY_S = 0.03
LONGEST = 0.5
"""The latest moment of a kill: the part of the time that a run takes which is never killed."""
SMALL = ["--hidden-sizes", 16, "--evaluate-every-env-steps", 1000, "--evaluation-episodes", 2]
REPLAYING = ["--learning-starts-env-steps", 200, "--env-steps-per-pass", 64, "--gradient-steps-per-pass", 8]
ROLLING = ["--num-envs", 2, "--steps-per-rollout", 32]
RUNS = {
    "dqn": [*REPLAYING, "--steps", 8_000, "--replay-capacity", 4_000],
    "ppo": [*ROLLING, "--epochs", 4, "--batch-size", 32, "--steps", 8_000],
    "rainbow": [*REPLAYING, "--steps", 3_000, "--replay-capacity", 2_000],
    "a2c": [*ROLLING, "--steps", 8_000],
}


class Failed(Exception):
    """A command failed, or a run that was killed ended otherwise than one that was not."""


class Trial:
    """A run that is killed some times, beside one of the same making that is not."""

    def __init__(self, algorithm: str, seed: int, folder: Path) -> None:
        self.made = ["train", algorithm, ENV_ID, *RUNS[algorithm], *SMALL, "--seed", seed]
        self.folder = folder / f"{algorithm}-{seed}"
        self.whole = folder / f"{algorithm}-{seed}-whole"
        self.output = folder / "output"
        self.counted: Counter[str] = Counter()
        began_s = time.perf_counter()
        self._wait_for(Command([*self.made, "--out", self.whole], self.output))
        self.longest_s = LONGEST * (time.perf_counter() - began_s)

    def killed(self, kills: int, moments: random.Random) -> Iterator[None]:
        """Begin the run or go on with it, and kill it, until it is at its end or has been killed so often."""
        while self.counted["kills"] < kills and not self.has_ended:
            if self._command().kill(moments.uniform(0, self.longest_s)):
                self._look()
                yield

    def end(self) -> list[str]:
        """Let the run come to its end if it has not, and tell what is not the same as in the one never killed."""
        if not self.has_ended:
            self._wait_for(self._command())
        self.counted["passes"] += Run(self.folder).passes
        self.counted["passes_again"] += sum(session.passes_again for session in Run(self.folder).sessions)
        return differences(self.folder, self.whole)

    @property
    def has_ended(self) -> bool:
        """Whether the results are there, which are written last of what is compared."""
        return (self.folder / "results.json").exists()

    def _command(self) -> Command:
        begun = (self.folder / "run.db").exists()
        if begun and not self._checkpoints() and Run(self.folder).passes:
            shutil.rmtree(self.folder)  # it is not begun again unasked
            begun = False
        words = ["resume", self.folder] if begun else [*self.made, "--out", self.folder]
        return Command([*words, "--checkpoint-every-s", CHECKPOINT_EVERY_S], self.output)

    def _checkpoints(self) -> list[Path]:
        """Those that are whole."""
        return list((self.folder / "checkpoints").glob("[0-9]*"))

    def _wait_for(self, command: Command) -> None:
        if command.wait():
            raise Failed(self.output.read_text())

    def _look(self) -> None:
        """What the process left that was killed."""
        self.counted["kills"] += 1
        if not (self.folder / "run.db").exists():
            self.counted["before_the_run"] += 1
        elif not self._checkpoints():
            self.counted["before_a_checkpoint"] += 1
        elif any((self.folder / "checkpoints").glob(".*")):
            self.counted["in_a_checkpoint"] += 1
        elif Run(self.folder).steps == self.made[self.made.index("--steps") + 1]:
            self.counted["after_training"] += 1


def trials(kills: int, draw: int, folder: Path) -> Iterator[Trial]:
    """Runs that are killed so often in all, each compared when it is at its end."""
    moments = random.Random(draw)
    done, number = 0, 0
    while done < kills:
        trial = Trial(list(RUNS)[number % len(RUNS)], number, folder)
        for _ in trial.killed(kills - done, moments):
            done += 1
            print(f"\r{done} of {kills} kills", end="", file=sys.stderr, flush=True)
        found = trial.end()
        if found:
            raise Failed(f"{trial.folder.name} (--draw {draw}) is not as if it had never been killed: {found}")
        yield trial
        shutil.rmtree(trial.folder)
        shutil.rmtree(trial.whole)
        number += 1


def rows(kills: int, draw: int, folder: Path) -> Iterator[Row]:
    """What was done, and how often."""
    began_s = time.perf_counter()
    counted: Counter[str] = Counter()
    runs = 0
    for trial in trials(kills, draw, folder):
        counted += trial.counted
        runs += 1
    yield Row("kills", {"number": counted["kills"]}, "number", at_least=kills)
    yield Row("  before there was a run", {"number": counted["before_the_run"]})
    yield Row("  before its first checkpoint", {"number": counted["before_a_checkpoint"]})
    yield Row("  while a checkpoint was written", {"number": counted["in_a_checkpoint"]})
    yield Row("  after the last pass", {"number": counted["after_training"]})
    yield Row("runs that end as if never killed", {"number": runs}, "number", at_least=runs)
    yield Row("passes of these runs", {"number": counted["passes"]})
    yield Row("passes that were made again", {"number": counted["passes_again"]})
    yield Row("took", {"seconds": time.perf_counter() - began_s})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--draw", type=int, help="where the moments come from (default: anew each time)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    draw = random.SystemRandom().randrange(1_000_000) if options.draw is None else options.draw
    get_ready(RUNS)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = list(rows(options.kills, draw, Path(folder)))
        except Failed as error:
            print(f"\n{error}", file=sys.stderr)
            sys.exit(1)
    print(file=sys.stderr)
    print(json.dumps([row.as_data() for row in found], indent=2) if options.json else "\n".join(map(str, found)))


if __name__ == "__main__":
    main()
