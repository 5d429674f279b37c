import math

import pytest
import torch

from looptree import Callback
from looptree.core.errors import BadSetting
from looptree.rl.algorithms.a2c import A2C, A2CSettings, PolicyGradient, policy_gradient_objective
from looptree.rl.algorithms.ppo import PPO, clipped_objective
from tests.rl.identities import register
from tests.rl.learners import SMALL_A2C, parameters, same
from tests.rl.learners import small_a2c as small
from tests.rl.losses import CompareGradients

# --- arithmetic ---------------------------------------------------------------------------------------------


def test_the_objective_of_known_numbers_and_its_gradient():
    log_prob = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantages = torch.tensor([2.0, -1.0, 4.0])
    objective, slopes = policy_gradient_objective(log_prob, advantages)
    assert float(objective.detach()) == pytest.approx((-2 + 2 - 2) / 3)
    objective.backward()
    assert slopes.tolist() == log_prob.grad.tolist() == pytest.approx([2 / 3, -1 / 3, 4 / 3])


def test_where_the_policy_has_not_moved_the_gradient_is_that_of_ppo():
    log_prob = torch.randn(20, requires_grad=True, generator=torch.Generator().manual_seed(0))
    advantages = torch.randn(20, generator=torch.Generator().manual_seed(1))
    _, mine = policy_gradient_objective(log_prob, advantages)
    _, others = clipped_objective(log_prob - log_prob.detach(), advantages, math.inf)
    torch.testing.assert_close(mine, others)


# --- the loop -----------------------------------------------------------------------------------------------


def test_it_is_ppos_loop_with_one_other_hook():
    def hooks(learner):
        steps = [step for loop in learner.plan.walk() for step in loop.steps() if hasattr(step, "label")]
        return [(step.label.replace("A2C.", "PPO."), step.replaces) for step in steps]

    learner = small()
    mine, others = hooks(learner), hooks(PPO("Acrobot-v1", SMALL_A2C.as_ppo()))
    assert [label for label, _ in mine if label not in dict(others)] == ["PolicyGradient.on_loss"]
    assert [label for label, _ in others if label not in dict(mine)] == ["Minibatch.on_loss"]
    assert dict(mine)["PolicyGradient.on_loss"].label == "Minibatch.on_loss"
    assert isinstance(learner.policy_gradient, PolicyGradient)
    assert learner.name == "a2c"


def test_a_pass_is_one_gradient_step_on_all_that_was_collected():
    class Rows(Callback):
        def __init__(self):
            self.seen = []

        def after_sample(self, _phase="train"):
            self.seen.append(len(self.loop.batch.value))

    rows = Rows()
    learner = small(cbs=[rows]).run()
    assert rows.seen == [20] * 12
    assert learner.gradient_steps == learner.count == 12


def test_the_first_step_is_that_of_rmsprop_down_the_policy_gradient():
    learner = small(max_gradient_norm=math.inf, learning_rate=0.01)
    before = parameters(learner)
    learner.run(times=1)
    batch = learner.experience
    twin = small(max_gradient_norm=math.inf, learning_rate=0.01)
    assert same(before, twin.network.parameters())
    outputs, values = twin.network(batch.observation)
    log_prob = torch.log_softmax(outputs, 1)[torch.arange(20), batch.action]
    loss = 0.5 * (values - batch.target).square().mean() - (log_prob * batch.advantage).mean()
    gradients = torch.autograd.grad(loss, list(twin.network.parameters()))
    for old, new, gradient in zip(before, learner.network.parameters(), gradients, strict=True):
        expected = old - 0.01 * gradient / ((0.01 * gradient.square()).sqrt() + 1e-5)
        torch.testing.assert_close(new.detach(), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("env_id", ["CartPole-v1", "Pendulum-v1", "LooptreeBits-v0"])
def test_each_step_goes_down_the_gradient_of_the_loss(env_id):
    register()
    compare = CompareGradients(clipped=False)
    changes = {"entropy_coefficient": 0.1, "learning_rate": 0.02, "max_gradient_norm": math.inf}
    learner = small(env_id=env_id, **changes)
    learner.update.minibatch.add_cb(compare)
    learner.run()
    assert compare.compared == learner.gradient_steps >= 12


def test_learning_to_repeat_what_is_shown():
    register()
    settings = A2CSettings(
        total_env_steps=4_000, num_envs=8, hidden_sizes=(32,), learning_rate=4e-3, gamma=0.4, initial_log_std=-0.7
    )
    for name, least in (("Option", 45), ("Bits", 45), ("Point", 35)):
        learner = A2C(f"Looptree{name}-v0", settings).run()
        assert learner.evaluate(20).mean() > least  # of 50


# --- errors -------------------------------------------------------------------------------------------------


def test_settings_that_cannot_be():
    with pytest.raises(BadSetting) as error:
        A2CSettings(steps_per_rollout=0)
    assert str(error.value) == "A2CSettings(steps_per_rollout=0): a whole number of 1 or more would fit."
