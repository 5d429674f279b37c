"""How fast looptree trains beside Stable-Baselines3 and SBX: env steps a second, each ratio next to its bar.

    python bench/throughput.py                  all tasks, in about ten minutes
    python bench/throughput.py dqn-cartpole     one of them
    python bench/throughput.py --quick          only that it runs: a pass each, and no peers
    python bench/throughput.py --json           the same rows as JSON

All train in the same environment with the same settings, and make the same number of gradient steps; that is checked.
Each lives in a process of its own and may use all cores; they train in turns, never two at a time, in an order that
changes from round to round. Stable-Baselines3 is there with one and with two torch threads, and the faster one is what
counts. Nobody evaluates, and the first passes, in which JAX compiles, are not timed. A figure is that of the fastest
turn, as in the other benchmarks: the slower ones tell what else the machine had to do; the median stands beside it.
Peers that are not installed (the extra `bench-rl`) are named.
"""

import argparse
import importlib.util
import json
import os
import random
import statistics
from collections.abc import Iterator
from contextlib import ExitStack

from engine import engine
from mujoco_warnings import leave_out_the_known
from table import Row
from tasks import TASKS, Task
from trainers.with_looptree import learner
from turns import Trainer, TrainerFailed, Turn

ENTRANTS = {
    "looptree": ("with_looptree", 0),
    "SB3, 1 thread": ("with_sb3", 1),
    "SB3, 2 threads": ("with_sb3", 2),
    "SBX": ("with_sbx", 1),
}
"""The module of each, and torch's threads in it."""

NEEDS = {"with_sb3": "stable_baselines3", "with_sbx": "sbx"}

ENGINE_PERCENT = 1.0
"""The most that the loops' own time may be of a run."""


def take_turns(name: str, entrants: list[str], rounds: int, quick: bool) -> dict[str, list[float]]:
    """Env steps a second of each entrant, one figure for each round."""
    task = TASKS[name]
    steps_s: dict[str, list[float]] = {entrant: [] for entrant in entrants}
    shuffle, order = random.Random(0).shuffle, list(entrants)
    with ExitStack() as stack:
        trainers = {}
        for entrant in entrants:
            module, threads = ENTRANTS[entrant]
            trainers[entrant] = Trainer(module, name, threads)
            stack.callback(trainers[entrant].close)
            trainers[entrant].turn(task.warm_up_passes)
        passes = 1 if quick else task.passes_per_turn
        for _ in range(rounds):
            shuffle(order)
            for entrant in order:
                turn = trainers[entrant].turn(passes)
                check(turn, task, passes, entrant)
                steps_s[entrant].append(turn.env_steps / turn.seconds)
    return steps_s


def check(turn: Turn, task: Task, passes: int, entrant: str) -> None:
    """Raises `TrainerFailed` where a turn was more or less work than the task says.

    Steps of environments that only reset them are no env steps, and so there may be fewer of those.
    """
    env_steps, gradient_steps = task.env_steps_per_pass * passes, task.gradient_steps_per_pass * passes
    if turn.env_steps > env_steps or turn.gradient_steps != gradient_steps:
        raise TrainerFailed(
            f"{entrant} made {turn.env_steps} env steps and {turn.gradient_steps} gradient steps where {env_steps} "
            f"and {gradient_steps} were asked for."
        )


def rows(name: str, entrants: list[str], rounds: int, quick: bool) -> Iterator[Row]:
    """The figures of one task."""
    task = TASKS[name]
    turns = take_turns(name, entrants, rounds, quick)
    fastest = {entrant: max(each) for entrant, each in turns.items()}
    for entrant, each in turns.items():
        yield Row(entrant, {"steps_s": fastest[entrant], "median_steps_s": statistics.median(each)})
    for peer, at_least in task.at_least.items():
        theirs = {entrant: steps_s for entrant, steps_s in fastest.items() if entrant.startswith(peer)}
        if theirs:
            best = max(theirs, key=theirs.__getitem__)
            ratio = {"ratio": fastest["looptree"] / theirs[best]}
            yield Row(f"looptree beside {best}", ratio, "ratio", at_least=at_least)
    loops = engine(learner(task).run(task.warm_up_passes), 2 if quick else 4 * task.passes_per_turn)
    yield Row("the loops beside plain code", {"share": 100 * loops.beside_plain}, "share", at_most=ENGINE_PERCENT)
    yield Row("their own time", {"share": 100 * loops.own}, "share", at_most=ENGINE_PERCENT)
    yield Row("the same with a Profile's lines in it", {"share": 100 * loops.own_with_profile})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"which ones: {', '.join(TASKS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=15, help="turns that each gets (default: 15)")
    parser.add_argument("--quick", action="store_true", help="a pass each, and no peers")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    unknown = sorted(set(options.tasks) - set(TASKS))
    if unknown:
        parser.error(f"there is no task {', '.join(unknown)}; there are {', '.join(TASKS)}")

    installed = {
        entrant: module not in NEEDS or importlib.util.find_spec(NEEDS[module]) is not None
        for entrant, (module, _) in ENTRANTS.items()
    }
    leave_out_the_known()
    entrants = ["looptree"] if options.quick else [entrant for entrant, there in installed.items() if there]
    data = []

    def show(title: str, row: Row) -> None:
        data.append({"section": title, **row.as_data()})
        if not options.json:
            print(row, flush=True)

    for name in options.tasks or TASKS:
        title = TASKS[name].title
        if not options.json:
            print(title, flush=True)
        for row in rows(name, entrants, 1 if options.quick else options.rounds, options.quick):
            show(title, row)
    for entrant, there in installed.items():
        if not there:
            show("", Row(f"{entrant}: not installed", {}))
    load = os.getloadavg()[0]
    show("", Row(f"load average {load:.2f} on {os.cpu_count()} cores, of which the trainer is up to one or two", {}))
    if options.json:
        print(json.dumps(data, indent=2))


if __name__ == "__main__":
    main()
