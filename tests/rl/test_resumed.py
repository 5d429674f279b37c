"""Learner.resume: whose run it is, what it is made with, and what it refuses. (test_resume shows that runs end bit by
bit as if they had never been interrupted.)"""

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from looptree import Checkpoint
from looptree.callbacks.checkpoints import NoCheckpoint, newest_checkpoint
from looptree.core.errors import BadSetting, StateMismatch
from looptree.observe.versions import versions
from looptree.rl.algorithms.a2c import A2C
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.algorithms.ppo import PPO, PPOSettings
from looptree.rl.errors import EnvironmentNotSaved, NamesModule
from looptree.rl.learner import Learner
from looptree.rl.made_with import made_again
from looptree.rl.settings import plain, settings_from
from looptree.rl.variants.double_q import DoubleQ
from looptree.rl.variants.prioritized import Prioritized
from tests.rl.test_resume import assert_same
from tests.rl.toys import register

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = {"hidden_sizes": (8,), "evaluate_every_env_steps": 64, "evaluation_episodes": 2, "total_env_steps": 320}
Q = DQNSettings(**SMALL, learning_starts_env_steps=16, replay_capacity=200)
POLICY = PPOSettings(**SMALL, num_envs=2, steps_per_rollout=16, batch_size=16, target_kl=math.inf)


class Own(DQN):
    """A learner that looptree does not have."""


class Wide(DQN):
    """One that is not made with settings."""

    def __init__(self, env_id, width=8, cbs=None, *, seed=0):
        super().__init__(env_id, dataclasses.replace(Q, hidden_sizes=(width,)), cbs, seed=seed)


def kept(folder, learner, passes=5):
    learner.run(passes, cbs=Checkpoint(folder))
    return learner


@pytest.mark.parametrize("asked", [Learner, DQN, PPO])
@pytest.mark.parametrize("place", ["", "checkpoints/000000000005"])
def test_the_learner_is_that_of_the_run(asked, place, tmp_path):
    kind, settings = (PPO, POLICY) if asked is PPO else (DQN, Q)
    learner = kept(tmp_path, kind("CartPole-v1", settings, seed=7))
    again = asked.resume(tmp_path / place)
    assert type(again) is kind
    assert (again.env_id, again.seed, again.settings) == ("CartPole-v1", 7, settings)
    assert (again.count, again.env_steps, again.inexact) == (5, learner.env_steps, ())
    assert_same(again.run().state_dict(), learner.run().state_dict(), "in the end")


def test_in_a_new_process_the_class_of_all_learners_is_enough(tmp_path):
    kept(tmp_path, DQN("CartPole-v1", Q))
    script = f"""
from looptree.rl.learner import Learner
print(type(Learner.resume({str(tmp_path)!r})).__name__)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "DQN\n"


def test_callbacks_and_a_class_of_ones_own_are_given_again(tmp_path):
    learner = kept(tmp_path, Own("CartPole-v1", Q, [DoubleQ(), Prioritized()]))
    again = Own.resume(tmp_path, [DoubleQ(), Prioritized()])
    assert type(again) is Own
    assert_same(again.run().state_dict(), learner.run().state_dict(), "in the end")
    with pytest.raises(StateMismatch):
        Own.resume(tmp_path)
    for kind in (DQN, Learner):
        with pytest.raises(StateMismatch) as error:
            kind.resume(tmp_path)
        assert str(error.value) == (
            f"{tmp_path} is of a Own, not of a {kind.__name__}; Own.resume({str(tmp_path)!r}) would fit."
        )


def test_a_class_that_is_made_otherwise_is_loaded_by_hand(tmp_path):
    learner = kept(tmp_path, Wide("CartPole-v1", 16))
    with pytest.raises(StateMismatch) as error:
        Wide.resume(tmp_path)
    by_hand = f"load_checkpoint({str(tmp_path / 'checkpoints' / '000000000005')!r}).into(loop)"
    assert str(error.value) == (
        "Wide is not made as Wide(env_id, settings, cbs, seed=0) like looptree's own, so that it cannot be made again "
        f"here. Make that as it was, and load what is there: {by_hand}"
    )
    again = Wide("CartPole-v1", 16)
    newest_checkpoint(tmp_path).into(again)
    assert_same(again.run().state_dict(), learner.run().state_dict(), "in the end")


def test_numbers_of_numpy_are_resumed(tmp_path):
    settings = dataclasses.replace(Q, learning_rate=np.float32(1e-3), batch_size=np.int64(16))
    learner = kept(tmp_path, DQN("CartPole-v1", settings, seed=np.int64(1)))
    again = DQN.resume(tmp_path)
    assert (again.settings, again.seed) == (learner.settings, 1)
    assert_same(again.run().state_dict(), learner.run().state_dict(), "in the end")


def test_the_name_is_that_of_the_run(tmp_path):
    kept(tmp_path, DQN("CartPole-v1", Q, name="mine"))
    assert DQN.resume(tmp_path).name == "mine"


def test_what_a_learner_is_made_again_from_has_to_be_there():
    made = {"algorithm": "dqn", "env_id": "CartPole-v1", "seed": 0, "settings": {}}
    assert made_again(made).name == "dqn"
    for name, said in {
        "env_id": "what the learner was made with lacks its env_id or its settings.",
        "settings": "what the learner was made with lacks its env_id or its settings.",
        "seed": "seed=None: a whole number of 0 or more would fit.",
    }.items():
        with pytest.raises(BadSetting) as error:
            made_again({key: value for key, value in made.items() if key != name})
        assert str(error.value) == said
    with pytest.raises(BadSetting, match="a name like 'source' would fit"):
        made_again(made | {"name": "not a name"})


def test_a_run_of_another_algorithm_is_refused(tmp_path):
    kept(tmp_path, PPO("CartPole-v1", POLICY))
    with pytest.raises(StateMismatch, match=r"is of a PPO, not of a A2C; PPO\.resume"):
        A2C.resume(tmp_path)


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(NoCheckpoint):
        Learner.resume(tmp_path)
    kept(tmp_path / "source", DQN("CartPole-v1", Q).source)
    with pytest.raises(StateMismatch, match="does not say what its loop was made with"):
        Learner.resume(tmp_path / "source")


def test_a_module_is_imported_only_where_the_user_names_it(tmp_path, monkeypatch):
    (tmp_path / "own_environments.py").write_text(
        """
