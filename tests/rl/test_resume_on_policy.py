"""A run of PPO or A2C that is stopped and goes on in another process ends with the very same parameters."""

import pickle
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from looptree import Callback
from looptree.rl.algorithms.a2c import A2C, A2CSettings
from looptree.rl.algorithms.ppo import PPO, PPOSettings
from looptree.rl.state import module_state

PPO_SETTINGS = PPOSettings(
    total_env_steps=1_280,
    num_envs=2,
    steps_per_rollout=32,
    epochs=3,
    batch_size=32,
    anneal_learning_rate=True,
    normalise_observations=True,
    normalise_rewards=True,
    evaluate_every_env_steps=320,
    evaluation_episodes=3,
)
A2C_SETTINGS = A2CSettings(
    total_env_steps=1_280, num_envs=4, normalise_rewards=True, evaluate_every_env_steps=320, evaluation_episodes=3
)

RUNS = {
    "discrete": lambda: PPO("Acrobot-v1", PPO_SETTINGS, seed=3),
    "rows of resets": lambda: PPO("CartPole-v1", replace(PPO_SETTINGS, vectorization="native"), seed=3),
    "continuous": lambda: PPO("Pendulum-v1", PPO_SETTINGS, seed=3),
    "a2c": lambda: A2C("CartPole-v1", replace(A2C_SETTINGS, vectorization="sync"), seed=3),
}

# The child reads states, runs each to its end, and writes what they ended with. (pickle carries plain containers.)
CHILD = """
import pickle, sys
from tests.rl.test_resume_on_policy import RUNS, outcome
before, after = sys.argv[1:]
ended = {}
with open(before, "rb") as file:
    states = pickle.load(file)
for name, state in states.items():
    learner = RUNS[name]()
    learner.load_state_dict(state)
    ended[name] = outcome(learner.run())
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


def outcome(learner):
    """All that a run ends with, as arrays by name."""
    best = {f"best {name}": values for name, values in learner.best_state.items()}
    counts = [learner.count, learner.env_steps, learner.gradient_steps, learner.valid_source.count]
    returns = [learner.best_return, learner.valid_return, learner.episode_return]
    counters = {"counts": np.array(counts), "returns": np.array(returns)}
    return module_state(learner.network) | best | counters


def stopped_somewhere(name):
    learner = RUNS[name]()
    learner.run(cbs=[StopAt(random.Random(name).randrange(2, 19))])
    assert learner.ended == "stopped by StopAt.after_pass: enough for today"
    return learner.state_dict()


def test_in_another_process_bit_by_bit(tmp_path):
    before, after = tmp_path / "before", tmp_path / "after"
    before.write_bytes(pickle.dumps({name: stopped_somewhere(name) for name in RUNS}))
    subprocess.run(
        [sys.executable, "-c", CHILD, str(before), str(after)],
        cwd=Path(__file__).parents[2],
        check=True,
        timeout=100,
    )
    ended = pickle.loads(after.read_bytes())
    for name, fresh in RUNS.items():
        expected = outcome(fresh().run())
        assert 1_280 <= expected["counts"][1] < 1_284
        assert ended[name].keys() == expected.keys()
        for key, values in expected.items():
            np.testing.assert_array_equal(ended[name][key], values, err_msg=f"{name} {key}")
