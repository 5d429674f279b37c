"""Training that is killed leaves a run that opens, and that lacks at most the last second."""

import math
import multiprocessing
import os
import random
import sqlite3
import time

from looptree.observe.runs import Run
from tests.cli import witnessed

KILLS = int(os.environ.get("LOOPTREE_KILLS", "3"))


def killed_after(seconds, folder):
    """Train DQN, kill it so many seconds after its first pass, and give what its passes had told, and when it was."""
    processes = multiprocessing.get_context("forkserver")  # it has imported torch before, so that a start is quick
    processes.set_forkserver_preload([witnessed.__name__])
    ours, its = processes.Pipe(duplex=False)
    child = processes.Process(target=witnessed.train_and_tell, args=(folder, its))
    child.start()
    its.close()
    told = [ours.recv()]
    while (left := told[0].at_s + seconds - time.time()) > 0:
        if ours.poll(left):
            told.append(ours.recv())
    child.kill()
    killed = time.time()
    child.join()
    while ours.poll():
        try:
            told.append(ours.recv())
        except EOFError:
            break
    return told, killed


def test_training_killed_at_any_moment_lacks_at_most_a_second(tmp_path):
    moments = random.Random(0)
    for kill in range(KILLS):
        folder = tmp_path / str(kill)
        told, killed = killed_after(moments.uniform(0, 1.5), folder)
        with sqlite3.connect(folder / "run.db") as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        run = Run(folder)
        assert run.ended is None and not run.goes_on
        lost = [witness for witness in told if witness.number >= run.passes]
        lost_s = killed - lost[0].at_s if lost else 0.0
        print(f"killed after {killed - told[0].at_s:.2f} s: {run.passes} of {len(told)} passes, {lost_s:.2f} s lost")
        assert lost_s <= 1
        for metric in ("loss", "epsilon"):
            expected = changes([(each.env_steps, getattr(each, metric)) for each in told[: run.passes]])
            assert (metric in run.metrics) == bool(expected)  # before learning starts there is no loss
            if expected:
                curve = run.metric(metric)
                assert list(zip(curve.steps, curve.values, strict=True)) == expected


def changes(values):
    """Those of some values (env step, value) that are others than the ones before; at first there is none."""
    before = [math.nan, *(value for _, value in values)]
    return [(at, value) for (at, value), old in zip(values, before, strict=False) if repr(value) != repr(old)]
