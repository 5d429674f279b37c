import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from looptree.rl.algorithms import ALGORITHMS
from looptree.rl.errors import UnfitEnvironment
from looptree.rl.fits import ACTS_IN, KINDS
from looptree.rl.source import GymSource

ACTIONS = {
    "Discrete": spaces.Discrete(3, start=2),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(2),
    "Box of floating point": spaces.Box(-1, 1, (2,)),
}
NUMBERS = spaces.Box(0, 1, (2,))
WORDS = spaces.Text(3, charset="abc")


class Still(gymnasium.Env):
    """Nothing ever happens."""

    def __init__(self, observations, actions):
        self.observation_space, self.action_space = observations, actions

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.fixture
def still():
    """Registers an environment of these spaces."""

    def register(observations, actions):
        gymnasium.register("LooptreeStill-v0", lambda: Still(observations, actions), max_episode_steps=5)
        return "LooptreeStill-v0"

    yield register
    gymnasium.registry.pop("LooptreeStill-v0", None)


def test_the_table_is_of_all_algorithms_and_kinds():
    assert ACTS_IN.keys() == ALGORITHMS.keys()
    assert ACTIONS.keys() == KINDS.keys()


@pytest.mark.parametrize("kind", ACTIONS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_takes_what_the_table_says(still, name, kind):
    algorithm, env_id = ALGORITHMS[name], still(NUMBERS, ACTIONS[kind])
    settings = algorithm.settings(total_env_steps=120, evaluate_every_env_steps=60, evaluation_episodes=1)
    if kind in ACTS_IN[name]:
        assert algorithm.learner(env_id, settings).run().env_steps >= 120
        return
    with pytest.raises(UnfitEnvironment) as error:
        algorithm.learner(env_id, settings)
    assert str(error.value) == f"{algorithm.learner.__name__} cannot act in {ACTIONS[kind]}; 'a2c' and 'ppo' can."


@pytest.mark.parametrize(
    "actions", [spaces.Tuple([spaces.Discrete(2)]), spaces.Box(0, 255, (2,), np.uint8), WORDS], ids=str
)
def test_actions_that_no_algorithm_takes(still, actions):
    env_id = still(NUMBERS, actions)
    with pytest.raises(UnfitEnvironment) as error:
        ALGORITHMS["ppo"].learner(env_id)
    assert str(error.value) == (
        f"PPO cannot act in {actions}, nor can any other algorithm; actions in 'Discrete', 'MultiDiscrete', "
        f"'MultiBinary' and 'Box of floating point' would fit PPO."
    )
    with pytest.raises(UnfitEnvironment) as error:
        ALGORITHMS["rainbow"].learner(env_id)
    assert str(error.value) == (
        f"Rainbow cannot act in {actions}, nor can any other algorithm; actions in 'Discrete' would fit Rainbow."
    )


@pytest.mark.parametrize(
    "observations",
    [WORDS, spaces.Sequence(NUMBERS), spaces.Graph(NUMBERS, None), spaces.OneOf([NUMBERS, WORDS])],
    ids=str,
)
def test_observations_that_no_algorithm_takes(still, observations):
    env_id = still(spaces.Dict(plain=NUMBERS, odd=observations), spaces.Discrete(2))
    for algorithm in ALGORITHMS.values():
        with pytest.raises(UnfitEnvironment) as error:
            algorithm.learner(env_id)
        assert f"Members of {observations} are no arrays of numbers" in str(error.value)
        assert str(error.value).startswith(f"{algorithm.learner.__name__} cannot observe Dict('plain'")
    with pytest.raises(UnfitEnvironment) as error:
        GymSource(env_id)
    assert str(error.value).startswith("GymSource cannot observe")


@pytest.mark.parametrize("observations", [spaces.Discrete(3), spaces.Dict(a=NUMBERS)], ids=str)
def test_observations_that_cannot_be_normalised(still, observations):
    settings = ALGORITHMS["ppo"].settings(normalise_observations=True)
    with pytest.raises(UnfitEnvironment) as error:
        ALGORITHMS["ppo"].learner(still(observations, spaces.Discrete(2)), settings)
    assert str(error.value) == (
        f"normalise_observations=True: there is nothing to normalise in {observations}; a Box of floating point would "
        f"fit."
    )
