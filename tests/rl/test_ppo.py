import copy
import math

import numpy as np
import pytest
import torch

from looptree import Callback
from looptree.core.errors import BadSetting, StateMismatch
from looptree.rl.algorithms.ppo import (
    PPO,
    PPOSettings,
    approximate_kl,
    clipped_objective,
    normalised,
    value_loss,
)
from looptree.rl.errors import NoGradient
from tests.rl.identities import register
from tests.rl.learners import parameters, same, small_a2c, small_ppo
from tests.rl.learners import small_ppo as small
from tests.rl.losses import AutogradLoss, CompareGradients


class Log(Callback):
    """Notes what a function of the learner gives, after each update."""

    def __init__(self, function):
        self.function = function
        self.seen = []

    def after_update(self, _phase="train"):
        self.seen.append(self.function(self.loop))


def logged(function, **changes):
    log = Log(function)
    small(cbs=[log], **changes).run()
    return log.seen


# --- arithmetic ---------------------------------------------------------------------------------------------


def test_the_clipped_objective_of_known_numbers():
    ratios = torch.tensor([1.0, 1.1, 1.5, 0.5, 1.5, 0.5], dtype=torch.float64)
    advantages = torch.tensor([2.0, 2.0, 2.0, 2.0, -2.0, -2.0], dtype=torch.float64)
    expected = [2.0, 2.2, 2.4, 1.0, -3.0, -1.6]
    assert float(clipped_objective(ratios.log(), advantages, 0.2)[0]) == pytest.approx(sum(expected) / 6)
    unclipped = float((ratios * advantages).mean())
    assert float(clipped_objective(ratios.log(), advantages, math.inf)[0]) == pytest.approx(unclipped)


def test_the_slopes_of_the_clipped_objective_are_its_finite_differences():
    random = torch.Generator().manual_seed(0)
    log_ratio = (0.3 * torch.randn(200, generator=random, dtype=torch.float64)).requires_grad_()
    advantages = torch.randn(200, generator=random, dtype=torch.float64)
    objective, slopes = clipped_objective(log_ratio, advantages, 0.2)
    (gradient,) = torch.autograd.grad(objective, log_ratio)
    torch.testing.assert_close(slopes, gradient)
    step = 1e-6
    for row in range(200):
        shift = torch.zeros(200, dtype=torch.float64)
        shift[row] = step
        up, down = (clipped_objective(log_ratio.detach() + way * shift, advantages, 0.2)[0] for way in (1, -1))
        assert float(gradient[row]) == pytest.approx(float((up - down) / (2 * step)), abs=1e-7)
    ratio = log_ratio.detach().exp()
    pushed_further = ((ratio > 1.2) & (advantages > 0)) | ((ratio < 0.8) & (advantages < 0))
    assert 10 < int(pushed_further.sum()) < 100
    assert ((gradient == 0) == pushed_further).all()


def test_the_value_loss_of_known_numbers():
    values = torch.tensor([1.0, 5.0, 5.0])
    targets, old = torch.tensor([3.0, 4.0, 9.0]), torch.tensor([1.0, 2.0, 4.5])
    assert float(value_loss(values, targets, old, math.inf)[0]) == pytest.approx((4 + 1 + 16) / 3)
    # 5 would have been 3 and 4.8 within 0.3 and 1 of where it was; the larger of two errors counts.
    assert float(value_loss(values, targets, old, 1.0)[0]) == pytest.approx((4 + 1 + 16) / 3)
    assert float(value_loss(values, targets, old, 0.3)[0]) == pytest.approx((4 + 1.7**2 + 4.2**2) / 3)


def test_the_slopes_of_the_value_loss_are_its_finite_differences():
    random = torch.Generator().manual_seed(0)
    values, targets, old = torch.randn(3, 100, generator=random, dtype=torch.float64)
    values.requires_grad_()
    for clip_range in (0.4, math.inf):
        loss, slopes = value_loss(values, targets, old, clip_range)
        (gradient,) = torch.autograd.grad(loss, values)
        torch.testing.assert_close(slopes, gradient)
        assert (slopes == 0).any() == (clip_range == 0.4)
        for row in range(100):
            shift = torch.zeros(100, dtype=torch.float64)
            shift[row] = 1e-6
            up, down = (value_loss(values.detach() + way * shift, targets, old, clip_range)[0] for way in (1, -1))
            assert float(gradient[row]) == pytest.approx(float((up - down) / 2e-6), abs=1e-7)


