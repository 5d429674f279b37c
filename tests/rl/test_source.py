import copy
import itertools
import math
import pickle

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from looptree import Callback, Loop
from looptree.core.errors import BadSetting, StateMismatch
from looptree.rl.environments import Recipe
from looptree.rl.errors import EnvironmentNotSaved, UnfitEnvironment
from looptree.rl.seeding import stream
from looptree.rl.source import EpisodeSource, GymSource, Source
from tests.rl.plain import assert_plain
from tests.rl.toys import diaries, register

MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP]


def rows(transitions, env):
    """What a source says of one environment, as the environment's own diary has it."""
    for transition in transitions:
        if transition.real[env]:
            yield (
                tuple(transition.observation[env]),
                int(transition.action[env]),
                float(transition.reward[env]),
                bool(transition.terminated[env]),
                bool(transition.truncated[env]),
                tuple(transition.next_observation[env]),
            )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("num_envs", [1, 3])
def test_every_transition_is_as_the_environment_wrote_it_down(mode, num_envs):
    environments = diaries(num_envs, mode)
    source = GymSource(environments, times=60)
    transitions = list(source)
    for env in range(num_envs):
        diary = environments.envs[env].log
        assert list(rows(transitions, env)) == diary
        assert any(row[3] for row in diary)
        assert any(row[4] for row in diary)
    assert source.env_steps == sum(len(env.log) for env in environments.envs)
    dead = sum(int((~transition.real).sum()) for transition in transitions)
    assert (dead > 0) == (mode == AutoresetMode.NEXT_STEP)
    assert source.env_steps + dead == 60 * num_envs


@pytest.mark.parametrize("mode", MODES)
def test_each_observation_follows_from_the_step_before(mode):
    for before, after in itertools.pairwise(GymSource(diaries(2, mode), times=40)):
        over = (before.terminated | before.truncated) & before.real
        goes_on = before.next_observation == after.observation
        if mode == AutoresetMode.SAME_STEP:
            assert goes_on[~over].all()
            assert (after.observation[over, 2] == 0).all()
        else:
            assert goes_on.all()
            assert (after.real == ~over).all()


@pytest.mark.parametrize("mode", MODES)
def test_returns_and_lengths_are_those_of_whole_episodes(mode):
    class Kept(GymSource):
        def __init__(self, *args, **kwargs):
            self.kept = []
            super().__init__(*args, **kwargs)

        def end_episode(self, env, episode_return, length):
            super().end_episode(env, episode_return, length)
            self.kept.append((env, episode_return, length))

    source = Kept(diaries(3, mode), times=50).run()
    episodes = {env: [row[1:] for row in source.kept if row[0] == env] for env in range(3)}
    for env, ended in episodes.items():
        for number, (episode_return, length) in enumerate(ended):
            assert length == 1 + (env + number) % 4
            assert episode_return == sum(100.0 * number + step for step in range(1, length + 1))
    assert source.episodes == len(source.kept)
    assert source.episode_return == pytest.approx(np.mean([row[1] for row in source.kept[-100:]]))
    assert source.episode_length == pytest.approx(np.mean([row[2] for row in source.kept[-100:]]))


def test_before_the_first_episode_ends_there_is_no_return():
    source = GymSource("CartPole-v1", times=1).run()
    assert math.isnan(source.episode_return)
    assert math.isnan(source.episode_length)


@pytest.mark.parametrize("vectorization", ["sync", "native"])
def test_a_run_makes_its_share_of_real_steps(vectorization):
    source = GymSource(Recipe("CartPole-v1", vectorization=vectorization), 1)
    source.env_steps_per_run = 100
    source.run()
    assert source.env_steps == 100
    assert (source.count > 100) == (vectorization == "native")
    source.run()
    assert source.env_steps == 200


def test_pulled_alone_it_gives_transitions_without_end():
    source = GymSource("CartPole-v1", 2)
    for number, transition in enumerate(source):
        assert transition.reward.shape == (2,)
        if number == 20:
            break
    assert source.count == 21


def test_processes_tell_the_same_as_one_process():
    runs = {}
    for vectorization in ("sync", "async"):
        source = GymSource(Recipe("CartPole-v1", vectorization=vectorization), 2, times=50)
        runs[vectorization] = list(source)
        source.close()
    for one, other in zip(runs["sync"], runs["async"], strict=True):
        for mine, others in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, others)


def starts(source, steps):
    """The first observations of all episodes, of all environments."""
    found = []
    fresh = np.ones(source.num_envs, bool)
    for transition in itertools.islice(source, steps):
        begins = fresh & transition.real
        found += [tuple(row) for row in transition.observation[begins]]
        fresh = np.where(transition.real, transition.terminated | transition.truncated, fresh)
    return found


@pytest.mark.parametrize("vectorization", ["sync", "native", "async"])  # in test_workers restarts too
def test_no_two_episodes_start_alike(vectorization):
    source = GymSource(Recipe("CartPole-v1", vectorization=vectorization), 4)
    found = starts(source, 300)
    source.reset()  # whose seeds have not been used before either
    found += starts(source, 60)
    source.close()
    assert len(found) > 30
    assert len(set(found)) == len(found)


def test_seeds_decide_the_episodes():
    def of(seed):
        return starts(GymSource("CartPole-v1", 3, seed=seed), 100)

    assert of(0) == of(0)
    assert not set(of(0)) & set(of(1))
    assert not set(of(stream(0, "train"))) & set(of(stream(0, "valid")))


