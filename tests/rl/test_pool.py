"""EnvPool's environments; most of this runs only where EnvPool is installed."""

import dataclasses
import itertools
import json
import re
import sys

import gymnasium
import numpy as np
import pytest
import torch

from looptree.cli.main import main
from looptree.core.errors import BadSetting
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.algorithms.ppo import PPO, PPOSettings
from looptree.rl.environments import Recipe
from looptree.rl.errors import EnvironmentNotSaved, EnvironmentUnavailable, UnfitEnvironment, UnknownEnvironment
from looptree.rl.source import GymSource

SMALL = {
    "total_env_steps": 400,
    "num_envs": 3,
    "hidden_sizes": (8,),
    "evaluate_every_env_steps": 200,
    "evaluation_episodes": 2,
    "vectorization": "envpool",
}


@pytest.fixture
def envpool():
    if sys.platform != "linux":
        pytest.skip("EnvPool is for Linux")


def pool(env_id="CartPole-v1"):
    return Recipe(env_id, vectorization="envpool")


def test_where_it_is_not_installed_the_line_to_write_is_named(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "envpool", None)  # an import of it fails, as where it is not there
    with pytest.raises(EnvironmentUnavailable) as error:
        pool().make(2)
    message = str(error.value)
    assert message.startswith("CartPole-v1 cannot be made by EnvPool, which cannot be imported (")
    assert message.endswith("): pip install 'looptree[envpool]'")
    assert main(["describe", "dqn", "CartPole-v1", "--vectorization", "envpool"]) == 2
    assert capsys.readouterr().err == f"looptree: {message}\n"


def test_it_takes_no_wrappers():
    with pytest.raises(BadSetting) as error:
        Recipe("CartPole-v1", ("TimeAwareObservation",), "envpool").make(2)
    assert str(error.value) == "EnvPool takes no wrappers; vectorization='sync' or 'async' would fit."


def test_what_it_does_not_have_is_answered_with_the_nearest(envpool):
    with pytest.raises(UnknownEnvironment) as error:
        pool("CartPole-v7").make(2)
    assert str(error.value) == "EnvPool has no environment 'CartPole-v7'; nearest is 'CartPole-v1'."
    with pytest.raises(UnfitEnvironment, match="several players"):
        pool("IntersectionMultiAgent-v0").make(2)


def test_its_steps_are_those_of_the_physics(envpool):
    physics = gymnasium.make("CartPole-v1").unwrapped
    physics.reset(seed=0)
    source = GymSource(pool(), 3, seed=1, times=100)
    for before, after in itertools.pairwise(source):
        for env in np.flatnonzero(before.real):
            physics.state = tuple(before.observation[env].astype(np.float64))
            physics.steps_beyond_terminated = None
            following, reward, terminated, *_ = physics.step(int(before.action[env]))
            np.testing.assert_allclose(before.next_observation[env], following, rtol=1e-4, atol=1e-5)
            assert (before.reward[env], before.terminated[env]) == (reward, terminated)
        np.testing.assert_array_equal(after.real, ~(before.terminated | before.truncated))
        assert (after.reward[~after.real] == 0.0).all()
        assert before.reward.dtype == np.float64
    assert source.episodes > 5
    assert source.env_steps < 300
    source.close()


def test_a_limit_of_time_truncates(envpool):
    source = GymSource(pool("Pendulum-v1"), 2, times=402)
    ends = [number for number, transition in enumerate(source) if transition.truncated.all()]
    assert ends == [199, 400]  # and step 200 is only a reset
    assert list(source.recent_lengths) == [200] * 4
    assert not source.transition.terminated.any()


def starts(seed, num_envs=4, steps=80):
    source = GymSource(pool(), num_envs, seed=seed, times=steps)
    found, fresh = [], np.ones(num_envs, bool)
    for transition in source:
        found += [tuple(row) for row in transition.observation[fresh & transition.real]]
        fresh = np.where(transition.real, transition.terminated | transition.truncated, fresh)
    source.reset()
    found += [tuple(row) for row in source.observation]
    return found


def test_no_seed_is_shared(envpool):
    found = [starts(seed) for seed in range(4)]
    everything = [start for each in found for start in each]
    assert len(everything) > 60
    assert len(set(everything)) == len(everything)
    assert starts(2) == found[2]


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [(DQN, DQNSettings(learning_starts_env_steps=20)), (PPO, PPOSettings(steps_per_rollout=16, batch_size=16))],
)
def test_learning_in_it_is_the_same_twice(envpool, algorithm, settings):
    settings = dataclasses.replace(settings, **SMALL)
    one, other = (algorithm("CartPole-v1", settings, seed=3).run() for _ in range(2))
    assert type(one.valid_source.environments).__name__ == "PoolVectorEnv"
    for mine, others in zip(one.network.parameters(), other.network.parameters(), strict=True):
        assert torch.equal(mine, others)
    np.testing.assert_array_equal(one.evaluate(4), other.evaluate(4))
    loaded = algorithm("CartPole-v1", settings, seed=3)
    reason = "PoolVectorEnv keeps its environments in EnvPool, which tells no state of them."
    with pytest.warns(EnvironmentNotSaved, match=f"^The environments of source cannot be saved: {re.escape(reason)} "):
        loaded.load_state_dict(one.state_dict())
    assert loaded.source.restarted == reason


def test_a_run_in_it_is_played_in_it(envpool, tmp_path, capsys):
    words = ["--steps", "300", "--hidden-sizes", "8", "--steps-per-rollout", "16", "--vectorization", "envpool"]
    with pytest.warns(EnvironmentNotSaved):  # said as its checkpoint is written
        assert main(["train", "ppo", "CartPole-v1", *words, "--out", str(tmp_path / "run")]) == 0
    assert json.loads((tmp_path / "run/settings.json").read_text())["settings"]["vectorization"] == "envpool"
    capsys.readouterr()
    assert main(["play", str(tmp_path / "run"), "--episodes", "2"]) == 0
    assert capsys.readouterr().out.count("episode ") == 2
    assert main(["play", str(tmp_path / "run"), "--video", str(tmp_path / "film.gif")]) == 2
    assert "CartPole-v1 draws no pictures" in capsys.readouterr().err


def test_images_come_as_they_are(envpool):
    space, actions, _ = pool("Pong-v5").single()
    assert (space.shape, space.dtype, int(actions.n)) == ((4, 84, 84), np.uint8, 6)
    source = GymSource(pool("Pong-v5"), 2, times=3).run()
    assert source.observation.shape == (2, 4, 84, 84)
    source.close()
