"""Settings, seeds and environments of the wrong kind: one sentence that says what would fit, before anything runs; and
what is of the right kind is kept as plain Python."""

import json
import math

import gymnasium
import numpy as np
import pytest

from looptree.core.errors import BadSetting
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.algorithms.categorical_dqn import CategoricalDQNSettings
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.algorithms.ppo import PPO, PPOSettings
from looptree.rl.algorithms.rainbow import RainbowSettings
from looptree.rl.environments import Recipe
from looptree.rl.settings import plain
from looptree.rl.source import GymSource


def refused(make, *args, **given):
    with pytest.raises(BadSetting) as error:
        make(*args, **given)
    return str(error.value)


@pytest.mark.parametrize(
    ("kind", "given", "wanted"),
    [
        (DQNSettings, {"learning_rate": None}, "a number"),
        (DQNSettings, {"learning_rate": "1e-3"}, "a number"),
        (DQNSettings, {"learning_rate": math.nan}, "a number"),
        (DQNSettings, {"learning_rate": math.inf}, "a finite number"),
        (DQNSettings, {"gamma": True}, "a number"),
        (DQNSettings, {"batch_size": 32.0}, "a whole number"),
        (DQNSettings, {"hidden_sizes": 64}, "a list of whole numbers"),
        (DQNSettings, {"hidden_sizes": (64, 1.5)}, "a list of whole numbers"),
        (PPOSettings, {"target_kl": None}, "a number"),
        (PPOSettings, {"normalise_rewards": 1}, "true or false"),
        (PPOSettings, {"initial_log_std": math.nan}, "a number"),
        (PPOSettings, {"initial_log_std": -math.inf}, "a finite number"),
        (PPOSettings, {"entropy_coefficient": math.inf}, "a finite number"),
        (CategoricalDQNSettings, {"lowest_return": math.nan}, "a number"),
        (CategoricalDQNSettings, {"highest_return": math.inf}, "a finite number"),
        (RainbowSettings, {"lowest_return": -math.inf}, "a finite number"),
        (RainbowSettings, {"initial_noise": math.inf}, "a finite number"),
        (
            DQNSettings,
            {"wrappers": (gymnasium.wrappers.TimeAwareObservation,)},
            'a list of strings such as ["TimeAwareObservation"]',
        ),
    ],
)
def test_a_setting_of_another_kind(kind, given, wanted):
    ((name, value),) = given.items()
    assert refused(kind, **given) == f"{kind.__name__}({name}={value!r}): {wanted} would fit."


def test_endless_is_said_with_infinity_where_that_makes_sense():
    settings = PPOSettings(clip_range=math.inf, target_kl=math.inf, max_gradient_norm=math.inf, step_timeout_s=math.inf)
    assert settings.target_kl == math.inf


def test_numbers_of_numpy_and_lists_become_plain():
    given = {
        "total_env_steps": np.int64(500),
        "learning_rate": np.float32(0.5),
        "gamma": 1,
        "hidden_sizes": [np.int32(8), 8],
    }
    settings = DQNSettings(**given)
    assert settings == DQNSettings(total_env_steps=500, learning_rate=0.5, gamma=1.0, hidden_sizes=(8, 8))
    values = [settings.total_env_steps, settings.learning_rate, settings.gamma, *settings.hidden_sizes]
    assert [type(value) for value in values] == [int, float, float, int, int]
    assert json.loads(json.dumps(plain(settings)))["hidden_sizes"] == [8, 8]


@pytest.mark.parametrize("name", ALGORITHMS)
def test_settings_of_another_algorithm(name):
    learner, kind = ALGORITHMS[name]
    other = PPOSettings() if name != "ppo" else DQNSettings()
    for given, what in ((other, type(other).__name__), ({}, "dict"), ({"gamma": 0.9}, "dict")):
        assert refused(learner, "CartPole-v1", given) == (
            f"{name} is made with {kind.__name__}, not with {what}; {kind.__name__}(total_env_steps=50_000), say, "
            f"would fit."
        )
    assert learner("CartPole-v1", kind()).settings == kind()


def test_variants_are_not_made_with_the_settings_of_dqn():
    for name in ("c51", "d3qn", "rainbow"):
        assert "not with DQNSettings" in refused(ALGORITHMS[name].learner, "CartPole-v1", DQNSettings())


@pytest.mark.parametrize("seed", [None, -1, 1.5, "1", np.float64(2.0)])
@pytest.mark.parametrize("make", [DQN, PPO, GymSource])
def test_what_is_no_seed(make, seed):
    assert refused(make, "CartPole-v1", seed=seed) == f"seed={seed!r}: a whole number of 0 or more would fit."


def test_a_seed_of_numpy_is_that_number():
    learner = DQN("CartPole-v1", seed=np.int64(3))
    assert (learner.seed, type(learner.seed)) == (3, int)
    one, other = (GymSource("CartPole-v1", seed=seed, times=1).run() for seed in (3, np.int64(3)))
    np.testing.assert_array_equal(one.observation, other.observation)


@pytest.mark.parametrize("make", [DQN, PPO, GymSource, Recipe])
def test_an_environment_is_no_id(make):
    environment = gymnasium.make("CartPole-v1")
    for given in (environment, None):
        assert refused(make, given).startswith(f"{given!r} is no id of an environment: 'CartPole-v1' would fit")


def test_a_vector_environment_has_its_own_number():
    environments = Recipe("CartPole-v1", vectorization="sync").make(4)
    assert [GymSource(environments, *given).num_envs for given in ([], [4])] == [4, 4]
    assert refused(GymSource, environments, 8) == (
        f"num_envs=8: {environments} would fit without that, or with its own number."
    )
