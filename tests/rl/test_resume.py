"""The same seed gives the same run bit by bit: twice in a process, in another process, and in a run that was stopped
after some pass and goes on in another process from its checkpoint."""

import copy
import math
import os
import pickle
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from looptree import Callback, Checkpoint
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.learner import Learner
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
# What a kind of environments adds: how they stand side by side, and what they wear.
KINDS = {
    "": {},
    "sync": {"vectorization": "sync", "num_envs": 2},
    "async": {"vectorization": "async", "num_envs": 2},
    "wrapped": {
        "num_envs": 2,
        "wrappers": ("TimeLimit(40)", "tests.rl.toys:Adaptive", "FrameStackObservation(2)"),
    },
}
EVERY = tuple(SETTINGS)
RUNS = [f"{algorithm} {env_id}" for env_id in ("CartPole-v1", "MountainCar-v0") for algorithm in EVERY]
RUNS += [f"{algorithm} CartPole-v1 {kind}" for kind in KINDS if kind for algorithm in EVERY]
RUNS += ["a2c Pendulum-v1", "ppo Pendulum-v1", "dqn LooptreeSeenEntries-v0", "ppo LooptreeSeenEntries-v0"]
RUNS += ["a2c LooptreeStacked-v0", "rainbow LooptreeStacked-v0"]
RUNS += [f"{algorithm} LunarLander-v3" for algorithm in EVERY]
RUNS += ["ppo BipedalWalker-v3 sync", "a2c LunarLanderContinuous-v3 async"]
RUNS += ["a2c Hopper-v5", "ppo Ant-v5 async", "ppo HalfCheetah-v5 wrapped"]

# SWIG's types have no module; where that warning is an error, importing Box2D ends the process.
pytestmark = pytest.mark.filterwarnings("ignore:builtin type:DeprecationWarning")

# Where the runs are stopped is drawn anew each time; what failed is repeated with the number that it names.
DRAWN = int(os.environ.get("LOOPTREE_STOPS") or random.SystemRandom().randrange(1_000_000))

# The child runs each from the beginning, and once more from its checkpoint. (pickle carries plain containers.)
CHILD = """
import pickle, sys
from pathlib import Path
from tests.rl.test_resume import RUNS, fresh, resumed, to_the_end
folder = Path(sys.argv[1])
ended = {run: (to_the_end(fresh(run)), to_the_end(resumed(folder, run))) for run in RUNS}
(folder / "ended").write_bytes(pickle.dumps(ended))
"""


class Noted(Callback):
    """Keeps what a Recorder would of each pass."""

    def __init__(self):
        self.rows = []

    def after_pass(self):
        values = [getattr(self.loop, name) for name in self.loop.metrics]
        values = [math.nan if value is None else float(value) for value in values]
        self.rows.append([self.loop.count, self.loop.env_steps, *values])


class StopAt(Callback):
    """Stops the run after a pass."""

    def __init__(self, number):
        self.number = number

    def after_pass(self):
        if self.loop.count + 1 == self.number:
            self.loop.stop("enough for today")


def fresh(run):
    register()
    name, env_id, *kind = run.split()
    algorithm = ALGORITHMS[name]
    settings = SETTINGS[name] | KINDS[" ".join(kind)]
    if env_id.startswith("Looptree") and "normalise_observations" in settings:
        settings = settings | {"normalise_observations": False}  # images are scaled as they are
    return algorithm.learner(env_id, algorithm.settings(**settings), seed=3)


def resumed(folder, run):
    register()
    _, _, *kind = run.split()
    learner = Learner.resume(folder_of(folder, run), wrappers=KINDS[" ".join(kind)].get("wrappers"))
    assert type(learner) is ALGORITHMS[run.split()[0]].learner and learner.inexact == ()
    return learner


def folder_of(folder, run):
    return folder / run.replace(" ", "_")


def to_the_end(learner):
    """The rows of the passes that were left, and the state in the end."""
    noted = Noted()
    learner.run(cbs=noted)
    state = copy.deepcopy(learner.state_dict())
    closed(learner)
    return noted.rows, state


def closed(learner):
    for source in (learner.source, learner.valid_source):
        source.close()


def last_pass_before_the_stop(run):
    """Any but the last of the 15 passes that a run has at least."""
    return random.Random(f"{DRAWN} {run}").randint(1, 14)


@pytest.fixture(scope="module")
def in_another_process(tmp_path_factory):
    """How the runs end there: from the beginning, and from where they were stopped here."""
    folder = tmp_path_factory.mktemp("runs")
    for run in RUNS:
        learner = fresh(run)
        learner.run(cbs=[StopAt(last_pass_before_the_stop(run)), Checkpoint(folder_of(folder, run))])
        assert learner.ended == "stopped by StopAt.after_pass: enough for today"
        closed(learner)
    subprocess.run([sys.executable, "-c", CHILD, str(folder)], cwd=Path(__file__).parents[2], check=True, timeout=400)
    return pickle.loads((folder / "ended").read_bytes())


@pytest.mark.parametrize("run", RUNS)
def test_the_same_seed_ends_in_the_same_state(run, in_another_process):
    rows, once = to_the_end(fresh(run))
    assert_learnt(once, fresh(run).state_dict())
    assert_same(to_the_end(fresh(run)), (rows, once), f"{run}, once more")
    from_the_beginning, from_the_stop = in_another_process[run]
    assert_same(from_the_beginning, (rows, once), f"{run} in another process")
    stop = last_pass_before_the_stop(run)
    assert_same(from_the_stop, (rows[stop:], once), f"{run}, stopped after pass {stop} (LOOPTREE_STOPS={DRAWN})")


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
