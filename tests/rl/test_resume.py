"""The same seed gives the same run bit by bit: twice in a process, in another process, and in a run that was stopped
after some pass and goes on in another process from its state."""

import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from looptree import Callback
from looptree.rl.algorithms import ALGORITHMS
from tests.rl.identities import register

REPLAYING = {
    "total_env_steps": 480,
    "env_steps_per_pass": 32,
    "gradient_steps_per_pass": 6,
    "learning_starts_env_steps": 64,
    "replay_capacity": 300,
    "batch_size": 16,
    "hidden_sizes": (16, 16),
    "learning_rate": 2.3e-3,
    "target_every_env_steps": 50,
    "evaluate_every_env_steps": 160,
    "evaluation_episodes": 2,
}
ON_POLICY = {
    "total_env_steps": 480,
    "num_envs": 2,
    "steps_per_rollout": 16,
    "hidden_sizes": (16, 16),
    "anneal_learning_rate": True,
    "normalise_observations": True,
    "normalise_rewards": True,
    "evaluate_every_env_steps": 160,
    "evaluation_episodes": 2,
}
# What each algorithm adds. Several environments are stepped by their native class, which spends steps on resets.
SETTINGS = {
    "a2c": ON_POLICY,
    "ppo": ON_POLICY | {"epochs": 2, "batch_size": 16, "target_kl": 0.05},
    "dqn": REPLAYING,
    "d3qn": REPLAYING | {"num_envs": 2},
    "c51": REPLAYING,
    "rainbow": REPLAYING | {"num_envs": 2},
}
ENVIRONMENTS = {
    "CartPole-v1": tuple(SETTINGS),
    "MountainCar-v0": tuple(SETTINGS),
    "Pendulum-v1": ("a2c", "ppo"),
    "LooptreeSeenEntries-v0": ("dqn", "ppo"),
    "LooptreeStacked-v0": ("a2c", "rainbow"),
}
RUNS = [f"{algorithm} {env_id}" for env_id, algorithms in ENVIRONMENTS.items() for algorithm in algorithms]

# Where the runs are stopped is drawn anew each time; what failed is repeated with the number that it names.
DRAWN = int(os.environ.get("LOOPTREE_STOPS") or random.SystemRandom().randrange(1_000_000))

# The child runs each from the beginning, and once more from the state that it was given. (pickle carries plain
# containers.)
CHILD = """
import pickle, sys
from tests.rl.test_resume import fresh
before, after = sys.argv[1:]
with open(before, "rb") as file:
    states = pickle.load(file)
ended = {}
for run, state in states.items():
    loaded = fresh(run)
    loaded.load_state_dict(state)
    ended[run] = fresh(run).run().state_dict(), loaded.run().state_dict()
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
    register()
    name, env_id = run.split()
    algorithm = ALGORITHMS[name]
    settings = SETTINGS[name]
    if env_id.startswith("Looptree") and "normalise_observations" in settings:
        settings = settings | {"normalise_observations": False}  # images are scaled as they are
    return algorithm.learner(env_id, algorithm.settings(**settings), seed=3)


def last_pass_before_the_stop(run):
    """Any but the last of the 15 passes that a run has at least."""
    return random.Random(f"{DRAWN} {run}").randint(1, 14)


@pytest.fixture(scope="module")
def in_another_process(tmp_path_factory):
    """The states in which the runs end there: from the beginning, and from where they were stopped here."""
    folder = tmp_path_factory.mktemp("states")
    before, after = folder / "before", folder / "after"
    states = {}
    for run in RUNS:
        learner = fresh(run)
        learner.run(cbs=[StopAt(last_pass_before_the_stop(run))])
        assert learner.ended == "stopped by StopAt.after_pass: enough for today"
        states[run] = learner.state_dict()
    before.write_bytes(pickle.dumps(states))
    subprocess.run(
        [sys.executable, "-c", CHILD, str(before), str(after)], cwd=Path(__file__).parents[2], check=True, timeout=200
    )
    return pickle.loads(after.read_bytes())


@pytest.mark.parametrize("run", RUNS)
def test_the_same_seed_ends_in_the_same_state(run, in_another_process):
    once = fresh(run).run().state_dict()
    assert_learnt(once, fresh(run).state_dict())
    assert_same(fresh(run).run().state_dict(), once, f"{run}, once more")
    from_the_beginning, from_the_stop = in_another_process[run]
    assert_same(from_the_beginning, once, f"{run} in another process")
    stop = last_pass_before_the_stop(run)
    assert_same(from_the_stop, once, f"{run}, stopped after pass {stop} (LOOPTREE_STOPS={DRAWN})")


def assert_learnt(end, beginning):
    """Every layer has changed, and evaluations were made: where nothing happens it is easy to end alike."""
    assert all((values != beginning["network"][name]).any() for name, values in end["network"].items())
    assert np.isfinite(end["best_return"])


def assert_same(value, expected, at):
    """Two states of plain containers are the same, bit by bit."""
    assert type(value) is type(expected), at
    if isinstance(value, dict):
        assert value.keys() == expected.keys(), at
        for name, member in value.items():
            assert_same(member, expected[name], f"{at}, {name}")
    elif isinstance(value, list | tuple):
        assert len(value) == len(expected), at
        for number, (member, other) in enumerate(zip(value, expected, strict=True)):
            assert_same(member, other, f"{at}, {number}")
    else:
        np.testing.assert_array_equal(value, expected, err_msg=at)
