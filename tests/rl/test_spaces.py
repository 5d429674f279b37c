"""What is shown in every kind of observations is learnt to be named, and every kind of actions to name it."""

import copy
import functools
import pickle

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TransformObservation

from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.algorithms.dqn import DQN
from looptree.rl.encoders import NatureCNN
from looptree.rl.memory import ReplayBuffer
from looptree.rl.observations import StackedObservations, WholeObservations
from looptree.rl.packed import as_bytes, fill, kept_type
from looptree.rl.policies import policy_for
from looptree.rl.rollout import Rollout
from looptree.rl.seeding import stream
from looptree.rl.source import GymSource
from looptree.rl.variants.dueling import DuelingHead
from tests.rl.identities import SEEN, register
from tests.rl.toys import Diary, diaries

register()

DQN_SETTINGS = {
    "total_env_steps": 600,
    "env_steps_per_pass": 8,
    "gradient_steps_per_pass": 8,
    "learning_starts_env_steps": 100,
    "replay_capacity": 400,
    "batch_size": 16,
    "hidden_sizes": (32,),
    "learning_rate": 2e-3,
    "gamma": 0.4,
    "target_every_env_steps": 50,
    "epsilon_fraction": 0.3,
    "evaluate_every_env_steps": 300,
    "evaluation_episodes": 2,
}
PPO_SETTINGS = {
    "total_env_steps": 1_500,
    "num_envs": 4,
    "steps_per_rollout": 64,
    "epochs": 6,
    "hidden_sizes": (32,),
    "learning_rate": 5e-3,
    "gamma": 0.4,
    "evaluate_every_env_steps": 100_000,
    "evaluation_episodes": 2,
}
DEEP = {"learning_rate": 1e-3}  # with an image a network is deep, and wants shorter steps


def made(name, kind, seed=0, **changes):
    algorithm = ALGORITHMS[name]
    shared = PPO_SETTINGS if name == "ppo" else DQN_SETTINGS
    deep = DEEP if kind in ("Image", "Entries") else {}
    return algorithm.learner(f"LooptreeSeen{kind}-v0", algorithm.settings(**shared | deep | changes), seed=seed)


@pytest.mark.parametrize("kind", SEEN)
@pytest.mark.parametrize("name", ["dqn", "ppo"])
def test_naming_what_is_shown(name, kind):
    longer = {"total_env_steps": 3_000} if (name, kind) == ("ppo", "Entries") else {}
    assert made(name, kind, **longer).run().evaluate(5).mean() > 45  # of 50; by chance 12.5


def test_variants_see_images_too():
    learner = made("rainbow", "Image", lowest_return=-1.0, highest_return=3.0).run()
    assert isinstance(learner.network.encoder, NatureCNN)
    assert isinstance(learner.network.head, DuelingHead)
    assert learner.evaluate(5).mean() > 45


@pytest.mark.parametrize("name", ["dqn", "ppo"])
@pytest.mark.parametrize(
    ("env_id", "wrappers", "memory"),
    [
        ("LooptreeStacked-v0", (), StackedObservations),
        ("LooptreeBefore-v0", ("FrameStackObservation(2)",), StackedObservations),
        ("LooptreeBefore-v0", (), WholeObservations),
    ],
)
def test_what_was_shown_before_is_seen_in_stacked_frames(name, env_id, wrappers, memory):
    algorithm = ALGORITHMS[name]
    shared = PPO_SETTINGS if name == "ppo" else DQN_SETTINGS
    longer = {"total_env_steps": 3_000 if name == "ppo" else 1_200}
    learner = algorithm.learner(env_id, algorithm.settings(**shared | DEEP | longer | {"wrappers": wrappers})).run()
    assert (learner.evaluate(5).mean() > 45) == (memory is StackedObservations)
    assert name == "ppo" or isinstance(learner.memory.observations, memory)


