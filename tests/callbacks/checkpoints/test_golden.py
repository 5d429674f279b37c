"""Checkpoints of an earlier day, which must load for ever.

    python -m tests.callbacks.checkpoints.test_golden     writes those that are not there

One that is there is never written again: where a new version cannot read it, that version is to be mended. A new format
gets files of its own beside these.
"""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest

from looptree import Checkpoint
from looptree.callbacks.checkpoints import newest_checkpoint
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.learner import Learner

GOLDEN = Path(__file__).parent / "golden"

SMALL = {"total_env_steps": 512, "hidden_sizes": (8,), "evaluate_every_env_steps": 128, "evaluation_episodes": 1}
SETTINGS = {
    "dqn": SMALL | {"env_steps_per_pass": 16, "learning_starts_env_steps": 32, "replay_capacity": 100, "batch_size": 8},
    "ppo": SMALL | {"num_envs": 2, "steps_per_rollout": 16, "batch_size": 16, "normalise_observations": True},
}
PASSES = 10
EPISODES = {"dqn": 14, "ppo": 11}  # that ended in those passes
WEIGHTS = {"dqn": -0.6810418833047152, "ppo": 307.79157409921464}  # the sum of all that the networks have learnt


def learner(name):
    """A small run in CartPole-v1."""
    algorithm = ALGORITHMS[name]
    return algorithm.learner("CartPole-v1", algorithm.settings(**SETTINGS[name]), seed=3)


def write_golden():
    for name in SETTINGS:
        if not (GOLDEN / name).exists():
            with tempfile.TemporaryDirectory() as folder:
                learner(name).run(PASSES, cbs=Checkpoint(folder, keep=1))
                shutil.copytree(folder, GOLDEN / name)


def sum_of_weights(state):
    return sum(float(values.sum(dtype=np.float64)) for values in state["network"].values())


@pytest.mark.parametrize("name", SETTINGS)
def test_a_checkpoint_of_an_earlier_day_is_gone_on_from(name):
    loaded = newest_checkpoint(GOLDEN / name)
    assert (loaded.count, loaded.manifest["format"], loaded.manifest["not_saved"]) == (PASSES, 1, {})

    again = learner(name)
    loaded.into(again)
    assert (again.count, again.source.episodes) == (PASSES, EPISODES[name])
    assert sum_of_weights(again.state_dict()) == pytest.approx(WEIGHTS[name], abs=1e-9)
    assert again.inexact == ()

    again.run()
    assert again.env_steps == 512 and np.isfinite(again.best_return)
    assert sum_of_weights(again.state_dict()) != sum_of_weights(loaded.state)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_of_an_earlier_day_is_made_again_as_it_was(name):
    again = Learner.resume(GOLDEN / name)
    assert type(again) is ALGORITHMS[name].learner and again.env_id == "CartPole-v1"
    assert again.count == PASSES and again.run(1).count == PASSES + 1


if __name__ == "__main__":
    write_golden()
