"""How well looptree learns: seeds x tasks, each median next to the published return and to its bar.

    python bench/returns.py                             all tasks, in many hours
    python bench/returns.py ppo-cartpole dqn-acrobot    these
    python bench/returns.py --quick ppo-cartpole        only that it runs: short runs of one seed
    python bench/returns.py --json                      the same rows as JSON

Each run has the settings of its preset. When it has ended, the agent that it keeps, the best one of its evaluations,
plays 50 greedy episodes with seeds that were used for nothing else, and so does the agent that it ended with. Two runs
go side by side, each with one thread. What is done stays in a folder (runs/returns), a file for each task and seed: a
benchmark that was interrupted goes on, and only results of other settings are made anew. LunarLander needs the extra
`envs`, and HalfCheetah that and `bench-rl`.
"""

import argparse
import json
import multiprocessing
import os
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

Results = dict[str, list[dict[str, Any]]]


def found(folder: Path, name: str, seed: int, quick: bool) -> dict[str, Any] | None:
    """The result of a task and seed that is there already."""
    path = folder / f"{name}-{seed}.json"
    if not path.exists():
        return None
    result = json.loads(path.read_text())
    return result if result["asked_for"] == asked_for(RETURN_TASKS[name], quick) else None


def all_results(folder: Path, names: list[str], seeds: int, quick: bool) -> Results:
    """The results of each task, seed by seed; what is not there yet is run."""
    folder.mkdir(parents=True, exist_ok=True)
    jobs = [(name, seed) for seed in range(seeds) for name in names if found(folder, name, seed, quick) is None]
    os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with ProcessPoolExecutor(SIDE_BY_SIDE, multiprocessing.get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = [pool.submit(run, name, seed, quick) for name, seed in jobs]
        try:
            for number, future in enumerate(as_completed(futures), 1):
                keep(folder, future.result(), f"{number} of {len(jobs)}")
        except BaseException:
            pool.shutdown(cancel_futures=True, wait=False)
            raise
    return {name: [found(folder, name, seed, quick) or {} for seed in range(seeds)] for name in names}


def keep(folder: Path, result: dict[str, Any], number: str) -> None:
    """Write a result whole or not at all."""
    path = folder / f"{result['task']}-{result['seed']}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(result, indent=2))
    part.replace(path)
    print(
        f"{number}: {result['task']}, seed {result['seed']}: {result['kept']:.1f}, the last agent "
        f"{result['final']:.1f}, in {result['seconds']:,.0f} s",
        file=sys.stderr,
        flush=True,
    )


def rows(results: Results) -> Iterator[Row]:
    """A row for each task: the median, lowest and highest seed of the agents kept, the median of the last ones."""
    for name, seeds in results.items():
        task = RETURN_TASKS[name]
        kept = [result["kept"] for result in seeds]
        final = statistics.median(result["final"] for result in seeds)
        values = (statistics.median(kept), min(kept), max(kept), final, task.published)
        figures = dict(zip(COLUMNS, values, strict=True))
        if task.no_worse_than in results:
            worst = min(result["final"] for result in results[task.no_worse_than])
            yield Row(task.title, figures, "final", at_least=worst)
        elif task.at_least is not None or task.at_most is not None:
            yield Row(task.title, figures, "kept", at_least=task.at_least, at_most=task.at_most)
        else:
            yield Row(task.title, figures)


def main() -> None:
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
    results = all_results(folder, tasks, seeds, options.quick)
    table = list(rows(results))
    if options.json:
        print(json.dumps([row.as_data() for row in table], indent=2))
    else:
        print(f"  {f'mean returns; seeds: {seeds}':<38}" + "".join(f"{column:>12}" for column in COLUMNS))
        for row in table:
            print(row)


if __name__ == "__main__":
    main()