def test_the_estimated_divergence_is_near_the_true_one_and_never_negative():
    old, new = torch.tensor([0.2, 0.5, 0.3]).log(), torch.tensor([0.25, 0.4, 0.35]).log()
    actions = torch.from_numpy(np.random.default_rng(0).choice(3, 50_000, p=[0.2, 0.5, 0.3]))
    true = float((old.exp() * (old - new)).sum())
    assert float(approximate_kl((new - old)[actions])) == pytest.approx(true, rel=0.05)
    assert float(approximate_kl(torch.tensor([-0.3]))) > 0


def test_advantages_are_brought_to_mean_0_and_deviation_1():
    given = 5 + 3 * torch.randn(64, generator=torch.Generator().manual_seed(0))
    result = normalised(given)
    torch.testing.assert_close(result, (given - given.mean()) / given.std(correction=0), rtol=1e-4, atol=1e-5)
    assert normalised(torch.tensor([3.0, 3.0])).tolist() == [0.0, 0.0]
    assert normalised(torch.tensor([3.0])).tolist() == [3.0]
    torch.testing.assert_close(normalised(torch.tensor([1e-6, 3e-6])), torch.tensor([-1.0, 1.0]), rtol=1e-3, atol=0)


# --- the loop -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("changes", [{"target_kl": 0.01}, {"normalise_rewards": False}])
def test_no_setting_leads_to_findings(changes):
    assert small(**changes).check(strict=True) == ()


def test_the_shape_of_the_tree():
    learner = small()
    assert learner.source.agent.network is learner.network
    assert learner.valid_source.agent.network is learner.network
    assert learner.valid_source.environments is not learner.source.environments
    held = {id(parameter) for parameter in learner.flat.parameters}
    assert held == {id(parameter) for parameter in learner.network.parameters()}
    assert learner.update.minibatch.optimizer.param_groups[0]["params"] == [learner.flat.vector]
    train, valid = learner.plan.phases
    assert [(train.name, train.every), (valid.name, valid.every)] == [("train", 1), ("valid", 3)]
    update = next(loop for loop in learner.plan.walk() if loop.name == "update")
    minibatch = next(loop for loop in learner.plan.walk() if loop.name == "minibatch")
    assert [event.name for event in update.phases[0].events] == ["shuffle", "learn"]
    assert [event.name for event in minibatch.phases[0].events] == ["sample", "target", "loss", "step"]


def test_a_rollout_is_gone_over_in_equal_minibatches():
    class Sizes(Callback):
        def __init__(self):
            self.seen = []

        def after_shuffle(self, _phase="train"):
            self.seen.append([len(batch.value) for batch in self.loop.minibatches])

    sizes = Sizes()
    learner = small(env_id="Acrobot-v1", cbs=[sizes]).run()  # of 48 steps in minibatches of 16
    assert sizes.seen == [[16, 16, 16]] * 20
    assert learner.gradient_steps == learner.update.minibatch.count == 60
    assert learner.update.count == 20
    uneven = Sizes()
    small(env_id="Acrobot-v1", cbs=[uneven], batch_size=20, total_env_steps=96).run()
    assert uneven.seen == [[16, 16, 16]] * 4
    larger = Sizes()
    small(env_id="Acrobot-v1", cbs=[larger], batch_size=47, total_env_steps=48).run()
    assert larger.seen == [[24, 24]] * 2


def test_each_epoch_goes_over_every_step_once_in_another_order():
    class Orders(Callback):
        def __init__(self):
            self.seen = []

        def after_shuffle(self, _phase="train"):
            self.seen.append(torch.cat([batch.advantage for batch in self.loop.minibatches]))

    orders = Orders()
    learner = small(cbs=[orders]).run(times=1)
    first, second = orders.seen
    assert not torch.equal(first, second)
    for order in (first, second):
        assert torch.equal(order.sort().values, learner.experience.advantage.sort().values)