import gymnasium
from gymnasium.envs.classic_control import CartPoleEnv

class Wrapped(gymnasium.Wrapper):
    pass

gymnasium.register("Own-v0", CartPoleEnv, max_episode_steps=50)
"""
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    named = {"env_id": "own_environments:Own-v0", "wrappers": ("own_environments:Wrapped",)}
    settings = settings_from(DQNSettings, plain(Q) | {"wrappers": list(named["wrappers"])})
    learner = kept(tmp_path / "run", DQN(named["env_id"], settings))
    monkeypatch.delitem(sys.modules, "own_environments")
    for given in ({}, {"env_id": named["env_id"]}, {"wrappers": named["wrappers"]}):
        with pytest.raises(NamesModule, match="only if you name it yourself"):
            DQN.resume(tmp_path / "run", **given)
        assert "own_environments" not in sys.modules
    with pytest.warns(UserWarning, match="Overriding environment"):  # it is registered once more
        again = DQN.resume(tmp_path / "run", **named)
    assert_same(again.run().state_dict(), learner.run().state_dict(), "in the end")


def test_what_is_not_exact_is_said(tmp_path):
    register()
    with pytest.warns(EnvironmentNotSaved):
        kept(tmp_path, DQN("LooptreePhysics-v0", Q), passes=20)  # with an evaluation
    again = DQN.resume(tmp_path)
    assert [sentence.partition(":")[0] for sentence in again.inexact] == [
        "The episodes under way count as truncated, and new ones begin",
        "Evaluations are made in new environments",
    ]


@pytest.mark.filterwarnings("ignore:.*CartPole-v0 is out of date:DeprecationWarning")
def test_what_the_run_was_made_with_otherwise_is_said():
    state = DQN("CartPole-v1", Q, seed=1, name="first").run(5).state_dict()
    other = dataclasses.replace(Q, gamma=0.5, hidden_sizes=[8], total_env_steps=400)
    again = Own("CartPole-v0", other, seed=2, name="second")
    again.load_state_dict(state)
    assert again.inexact == (
        "The run was made with learner='DQN', and goes on in one made with 'Own'.",
        "The run was made with env_id='CartPole-v1', and goes on in one made with 'CartPole-v0'.",
        "The run was made with seed=1, and goes on in one made with 2.",
        "The run was made with total_env_steps=320, and goes on in one made with 400.",
        "The run was made with gamma=0.99, and goes on in one made with 0.5.",
    )
    assert again.run().env_steps == 400

    alike = DQN("CartPole-v1", Q, seed=1, name="second")
    alike.load_state_dict(state)
    assert alike.inexact == ()
    again.load_state_dict(again.state_dict())
    assert again.inexact == ()


def test_other_versions_are_said(tmp_path, monkeypatch):
    kept(tmp_path, DQN("CartPole-v1", Q))
    now = versions()
    monkeypatch.setattr("looptree.callbacks.checkpoints.reading.versions", lambda: now | {"gymnasium": "99.0"})
    said = f"The checkpoint was written with gymnasium {now['gymnasium']}, read with 99.0."
    assert DQN.resume(tmp_path).inexact == (said,)


def test_settings_go_through_json():
    assert settings_from(PPOSettings, json.loads(json.dumps(plain(POLICY)))) == POLICY
    assert plain(POLICY)["target_kl"] == "inf"
    with pytest.raises(BadSetting):
        settings_from(PPOSettings, {"target_kl": "far"})
    with pytest.raises(BadSetting):
        settings_from(PPOSettings, {"num_envs": "inf"})
