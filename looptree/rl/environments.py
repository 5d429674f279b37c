"""Recipe: how the environments of a run are made; and how environments reset themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec
from gymnasium.error import Error
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers import FrameStackObservation

from looptree.core.errors import BadSetting
from looptree.rl.errors import EnvironmentUnavailable, UnfitEnvironment
from looptree.rl.pool import PoolVectorEnv
from looptree.rl.registered import environment_spec
from looptree.rl.replayed import ReplayedEpisodes, is_replayable
from looptree.rl.settings import check_kinds, require, require_whole
from looptree.rl.sync import SyncVectorEnv
from looptree.rl.workers import MAX_RESTARTS, STEP_TIMEOUT_S, RestartingVectorEnv
from looptree.rl.wrappers import refuse_measuring, wrapper_named

Vectorization = Literal["auto", "native", "sync", "async", "envpool"]

_PLAIN = "vectorization='sync' or 'async' would fit."

Dressing = Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]


@dataclass(frozen=True)
class Recipe:
    """How environments are made: of which id, in which wrappers, and how several of them stand side by side.

        Recipe("CartPole-v1", ("TimeAwareObservation",), "async").make(8)

    An id is one that Gymnasium or an installed package registers, or `module:id` (see `environment_spec`). Wrappers go
    by name (see `wrapper_named`), the innermost first. Of the ways to stand side by side, "native" is the
    environment's own vector class, which takes no wrappers, "sync" steps one after the other in this process, "async"
    each in a process of its own, which is begun anew where it dies, or gives no answer for `step_timeout_s` seconds, up
    to `max_restarts` times (see `RestartingVectorEnv`), and "envpool" is EnvPool, which has environments and ids of its
    own, and takes no wrappers either (see `PoolVectorEnv`). "auto" takes the native class where there is one, nothing
    is to be worn, and more than one environment is asked for (its array operations cost more than a single plain
    environment), else "sync".
    """

    env_id: str
    wrappers: tuple[str, ...] = ()
    vectorization: Vectorization = "auto"
    step_timeout_s: float = STEP_TIMEOUT_S
    max_restarts: int = MAX_RESTARTS

    def __post_init__(self) -> None:
        """Raises `BadSetting` for what is no id, a vectorization that there is none of, wrappers that are no names, and
        limits that cannot be."""
        if not isinstance(self.env_id, str):
            raise BadSetting(
                f"{self.env_id!r} is no id of an environment: 'CartPole-v1' would fit, or 'module:id', after whose "
                f"import it is registered. (A GymSource takes vector environments too.)"
            )
        check_kinds(self)
        check_making(self)

    @classmethod
    def asked_for(cls, env_id: str, settings: Any) -> Recipe:
        """The recipe that an algorithm's settings ask for: they have all of its fields but the id.

        Raises what `refuse_measuring` does for their wrappers.
        """
        refuse_measuring(settings.wrappers)
        return cls(env_id, *(getattr(settings, field.name) for field in fields(cls)[1:]))

    def make(self, num_envs: int, *, innermost: Sequence[Dressing] = (), **settings: Any) -> VectorEnv[Any, Any, Any]:
        """`num_envs` environments side by side; `settings` go to each environment's own constructor, and it wears what
        `innermost` makes of it below its wrappers.

        Environments in sync and async reset themselves in the step that ends an episode, so that no step is spent on a
        reset.

        Raises `UnknownEnvironment` (with the nearest ids), `EnvironmentUnavailable` where it cannot be made here, what
        `wrapper_named` raises, `UnfitEnvironment` where a wrapper does not fit, and `BadSetting` for a number of
        environments below 1, for a native class that there is none of, and for wrappers where none are taken.
        """
        if num_envs < 1:
            raise BadSetting(f"num_envs={num_envs}: at least 1 environment is needed.")
        if self.vectorization == "envpool":
            self._refuse_wrappers("EnvPool", innermost)
            return PoolVectorEnv(self.env_id, num_envs, **settings)
        spec = environment_spec(self.env_id)
        worn: list[Dressing] = [*innermost, *map(wrapper_named, self.wrappers)]
        native = spec.vector_entry_point is not None and num_envs > 1 and not worn
        vectorization = ("native" if native else "sync") if self.vectorization == "auto" else self.vectorization
        single = partial(_dressed, spec, worn, settings)
        try:
            if vectorization == "native":
                self._refuse_wrappers(f"The native vector class of {self.env_id}", innermost)
                return self._native(spec, num_envs, settings)
            environments: VectorEnv[Any, Any, Any] = (
                RestartingVectorEnv(
                    [single] * num_envs, step_timeout_s=self.step_timeout_s, max_restarts=self.max_restarts
                )
                if vectorization == "async"
                else SyncVectorEnv([single] * num_envs, autoreset_mode=AutoresetMode.SAME_STEP)
            )
        except (Error, ImportError) as error:
            raise EnvironmentUnavailable(f"{self.env_id} cannot be made here: {error}") from error
        environments.spec = spec
        return environments

    def _native(self, spec: EnvSpec, num_envs: int, settings: dict[str, Any]) -> VectorEnv[Any, Any, Any]:
        if spec.vector_entry_point is None:
            raise BadSetting(f"{self.env_id} has no native vector class; {_PLAIN}")
        return gymnasium.make_vec(self.env_id, num_envs, "vector_entry_point", **settings)

    def _refuse_wrappers(self, who: str, innermost: Sequence[Dressing]) -> None:
        if self.wrappers or innermost:
            raise BadSetting(f"{who} takes no wrappers; {_PLAIN}")

    def single(self) -> Single:
        """What there is to know of a single environment.

        Raises what `make` raises.
        """
        alone = replace(self, vectorization="sync") if self.vectorization == "async" else self
        environments = alone.make(1)
        environments.close()
        stacks = isinstance(environments, SyncVectorEnv) and _stacks_frames(environments.envs[0])
        return Single(environments.single_observation_space, environments.single_action_space, stacks)


class Single(NamedTuple):
    """What there is to know of a single environment before a learner for it is made."""

    observations: gymnasium.Space[Any]
    actions: gymnasium.Space[Any]
    stacks_frames: bool  # whether observations are arrays of frames that move up by one with each step


def _stacks_frames(environment: gymnasium.Env[Any, Any]) -> bool:
    """Whether the outermost of an environment's wrappers that makes observations is `FrameStackObservation`."""
    while isinstance(environment, gymnasium.Wrapper):
        if isinstance(environment, FrameStackObservation):
            return isinstance(environment.observation_space, gymnasium.spaces.Box)
        if isinstance(environment, gymnasium.ObservationWrapper):
            return False
        environment = environment.env
    return False


def check_making(settings: Any) -> None:
    """Raise `BadSetting` where what some settings, or a recipe, say of how environments are made cannot be."""
    require(settings, "step_timeout_s", settings.step_timeout_s > 0, "a number above 0")
    require_whole(settings, "max_restarts", least=0)


def _dressed(spec: EnvSpec, worn: Sequence[Dressing], settings: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    """A single environment in all that it wears."""
    environment = gymnasium.make(spec, **settings)
    if is_replayable(environment):
        environment = ReplayedEpisodes(environment)
    for dressing in worn:
        environment = dressing(environment)
    return environment


def autoreset_mode(environments: VectorEnv[Any, Any, Any]) -> AutoresetMode:
    """When the environments reset themselves: one step after the end of an episode, or in the step that ends
    it.

    Raises `UnfitEnvironment` where they do not do so at all.
    """
    # Not all vector environments state their mode; the ones that do not follow Gymnasium's default.
    mode = environments.metadata.get("autoreset_mode", AutoresetMode.NEXT_STEP)
    if mode == AutoresetMode.DISABLED:
        raise UnfitEnvironment(
            f"{environments} does not reset itself; make it with AutoresetMode.SAME_STEP or NEXT_STEP."
        )
    return AutoresetMode(mode)