def test_what_is_noted_of_a_rollout_is_what_the_network_said():
    learner = small(learning_rate=1e-12, env_id="Pendulum-v1")
    learner.run(times=2)
    batch = learner.experience
    outputs, values = learner.network(batch.observation)
    # The network has hardly changed, but what it knows of observations has since: it learnt of them afterwards.
    assert batch.value.shape == batch.log_prob.shape == (48,)
    assert batch.action.shape == (48, 1)
    assert not torch.allclose(values, batch.value, atol=1e-4)
    plain = small(learning_rate=1e-12, env_id="Pendulum-v1", normalise_observations=False).run(times=2)
    batch = plain.experience
    outputs, values = plain.network(batch.observation)
    torch.testing.assert_close(values.detach(), batch.value, rtol=1e-4, atol=1e-5)
    log_prob = plain.network.policy.log_prob(outputs, batch.action).detach()
    torch.testing.assert_close(log_prob, batch.log_prob, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("vectorization", ["native", "sync"])
def test_rows_of_a_reset_are_neither_learnt_from_nor_counted(vectorization):
    class Rows(Callback):
        def __init__(self):
            self.real = 0
            self.stored = 0

        def after_update(self, _phase="train"):
            learner = self.loop
            self.real += int(learner.memory.real.sum())
            self.stored += learner.memory.real.size
            assert len(learner.experience.value) == int(learner.memory.real.sum())
            assert len(learner.experience.observation) == len(learner.experience.value)
            dead = ~learner.memory.real
            assert (learner.memory.reward[dead] == 0).all()

    rows = Rows()
    learner = small(cbs=rows, normalise_rewards=False, vectorization=vectorization).run()
    assert rows.real == learner.env_steps
    assert (rows.stored > rows.real) == (vectorization == "native")
    assert float(learner.network.normaliser.count) == rows.real
    assert learner.env_steps in (480, 481, 482)


def test_the_last_pass_makes_only_what_is_left():
    learner = small(env_id="Acrobot-v1", total_env_steps=60).run()
    assert learner.env_steps == 60
    assert learner.count == 2
    assert len(learner.experience.value) == 12
    learner.run()
    assert learner.ended == "ran no items: there were none"


def test_step_size_and_clip_range_go_down_to_nothing():
    seen = logged(
        lambda learner: (
            learner.env_steps,
            learner.learning_rate,
            learner.update.minibatch.optimizer.param_groups[0]["lr"],
            learner.clip_range,
        ),
        env_id="Acrobot-v1",
    )
    for steps, learning_rate, used, clip_range in seen:
        left = 1 - (steps - 48) / 480
        assert learning_rate == used == pytest.approx(1e-3 * left)
        assert clip_range == pytest.approx(0.2 * left)
    constant = logged(
        lambda learner: (learner.learning_rate, learner.clip_range),
        **dict.fromkeys(("anneal_learning_rate", "anneal_clip_range"), False),
    )
    assert set(constant) == {(1e-3, 0.2)}


def test_an_update_ends_where_the_policy_has_gone_far_enough():
    def ending(learner):
        return learner.update.index + 1, approximate_kl(learner.update.minibatch.log_ratio) > 0.02, learner.update.ended

    stopped = 0
    for epochs, far_enough, ended in logged(ending, epochs=30, learning_rate=0.05, target_kl=0.02):
        if far_enough:
            assert ended.startswith("stopped by TargetKL.after_learn: a divergence of 0.")
            stopped += epochs < 30
        else:
            assert (epochs, ended) == (30, "ran all 30 items")
    assert stopped > 3
    assert {epochs for epochs, *_ in logged(ending, epochs=5, learning_rate=0.05)} == {5}


def test_evaluation_takes_the_likeliest_action_and_changes_no_statistics():
    class Looker(Callback):
        def __init__(self):
            self.likeliest = []
            self.counts = set()

        def after_step(self):
            agent = self.loop.agent
            self.likeliest.append((self.loop.transition.action == agent.outputs.argmax(1)).all())
            self.counts.add(float(agent.network.normaliser.count))

    train, valid = Looker(), Looker()
    learner = small()
    learner.source.add_cb(train)
    learner.valid_source.add_cb(valid)
    learner.run()
    assert all(valid.likeliest)
    assert len(valid.likeliest) > 20
    assert not all(train.likeliest)
    statistics = {name: values for name, values in learner.best_state.items() if name.startswith("normaliser")}
    assert float(statistics["normaliser.count"]) in valid.counts
    before = copy.deepcopy(learner.network.normaliser.state_dict()), learner.normalise_rewards.state_dict()
    learner.run(phases="valid")
    learner.evaluate(3)
    for name, values in learner.network.normaliser.state_dict().items():
        assert torch.equal(values, before[0][name])
    np.testing.assert_equal(learner.normalise_rewards.state_dict(), before[1])


def test_what_a_progress_bar_shows_is_there_from_the_start():
    learner = small()
    assert learner.env_steps == learner.gradient_steps == 0
    assert math.isnan(float(learner.loss))
    learner.run()
    assert math.isfinite(float(learner.loss))
    assert learner.loss.grad_fn is None


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "LooptreeOptions-v0", "LooptreePoint-v0"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"value_clip_range": 0.05, "entropy_coefficient": 0.1, "learning_rate": 0.02, "value_coefficient": 2.0},
        {"normalise_observations": False, "hidden_sizes": (8, 8)},
    ],
)
def test_each_step_goes_down_the_gradient_of_the_loss(env_id, changes):
    register()
    compare = CompareGradients()
    learner = small(env_id=env_id, max_gradient_norm=math.inf, total_env_steps=240, **changes)
    learner.update.minibatch.add_cb(compare)
    learner.run()
    assert compare.compared == learner.gradient_steps >= 24


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1"])
def test_a_loss_with_a_graph_is_differentiated_by_it(env_id):
    by_hand = small(env_id=env_id, entropy_coefficient=0.1).run(times=1)
    by_graph = small(env_id=env_id, entropy_coefficient=0.1, cbs=[AutogradLoss()]).run(times=1)
    assert by_graph.gradient_steps == by_hand.gradient_steps
    for mine, others in zip(parameters(by_hand), parameters(by_graph), strict=True):
        torch.testing.assert_close(mine, others, rtol=1e-3, atol=1e-5)


