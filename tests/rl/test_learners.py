"""What holds for every algorithm."""

import copy
import pickle

import numpy as np
import pytest
import torch

from looptree import Callback
from looptree.core.errors import BadSetting
from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.algorithms.a2c import A2C, A2CSettings
from looptree.rl.algorithms.dqn import DQN, DQNSettings
from looptree.rl.algorithms.ppo import PPO, PPOSettings
from looptree.rl.errors import UnknownEnvironment
from looptree.rl.presets import PRESETS
from tests.rl.learners import assert_learns, parameters, same, small_a2c, small_dqn, small_ppo
from tests.rl.plain import assert_plain

each_learner = pytest.mark.parametrize("small", [small_a2c, small_dqn, small_ppo])


@pytest.mark.filterwarnings("error")
@each_learner
def test_the_tree_has_no_findings(small):
    assert small().check(strict=True) == ()


@each_learner
def test_global_random_generators_are_left_alone(small):
    torch.manual_seed(5)
    np.random.seed(5)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    first = parameters(small().run())
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    torch.manual_seed(6)
    assert same(first, parameters(small().run()))
    assert not same(first, parameters(small(seed=1).run()))


@each_learner
def test_the_number_of_threads_that_torch_has_changes_nothing(small):
    before = torch.get_num_threads()
    learnt = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            learner = small(hidden_sizes=(64, 64)).run()
            assert torch.get_num_threads() == threads
            learnt.append((parameters(learner), learner.evaluate(3).tolist()))
    finally:
        torch.set_num_threads(before)
    assert same(learnt[0][0], learnt[1][0])
    assert learnt[0][1] == learnt[1][1]


@each_learner
def test_an_evaluation_can_be_asked_for_when_training_has_ended(small):
    learner = small().run()
    count, env_steps, gradient_steps = learner.count, learner.env_steps, learner.gradient_steps
    before = parameters(learner)
    learner.valid_return = np.nan
    learner.run(phases="valid")
    assert learner.valid_return > -np.inf
    assert learner.count == count + 1 and learner.ended.startswith("ran ")
    assert (learner.env_steps, learner.gradient_steps) == (env_steps, gradient_steps)
    assert same(before, parameters(learner))
    assert learner.run(phases="train").count == learner.run().count == count + 1


@each_learner
@pytest.mark.parametrize("made_anew", [copy.deepcopy, lambda learner: pickle.loads(pickle.dumps(learner))])
def test_a_copy_runs_the_same(small, made_anew):
    learner = small().run(times=7)
    twin = made_anew(learner)
    learner.run()
    twin.run()
    assert same(parameters(learner), parameters(twin))
    assert (twin.env_steps, twin.gradient_steps) == (learner.env_steps, learner.gradient_steps)
    for each in (learner, twin):
        assert each.source.agent.network is each.network
        assert_learns(each)


@each_learner
def test_evaluating_at_the_end_plays_new_episodes_with_what_was_kept(small):
    learner = small(env_id="CartPole-v1").run()
    trained = parameters(learner)
    returns = learner.evaluate(7)
    assert returns.shape == (7,)
    assert (returns == learner.evaluate(7)).all()
    assert same(trained, parameters(learner))
    learner.best_state = {name: np.zeros_like(values) for name, values in learner.best_state.items()}
    assert learner.evaluate(50).max() < 15  # zero weights always push to the same side


# --- states -------------------------------------------------------------------------------------------------


@each_learner
def test_a_state_holds_nothing_but_plain_containers(small):
    assert_plain(small().state_dict())
    assert_plain(small().run().state_dict())


@pytest.mark.parametrize(
    ("small", "env_id"),
    [(small_a2c, "Acrobot-v1"), (small_dqn, "CartPole-v1"), (small_ppo, "CartPole-v1"), (small_ppo, "Pendulum-v1")],
)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(small, env_id):
    through = small(env_id=env_id).run()
    for passes in (1, 3, 5, through.count - 1):
        stopped = small(env_id=env_id).run(times=passes)
        loaded = small(env_id=env_id)
        loaded.load_state_dict(stopped.state_dict())
        loaded.run()
        assert same(parameters(through), parameters(loaded))
        assert same(through.network.buffers(), loaded.network.buffers())
        assert (loaded.count, loaded.gradient_steps) == (through.count, through.gradient_steps)
        assert loaded.best_return == through.best_return
        assert all((loaded.best_state[name] == values).all() for name, values in through.best_state.items())
        assert (loaded.evaluate(3) == through.evaluate(3)).all()


# --- callbacks ----------------------------------------------------------------------------------------------


def test_a_callback_that_would_run_before_there_is_anything_to_see_is_found():
    class Report(Callback):
        def after_evaluate(self):
            pass

    (finding,) = small_dqn(cbs=Report).check()
    assert finding.kind == "idle phase" and finding.write == "def after_evaluate(self, _phase='valid'):"


# --- what there is ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "learner", "settings", "without_preset"),
    [
        ("a2c", A2C, A2CSettings, "Pendulum-v1"),
        ("dqn", DQN, DQNSettings, "CliffWalking-v1"),
        ("ppo", PPO, PPOSettings, "MountainCarContinuous-v0"),
    ],
)
def test_an_algorithm_takes_its_settings_from_the_preset_of_the_environment(name, learner, settings, without_preset):
    assert ALGORITHMS[name] == (learner, settings)
    assert learner("CartPole-v1").settings == PRESETS.settings(name, "CartPole-v1", settings) != settings()
    assert learner(without_preset).settings == settings()


@pytest.mark.parametrize("learner", [A2C, DQN, PPO])
def test_environments_and_seeds_that_do_not_fit(learner):
    with pytest.raises(UnknownEnvironment):
        learner("CartPool-v1")
    with pytest.raises(BadSetting) as error:
        learner("CartPole-v1", seed=-1)
    assert str(error.value) == "seed=-1: a whole number of 0 or more would fit."
