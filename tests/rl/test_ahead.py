import copy
import pickle
import threading

import gymnasium
import numpy as np
import pytest
import torch

from looptree import Callback, Cancel
from looptree.rl.ahead import Ahead
from looptree.rl.algorithms.dqn import DQN, DQNSettings, QUpdate
from looptree.rl.encoders import Numbers
from looptree.rl.memory import ReplayBuffer
from looptree.rl.optimizers import Adam
from looptree.rl.q_network import QDesign
from looptree.rl.seeding import stream
from looptree.rl.threads import thread_beside
from looptree.rl.transition import Transition
from looptree.rl.variants.noisy import Noisy

OBSERVATIONS, ACTIONS = gymnasium.spaces.Box(-1, 1, (3,)), gymnasium.spaces.Discrete(2)


def add(memory, steps, seed=0):
    random, yes, no = np.random.default_rng(seed), np.ones(1, np.bool_), np.zeros(1, np.bool_)
    for number in range(steps):
        here, there = random.normal(size=(2, 1, 3)).astype(np.float32)
        memory.add(Transition(here, np.array([number % 2]), np.array([float(number)]), no, yes, there, yes))


def filled(steps=200):
    memory = ReplayBuffer(1_000, OBSERVATIONS, ACTIONS, stream(0))
    add(memory, steps)
    return memory


def network():
    return QDesign(stream(1)).network(Numbers([3]), (8, 8), 2)


def begun(memory, batches, batch_size, alone=True):
    ahead = Ahead()
    ahead.begin(memory, batches, batch_size, alone=alone)
    return ahead


def assert_same_as_one_by_one(ahead, memory, other, target, batch_size):
    """The next minibatch is what would be drawn, read and answered without looking ahead."""
    rows = ahead.draw()
    batch = ahead.read(rows)
    assert torch.equal(rows, other.draw(batch_size))
    for found, expected in zip(batch, other.read(rows), strict=True):
        assert torch.equal(found, expected)
    assert_answered(ahead, target, batch)


def assert_answered(ahead, target, batch):
    for found, expected in zip(ahead.ask(target, batch), target.answer(batch.next_observation), strict=True):
        torch.testing.assert_close(found, expected)


def generators_agree(memory, other):
    return memory.generator.bit_generator.state == other.generator.bit_generator.state


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(("batches", "batch_size"), [(1, 4), (5, 4), (40, 64), (12, 700), (9, 2_000)])
def test_minibatches_are_what_they_would_be_one_by_one(batches, batch_size, alone):
    memory, other, target = filled(), filled(), network()
    ahead = begun(memory, batches, batch_size, alone)
    for _ in range(batches):
        assert_same_as_one_by_one(ahead, memory, other, target, batch_size)
    assert generators_agree(memory, other)
    ahead.end()
    assert generators_agree(memory, other)


def test_the_next_run_goes_on_from_there():
    memory, other, target, ahead = filled(), filled(), network(), Ahead()
    for batches in (20, 0, 3, 20):
        ahead.begin(memory, batches, 8, alone=True)
        for _ in range(batches):
            assert_same_as_one_by_one(ahead, memory, other, target, 8)
        ahead.end()


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("turns", [0, 1, 2, 3, 11, 29])
def test_what_had_no_turn_is_given_back(turns, alone):
    memory, other, target = filled(), filled(), network()
    ahead = begun(memory, 30, 8, alone)
    for _ in range(turns):
        assert_same_as_one_by_one(ahead, memory, other, target, 8)
    ahead.end()
    assert generators_agree(memory, other)


def test_more_can_be_drawn_than_was_announced():
    memory, other, target = filled(), filled(), network()
    ahead = begun(memory, 3, 8)
    for _ in range(6):
        assert_same_as_one_by_one(ahead, memory, other, target, 8)
    ahead.end()


def test_nothing_is_drawn_before_it_is_wanted():
    memory = filled()
    before = memory.generator.bit_generator.state
    ahead = begun(memory, 5, 8)
    rows = torch.tensor([3, 1, 3])
    assert ahead.read(rows).reward.tolist() == [3.0, 1.0, 3.0]
    assert ahead.ask(network(), ahead.read(rows)).outputs.shape == (3, 2)
    assert memory.generator.bit_generator.state == before


def test_rows_and_batches_of_somebody_else_are_dealt_with_too():
    memory, target = filled(), network()
    ahead = begun(memory, 5, 8)
    ahead.read(ahead.draw())
    rows = torch.tensor([3, 1, 3])
    assert ahead.read(rows).reward.tolist() == [3.0, 1.0, 3.0]
    batch = memory.read(rows)
    assert_answered(ahead, target, batch)


def test_a_network_with_noise_is_asked_for_each_minibatch():
    noisy = Noisy()
    target = noisy.into(QDesign(stream(1))).network(Numbers([3]), (8, 8), 2)
    ahead = begun(filled(), 5, 8)
    batch = ahead.read(ahead.draw())
    first = ahead.ask(target, batch).outputs
    with torch.no_grad():
        for parameter in target.parameters():
            parameter += 1
    assert not torch.equal(ahead.ask(target, batch).outputs, first)


