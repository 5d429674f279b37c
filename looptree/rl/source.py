"""Source: steps a batch of environments, and counts what really happened in them."""

from __future__ import annotations

import math
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from looptree.core.errors import BadSetting, StateMismatch
from looptree.core.loop import Loop
from looptree.rl.agent import Callbacks, RandomAgent
from looptree.rl.choices import Choices
from looptree.rl.environment_state import environment_state, restore_environment
from looptree.rl.environments import Recipe, autoreset_mode
from looptree.rl.errors import EnvironmentBroken, EnvironmentNotSaved, EnvironmentStateError
from looptree.rl.finite import check_given
from looptree.rl.packed import check_observations, entries, fill, kept_type
from looptree.rl.pool import PoolVectorEnv
from looptree.rl.replayed import without_episodes
from looptree.rl.seeding import child, environment_seeds, integer_seed, stream
from looptree.rl.transition import Transition
from looptree.rl.workers import LOST, MOST_FAILURES

_RECENT_EPISODES = 100


class Source(Loop):
    """Steps a batch of environments; a pass is one step of all of them, and gives a `Transition`.

    A run goes on until it has made `env_steps_per_run` steps, or without end where that is None. Steps are
    those of single environments, and only real ones count. Subclasses say what a step is, and keep
    `observation`.
    """

    produces = "transition"

    observation: NDArray[Any]  # (envs, *observation shape): to be acted on
    action: NDArray[Any]  # (envs, *action shape): the agent's
    transition: Transition
    env_steps: int  # real steps of single environments in the source's life
    episodes: int  # that ended in the source's life
    restarts: int  # episodes that ended nowhere in the source's life, since their environment broke

    def __init__(
        self,
        num_envs: int,
        agent: Loop | None = None,
        cbs: Callbacks | None = None,
        *,
        call_on: str | None = None,
        times: int | None = None,
        name: str | None = None,
    ) -> None:
        self.num_envs = num_envs
        self.env_steps_per_run: int | None = None
        self.begun = False  # whether episodes are under way
        self.restarted = ""  # why those of a loaded state could not be gone on with, where that is so
        self.env_steps = 0
        self.episodes = 0
        self.restarts = 0
        self.recent_returns: deque[float] = deque(maxlen=_RECENT_EPISODES)
        self.recent_lengths: deque[int] = deque(maxlen=_RECENT_EPISODES)  # env steps
        self._returns = np.zeros(num_envs)  # of the episodes under way
        self._lengths = np.zeros(num_envs, np.int64)
        super().__init__(agent, cbs, call_on=call_on, times=times, name=name)

    def items(self) -> Iterator[int]:
        """The env steps made so far, until this run has made its share of them."""
        share = math.inf if self.env_steps_per_run is None else self.env_steps_per_run
        begun = self.env_steps
        while self.env_steps - begun < share:
            yield self.env_steps

    def on_step(self) -> None:
        """Step the environments with `action`, and set `transition` and `observation`."""
        raise NotImplementedError(f"{type(self).__name__} does not say how it steps; give it an on_step hook.")

    def after_step(self) -> None:
        """Count the real steps, and the episodes that they end; a truncated row that is not real has broken off."""
        transition = self.transition
        self._returns += np.where(transition.real, transition.reward, 0.0)
        self._lengths += transition.real
        self.env_steps += int(np.count_nonzero(transition.real))
        over = transition.terminated | transition.truncated
        if np.count_nonzero(over):
            for env in np.flatnonzero(over & transition.real):
                self.end_episode(int(env), float(self._returns[env]), int(self._lengths[env]))
            self.restarts += int(np.count_nonzero(over & ~transition.real))
            self._returns[over] = 0.0
            self._lengths[over] = 0

    def end_episode(self, env: int, episode_return: float, length: int) -> None:
        """An episode has ended in one environment: keep its return and its length in env steps."""
        self.episodes += 1
        self.recent_returns.append(episode_return)
        self.recent_lengths.append(length)

    @property
    def episode_return(self) -> float:
        """The mean return of the last 100 episodes; NaN before the first has ended."""
        return sum(self.recent_returns) / len(self.recent_returns) if self.recent_returns else math.nan

    @property
    def episode_length(self) -> float:
        """The mean length of the last 100 episodes in env steps; NaN before the first has ended."""
        return sum(self.recent_lengths) / len(self.recent_lengths) if self.recent_lengths else math.nan

    def state_dict(self) -> dict[str, Any]:
        """The counters, the episodes under way, and the statistics of the latest ones."""
        return super().state_dict() | {
            "env_steps": self.env_steps,
            "episodes": self.episodes,
            "restarts": self.restarts,
            "recent_returns": list(self.recent_returns),
            "recent_lengths": list(self.recent_lengths),
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "observation": self.observation.copy() if self.begun else None,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises `StateMismatch` where it is of another number of environments.
        """
        if len(state["lengths"]) != self.num_envs:
            raise StateMismatch(
                f"The state of {self.name} is of {len(state['lengths'])} environments side by side, and this one steps "
                f"{self.num_envs}; make it with as many."
            )
        super().load_state_dict(state)
        self.env_steps = state["env_steps"]
        self.episodes = state["episodes"]
        self.restarts = state["restarts"]
        self.recent_returns = deque(state["recent_returns"], _RECENT_EPISODES)
        self.recent_lengths = deque(state["recent_lengths"], _RECENT_EPISODES)
        self._returns = state["returns"].copy()
        self._lengths = state["lengths"].copy()
        self.begun = state["observation"] is not None
        if self.begun:
            self.observation = state["observation"].copy()


class GymSource(Source):
    """Steps environments of Gymnasium (1.1 or newer), one or many side by side.

        for transition in GymSource("CartPole-v1", 8):
            ...

    Without an agent it acts at random. Where environments reset themselves one step late, the rows of those
    steps are not `real`; where they do so at once, the true last observation is taken from the infos: what a
    `Transition` says is the same for both. An environment starts its first episode from a seed of its own and
    draws all later ones from the random stream that this seed began, so that no two episodes start alike, in
    one environment or in two.

    An environment that breaks in a process of its own (see `RestartingVectorEnv`) loses its step: the row is
    truncated and not `real`, and a new episode begins from a seed not used before. `restarts` counts them.

    `state_dict` has the state of the environments too. Where that cannot be saved, an
    `EnvironmentNotSaved` warning says so once; when the state is loaded `restarted` says why, and the next run begins
    new episodes, from seeds not used before.
    """

    def __init__(
        self,
        environments: str | Recipe | VectorEnv[Any, Any, Any],
        num_envs: int = 1,
        agent: Loop | None = None,
        cbs: Callbacks | None = None,
        *,
        to_environment: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
        seed: int | np.random.SeedSequence = 0,
        call_on: str | None = None,
        times: int | None = None,
        name: str | None = None,
    ) -> None:
        """`environments` is a recipe by which `num_envs` are made, an id for short, or a vector environment.
        `to_environment` turns the agent's actions `(envs, *action shape)`, which a `Transition` keeps,
        into those that the environments take; None where they are the same.

        Observations that are a Dict or a Tuple are packed: `observation["image"]` is their entry `(envs, *entry
        shape)`, and that of a Tuple is `observation["0"]`.

        Raises what `Recipe` and its `make` do, `BadSetting` for a vector environment of another `num_envs` or what is
        no seed, and `UnfitEnvironment` where observations are no arrays of numbers, or where the
        environments do not reset themselves.
        """
        recipe = environments if isinstance(environments, Recipe | VectorEnv) else Recipe(environments)
        self._made_from = (recipe, num_envs) if isinstance(recipe, Recipe) else None
        environments = _made(recipe, num_envs) if isinstance(recipe, Recipe) else recipe
        if num_envs not in (1, environments.num_envs):
            raise BadSetting(f"num_envs={num_envs}: {environments} would fit without that, or with its own number.")
        self._space = environments.single_observation_space
        check_observations(type(self).__name__, self._space)
        self._packed = kept_type(self._space) if entries(self._space) is not None else None
        choices = Choices(self._space)
        self._check = choices.check if choices else check_given
        self.environments = environments
        self.to_environment = to_environment
        self.autoreset_mode = autoreset_mode(environments)
        self.seed = seed if isinstance(seed, np.random.SeedSequence) else stream(seed, "source")
        self._resetting = np.zeros(environments.num_envs, np.bool_)  # where the next step is only a reset
        self._used = False  # whether the environments have been reset before
        self._has_warned = False  # that the environments cannot be saved
        if agent is None:
            agent = RandomAgent(environments.action_space, child(self.seed, "actions"))
        super().__init__(environments.num_envs, agent, cbs, call_on=call_on, times=times, name=name)

    def before_run(self) -> None:
        """Begin the first episodes."""
        if not self.begun:
            self.reset()

    def failed_run(self) -> None:
        """Where a step was broken off, nobody knows how far each environment has come: the next run begins new
        episodes."""
        self.begun = False

    def reset(self) -> None:
        """Begin a new episode in every environment; what was under way there is dropped."""
        # The steps made so far are part of the seed: no reset of this source repeats another.
        seed = child(self.seed, str(self.env_steps))
        one_each = isinstance(self.environments.unwrapped, SyncVectorEnv | AsyncVectorEnv)
        seeds: Any = environment_seeds(seed, self.num_envs) if one_each else integer_seed(seed)
        self._used = True
        observation, _ = self.environments.reset(seed=seeds)
        self.observation = self._copied(observation)
        self._check("observation", self.observation, self)
        self.begun = True
        self._resetting[:] = False
        self._returns[:] = 0.0
        self._lengths[:] = 0

    def on_step(self) -> None:
        """Step the environments with `action`, and set `transition` and `observation`.

        Raises `NotFinite` where an environment gives a number that is NaN or infinite, and `UnfitEnvironment` where one
        gives a number of none of the options that its space has.
        """
        action = self.action if self.to_environment is None else self.to_environment(self.action)
        following, reward, terminated, truncated, infos = self.environments.step(action)
        following = np.array(following) if self._packed is None else self._copied(following)
        self._check("observation", following, self)
        check_given("reward", reward, self)
        real = ~self._resetting
        if self.autoreset_mode == AutoresetMode.NEXT_STEP:
            self._resetting = terminated | truncated
            next_observation = following
        else:
            next_observation = with_final_observations(following, infos, self._space)
            if next_observation is not following:
                self._check("next_observation", next_observation, self)
            if LOST in infos:
                real = ~infos[LOST]
        self.transition = Transition(
            self.observation, self.action, reward, terminated, truncated, next_observation, real
        )
        self.observation = following

    def _copied(self, observation: Any) -> NDArray[Any]:
        """Observations as one array of their own: some environments write the next ones into the same memory."""
        if self._packed is None:
            return np.array(observation)
        rows = np.zeros(self.num_envs, self._packed)
        fill(rows, self._space, observation)
        return rows

    def close(self) -> None:
        """Close the environments, with the processes that they may run in."""
        self.environments.close()

    def state_dict(self) -> dict[str, Any]:
        """The counters, the statistics, and the state of the environments where it can be saved."""
        state, reason = self._environment_state()
        if reason and not self._has_warned:
            self._has_warned = True
            cut = ", and counts those under way as truncated" if self.begun else ""
            warnings.warn(
                f"The environments of {self.name} cannot be saved: {reason} A run that goes on from this state begins "
                f"new episodes in new ones{cut}.",
                EnvironmentNotSaved,
                stacklevel=2,
            )
        return super().state_dict() | {
            "resetting": self._resetting.copy(),
            "environments": state,
            "why_not_environments": reason,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises `StateMismatch` where the environments are of another kind or number.
        """
        super().load_state_dict(state)
        self._resetting = state["resetting"].copy()
        self._go_on(state["environments"], state["why_not_environments"])

    def _environment_state(self) -> tuple[dict[str, Any] | None, str]:
        """The state of the environments, or None and the reason why there is none, which is empty where they are as
        good as new. Between episodes there is something to save too: a wrapper may go on measuring."""
        renewed = isinstance(self.environments.unwrapped, PoolVectorEnv) and not self.begun
        if not self._used or renewed:
            return None, ""
        try:
            state = environment_state(self.environments)
        except EnvironmentStateError as error:
            return None, str(error)
        return state if self.begun else without_episodes(state), ""

    def _go_on(self, state: dict[str, Any] | None, reason: str) -> None:
        """Bring the environments to a state; where there is none, the next run begins new episodes."""
        if state is not None:
            try:
                restore_environment(self.environments, state)
                self._used = True
            except EnvironmentStateError as error:
                state, reason = None, str(error)
        self.restarted = reason
        self.begun = self.begun and state is not None

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if self._made_from is not None:  # then a copy makes its own environments
            own = {name: value for name, value in state["own"].items() if name != "environments"}
            state = {**state, "own": own, "environments": self._environment_state()}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if self._made_from is not None:
            recipe, num_envs = self._made_from
            self.environments = _made(recipe, num_envs)
            self._go_on(*state["environments"])


class EpisodeSource(GymSource):
    """Plays one episode in each environment: a run begins new ones, and ends when the last of them has ended.

    Taking the first episode of every environment, and not the first episodes to end, keeps the mean from
    leaning towards short ones. Environments whose episodes need not end want a time limit.
    """

    returns: NDArray[np.float64]  # (envs,) of this run's episodes; NaN until they end
    lengths: NDArray[np.int64]  # (envs,) in env steps

    def items(self) -> Iterator[int]:
        """The number of episodes that have ended, until all have.

        Raises `EnvironmentBroken` where more than three episodes for each environment have broken off.
        """
        begun = self.restarts
        while (ended := int(np.count_nonzero(self.lengths))) < self.num_envs:
            if self.restarts - begun > MOST_FAILURES * self.num_envs:
                raise EnvironmentBroken(
                    f"{self.restarts - begun} episodes broke off before {self.num_envs} came to their end; the "
                    f"EnvironmentRestarted warnings say why."
                )
            yield ended

    def before_run(self) -> None:
        """Begin new episodes."""
        self.reset()
        self.returns = np.full(self.num_envs, np.nan)
        self.lengths = np.zeros(self.num_envs, np.int64)

    def end_episode(self, env: int, episode_return: float, length: int) -> None:
        """Keep the first episode of each environment."""
        super().end_episode(env, episode_return, length)
        if not self.lengths[env]:
            self.returns[env] = episode_return
            self.lengths[env] = length

    def finally_run(self) -> None:
        """Leave the episodes that the environments have begun since."""
        self.begun = False


def _made(recipe: Recipe, num_envs: int) -> VectorEnv[Any, Any, Any]:
    """A source's own environments, which need not copy their observations: it does so itself."""
    environments = recipe.make(num_envs)
    if isinstance(environments, SyncVectorEnv | AsyncVectorEnv):
        environments.copy = False
    return environments


def with_final_observations(
    observation: NDArray[Any], infos: dict[str, Any], space: gymnasium.Space[Any]
) -> NDArray[Any]:
    """Observations `(envs, *observation shape)` in which those of environments that have just reset themselves are
    replaced by the last ones of the episodes that ended; `space` is that of a single environment's."""
    if "final_obs" not in infos:
        return observation
    true = observation.copy()
    for env in np.flatnonzero(infos["_final_obs"]):
        fill(true[env : env + 1], space, infos["final_obs"][env])
    return true
