import copy
import itertools
import math

import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode

from looptree import Callback, Cancel
from looptree.core.errors import BadSetting, StateMismatch
from looptree.rl.algorithms.dqn import DQNSettings, exploration, q_losses, q_targets, taken
from looptree.rl.errors import EnvironmentNotSaved
from looptree.rl.memory import ReplayBuffer
from looptree.rl.presets import PRESETS
from looptree.rl.seeding import stream
from looptree.rl.source import GymSource
from tests.rl.learners import assert_learns, dqn_of_lamps, parameters, same
from tests.rl.learners import small_dqn as small
from tests.rl.toys import diaries, register


class Log(Callback):
    """Notes what a function of the learner gives, after each pass."""

    def __init__(self, function):
        self.function = function
        self.seen = []

    def after_pass(self):
        self.seen.append(self.function(self.loop))


def logged(function, **changes):
    log = Log(function)
    small(cbs=[log], **changes).run()
    return log.seen


# --- arithmetic ---------------------------------------------------------------------------------------------


def test_targets_of_known_numbers():
    targets = q_targets(
        torch.tensor([1.0, 2.0, 3.0]),
        torch.tensor([0.5, 0.0, 0.5]),
        torch.tensor([10.0, 200.0, -4.0]),
    )
    assert targets.tolist() == [6.0, 2.0, 1.0]


def test_loss_of_known_numbers():
    values = torch.tensor([[1.0, 9.0], [9.0, 2.0]], requires_grad=True)
    losses, slopes = q_losses(taken(values, torch.tensor([0, 1])) - torch.tensor([1.5, 5.0]))
    assert losses.tolist() == [0.5 * 0.5**2, 3.0 - 0.5]
    losses.mean().backward()
    assert values.grad.tolist() == [[-0.25, 0.0], [0.0, -0.5]]  # errors of more than 1 pull as those of 1
    assert slopes.tolist() == [-0.5, -1.0]


def test_loss_is_the_one_that_torch_calls_smooth():
    errors = torch.from_numpy(np.random.default_rng(0).normal(scale=2.0, size=1_000))
    losses, _ = q_losses(errors)
    expected = torch.nn.functional.smooth_l1_loss(errors, torch.zeros_like(errors), reduction="none")
    assert torch.equal(losses, expected)


@pytest.mark.parametrize("mode", [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP])
def test_truncated_episodes_have_a_value_beyond_and_terminated_ones_do_not(mode):
    environments = diaries(2, mode)
    memory = ReplayBuffer(500, environments.single_observation_space, environments.single_action_space, stream(0))
    for transition in GymSource(environments, times=60):
        memory.add(transition)
    assert len(memory) == sum(len(env.log) for env in environments.envs)
    batch = memory.sample(300)
    # The value of an observation is 1000 episode + 10 step.
    best = batch.next_observation @ torch.tensor([0.0, 1000.0, 10.0])
    targets = q_targets(batch.reward, 0.5 * (1 - batch.terminated), best)
    for row in range(300):
        env, episode, step = (int(number) for number in batch.observation[row])
        last = step + 1 == 1 + (env + episode) % 4
        reward = 100.0 * episode + step + 1
        beyond = 0.0 if last and episode % 2 == 0 else 0.5 * (1000.0 * episode + 10 * (step + 1))
        assert targets[row] == reward + beyond


def test_exploration_is_random_until_learning_starts_and_then_decays():
    epsilon = exploration(PRESETS.settings("dqn", "CartPole-v1", DQNSettings))
    assert [epsilon(steps) for steps in (0, 999)] == [1.0, 1.0]
    expected = {1000: 1 - 0.96 / 8, 4000: 0.52, 8000: 0.04, 50_000: 0.04}
    assert {steps: epsilon(steps) for steps in expected} == pytest.approx(expected)


# --- the loop -----------------------------------------------------------------------------------------------


def test_the_shape_of_the_tree():
    learner = small()
    assert learner.source.agent.network is learner.network
    assert learner.valid_source.agent.network is learner.network
    assert learner.valid_source.environments is not learner.source.environments
    assert_learns(learner)
    held = {parameter.data_ptr() for parameter in learner.network.parameters()}
    assert not held & {parameter.data_ptr() for parameter in learner.target_network.parameters()}
    assert same(learner.target_network.parameters(), learner.network.parameters())
    events = [event.name for event in learner.update.plan.phases[0].events]
    assert events == ["sample", "target", "loss", "step"]
    train, valid = learner.plan.phases
    assert [(train.name, train.every), (valid.name, valid.every)] == [("train", 1), ("valid", 3)]