def test_a_loss_without_a_graph_and_without_slopes_is_refused():
    class Number(Callback):
        def on_loss(self, _replace=True, _every=2):
            self.learner.loss = torch.tensor(1.0)

    learner = small(cbs=[Number()])
    with pytest.raises(NoGradient) as error:
        learner.run()
    assert learner.gradient_steps == 1
    assert str(error.value) == (
        "The loss of ppo cannot be differentiated: it has no graph, and minibatch has no slopes of it. Ask the network "
        "itself, self.learner.network(self.loop.batch.observation), and work the loss out of what it says, in place of "
        "'on_loss' (_replace=True)."
    )


def test_a_hook_is_replaced_without_a_copy_of_the_algorithm():
    class Still(Callback):
        def on_loss(self, _replace=True):
            self.learner.loss = sum(0.0 * parameter.sum() for parameter in self.learner.network.parameters())

    learner = small(cbs=[Still()])
    before = parameters(learner)
    assert same(before, parameters(learner.run()))


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("make", [small_a2c, small_ppo])
def test_a_rollout_in_which_environments_only_reset_themselves_is_not_learnt_from(make):
    class Real(Callback):
        """Counts the rollouts with a real step, and those without."""

        def __init__(self):
            self.rollouts = [0, 0]

        def after_collect(self, _phase="train"):
            self.rollouts[int(self.loop.memory.real.any())] += 1

    changes = {"target_kl": 0.1, "epochs": 2} if make is small_ppo else {}
    learner = make(
        env_id="CartPole-v1",
        cbs=[real := Real()],
        num_envs=1,
        vectorization="native",  # a step late
        steps_per_rollout=1,
        total_env_steps=150,
        normalise_observations=True,
        normalise_rewards=True,
        **changes,
    ).run()
    without, with_one = real.rollouts
    assert without >= 3 and with_one == learner.env_steps == 150
    assert with_one <= learner.gradient_steps <= 2 * with_one
    assert float(learner.network.normaliser.count) == learner.normalise_rewards.count == 150
    assert math.isfinite(float(learner.loss))


