"""An hour of training: do memory and file handles stay flat, and the steps as quick as they were?

    python bench/soak.py
    python bench/soak.py --minutes 5 ppo Pendulum-v1

Trains by the real `looptree train`, recorded and with a checkpoint every minute, looks at the process from outside
(Linux: /proc) and into the run's database, and ends the process by SIGTERM. The first third is for what is to fill
first: a replay buffer, curves kept, caches. Steps are counted per second of the processor, of which the process may not
have had the same share all the time.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from table import Row

from looptree.observe.runs import Run

ENDLESS = 10**9
TERMINATED = 143
MEMORY_PERCENT, SPEED_PERCENT, HANDLES = 2.0, 90.0, 0


@dataclass(frozen=True)
class Look:
    """What is seen of a run at one moment."""

    at_s: float
    memory_mb: float
    handles: int
    threads: int
    processor_s: float
    env_steps: float


def look(process: int, folder: Path, at_s: float) -> Look:
    """What a process holds, and how far its run is."""
    about = Path("/proc") / str(process)
    status = dict(line.split(":", 1) for line in (about / "status").read_text().splitlines())
    times = (about / "stat").read_text().rpartition(")")[2].split()
    processor_s = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
    handles = len(list((about / "fd").iterdir()))
    memory_mb = int(status["VmRSS"].split()[0]) / 1024
    return Look(at_s, memory_mb, handles, int(status["Threads"]), processor_s, Run(folder).steps)


def soak(algorithm: str, env_id: str, minutes: float, looks: int) -> list[Look]:
    """Train for so long, and look now and then.

    Raises `RuntimeError` where the process ends by itself, or not as it is to end.
    """
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "run"
        options = ["--steps", str(ENDLESS), "--out", str(folder)]
        command = [sys.executable, "-m", "looptree.cli", "train", algorithm, env_id, *options]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        seen = []
        try:
            wait_for(folder, process)
            began_s = time.monotonic()
            for number in range(1, looks + 1):
                time.sleep(max(0.0, began_s + number * 60 * minutes / looks - time.monotonic()))
                check_going_on(process)
                seen.append(look(process.pid, folder, time.monotonic() - began_s))
                print_look(seen[-1])
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=300)
        if process.returncode != TERMINATED:
            raise RuntimeError(f"training ended with {process.returncode} where SIGTERM was to end it.")
        return seen


def wait_for(folder: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the run has begun."""
    while not (folder / "run.db").exists():
        check_going_on(process)
        time.sleep(0.1)


def check_going_on(process: subprocess.Popen[str]) -> None:
    """Raises `RuntimeError` where the process has ended."""
    if process.poll() is not None:
        raise RuntimeError(f"training ended with {process.returncode}: {process.stderr.read()}")


def print_look(seen: Look) -> None:
    """A line of the log."""
    print(
        f"  {seen.at_s / 60:6.1f} min  {seen.memory_mb:8.1f} MB  {seen.handles:4} handles  {seen.threads:3} threads"
        f"  {seen.env_steps:12,.0f} env steps",
        flush=True,
    )


def verdict(seen: Sequence[Look]) -> list[Row]:
    """How the last third was beside the middle one."""
    third = len(seen) // 3
    middle, last = seen[third : 2 * third], seen[-third:]
    grown = statistics.median(each.memory_mb for each in last) / statistics.median(each.memory_mb for each in middle)
    handles = statistics.median(each.handles for each in last) - statistics.median(each.handles for each in middle)
    kept = speed(last) / speed(middle)
    return [
        Row("memory, last third beside the middle", {"percent": 100 * (grown - 1)}, "percent", at_most=MEMORY_PERCENT),
        Row("file handles more", {"handles": handles}, "handles", at_most=HANDLES),
        Row("env steps per processor second", {"share": 100 * kept}, "share", at_least=SPEED_PERCENT),
    ]


def speed(seen: Sequence[Look]) -> float:
    """Env steps for each second of the processor."""
    return (seen[-1].env_steps - seen[0].env_steps) / (seen[-1].processor_s - seen[0].processor_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("algorithm", nargs="?", default="dqn", help="(default: dqn)")
    parser.add_argument("env_id", nargs="?", default="CartPole-v1", help="(default: CartPole-v1)")
    parser.add_argument("--minutes", type=float, default=60, help="how long (default: 60)")
    parser.add_argument("--looks", type=int, default=60, help="how often to look, 6 times or more (default: 60)")
    options = parser.parse_args()
    if options.looks < 6 or options.minutes <= 0:
        parser.error("a soak takes some minutes, and 6 looks or more")
    print(f"{options.algorithm} {options.env_id}, {options.minutes:g} minutes", flush=True)
    for row in verdict(soak(options.algorithm, options.env_id, options.minutes, options.looks)):
        print(row)


if __name__ == "__main__":
    main()