def test_acting_follows_learning_at_once():
    learner = small().run()
    observation = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    with torch.no_grad():
        expected = learner.network(torch.from_numpy(observation)).numpy()
    np.testing.assert_allclose(learner.source.agent.network.predict(observation), expected, rtol=1e-5)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_pass_collects_its_steps_and_makes_its_updates(num_envs):
    steps = logged(lambda learner: (learner.env_steps, learner.update.count), num_envs=num_envs)
    if num_envs == 1:
        assert [made for made, _ in steps] == list(range(50, 601, 50))
    for made, updates in steps:
        passes = [earlier for earlier, _ in steps if 200 <= earlier <= made]
        assert updates == 4 * len(passes)
    assert steps[-1][0] >= 600


def test_the_last_pass_makes_only_what_is_left():
    learner = small(total_env_steps=420).run()
    assert learner.env_steps == 420
    assert learner.count == 9
    assert learner.ended == "ran all 9 items"
    learner.run()
    assert learner.env_steps == 420
    assert learner.ended == "ran no items: there were none"


def test_the_target_follows_after_each_collection_in_which_a_copy_was_due():
    def held(learner):
        return same(learner.target_network.parameters(), learner.network.parameters())

    class BeforeUpdate(Callback):
        def __init__(self):
            self.seen = []

        def before_update(self, _phase="train"):
            self.seen.append(held(self.loop))

    every_pass, rarely = BeforeUpdate(), BeforeUpdate()
    small(cbs=[every_pass]).run()
    assert all(every_pass.seen)
    small(cbs=[rarely], target_every_env_steps=300, total_env_steps=650).run()
    # learning starts at 200: the 5th pass is the first to find changed parameters; copies are due at 300 and 600
    assert rarely.seen == [step <= 200 or step in (300, 600) for step in range(50, 651, 50)]


def test_epsilon_goes_down_to_its_end():
    seen = logged(lambda learner: learner.epsilon)
    assert seen[:4] == [1.0] * 4
    assert seen[6:] == pytest.approx([0.05] * 6)
    assert 0.05 < seen[5] < seen[4] < 1.0


def test_evaluation_is_greedy_and_in_environments_of_its_own():
    class Looker(Callback):
        def __init__(self):
            self.greedy = []

        def after_step(self):
            best = self.loop.agent.values.argmax(1)
            self.greedy.append((self.loop.transition.action == best).all())

    train, valid = Looker(), Looker()
    learner = small(epsilon_end=1.0)
    learner.source.add_cb(train)
    learner.valid_source.add_cb(valid)
    learner.run()
    assert all(valid.greedy)
    assert len(valid.greedy) > 20
    assert not all(train.greedy)
    assert learner.env_steps == 600
    assert len(learner.memory) == 300


def test_the_phases_switch_the_mode_of_the_network():
    class Mode(Callback):
        def __init__(self):
            self.seen = set()

        def before_collect(self, _phase="train"):
            self.seen.add(("train", self.loop.network.training))

        def before_evaluate(self, _phase="valid"):
            self.seen.add(("valid", self.loop.network.training))

    mode = Mode()
    small(cbs=[mode]).run()
    assert mode.seen == {("train", True), ("valid", False)}


@pytest.mark.parametrize(
    ("num_envs", "env_steps_per_pass", "evaluated"),
    [
        (1, 4, [100, 200, 300, 400]),
        (4, 4, [100, 200, 300, 400]),
        (20, 4, [100, 200, 300, 400]),  # a pass is a step of each environment, at least
        (10, 15, [100, 200, 300, 400]),  # and whole steps of each
        (120, 100, [120, 240, 360, 480]),
    ],
)
def test_evaluations_come_when_as_many_env_steps_are_made_as_the_settings_say(num_envs, env_steps_per_pass, evaluated):
    class Evaluated(Callback):
        def __init__(self):
            self.at = []

        def after_evaluate(self, _phase="valid"):
            self.at.append(self.loop.env_steps)

    register()
    changes = {"num_envs": num_envs, "env_steps_per_pass": env_steps_per_pass, "total_env_steps": 400}
    at = Evaluated()
    # its episodes take 100 steps, and its environments reset themselves at once: every row is real
    small(env_id="LooptreeIdentity-v0", evaluate_every_env_steps=100, cbs=[at], **changes).run()
    assert at.at == evaluated


