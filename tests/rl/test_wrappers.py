"""Wrappers by name: what a text says, what is refused, and that nothing of it is evaluated."""

import sys
from dataclasses import replace

import gymnasium
import pytest

from looptree.core.errors import BadSetting
from looptree.rl.algorithms.a2c import A2C, A2CSettings
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.algorithms.ppo import PPO, PPOSettings
from looptree.rl.errors import UnfitEnvironment, UnknownWrapper
from looptree.rl.wrappers import wrapper_named

OWN = """
import gymnasium

class Shifted(gymnasium.ObservationWrapper):
    def __init__(self, env, by, times=1.0):
        super().__init__(env)
        self.by, self.times = by, times

    def observation(self, observation):
        return observation * self.times + self.by

def touched():
    raise AssertionError("this was called")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "looptree_own_wrappers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    yield "looptree_own_wrappers"
    sys.modules.pop("looptree_own_wrappers", None)


def cart():
    return gymnasium.make("CartPole-v1")


def test_a_name_alone_is_a_wrapper_of_gymnasium():
    assert type(wrapper_named("TimeAwareObservation")(cart())) is gymnasium.wrappers.TimeAwareObservation
    assert type(wrapper_named(" TimeAwareObservation() ")(cart())) is gymnasium.wrappers.TimeAwareObservation


@pytest.mark.parametrize(
    "text", ["FrameStackObservation(3)", "FrameStackObservation(stack_size=3, padding_type='zero')"]
)
def test_arguments_go_by_place_or_by_name(text):
    assert wrapper_named(text)(cart()).observation_space.shape == (3, 4)


def test_a_module_before_the_name_is_imported(own):
    environment = wrapper_named(f"{own}:Shifted(-2.5, times=10)")(cart())
    assert (environment.by, environment.times) == (-2.5, 10)
    assert wrapper_named(f"{own}:Shifted((1, [2], {{'a': None}}))")(cart()).by == (1, [2], {"a": None})


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("FrameStack(4)", "gymnasium.wrappers has no wrapper 'FrameStack'; nearest is 'FrameStackObservation'."),
        ("vector", "gymnasium.wrappers has no wrapper 'vector'; A wrapper of one's own has its module before it"),
        ("", "gymnasium.wrappers has no wrapper ''; A wrapper of one's own has its module before it"),
        (
            "looptree_absent:Wrapper",
            "'looptree_absent', which is to have the wrapper 'Wrapper', cannot be imported: No",
        ),
        (":Wrapper", "'', which is to have the wrapper 'Wrapper', cannot be imported: Empty module name."),
        (".near:Wrapper", "'.near', which is to have the wrapper 'Wrapper', cannot be imported:"),
        ("JaxToNumpy", "The wrapper 'JaxToNumpy' cannot be loaded here:"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(text, sentence):
    with pytest.raises(UnknownWrapper) as error:
        wrapper_named(text)
    assert str(error.value).startswith(sentence)


def test_what_is_no_wrapper_is_refused(own):
    with pytest.raises(UnknownWrapper) as error:
        wrapper_named(f"{own}:Shift(1)")
    assert str(error.value) == "looptree_own_wrappers has no wrapper 'Shift'; nearest is 'Shifted'."
    with pytest.raises(UnknownWrapper):
        wrapper_named(f"{own}:touched()")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (
            "FrameStackObservation(stack=4)",
            "missing a required argument: 'stack_size'; nearest is 'stack_size'.",
        ),
        (
            "FrameStackObservation(4, padding=4)",
            "got an unexpected keyword argument 'padding'; nearest is 'padding_type'.",
        ),
        (
            "FrameStackObservation",
            "missing a required argument: 'stack_size'; 'stack_size' and 'padding_type' would fit.",
        ),
        ("FlattenObservation(7)", "too many positional arguments; it takes none."),
    ],
)
def test_arguments_that_it_does_not_take_are_named(text, hint):
    with pytest.raises(BadSetting) as error:
        wrapper_named(text)
    assert str(error.value) == f"wrapper {text!r}: {hint}"


@pytest.mark.parametrize(
    "arguments",
    [
        "(by=touched())",
        "(__import__('os'))",
        "(1 if True else 2)",
        "(by='a'.join('b'))",
        "(*(1, 2))",
        "(**{'by': 1})",
        "(by=)",
        "(1",
        "(1)(2)",
        "(1).by",
        " by",
        "({[]: 1})",
        "(" + "(" * 5000,
    ],
)
def test_nothing_is_evaluated(own, arguments):
    with pytest.raises((BadSetting, UnknownWrapper)) as error:
        wrapper_named(f"{own}:Shifted{arguments}")
    if "(" in arguments:
        assert "a name with literals in brackets would fit: 'FrameStackObservation(stack_size=4)'." in str(error.value)


def test_what_a_wrapper_says_against_an_environment_is_passed_on():
    with pytest.raises(UnfitEnvironment) as error:
        wrapper_named("FrameStackObservation(0)")(cart())
    message = str(error.value)
    assert message.startswith("The wrapper 'FrameStackObservation(0)' cannot be put around <TimeLimit<")
    assert "ValueError: The stack_size needs to be greater than zero" in message


@pytest.mark.parametrize(
    ("algorithm", "settings"),
    [
        (DQN, DQNSettings()),
        (PPO, PPOSettings(steps_per_rollout=64)),
        (A2C, A2CSettings()),
    ],
)
def test_training_and_evaluation_wear_the_same(algorithm, settings):
    small = {"hidden_sizes": (8,), "total_env_steps": 300, "num_envs": 2, "evaluate_every_env_steps": 128}
    settings = replace(settings, wrappers=("TimeAwareObservation",), vectorization="sync", **small)
    learner = algorithm("CartPole-v1", settings, seed=1).run()
    for source in (learner.source, learner.valid_source):
        assert source.observation.shape[1:] == (5,)
        worn = gymnasium.wrappers.TimeAwareObservation
        assert all(isinstance(each, worn) for each in source.environments.envs)
    assert len(learner.evaluate(3)) == 3


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("NormalizeObservation(epsilon=1e-6)", "normalise_observations"),
        ("NormalizeReward", "normalise_rewards"),
        ("gymnasium.wrappers:NormalizeReward", "normalise_rewards"),
    ],
)
@pytest.mark.parametrize(("algorithm", "settings"), [(DQN, DQNSettings), (PPO, PPOSettings), (A2C, A2CSettings)])
def test_a_wrapper_that_each_environment_would_measure_with_for_itself_is_refused(algorithm, settings, text, setting):
    with pytest.raises(BadSetting) as error:
        algorithm("CartPole-v1", settings(wrappers=("TimeAwareObservation", text)))
    assert str(error.value) == (
        f"wrapper {text!r}: each environment would measure for itself, and those of an evaluation from the beginning, "
        f"so that what is evaluated is not what is learnt. {setting}=True, a setting of PPO and A2C, measures once for "
        f"all of them."
    )


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(BadSetting) as error:
        PPOSettings(wrappers="TimeAwareObservation")
    assert str(error.value) == (
        "PPOSettings(wrappers='TimeAwareObservation'): a list of strings such as [\"TimeAwareObservation\"] would fit."
    )
    for kind in (DQNSettings, A2CSettings):
        with pytest.raises(BadSetting, match="one of 'auto', 'native', 'sync'"):
            kind(vectorization="threads")