def test_dqn_acts_where_actions_are_counted_from_another_number():
    settings = ALGORITHMS["dqn"].settings(**DQN_SETTINGS)
    learner = DQN("LooptreeOption-v0", settings).run()  # from -1
    assert learner.evaluate(5).mean() > 45
    assert set(learner.memory.columns["action"].tolist()) == {0, 1, 2}
    for other in (copy.deepcopy(learner), pickle.loads(pickle.dumps(learner))):
        np.testing.assert_array_equal(other.evaluate(2), learner.evaluate(2))


# --- experience ---------------------------------------------------------------------------------------------

KINDS = {  # spaces, and how (env, episode, step) is shown in them
    "number": (spaces.Discrete(10_000, start=-5), lambda o: np.int64(1_000 * o[0] + 10 * o[1] + o[2] - 5)),
    "numbers": (spaces.MultiDiscrete([9, 99, 9]), lambda o: o.astype(np.int64)),
    "bytes": (spaces.Box(0, 255, (1, 3), np.uint8), lambda o: o.astype(np.uint8)[None]),
    "entries": (
        spaces.Dict(
            who=spaces.Discrete(9), when=spaces.Tuple([spaces.Discrete(99), spaces.Box(0, 9, (1,), np.float64)])
        ),
        lambda o: {"who": int(o[0]), "when": (int(o[1]), o[2:])},
    ),
}


def shown_as(kind, number):
    """Writes down what it does, and shows it in a kind of space."""
    space, look = KINDS[kind]
    return TransformObservation(Diary(number), look, space)


def looks(kind, observations):
    """How `(envs, 3)` numbers look in a kind of space."""
    space, look = KINDS[kind]
    rows = np.zeros(len(observations), kept_type(space))
    for row, observation in enumerate(observations):
        fill(rows[row : row + 1], space, look(observation))
    return rows


@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP], ids=lambda mode: mode.name)
@pytest.mark.parametrize("vector", [SyncVectorEnv, AsyncVectorEnv])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_observed_and_remembered(kind, vector, mode):
    makers = [functools.partial(shown_as, kind, number) for number in range(3)]
    environments = vector(makers, autoreset_mode=mode)
    space, actions = environments.single_observation_space, environments.single_action_space
    source, plain = GymSource(environments, times=30), GymSource(diaries(3, mode), times=30)
    memory, rollout = ReplayBuffer(200, space, actions, stream(0)), Rollout(30, 3, space, policy_for("PPO", actions))
    steps = []
    for transition, expected in zip(source, plain, strict=True):
        for found, same in zip(transition[1:5], expected[1:5], strict=True):
            np.testing.assert_array_equal(found, same)
        np.testing.assert_array_equal(transition.observation, looks(kind, expected.observation))
        np.testing.assert_array_equal(transition.next_observation, looks(kind, expected.next_observation))
        memory.add(transition)
        rollout.add(transition)
        steps.append(expected)
    source.close()
    batch = memory.read(torch.arange(len(memory)))
    observed = np.concatenate([step.observation for step in steps])
    following = np.concatenate([step.next_observation for step in steps])
    real = np.concatenate([step.real for step in steps])
    np.testing.assert_array_equal(batch.observation, as_bytes(looks(kind, observed[real])))
    np.testing.assert_array_equal(batch.next_observation, as_bytes(looks(kind, following[real])))
    np.testing.assert_array_equal(rollout.rows(rollout.observation), looks(kind, observed[real]))
    np.testing.assert_array_equal(rollout.seen()[: len(observed)], as_bytes(looks(kind, observed)))


def test_entries_are_found_by_their_names():
    environments = SyncVectorEnv([functools.partial(shown_as, "entries", number) for number in (3, 7)])
    observation = GymSource(environments).run(times=2).observation
    assert observation["who"].tolist() == [3, 7]
    assert observation["when"]["0"].tolist() == [0, 0]
    assert observation["when"]["1"].tolist() == [[2], [2]]