def test_the_best_evaluation_is_kept_the_later_of_two_equals():
    class Marked(Callback):
        """Makes evaluations give known returns, and marks the parameters with the number of the evaluation."""

        def __init__(self):
            self.number = 0

        def after_evaluate(self, _phase="valid", _order=-2):
            learner = self.loop
            learner.valid_source.returns = np.array([[3.0], [7.0], [7.0], [5.0]][self.number])
            with torch.no_grad():
                learner.network.head.linears[-1].bias[:] = float(self.number)
            self.number += 1

    learner = small(cbs=[Marked()]).run()
    assert (learner.best_return, learner.best_env_steps, learner.valid_return) == (7.0, 450, 5.0)
    assert learner.kept_state["head.linears.1.bias"].tolist() == [2.0, 2.0]
    assert learner.network.head.linears[-1].bias.tolist() != [2.0, 2.0]


def test_a_pass_without_env_steps_does_not_end_a_run():
    class Skip(Callback):
        """Leaves out the collection of the third pass."""

        def before_collect(self, _phase="train"):
            if self.loop.count == 2:
                raise Cancel("collect")

    learner = small(cbs=[Skip()]).run()
    assert learner.env_steps == learner.total_env_steps
    assert learner.count == small().run().count + 1


def test_what_is_kept_is_no_longer_changed():
    learner = small(total_env_steps=201)
    learner.run(phases="valid")
    assert learner.count == 1  # an evaluation alone makes no env steps, and ends the run
    before = copy.deepcopy(learner.kept_state)
    learner.run()
    assert learner.best_env_steps in (0, 200)
    if learner.best_env_steps == 0:
        assert all((before[name] == learner.kept_state[name]).all() for name in before)


def test_before_any_evaluation_the_present_agent_is_the_kept_one():
    learner = small(evaluate_every_env_steps=10_000).run()
    assert learner.best_state == {}
    assert math.isinf(learner.best_return)
    assert same(map(torch.from_numpy, learner.kept_state.values()), parameters(learner))
    assert len(learner.evaluate(2)) == 2


def test_what_a_progress_bar_shows_is_there_from_the_start():
    learner = small()
    shown = (learner.env_steps, learner.episode_return, float(learner.loss), learner.epsilon)
    assert shown[0] == 0
    assert shown[3] == 1.0
    assert math.isnan(shown[1])
    assert math.isnan(shown[2])
    learner.run()
    assert learner.episode_return > 5
    assert float(learner.loss) > 0
    assert learner.loss.grad_fn is None


def test_torch_gets_its_settings_back():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = logged(lambda learner: (torch.get_num_threads(), float(torch.tensor(1e-39) * 1)))
        assert set(seen) == {(1, 0.0)}
        assert torch.get_num_threads() == 2
        assert float(torch.tensor(1e-39) * 1) > 0
    finally:
        torch.set_num_threads(before)


def test_a_hook_is_replaced_without_a_copy_of_the_algorithm():
    class Zero(Callback):
        def on_target(self, _replace=True):
            self.loop.targets = torch.zeros(16)

    learner = small(cbs=[Zero()], learning_rate=3e-2, target_every_env_steps=10_000).run()
    assert float(learner.loss) < 1e-2


def test_two_learners_do_not_disturb_each_other():
    alone = parameters(small().run())
    first, second = small(), small(seed=9)
    for number in range(3):
        first.run(times=4)
        second.run(times=2)
        assert number == 2 or first.env_steps < 600
    assert same(alone, parameters(first))


def test_several_environments_side_by_side():
    learner = small(num_envs=4).run()
    assert 600 <= learner.env_steps < 604


def test_learning_which_button_belongs_to_which_lamp():
    for seed in range(2):
        assert dqn_of_lamps(seed=seed).run().evaluate(20).mean() > 95  # of 100; by chance 25


# --- states -------------------------------------------------------------------------------------------------


def test_a_state_but_for_the_memory_is_not_changed_by_what_comes_after():
    learner = small().run(times=6)
    state = learner.state_dict()
    del state["memory"]
    kept = copy.deepcopy(state)
    learner.run()

    def flat(value):
        if isinstance(value, dict):
            return list(itertools.chain.from_iterable(flat(member) for member in value.values()))
        if isinstance(value, list | tuple):
            return list(itertools.chain.from_iterable(flat(member) for member in value))
        return [value]

    for mine, others in zip(flat(state), flat(kept), strict=True):
        np.testing.assert_array_equal(mine, others)


