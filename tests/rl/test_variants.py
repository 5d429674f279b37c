"""What the variants of DQN have in common: they plug in, learn, and go on from a state."""

import copy
import dataclasses
import pickle

import numpy as np
import pytest

from looptree import BindingError, Callback
from looptree.core.errors import BadSetting, NotACallback
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.algorithms.categorical_dqn import CategoricalDQN, CategoricalDQNSettings
from looptree.rl.algorithms.d3qn import D3QN, D3QNSettings
from looptree.rl.algorithms.dqn import DQN
from looptree.rl.algorithms.rainbow import Rainbow, RainbowSettings
from looptree.rl.presets import PRESETS
from looptree.rl.state import module_state
from looptree.rl.variants.c51 import C51
from looptree.rl.variants.double_q import DoubleQ
from looptree.rl.variants.dueling import Dueling
from looptree.rl.variants.n_step import NStep
from looptree.rl.variants.noisy import Noisy
from looptree.rl.variants.prioritized import Prioritized
from tests.rl.learners import SMALL_DQN, dqn_of_lamps, small_dqn, small_ppo
from tests.rl.plain import assert_plain

VARIANTS = {
    "double": lambda: [DoubleQ()],
    "dueling": lambda: [Dueling()],
    "n_step": lambda: [NStep(3)],
    "prioritized": lambda: [Prioritized()],
    "noisy": lambda: [Noisy()],
    "c51": lambda: [C51(21, 0.0, 10.0)],
    "all": lambda: [DoubleQ(), Dueling(), NStep(3), Prioritized(), Noisy(), C51(21, 0.0, 10.0)],
}

each_variant = pytest.mark.parametrize("name", VARIANTS)


def small(name, seed=0, **changes):
    return small_dqn(seed, cbs=VARIANTS[name](), hidden_sizes=(16, 16), **changes)


class Log(Callback):
    """Notes the env steps after each pass."""

    def after_pass(self):
        self.env_steps_made = self.loop.env_steps


def equal(left, right):
    return left.keys() == right.keys() and all(np.array_equal(left[name], right[name]) for name in left)


@each_variant
def test_learning_which_button_belongs_to_which_lamp(name):
    assert dqn_of_lamps(VARIANTS[name](), seed=1).run().evaluate(10).mean() > 95  # of 100; by chance 25


@pytest.mark.filterwarnings("error")
@each_variant
def test_the_tree_has_no_findings(name):
    assert small(name).check(strict=True) == ()


@each_variant
def test_stopped_anywhere_it_goes_on_as_if_it_had_not_been(name):
    through = small(name).run()
    assert equal(module_state(through.network), module_state(small(name).run().network))
    stopped = small(name).run(times=int(np.random.default_rng(len(name)).integers(1, 12)))
    state = stopped.state_dict()
    assert_plain(state)
    loaded = small(name)
    loaded.load_state_dict(state)
    copied, pickled = copy.deepcopy(stopped), pickle.loads(pickle.dumps(stopped))
    for other in (loaded, copied, pickled, stopped):
        other.run()
        assert equal(module_state(through.network), module_state(other.network))
        assert equal(module_state(through.target_network), module_state(other.target_network))


def test_a_hook_that_two_variants_replace_is_refused():
    with pytest.raises(BindingError, match=r"DoubleQ.before_target.*DoubleQ.before_target"):
        small_dqn(cbs=[DoubleQ(), DoubleQ()]).run()
    with pytest.raises(BindingError, match=r"NStep.on_sample.*NStep.on_sample"):
        small_dqn(cbs=[NStep(2), NStep(3)]).run()


def test_a_part_of_the_network_that_two_variants_replace_is_refused():
    with pytest.raises(BadSetting) as error:
        small_dqn(cbs=[Dueling(), Dueling()])
    assert str(error.value) == "Dueling and Dueling both replace the network's head; plug in one of them only."


def test_a_part_of_one_network_cannot_be_plugged_into_another():
    part = Dueling()
    first = small_dqn(cbs=[part]).remove_cb(part)
    with pytest.raises(BadSetting, match=r"^Dueling is part of a network, and dqn's was made without it; "):
        small_dqn().run(cbs=part)
    with pytest.raises(BadSetting, match=r"^Dueling is part of a network, and ppo's was made without it; "):
        small_ppo().run(cbs=part)
    assert first.run(cbs=part).gradient_steps == 36


