"""How well looptree learns: seeds x tasks, each median next to the published return and to its bar.

    python bench/returns.py                             all tasks, in about half an hour
    python bench/returns.py ppo-cartpole dqn-acrobot    these
    python bench/returns.py --quick ppo-cartpole        only that it runs: short runs of one seed
    python bench/returns.py --json                      the same rows as JSON

Each run has the settings of its preset. When it has ended, the agent that it keeps, the best one of its evaluations,
plays 50 greedy episodes with seeds that were used for nothing else, and so does the agent that it ended with. Two runs
go side by side, each with one thread, and each is reported on standard error when it ends. What is done stays in a
folder (runs/returns), a file for each task and seed: Ctrl-C (or SIGTERM) ends the benchmark with the rows of what there
is, the same command goes on from there, and only results of other settings are made anew. LunarLander needs the extra
`envs`, and HalfCheetah that and `bench-rl`.
"""

import argparse
import json
import multiprocessing
import os
import signal
import statistics
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from return_runs import asked_for, run
from return_tasks import RETURN_TASKS
from table import Row

SIDE_BY_SIDE = 2
COLUMNS = ("kept", "lowest", "highest", "final", "published")
INTERRUPTED = 130


def found(folder: Path, name: str, seed: int, quick: bool) -> dict[str, Any] | None:
    """The result of a task and seed that is there already."""
    path = folder / f"{name}-{seed}.json"
    if not path.exists():
        return None
    result = json.loads(path.read_text())
    return result if result["asked_for"] == asked_for(RETURN_TASKS[name], quick) else None


def run_missing(folder: Path, names: list[str], seeds: int, quick: bool) -> bool:
    """Run every task and seed whose result is not there yet, and return whether all of them came to their end."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(name, seed) for seed in range(seeds) for name in names if found(folder, name, seed, quick) is None]
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    failures = 0
    with ProcessPoolExecutor(
        SIDE_BY_SIDE,
        multiprocessing.get_context("spawn"),
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),  # Ctrl-C is for this process, which then ends the others
        max_tasks_per_child=1,
    ) as pool:
        futures = {pool.submit(run, name, seed, quick): f"{name}, seed {seed}" for name, seed in jobs}
        try:
            for number, future in enumerate(as_completed(futures), 1):
                error = future.exception()
                if error is None:
                    keep(folder, future.result())
                    outcome = told(future.result())
                else:
                    failures += 1
                    outcome = f"failed: {type(error).__name__}: {error}"
                print(f"{number} of {len(jobs)}: {futures[future]}: {outcome}", file=sys.stderr, flush=True)
        except BaseException:
            pool.shutdown(cancel_futures=True, wait=False)
            for child in multiprocessing.active_children():
                child.terminate()
            raise
    return failures == 0


def keep(folder: Path, result: dict[str, Any]) -> None:
    """Write a result whole or not at all."""
    path = folder / f"{result['task']}-{result['seed']}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=2))
    part.replace(path)


def told(result: dict[str, Any]) -> str:
    """A result in words."""
    return f"{result['kept']:.1f}, the last agent {result['final']:.1f}, in {result['seconds']:,.0f} s"


def rows(folder: Path, names: list[str], seeds: int, quick: bool) -> Iterator[Row]:
    """A row for each task: the median, lowest and highest seed of the agents kept, the median of the last ones."""

    def there(name: str) -> list[dict[str, Any]]:
        results = (found(folder, name, seed, quick) for seed in range(seeds))
        return [result for result in results if result is not None]

    for name in names:
        task, results = RETURN_TASKS[name], there(name)
        title = task.title if len(results) == seeds else f"{task.title} ({len(results)} of {seeds})"
        if not results:
            yield Row(title, {})
            continue
        kept = [result["kept"] for result in results]
        final = statistics.median(result["final"] for result in results)
        values = (statistics.median(kept), min(kept), max(kept), final, task.published)
        figures = dict(zip(COLUMNS, values, strict=True))
        others = there(task.no_worse_than) if task.no_worse_than is not None else []
        if others:
            yield Row(title, figures, "final", at_least=min(result["final"] for result in others))
        elif task.at_least is not None or task.at_most is not None:
            yield Row(title, figures, "kept", at_least=task.at_least, at_most=task.at_most)
        else:
            yield Row(title, figures)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ", ".join(RETURN_TASKS)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"which ones: {names} (default: all)")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each task (default: 3)")
    parser.add_argument("--results", type=Path, default=Path("runs/returns"), help="where results are kept")
    parser.add_argument("--quick", action="store_true", help="short runs of one seed")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    unknown = sorted(set(options.tasks) - set(RETURN_TASKS))
    if unknown:
        parser.error(f"there is no task {', '.join(unknown)}; there are {names}")
    tasks = options.tasks or list(RETURN_TASKS)

    folder, seeds = (options.results / "quick", 1) if options.quick else (options.results, options.seeds)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        status = 0 if run_missing(folder, tasks, seeds, options.quick) else 1
    except KeyboardInterrupt:
        status = INTERRUPTED
    table = list(rows(folder, tasks, seeds, options.quick))
    if options.json:
        print(json.dumps([row.as_data() for row in table], indent=2))
    else:
        print(f"  {f'mean returns; seeds: {seeds}':<38}" + "".join(f"{column:>12}" for column in COLUMNS))
        for row in table:
            print(row)
    return status


if __name__ == "__main__":
    sys.exit(main())