# --- where others act ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 3, 7])
@pytest.mark.parametrize("steps", [200, 999])
def test_what_is_added_in_between_can_be_drawn_at_once(every, steps):
    memory, other, target = filled(steps), filled(steps), network()
    ahead = begun(memory, 25, 8, alone=False)
    for number in range(25):
        if number % every == every - 1:
            add(memory, 50, number)
            add(other, 50, number)
        assert_same_as_one_by_one(ahead, memory, other, target, 8)
    ahead.end()
    assert generators_agree(memory, other)


def test_rows_are_read_and_asked_about_as_they_are_then():
    memory, target = filled(1_000), network()
    ahead = begun(memory, 20, 8, alone=False)
    for number in range(20):
        rows = ahead.draw()
        add(memory, 1_000, number)
        batch = ahead.read(rows)
        assert torch.equal(batch.observation, memory.read(rows).observation)
        batch.next_observation.numpy()[...] *= 2.0
        target.trunk[0].weight.data.mul_(0.9)
        assert_answered(ahead, target, batch)


# --- the other thread ---------------------------------------------------------------------------------------


class Failing(Numbers):
    """Fails anywhere but on the main thread."""

    def forward(self, observation):
        if threading.current_thread() is not threading.main_thread():
            raise MemoryError("no room")
        return super().forward(observation)


def torch_settings():
    return torch.get_num_threads(), float(torch.tensor(1e-39) * 1) > 0