def test_a_part_of_the_network_cannot_be_plugged_in_later():
    with pytest.raises(BadSetting) as error:
        small_dqn().add_cb(Dueling()).run()
    assert str(error.value) == (
        "Dueling is part of a network, and dqn's was made without it; "
        "hand it over when the learner is made: DQN(..., cbs=[Dueling()])."
    )


def test_others_can_be_plugged_in_between_runs():
    learner = small_dqn().run(times=6)
    learner.add_cb(DoubleQ()).add_cb(NStep(3)).run(times=2)
    learner.remove_cb(DoubleQ).run()
    assert learner.env_steps == 600


def test_classes_fit_too_and_nothing_else():
    assert "double_q · instead of QUpdate.before_target" in str(small_dqn(cbs=DoubleQ))
    with pytest.raises(NotACallback):
        small_dqn(cbs=["DoubleQ"])


def test_the_description_says_what_each_replaced():
    lines = str(small("all")).splitlines()

    def line(text):
        return next(line for line in lines if text in line)

    assert "double_q · instead of QUpdate.before_target" in line("before_target")
    assert "prioritized · instead of QUpdate.before_sample" in line("before_sample")
    assert "n_step · instead of QUpdate.on_sample" in line("on_sample")
    assert "c51 · instead of QUpdate.on_target" in line("on_target")
    assert "c51 · instead of QUpdate.on_loss" in line("on_loss")
    assert "prioritized · instead of QUpdate.after_loss" in line("after_loss")
    assert lines[1] == "├─ network: head by Dueling, linear by Noisy, reading by C51"
    assert "network:" not in str(small("double"))


@pytest.mark.parametrize(
    ("name", "learner", "variants"),
    [
        ("d3qn", D3QN, [DoubleQ, Dueling, NStep]),
        ("c51", CategoricalDQN, [C51]),
        ("rainbow", Rainbow, [DoubleQ, Dueling, NStep, Prioritized, Noisy, C51]),
    ],
)
def test_presets_plug_variants_into_an_unchanged_dqn(name, learner, variants):
    algorithm = ALGORITHMS[name]
    assert algorithm.learner is learner
    made = learner("CartPole-v1", seed=2)
    assert made.settings == PRESETS.settings(name, "CartPole-v1", algorithm.settings) != algorithm.settings()
    assert [type(callback) for callback in made.cbs if type(callback) in variants] == variants
    assert [type(inner) for inner in made.inner_loops] == [type(inner) for inner in DQN("CartPole-v1").inner_loops]
    assert type(made.update).__name__ == "QUpdate"
    assert learner("Acrobot-v1", cbs=Log).settings == algorithm.settings()


def test_settings_reach_the_variants():
    settings = RainbowSettings(
        **dataclasses.asdict(SMALL_DQN),
        target_steps=5,
        priority_alpha=0.3,
        priority_beta=0.7,
        initial_noise=0.2,
        atoms=11,
        lowest_return=-1.0,
        highest_return=4.0,
    )
    learner = Rainbow("CartPole-v1", settings)
    assert learner.n_step.steps == 5
    assert (learner.prioritized.alpha, learner.prioritized.beta) == (0.3, 0.7)
    assert learner.noisy.initial_noise == 0.2
    assert learner.c51.reading.returns.tolist() == pytest.approx([-1 + number / 2 for number in range(11)])


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        (D3QNSettings, {"target_steps": 0}, "(target_steps=0): a whole number of 1 or more would fit."),
        (D3QNSettings, {"gamma": 2.0}, "(gamma=2.0): a number from 0 to 1 would fit."),
        (CategoricalDQNSettings, {"atoms": 1}, "(atoms=1): a whole number of 2 or more would fit."),
        (
            CategoricalDQNSettings,
            {"lowest_return": 10.0},
            "(lowest_return=10.0, highest_return=10.0): these contradict each other; "
            "lowest_return < highest_return would fit.",
        ),
        (RainbowSettings, {"target_steps": 0}, "(target_steps=0): a whole number of 1 or more would fit."),
        (RainbowSettings, {"priority_alpha": 2.0}, "(priority_alpha=2.0): a number from 0 to 1 would fit."),
        (RainbowSettings, {"priority_beta": -1.0}, "(priority_beta=-1.0): a number from 0 to 1 would fit."),
        (RainbowSettings, {"initial_noise": 0.0}, "(initial_noise=0.0): a number above 0 would fit."),
        (RainbowSettings, {"atoms": 1}, "(atoms=1): a whole number of 2 or more would fit."),
    ],
)
def test_settings_that_cannot_be(settings, given, message):
    with pytest.raises(BadSetting) as error:
        settings(**given)
    assert str(error.value) == settings.__name__ + message