def test_unsaved_environments_end_their_episodes_as_truncated():
    register()
    learner = small(env_id="LooptreePhysics-v0", num_envs=2).run(times=5)
    loaded = small(env_id="LooptreePhysics-v0", num_envs=2)
    assert loaded.inexact == ()
    with pytest.warns(EnvironmentNotSaved):
        loaded.load_state_dict(learner.state_dict())
    assert loaded.inexact == (
        "The episodes under way count as truncated, and new ones begin: Physics.engine (Engine) is no plain data.",
        "Evaluations are made in new environments: Physics.engine (Engine) is no plain data.",
    )
    latest = loaded.memory.read(torch.tensor([248, 249]))
    loaded.run(times=1)
    assert (loaded.memory.next_slots[[248, 249]] >= 300).all()
    assert same(latest, loaded.memory.read(torch.tensor([248, 249])))
    assert loaded.run().env_steps == 600


def test_the_state_of_another_run_is_refused():
    state = small().state_dict()
    with pytest.raises(StateMismatch) as error:
        small(hidden_sizes=(8,)).load_state_dict(state)
    assert str(error.value) == (
        "The state has 'head.linears.0.weight' in shape (16, 4), this QNetwork in shape (8, 4); "
        "make it as in the run that was saved."
    )
    with pytest.raises(StateMismatch) as error:
        small(hidden_sizes=(16, 16)).load_state_dict(state)
    assert "'trunk.0.weight' not, this QNetwork in shape (16, 4);" in str(error.value)
    with pytest.raises(StateMismatch) as error:
        small(hidden_sizes=()).load_state_dict(state)
    with pytest.raises(StateMismatch):
        small(replay_capacity=400).load_state_dict(state)
    with pytest.raises(StateMismatch):
        small(env_id="Acrobot-v1").load_state_dict(small().run(times=1).state_dict())


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"total_env_steps": -5}, "DQNSettings(total_env_steps=-5): a whole number of 1 or more would fit."),
        ({"total_env_steps": 0}, "DQNSettings(total_env_steps=0): a whole number of 1 or more would fit."),
        ({"batch_size": 2.5}, "DQNSettings(batch_size=2.5): a whole number would fit."),
        (
            {"learning_starts_env_steps": -1},
            "DQNSettings(learning_starts_env_steps=-1): a whole number of 0 or more would fit.",
        ),
        ({"hidden_sizes": (8, 0)}, "DQNSettings(hidden_sizes=(8, 0)): 1 unit or more a layer would fit."),
        ({"learning_rate": 0.0}, "DQNSettings(learning_rate=0.0): a number above 0 would fit."),
        ({"max_gradient_norm": -1.0}, "DQNSettings(max_gradient_norm=-1.0): a number above 0 would fit."),
        ({"gamma": 1.5}, "DQNSettings(gamma=1.5): a number from 0 to 1 would fit."),
        ({"epsilon_start": 2.0}, "DQNSettings(epsilon_start=2.0): a number from 0 to 1 would fit."),
        ({"epsilon_end": -0.1}, "DQNSettings(epsilon_end=-0.1): a number from 0 to 1 would fit."),
        ({"epsilon_fraction": 0.0}, "DQNSettings(epsilon_fraction=0.0): a number above 0 and up to 1 would fit."),
        (
            {"epsilon_start": 0.1, "epsilon_end": 0.2},
            "DQNSettings(epsilon_end=0.2, epsilon_start=0.1): these contradict each other; "
            "epsilon_end <= epsilon_start would fit.",
        ),
        (
            {"total_env_steps": 100, "learning_starts_env_steps": 100},
            "DQNSettings(learning_starts_env_steps=100, total_env_steps=100): these contradict each other; "
            "learning_starts_env_steps < total_env_steps would fit.",
        ),
        (
            {"batch_size": 64, "replay_capacity": 50},
            "DQNSettings(batch_size=64, replay_capacity=50): these contradict each other; "
            "batch_size <= replay_capacity would fit.",
        ),
        (
            {"env_steps_per_pass": 200, "evaluate_every_env_steps": 100},
            "DQNSettings(env_steps_per_pass=200, evaluate_every_env_steps=100): these contradict each other; "
            "env_steps_per_pass <= evaluate_every_env_steps would fit.",
        ),
    ],
)
def test_settings_that_cannot_be(given, message):
    with pytest.raises(BadSetting) as error:
        DQNSettings(**given)
    assert str(error.value) == message
