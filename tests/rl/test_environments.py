import sys

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AsyncVectorEnv, AutoresetMode

from looptree.core.errors import BadSetting
from looptree.rl.environments import Recipe, autoreset_mode
from looptree.rl.errors import EnvironmentUnavailable, UnfitEnvironment, UnknownEnvironment
from looptree.rl.seeding import environment_seeds, integer_seed, numpy_generator, stream
from looptree.rl.sync import SyncVectorEnv
from tests.rl.toys import diaries


def test_auto_takes_what_is_quick():
    assert type(Recipe("CartPole-v1").make(1)) is SyncVectorEnv
    assert type(Recipe("CartPole-v1").make(2)).__name__ == "CartPoleVectorEnv"
    assert type(Recipe("Acrobot-v1").make(2)) is SyncVectorEnv


def test_each_kind_can_be_asked_for():
    assert type(Recipe("CartPole-v1", vectorization="native").make(3)).__name__ == "CartPoleVectorEnv"
    assert Recipe("CartPole-v1", vectorization="sync").make(3).num_envs == 3
    processes = Recipe("CartPole-v1", vectorization="async").make(2)
    try:
        assert isinstance(processes, AsyncVectorEnv)
    finally:
        processes.close()


def test_settings_go_to_the_environment():
    environments = Recipe("CartPole-v1").make(1, max_episode_steps=3)
    assert environments.envs[0].spec.max_episode_steps == 3


def test_how_they_reset_themselves():
    assert autoreset_mode(Recipe("CartPole-v1", vectorization="sync").make(2)) is AutoresetMode.SAME_STEP
    assert autoreset_mode(Recipe("CartPole-v1", vectorization="native").make(2)) is AutoresetMode.NEXT_STEP
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
        Recipe(given).make(1)
    assert str(error.value) == f"No environment is registered as {given!r}. {hint}"


@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_a_module_before_the_id_is_imported_first(tmp_path, monkeypatch, vectorization):
    registering = "gymnasium.register('LooptreeOwn-v0', gymnasium.envs.classic_control.PendulumEnv)"
    (tmp_path / "looptree_own.py").write_text(f"import gymnasium\n\n{registering}\n")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        environments = Recipe("looptree_own:LooptreeOwn-v0", vectorization=vectorization).make(2)
        assert environments.num_envs == 2
        environments.close()
        with pytest.raises(UnknownEnvironment) as error:
            Recipe("looptree_own:xq-v0").make(1)
    finally:
        del gymnasium.registry["LooptreeOwn-v0"]
        del sys.modules["looptree_own"]
    assert str(error.value) == (
        "No environment is registered as 'xq-v0'. Importing 'looptree_own' does not register it."
    )


def test_a_module_that_cannot_be_imported_is_named():
    with pytest.raises(UnknownEnvironment) as error:
        Recipe("looptree_absent:xq-v0").make(1)
    assert str(error.value) == (
        "'looptree_absent', which is to register 'xq-v0', cannot be imported: No module named 'looptree_absent'. "
        "A module on Python's path before the colon would fit."
    )


def test_a_missing_package_is_named():
    gymnasium.register("LooptreeAbsent-v0", "looptree_absent_package:Env")
    try:
        with pytest.raises(EnvironmentUnavailable) as error:
            Recipe("LooptreeAbsent-v0").make(1)
    finally:
        del gymnasium.registry["LooptreeAbsent-v0"]
    assert str(error.value) == ("LooptreeAbsent-v0 cannot be made here: No module named 'looptree_absent_package'")


def test_bad_settings_say_what_would_fit():
    with pytest.raises(BadSetting) as error:
        Recipe("CartPole-v1").make(0)
    assert str(error.value) == "num_envs=0: at least 1 environment is needed."
    with pytest.raises(BadSetting) as error:
        Recipe("CartPole-v1", vectorization="threads").make(1)
    assert str(error.value) == (
        "Recipe(vectorization='threads'): one of 'auto', 'native', 'sync', 'async' and 'envpool' would fit."
    )
    with pytest.raises(BadSetting) as error:
        Recipe("Acrobot-v1", vectorization="native").make(1)
    assert str(error.value) == "Acrobot-v1 has no native vector class; vectorization='sync' or 'async' would fit."


def test_a_native_class_takes_no_wrappers():
    worn = ("TimeAwareObservation",)
    assert type(Recipe("CartPole-v1", worn).make(2)) is SyncVectorEnv
    with pytest.raises(BadSetting) as error:
        Recipe("CartPole-v1", worn, "native").make(2)
    assert str(error.value) == (
        "The native vector class of CartPole-v1 takes no wrappers; vectorization='sync' or 'async' would fit."
    )
    with pytest.raises(BadSetting) as error:
        Recipe("CartPole-v1", "TimeAwareObservation")
    assert str(error.value) == (
        "Recipe(wrappers='TimeAwareObservation'): a list of strings such as [\"TimeAwareObservation\"] would fit."
    )


@pytest.mark.parametrize("vectorization", ["auto", "sync", "async"])
def test_every_environment_wears_its_wrappers_the_innermost_first(vectorization):
    recipe = Recipe("CartPole-v1", ("TimeAwareObservation", "FrameStackObservation(stack_size=3)"), vectorization)
    space, actions, _ = recipe.single()
    assert (space.shape, int(actions.n)) == ((3, 5), 2)
    environments = recipe.make(2)
    try:
        environments.reset(seed=[1, 2])
        observation, *_ = environments.step(np.zeros(2, np.int64))
    finally:
        environments.close()
    assert observation.shape == (2, 3, 5)
    assert observation[:, :, 4].tolist() == [[0.0, 0.0, 1.0]] * 2  # the time, of the latest three steps


def test_what_is_innermost_stands_below_the_wrappers():
    seen = []

    class Seen(gymnasium.Wrapper):
        def step(self, action):
            seen.append(action)
            return super().step(action)

    environments = Recipe("CartPole-v1", ("RepeatAction(num_repeats=3)",)).make(1, innermost=[Seen])
    environments.reset(seed=[0])
    environments.step(np.ones(1, np.int64))
    assert seen == [1, 1, 1]


def test_streams_of_different_names_differ_and_repeat():
    assert integer_seed(stream(0, "train")) == integer_seed(stream(0, "train"))
    names = [(0, "train"), (0, "valid"), (1, "train"), (0, "train", "valid"), (0,)]
    assert len({integer_seed(stream(seed, *rest)) for seed, *rest in names}) == len(names)
    seeds = environment_seeds(stream(0, "train"), 50)
    assert len(set(seeds)) == 50
    assert all(0 <= seed < 2**63 for seed in seeds)
    drawn = numpy_generator(stream(3, "a")).random(4)
    np.testing.assert_array_equal(drawn, numpy_generator(stream(3, "a")).random(4))


@pytest.mark.parametrize(
    ("wrappers", "stacks"),
    [
        ((), False),
        (("FrameStackObservation(3)",), True),
        (("FrameStackObservation(3)", "RecordEpisodeStatistics"), True),
        (("FrameStackObservation(3)", "FlattenObservation"), False),
        (("FlattenObservation", "FrameStackObservation(3)"), True),
        (("TimeAwareObservation(flatten=False)", "FrameStackObservation(3)"), False),  # of a Dict
    ],
)
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_frames_are_stacked_where_the_outermost_wrapper_of_observations_does_so(wrappers, stacks, vectorization):
    assert Recipe("CartPole-v1", wrappers, vectorization).single().stacks_frames == stacks
