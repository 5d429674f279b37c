import copy

import gymnasium
import numpy as np
import pytest

from looptree import BindingError, Loop
from looptree.rl.agent import Agent, EpsilonGreedy, RandomAgent
from looptree.rl.encoders import Numbers
from looptree.rl.networks import Network
from looptree.rl.q_network import QDesign
from looptree.rl.seeding import stream
from looptree.rl.source import GymSource
from tests.rl.plain import assert_plain


class Fixed(Network):
    """Says the same of every observation."""

    def predict(self, observation):
        return np.tile(np.array([0.0, 2.0, 2.0, -1.0], np.float32), (len(observation), 1))


class Board(Loop):
    """Stands in for a learner: it calls a source in both phases, and has an epsilon."""

    phases = ("train", "valid")

    def __init__(self, epsilon, agent, num_envs=50, times=20):
        self.epsilon = epsilon
        self.taken = {"train": [], "valid": []}
        environments = gymnasium.vector.SyncVectorEnv([lambda: Four() for _ in range(num_envs)])
        super().__init__(GymSource(environments, agent=agent, call_on="on_play", times=times, name="source"))

    def on_play(self):
        pass

    def after_play(self):
        self.taken[self.phase].append(self.source.transition.action)


class Four(gymnasium.Env):
    """Nothing ever happens; there are four actions."""

    observation_space = gymnasium.spaces.Box(0, 1, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, False, {}


def explorer(seed=0):
    return EpsilonGreedy(4, stream(seed, "exploration"))


def taken(epsilon, phase, runs=20, seed=0):
    board = Board(epsilon, Agent(Fixed(), explorer(seed)), times=1)
    board.run(times=runs)
    return np.concatenate(board.taken[phase])


def test_the_first_of_the_best_actions_is_taken():
    assert set(taken(0.0, "train")) == {1}


def test_exploration_takes_any_action_as_often_as_epsilon_says():
    counts = np.bincount(taken(0.4, "train", runs=200), minlength=4) / 10_000
    np.testing.assert_allclose(counts, [0.1, 0.7, 0.1, 0.1], atol=0.015)
    counts = np.bincount(taken(1.0, "train", runs=200), minlength=4) / 10_000
    np.testing.assert_allclose(counts, [0.25] * 4, atol=0.02)


def test_nothing_is_explored_outside_the_train_phase():
    assert set(taken(1.0, "valid")) == {1}


def test_exploration_repeats_with_its_seed_and_from_its_state():
    np.testing.assert_array_equal(taken(0.5, "train", seed=1), taken(0.5, "train", seed=1))
    assert (taken(0.5, "train", seed=1) != taken(0.5, "train", seed=2)).any()
    saved, loaded = explorer(1), explorer(2)
    saved.generator.random(7)
    assert_plain(saved.state_dict())
    loaded.load_state_dict(saved.state_dict())
    assert saved.generator.random() == loaded.generator.random()


def test_an_epsilon_that_is_changed_counts_from_the_next_step():
    board = Board(1.0, Agent(Fixed(), explorer()), times=1)
    board.run(times=5)
    board.epsilon = 0.0
    board.run(times=5)
    assert len(set(np.concatenate(board.taken["train"][:5]))) == 4
    assert set(np.concatenate(board.taken["train"][5:])) == {1}


def test_exploration_needs_a_train_phase():
    with pytest.raises(BindingError) as error:
        GymSource("CartPole-v1", agent=Agent(Fixed(), explorer())).run(times=1)
    assert "EpsilonGreedy.after_select runs in phase 'train', which does not exist there." in str(error.value)


def test_the_network_is_the_very_one_that_was_given():
    network = QDesign(stream(0)).network(Numbers([4]), (8,), 2)
    agent = Agent(network)
    source = GymSource("CartPole-v1", 3, agent, times=2).run()
    assert source.agent is agent
    assert agent.network is network
    assert (source.transition.action == agent.values.argmax(1)).all()
    twin = copy.deepcopy(source)
    assert twin.agent.network is not network


def test_without_an_agent_actions_are_drawn_from_the_space():
    source = GymSource("CartPole-v1", 500, times=1).run()
    assert 200 < source.action.sum() < 300
    source = GymSource("Pendulum-v1", 500, times=1).run()
    assert source.action.shape == (500, 1)
    assert source.action.min() < -1.9
    assert source.action.max() > 1.9


def test_random_actions_go_on_from_their_state():
    space = gymnasium.spaces.MultiDiscrete([5, 5])
    saved, loaded = (RandomAgent(space, stream(seed)) for seed in range(2))
    for agent in (saved, loaded):
        agent.source = Loop()
    saved.on_select()
    assert_plain(saved.state_dict())
    loaded.load_state_dict(saved.state_dict())
    for agent in (saved, loaded):
        agent.on_select()
    np.testing.assert_array_equal(saved.source.action, loaded.source.action)
    assert space.np_random is not saved.action_space.np_random