@pytest.mark.parametrize("flushes", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_another_thread_calculates_as_this_one_does(threads, flushes):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    torch.set_flush_denormal(flushes)
    try:
        beside = thread_beside()
        torch.set_flush_denormal(False)
        assert beside.submit(torch_settings).result() == (threads, not flushes)
        beside.shutdown()
    finally:
        torch.set_num_threads(before)


def test_an_error_reaches_the_one_who_asks():
    target = QDesign(stream(1)).network(Failing([3]), (8, 8), 2)
    ahead = begun(filled(), 40, 8)
    batches = [ahead.read(ahead.draw())]
    ahead.ask(target, batches[0])
    with pytest.raises(MemoryError, match="no room"):
        for _ in range(39):
            batches.append(ahead.read(ahead.draw()))
            ahead.ask(target, batches[-1])
    assert len(batches) == 3  # the first of the next block could still be read
    ahead.end()


def test_at_the_end_of_a_run_no_thread_is_left():
    before = set(threading.enumerate())
    ahead, target = begun(filled(), 40, 8), network()
    for _ in range(3):
        ahead.ask(target, ahead.read(ahead.draw()))
    assert set(threading.enumerate()) > before
    ahead.end()
    assert set(threading.enumerate()) == before


@pytest.mark.parametrize("made_anew", [copy.deepcopy, lambda ahead: pickle.loads(pickle.dumps(ahead))])
def test_a_copy_in_the_middle_of_a_run_has_runs_of_its_own(made_anew):
    memory, other, target = filled(), filled(), network()
    ahead = begun(filled(), 40, 8)
    for _ in range(3):
        ahead.ask(target, ahead.read(ahead.draw()))
    twin = made_anew(ahead)
    twin.begin(memory, 4, 8, alone=True)
    for _ in range(4):
        assert_same_as_one_by_one(twin, memory, other, target, 8)
    ahead.end()
    twin.end()


# --- in DQN -------------------------------------------------------------------------------------------------

SMALL = DQNSettings(
    total_env_steps=260,
    env_steps_per_pass=20,
    gradient_steps_per_pass=25,
    learning_starts_env_steps=200,
    replay_capacity=210,
    batch_size=8,
    hidden_sizes=(16,),
    learning_rate=1e-3,
    target_every_env_steps=20,
    evaluate_every_env_steps=10_000,
)


class OneByOne(Callback):
    """Draws, reads and asks when it is its turn."""

    def before_sample(self, _replace=True):
        self.loop.rows = self.learner.memory.draw(8)

    def on_sample(self, _replace=True):
        update = self.loop
        update.batch = self.learner.memory.read(update.rows)
        update.discounts = self.learner.gamma * (1 - update.batch.terminated)

    def before_target(self, _replace=True):
        update, target = self.loop, self.learner.target_network
        update.next_outputs = target.ask(update.batch.next_observation)
        update.next_values, update.next_actions = target.values(update.next_outputs).max(1)


class Nothing(Callback):
    """Leaves the update alone."""


def follow(learner):
    """A soft update of the target network."""
    for target, source in zip(learner.target_network.parameters(), learner.network.parameters(), strict=True):
        target.data.lerp_(source.data, 0.01)


class SoftTarget(Callback):
    """Lets the target network follow with every gradient step."""

    def after_step(self):
        follow(self.learner)


class NewTarget(Callback):
    """Puts another target network in the place of the old one in the middle of an update."""

    def after_step(self, _every=10):
        self.learner.target_network = copy.deepcopy(self.learner.network)


class Imagines(Callback):
    """Adds to the memory after each seventh gradient step."""

    def after_step(self, _every=7):
        random, no, yes = np.random.default_rng(self.loop.count), np.zeros(1, np.bool_), np.ones(1, np.bool_)
        here, there = random.normal(size=(2, 1, 4)).astype(np.float32)
        self.learner.memory.add(Transition(here, np.array([1]), np.array([1.0]), no, yes, there, yes))


class Scales(Callback):
    """Changes observations in place."""

    def after_sample(self):
        self.loop.batch.observation.mul_(0.5)
        self.loop.batch.next_observation.mul_(0.5)


class Relabels(Callback):
    """Changes rewards that are stored."""

    def after_step(self):
        self.learner.memory.columns["reward"].numpy()[...] += 0.1


class Leaves(Callback):
    """Leaves each update in the middle."""

    def before_loss(self):
        if self.loop.index == 12:
            raise Cancel("run")


@pytest.mark.parametrize("act", [Nothing, SoftTarget, NewTarget, Imagines, Scales, Relabels, Leaves])
def test_whatever_callbacks_do_it_learns_as_one_by_one(act):
    threads = set(threading.enumerate())
    learners = []
    for plain in ([], [OneByOne()]):
        learner = DQN("CartPole-v1", SMALL, seed=3)
        for callback in (*plain, act()):
            learner.update.add_cb(callback)
        learners.append(learner.run())
        assert set(threading.enumerate()) == threads
    ahead, one_by_one = learners
    assert ahead.gradient_steps == one_by_one.gradient_steps > 0
    assert generators_agree(ahead.memory, one_by_one.memory)
    for found, expected in zip(ahead.network.parameters(), one_by_one.network.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


class SoftUpdate(QUpdate):
    """Lets the target network follow in a hook of its own."""

    def on_step(self):
        super().on_step()
        follow(self.learner)


class SoftAdam(Adam):
    """Lets the target network follow behind everybody's back."""

    def step(self):
        super().step()
        follow(self.learner)


def of_another_class(learner):
    learner.update.__class__ = SoftUpdate
    return learner.run()


def with_another_optimizer(learner):
    learner.update.optimizer.__class__ = SoftAdam
    learner.update.optimizer.learner = learner
    return learner.run()


def without_a_target_network(learner):
    learner.target_network = learner.network
    return learner.run()


def pulled(learner):
    learner.run(times=11)
    learner.update.gradient_steps_per_run = 25
    for _ in learner.update:
        follow(learner)
    return learner


@pytest.mark.parametrize("run", [of_another_class, with_another_optimizer, without_a_target_network, pulled])
def test_whoever_else_may_act_it_learns_as_one_by_one(run):
    ahead, one_by_one = DQN("CartPole-v1", SMALL, seed=3), DQN("CartPole-v1", SMALL, seed=3)
    one_by_one.update.add_cb(OneByOne())
    run(ahead)
    run(one_by_one)
    for found, expected in zip(ahead.network.parameters(), one_by_one.network.parameters(), strict=True):
        torch.testing.assert_close(found, expected)


def test_a_run_that_fails_in_the_middle_leaves_no_thread_and_goes_on():
    threads = set(threading.enumerate())
    learner = DQN("CartPole-v1", SMALL, seed=3)
    answer = learner.target_network.answer

    def fails_elsewhere(observation):
        if threading.current_thread() is not threading.main_thread():
            raise ZeroDivisionError("elsewhere")
        return answer(observation)

    learner.target_network.answer = fails_elsewhere
    with pytest.raises(ZeroDivisionError, match="elsewhere"):
        learner.run()
    assert learner.ended == "failed in QUpdate.before_target: ZeroDivisionError: elsewhere"
    assert set(threading.enumerate()) == threads
    learner.target_network.answer = answer
    assert learner.run().gradient_steps > 25


def test_a_run_that_fails_before_the_first_minibatch_fails_for_that_alone():
    class Fails(Callback):
        def before_run(self, _order=-50):
            raise ZeroDivisionError("first")

    learner = DQN("CartPole-v1", SMALL, seed=3)
    learner.update.add_cb(Fails())
    with pytest.raises(ZeroDivisionError) as error:
        learner.run()
    assert not getattr(error.value, "__notes__", [])


def test_a_learner_is_copied_in_the_middle_of_an_update():
    class Copies(Callback):
        def after_step(self, _every=10):
            self.twin = copy.deepcopy(self.learner)

    copies = Copies()
    learner = DQN("CartPole-v1", SMALL, seed=3)
    learner.update.add_cb(copies)
    learner.run()
    assert copies.twin.run().env_steps == 260