# --- learning -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "steps", "least"),
    [("Option", 1500, 45), ("Options", 3000, 45), ("Bits", 3000, 45), ("Point", 4000, 40), ("Distance", 4000, 45)],
)
def test_repeating_what_is_shown(name, steps, least):
    register()
    settings = PPOSettings(
        total_env_steps=steps,
        num_envs=4,
        steps_per_rollout=64,
        epochs=6,
        hidden_sizes=(32,),
        learning_rate=5e-3,
        gamma=0.4,
        initial_log_std=-0.7,
        evaluate_every_env_steps=100_000,
    )
    for seed in range(2):
        learner = PPO(f"Looptree{name}-v0", settings, seed=seed).run()
        assert learner.evaluate(20).mean() > least  # of 50


# --- states -------------------------------------------------------------------------------------------------


def test_unsaved_environments_begin_new_episodes():
    learner = small(env_id="Acrobot-v1").run(times=3)
    state = learner.state_dict()
    before = learner.normalise_rewards.sums
    assert before.any()
    state["loops"]["source"] |= {"environments": None, "why_not_environments": "they have an engine inside"}
    loaded = small(env_id="Acrobot-v1")
    loaded.load_state_dict(state)
    assert loaded.source.restarted == "they have an engine inside"
    assert loaded.normalise_rewards.count == 144
    loaded.run(times=1)
    # Every step of Acrobot but the last is worth -1, and no episode ends as soon: the sums are those of 16 steps.
    np.testing.assert_allclose(loaded.normalise_rewards.sums, -(1 - 0.99**16) / (1 - 0.99))
    assert (before < loaded.normalise_rewards.sums).all()
    assert loaded.run().env_steps == 480


def test_the_state_of_another_run_is_refused():
    state = small().state_dict()
    with pytest.raises(StateMismatch):
        small(hidden_sizes=(8,)).load_state_dict(state)
    with pytest.raises(StateMismatch):
        small(normalise_rewards=False).load_state_dict(state)


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"total_env_steps": 0}, "PPOSettings(total_env_steps=0): a whole number of 1 or more would fit."),
        ({"epochs": 1.5}, "PPOSettings(epochs=1.5): a whole number would fit."),
        ({"batch_size": 0}, "PPOSettings(batch_size=0): a whole number of 1 or more would fit."),
        ({"hidden_sizes": (0,)}, "PPOSettings(hidden_sizes=(0,)): 1 unit or more a layer would fit."),
        ({"learning_rate": 0.0}, "PPOSettings(learning_rate=0.0): a number above 0 would fit."),
        ({"clip_range": -0.2}, "PPOSettings(clip_range=-0.2): a number above 0 would fit."),
        ({"value_clip_range": 0}, "PPOSettings(value_clip_range=0.0): a number above 0 would fit."),
        ({"target_kl": 0.0}, "PPOSettings(target_kl=0.0): a number above 0 would fit."),
        ({"entropy_coefficient": -1.0}, "PPOSettings(entropy_coefficient=-1.0): a number of 0 or more would fit."),
        ({"gae_lambda": 1.1}, "PPOSettings(gae_lambda=1.1): a number from 0 to 1 would fit."),
        ({"gamma": -0.1}, "PPOSettings(gamma=-0.1): a number from 0 to 1 would fit."),
        (
            {"clip_range": math.inf, "anneal_clip_range": True},
            "PPOSettings(clip_range=inf): with anneal_clip_range, a finite number would fit.",
        ),
    ],
)
def test_settings_that_cannot_be(given, message):
    with pytest.raises(BadSetting) as error:
        PPOSettings(**given)
    assert str(error.value) == message
