import gymnasium
import numpy as np
import pytest
import torch

from looptree.core.errors import BadSetting
from looptree.rl.errors import EmptyMemory
from looptree.rl.memory import ReplayBuffer
from looptree.rl.seeding import stream
from looptree.rl.transition import Transition
from looptree.rl.variants.prioritized import Prioritized, importance_weights

ONE_NUMBER = gymnasium.spaces.Box(-1e6, 1e6, (1,), np.float32)


class Plugged:
    """Enough of an update, and of the learner above it, for Prioritized to stand in."""

    name = "update"
    env_steps, total_env_steps = 0, 100

    def __init__(self, capacity=100, batch_size=10):
        self.memory = ReplayBuffer(capacity, ONE_NUMBER, gymnasium.spaces.Discrete(2), stream(0))
        self.batch_size = batch_size
        self.learner = self

    def add(self, *numbers):
        no = np.array([False])
        for number in numbers:
            here, there = np.full((1, 1), number), np.full((1, 1), number + 1)
            self.memory.add(Transition(here, no * 1, no * 1.0, no, no, there, ~no))


def plugged(callback, **given):
    update = Plugged(**given)
    callback.loop = callback.parent = update
    return update


def learn(callback, update, rows, errors):
    """As if `rows` had been drawn, and found to be wrong by `errors`."""
    update.rows = torch.tensor(rows)
    update.errors = update.losses = torch.tensor(errors)
    update.slopes = torch.zeros(len(rows), 2)
    callback.weights = torch.ones(len(rows))
    callback.after_loss()


def test_rows_are_drawn_in_proportion_to_their_priority():
    callback = Prioritized(alpha=0.5, least_error=1e-9)
    update = plugged(callback, batch_size=8)
    update.add(*range(6))
    callback.before_sample()
    errors = np.array([1.0, 4.0, 9.0, 0.25, 16.0, 1e-4])
    learn(callback, update, list(range(6)), errors.tolist())
    counts = np.zeros(6)
    # Batches of one, for the rows of a batch are not independent of each other.
    update.batch_size = 1
    for _ in range(20_000):
        callback.before_sample()
        counts[update.rows[0]] += 1
    expected = 20_000 * np.sqrt(errors) / np.sqrt(errors).sum()
    assert ((counts - expected) ** 2 / expected).sum() < 20.5  # chi-square, 5 degrees of freedom: 999 times of 1000


def test_a_batch_has_one_row_of_each_share():
    callback = Prioritized(alpha=1.0, least_error=1e-9)
    update = plugged(callback, batch_size=4)
    update.add(*range(4))
    callback.before_sample()
    assert sorted(update.rows.tolist()) == [0, 1, 2, 3]
    learn(callback, update, [0, 1, 2, 3], [3.0, 1.0, 1.0, 3.0])
    for _ in range(20):
        callback.before_sample()
        assert update.rows[0] == 0
        assert update.rows[3] == 3


def test_without_alpha_all_rows_are_alike():
    callback = Prioritized(alpha=0.0)
    update = plugged(callback, batch_size=5)
    update.add(*range(5))
    callback.before_sample()
    learn(callback, update, [0, 1, 2, 3, 4], [1.0, 100.0, 0.0, 5.0, 3.0])
    callback.before_sample()
    assert update.rows.tolist() == [0, 1, 2, 3, 4]
    assert callback.weights.tolist() == [1.0] * 5


def test_weights_of_known_numbers():
    # drawn with probabilities 1/2 and 1/8 of 4 rows, which is 2 times and half as often as equally
    weights = importance_weights(np.array([4.0, 1.0]), 8.0, 4, 1.0)
    assert weights.tolist() == [0.25, 1.0]
    assert importance_weights(np.array([4.0, 1.0]), 8.0, 4, 0.5).tolist() == [0.5, 1.0]
    assert importance_weights(np.array([4.0, 1.0]), 8.0, 4, 0.0).tolist() == [1.0, 1.0]


def test_weighted_fully_the_batch_means_what_an_equal_one_would():
    callback = Prioritized(alpha=1.0, beta=1.0)
    update = plugged(callback, batch_size=1_000)
    update.add(*range(5))
    callback.before_sample()
    learn(callback, update, list(range(5)), [1.0, 2.0, 3.0, 4.0, 10.0])
    callback.before_sample()
    losses = torch.tensor([5.0, 1.0, 7.0, 2.0, 3.0])[update.rows]
    weighted = (callback.weights * losses).sum() / callback.weights.sum()
    assert weighted.item() == pytest.approx(18 / 5, abs=0.02)


def test_beta_grows_to_one():
    callback = Prioritized(beta=0.4)
    update = plugged(callback)
    seen = []
    for update.env_steps in (0, 50, 100, 150):
        seen.append(callback.present_beta)
    assert seen == pytest.approx([0.4, 0.7, 1.0, 1.0])


def test_new_rows_have_the_highest_priority_that_there_has_been():
    callback = Prioritized(alpha=1.0, least_error=1e-9)
    update = plugged(callback, capacity=4)
    update.add(0, 1, 2)
    callback.before_sample()
    assert callback.tree.get(np.arange(4)).tolist() == [1, 1, 1, 0]
    learn(callback, update, [0, 2], [-7.0, 0.5])
    learn(callback, update, [0], [0.25])
    update.add(3, 4)
    callback.before_sample()
    # 4 stands in row 0, over 0
    assert callback.tree.get(np.arange(4)).tolist() == pytest.approx([7, 1, 0.5, 7])
    update.add(*range(5, 14))
    callback.before_sample()
    assert callback.tree.get(np.arange(4)).tolist() == pytest.approx([7] * 4)


def test_the_loss_is_the_weighted_mean():
    callback = Prioritized()
    update = plugged(callback, batch_size=2)
    update.add(0, 1)
    callback.before_sample()
    outputs = torch.tensor([[1.0, 5.0], [7.0, 2.0]], requires_grad=True)
    update.losses = torch.stack([outputs[0, 0] * 2, outputs[1, 1] * 2])
    (update.slopes,) = torch.autograd.grad(update.losses.sum(), outputs, retain_graph=True)
    update.errors = torch.tensor([1.0, 1.0])
    callback.weights = torch.tensor([0.5, 1.0])
    callback.after_loss()
    assert update.loss.item() == 2.5
    update.loss.backward()
    torch.testing.assert_close(update.slopes, outputs.grad)


def test_settings_and_memories_that_do_not_fit():
    for given, message in (
        ({"alpha": 1.5}, "Prioritized(alpha=1.5): a number from 0 to 1 would fit."),
        ({"alpha": "1"}, "Prioritized(alpha='1'): a number from 0 to 1 would fit."),
        ({"beta": -1}, "Prioritized(beta=-1): a number from 0 to 1 would fit."),
        ({"least_error": 0}, "Prioritized(least_error=0): a finite number above 0 would fit."),
        ({"least_error": "1"}, "Prioritized(least_error='1'): a finite number above 0 would fit."),
        ({"least_error": float("inf")}, "Prioritized(least_error=inf): a finite number above 0 would fit."),
    ):
        with pytest.raises(BadSetting) as error:
            Prioritized(**given)
        assert str(error.value) == message
    callback = Prioritized()
    plugged(callback)
    with pytest.raises(EmptyMemory):
        callback.before_sample()
