"""A run that is stopped and goes on in another process ends with the very same parameters."""

import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np

from looptree import Callback
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.state import module_state

SETTINGS = {
    "total_env_steps": 1_600,
    "env_steps_per_pass": 64,
    "gradient_steps_per_pass": 16,
    "learning_starts_env_steps": 320,
    "replay_capacity": 1_000,
    "batch_size": 32,
    "hidden_sizes": (64, 64),
    "learning_rate": 2.3e-3,
    "target_every_env_steps": 10,
    "evaluate_every_env_steps": 640,
    "evaluation_episodes": 5,
}

RUNS = ("dqn CartPole-v1", "dqn Acrobot-v1", "dqn MountainCar-v0", "rainbow CartPole-v1")

# The child reads states, runs each to its end, and writes what they ended with. (pickle carries plain containers.)
CHILD = """
import pickle, sys
from tests.rl.test_resume import fresh, outcome
before, after = sys.argv[1:]
ended = {}
with open(before, "rb") as file:
    states = pickle.load(file)
for run, state in states.items():
    learner = fresh(run)
    learner.load_state_dict(state)
    ended[run] = outcome(learner.run())
with open(after, "wb") as file:
    pickle.dump(ended, file)
"""


class StopAt(Callback):
    """Stops the run after a pass."""

    def __init__(self, number):
        self.number = number

    def after_pass(self):
        if self.loop.count + 1 == self.number:
            self.loop.stop("enough for today")


def fresh(run):
    name, env_id = run.split()
    algorithm = ALGORITHMS[name]
    return algorithm.learner(env_id, algorithm.settings(**SETTINGS), seed=3)


def outcome(learner):
    """All that a run ends with, as arrays by name."""
    best = {f"best {name}": values for name, values in learner.best_state.items()}
    target = {f"target {name}": values for name, values in module_state(learner.target_network).items()}
    counts = [learner.count, learner.env_steps, learner.update.count, learner.valid_source.count]
    returns = [learner.best_return, learner.valid_return, learner.episode_return]
    counters = {"counts": np.array(counts), "returns": np.array(returns)}
    return module_state(learner.network) | target | best | counters


def stopped_somewhere(run):
    learner = fresh(run)
    stop = StopAt(random.Random(run).randrange(2, 25))
    learner.run(cbs=[stop])
    assert learner.ended == "stopped by StopAt.after_pass: enough for today"
    assert learner.env_steps == 64 * stop.number
    return learner.state_dict()


def test_in_another_process_bit_by_bit(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_bytes(pickle.dumps({run: stopped_somewhere(run) for run in RUNS}))
    subprocess.run(
        [sys.executable, "-c", CHILD, str(before), str(after)],
        cwd=Path(__file__).parents[2],
        check=True,
        timeout=100,
    )
    ended = pickle.loads(after.read_bytes())
    for run in RUNS:
        expected = outcome(fresh(run).run())
        assert expected["counts"][1] == 1_600
        assert ended[run].keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(ended[run][name], values, err_msg=f"{run} {name}")
