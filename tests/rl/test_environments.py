import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from looptree.core.errors import BadSetting
from looptree.rl.environments import autoreset_mode, make_environments
from looptree.rl.errors import EnvironmentUnavailable, UnfitEnvironment, UnknownEnvironment
from looptree.rl.seeding import environment_seeds, integer_seed, numpy_generator, stream
from tests.rl.toys import diaries


def test_auto_takes_what_is_quick():
    assert type(make_environments("CartPole-v1", 1)) is SyncVectorEnv
    assert type(make_environments("CartPole-v1", 2)).__name__ == "CartPoleVectorEnv"
    assert type(make_environments("Acrobot-v1", 2)) is SyncVectorEnv


def test_each_kind_can_be_asked_for():
    assert type(make_environments("CartPole-v1", 3, "native")).__name__ == "CartPoleVectorEnv"
    assert make_environments("CartPole-v1", 3, "sync").num_envs == 3
    processes = make_environments("CartPole-v1", 2, "async")
    try:
        assert type(processes) is AsyncVectorEnv
    finally:
        processes.close()


def test_settings_go_to_the_environment():
    environments = make_environments("CartPole-v1", 1, max_episode_steps=3)
    assert environments.envs[0].spec.max_episode_steps == 3


def test_how_they_reset_themselves():
    assert autoreset_mode(make_environments("CartPole-v1", 2, "sync")) is AutoresetMode.SAME_STEP
    assert autoreset_mode(make_environments("CartPole-v1", 2, "native")) is AutoresetMode.NEXT_STEP
    silent = diaries(1, AutoresetMode.NEXT_STEP)
    del silent.metadata["autoreset_mode"]
    assert autoreset_mode(silent) is AutoresetMode.NEXT_STEP
    with pytest.raises(UnfitEnvironment) as error:
        autoreset_mode(diaries(1, AutoresetMode.DISABLED))
    assert str(error.value) == (
        "SyncVectorEnv(num_envs=1) does not reset itself; make it with AutoresetMode.SAME_STEP or NEXT_STEP."
    )


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ("CartPole-v9", "The nearest ids are 'CartPole-v1', 'CartPole-v0' and 'phys2d/CartPole-v1'."),
        ("cartpole", "The nearest ids are 'CartPole-v1', 'CartPole-v0' and 'phys2d/CartPole-v1'."),
        (
            "LunarLander-v2",
            "The nearest ids are 'LunarLander-v3' and 'LunarLanderContinuous-v3'.",
        ),
        ("xq", "Import the package that registers it, or name that too: 'package:Name-v0'."),
    ],
)
def test_an_unknown_id_is_answered_with_the_nearest(given, hint):
    with pytest.raises(UnknownEnvironment) as error:
        make_environments(given, 1)
    assert str(error.value) == f"No environment is registered as {given!r}. {hint}"


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_module_before_the_id_is_imported_first(tmp_path, monkeypatch, vectorization):
    registering = "gymnasium.register('LooptreeOwn-v0', gymnasium.envs.classic_control.PendulumEnv)"
    (tmp_path / "looptree_own.py").write_text(f"import gymnasium\n\n{registering}\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        environments = make_environments("looptree_own:LooptreeOwn-v0", 2, vectorization)
        assert environments.num_envs == 2
        environments.close()
        with pytest.raises(UnknownEnvironment) as error:
            make_environments("looptree_own:xq-v0", 1)
    finally:
        del gymnasium.registry["LooptreeOwn-v0"]
        del sys.modules["looptree_own"]
    assert str(error.value) == (
        "No environment is registered as 'xq-v0'. Importing 'looptree_own' does not register it."
    )


def test_a_module_that_cannot_be_imported_is_named():
    with pytest.raises(UnknownEnvironment) as error:
        make_environments("looptree_absent:xq-v0", 1)
    assert str(error.value) == (
        "'looptree_absent', which is to register 'xq-v0', cannot be imported: No module named 'looptree_absent'. "
        "A module on Python's path before the colon would fit."
    )


def test_a_missing_package_is_named():
    gymnasium.register("LooptreeAbsent-v0", "looptree_absent_package:Env")
    try:
        with pytest.raises(EnvironmentUnavailable) as error:
            make_environments("LooptreeAbsent-v0", 1)
    finally:
        del gymnasium.registry["LooptreeAbsent-v0"]
    assert str(error.value) == ("LooptreeAbsent-v0 cannot be made here: No module named 'looptree_absent_package'")


def test_bad_settings_say_what_would_fit():
    with pytest.raises(BadSetting) as error:
        make_environments("CartPole-v1", 0)
    assert str(error.value) == "num_envs=0: at least 1 environment is needed."
    with pytest.raises(BadSetting) as error:
        make_environments("CartPole-v1", 1, "threads")
    assert str(error.value) == ("vectorization='threads' is unknown; 'auto', 'native', 'sync' or 'async' would fit.")
    with pytest.raises(BadSetting) as error:
        make_environments("Acrobot-v1", 1, "native")
    assert str(error.value) == "Acrobot-v1 has no native vector class; vectorization='sync' or 'async' would fit."


def test_streams_of_different_names_differ_and_repeat():
    assert integer_seed(stream(0, "train")) == integer_seed(stream(0, "train"))
    names = [(0, "train"), (0, "valid"), (1, "train"), (0, "train", "valid"), (0,)]
    assert len({integer_seed(stream(seed, *rest)) for seed, *rest in names}) == len(names)
    seeds = environment_seeds(stream(0, "train"), 50)
    assert len(set(seeds)) == 50
    assert all(0 <= seed < 2**63 for seed in seeds)
    drawn = numpy_generator(stream(3, "a")).random(4)
    np.testing.assert_array_equal(drawn, numpy_generator(stream(3, "a")).random(4))