def test_episodes_are_played_to_their_ends_once_in_each_environment():
    for mode in MODES:
        source = EpisodeSource(diaries(4, mode))
        for number in range(3):
            source.run()
            assert not np.isnan(source.returns).any()
            assert source.lengths.tolist() == [
                1 + (env + int(source.returns[env] // 100 // source.lengths[env])) % 4 for env in range(4)
            ]
            assert source.ended == f"ran all {source.lengths.max()} items"
        assert number == 2


def test_each_run_of_an_episode_source_begins_new_ones():
    source = EpisodeSource("CartPole-v1", 5)
    found = [tuple(source.run().lengths) for _ in range(3)]
    assert len(set(found)) == 3
    assert [tuple(source.run().lengths) for source in [EpisodeSource("CartPole-v1", 5)]] == found[:1]


def test_environments_that_write_into_one_array_do_no_harm():
    kept, careless = (Recipe("CartPole-v1", vectorization="sync").make(2) for _ in range(2))
    careless.copy = False
    one, other = (list(GymSource(environments, times=40)) for environments in (kept, careless))
    for mine, others in zip(one, other, strict=True):
        for left, right in zip(mine, others, strict=True):
            np.testing.assert_array_equal(left, right)


@pytest.mark.filterwarnings("ignore:.*share an object")  # Gymnasium advises against it, and goes on
@pytest.mark.parametrize("form", ["array", "Dict", "Tuple"])
@pytest.mark.parametrize("vectorization", ["sync", "async"])
def test_the_last_observation_of_an_episode_outlives_the_reset_that_writes_over_it(vectorization, form):
    register()
    environments = Recipe("LooptreeOverwriting-v0", vectorization=vectorization).make(2, form=form)
    source = GymSource(environments, times=7)
    found = [each.next_observation if form == "array" else each.next_observation["0"] for each in source]
    source.close()
    steps = [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3], [3, 1]]
    assert [observation.tolist() for observation in found] == [[step] * 2 for step in steps]


@pytest.mark.parametrize("vectorization", ["sync", "native"])
def test_a_state_goes_on_in_the_middle_of_an_episode(vectorization):
    def fresh(seed):
        return GymSource(Recipe("CartPole-v1", vectorization=vectorization), 3, seed=seed, times=70)

    source = fresh(0).run()
    state = source.state_dict()
    assert_plain(state)
    expected = list(source)
    loaded = fresh(1)
    loaded.load_state_dict(state)
    for mine, others in zip(expected, loaded, strict=True):
        for left, right in zip(mine, others, strict=True):
            np.testing.assert_array_equal(left, right)
    assert (loaded.env_steps, loaded.episodes, loaded.count) == (source.env_steps, source.episodes, 140)
    assert loaded.episode_return == source.episode_return
    assert loaded.restarted == ""


@pytest.mark.parametrize("made_anew", [copy.deepcopy, lambda source: pickle.loads(pickle.dumps(source))])
def test_a_copy_goes_on_as_the_original_and_leaves_it_alone(made_anew):
    source = GymSource("CartPole-v1", 2, times=70).run()
    twin = made_anew(source)
    for mine, others in zip(list(source), list(twin), strict=True):
        for left, right in zip(mine, others, strict=True):
            np.testing.assert_array_equal(left, right)


def test_what_cannot_be_saved_begins_anew_and_says_why():
    register()
    source = GymSource("LooptreePhysics-v0", 2, times=5).run()
    with pytest.warns(EnvironmentNotSaved) as told:
        state = source.state_dict()
    source.state_dict()  # does not say so again
    assert [str(warning.message) for warning in told] == [
        "The environments of gym_source cannot be saved: Physics.engine (Engine) is no plain data. A run that goes on "
        "from this state begins new episodes in new ones, and counts those under way as truncated."
    ]
    assert_plain(state)
    loaded = GymSource("LooptreePhysics-v0", 2, times=30)
    first_start = starts(GymSource("LooptreePhysics-v0", 2), 1)
    loaded.load_state_dict(state)
    assert loaded.restarted == "Physics.engine (Engine) is no plain data."
    assert loaded.env_steps == 10
    transitions = list(loaded)
    assert loaded.env_steps == 70
    assert [tuple(row) for row in transitions[0].observation] != first_start
    again = GymSource("LooptreePhysics-v0", 2, times=30)
    again.load_state_dict(state)
    for mine, others in zip(transitions, again, strict=True):  # from the same new seeds each time
        np.testing.assert_array_equal(mine.observation, others.observation)
    loaded.run(times=70)
    assert list(loaded.recent_lengths) == [100, 100]  # nothing of the episodes that were cut is left in these


def test_other_environments_are_refused():
    state = GymSource(Recipe("CartPole-v1", vectorization="sync"), 2, times=1).run().state_dict()
    with pytest.raises(StateMismatch):
        GymSource(Recipe("CartPole-v1", vectorization="sync"), 3).load_state_dict(state)


def test_errors_say_what_would_fit():
    with pytest.raises(UnfitEnvironment):
        GymSource(diaries(1, AutoresetMode.DISABLED))
    with pytest.raises(BadSetting) as error:
        GymSource("CartPole-v1", seed=-1)
    assert str(error.value) == "seed=-1: a whole number of 0 or more would fit."
    with pytest.raises(NotImplementedError) as error:
        Source(1, Loop(call_on="before_step", name="agent")).run()
    assert str(error.value) == "Source does not say how it steps; give it an on_step hook."


def test_a_callback_may_stand_on_any_moment_of_a_step():
    class Looker(Callback):
        def __init__(self):
            self.seen = []

        def before_step(self):
            self.seen.append(self.loop.env_steps)

    looker = Looker()
    GymSource("CartPole-v1", 2, cbs=looker, times=3).run()
    assert looker.seen == [0, 2, 4]
