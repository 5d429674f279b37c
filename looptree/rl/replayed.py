"""ReplayedEpisodes: environments of Box2D, whose state cannot be read, are saved as what has led to it."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np

from looptree.rl.errors import EnvironmentStateError
from looptree.rl.state import generator_from, generator_state

_CLASSES = (
    "gymnasium.envs.box2d.bipedal_walker:BipedalWalker",
    "gymnasium.envs.box2d.car_racing:CarRacing",
    "gymnasium.envs.box2d.lunar_lander:LunarLander",
)


def is_replayable(environment: gymnasium.Env[Any, Any]) -> bool:
    """Whether an episode of this environment depends on nothing but its random generator and the actions."""
    kind = type(environment.unwrapped)
    return f"{kind.__module__}:{kind.__name__}" in _CLASSES


class ReplayedEpisodes(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Box2D keeps much of a world to itself: the impulses of joints and contacts with which the next step begins, and
    the order in which it goes through them. What leads there is known: where the random generator stood when the
    episode began, and all actions since. The state is that, and is come to by making these steps once more.

    For this, every episode begins in a world that nothing has happened in, as `LunarLander` does by itself;
    `BipedalWalker` and `CarRacing` would put the next episode into the world of those before it.
    """

    def __init__(self, environment: gymnasium.Env[Any, Any]) -> None:
        super().__init__(environment)
        self._begun: dict[str, Any] | None = None  # how the episode under way began
        self._actions: list[Any] = []  # since then
        self._observation: Any = None  # to which they have led

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode, in a new world."""
        generator = generator_state(self.unwrapped.np_random) if seed is None else None
        self._begun = {"seed": seed, "generator": generator, "options": copy.deepcopy(options)}
        self._actions = []
        _empty_world(self.unwrapped)
        self._observation, info = self.env.reset(seed=seed, options=options)
        return self._observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment."""
        self._actions.append(copy.copy(action))  # whoever acts may write the next action into the same array
        self._observation, *others = self.env.step(action)
        return self._observation, *others

    def state_dict(self) -> dict[str, Any]:
        """How the episode began, the actions `(steps, *action shape)` since, and the observation to which they led."""
        return {
            "begun": copy.deepcopy(self._begun),
            "actions": np.array(self._actions),
            "observation": np.array(self._observation),
        }

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Play the episode of a state up to where it was; None is for one without (see `without_episodes`).

        Raises `EnvironmentStateError` where that leads elsewhere, as with another version of Box2D it may.
        """
        if state is None:
            return
        begun = state["begun"]
        if begun["generator"] is not None:
            self.unwrapped.np_random = generator_from(begun["generator"])
        self.reset(seed=begun["seed"], options=begun["options"])
        for action in state["actions"]:
            self.step(action)
        if not np.array_equal(self._observation, state["observation"]):
            raise EnvironmentStateError(
                f"{type(self.unwrapped).__name__} was led to another observation by the same {len(state['actions'])} "
                f"actions; another version of Box2D may be the reason."
            )


def without_episodes(state: Any) -> Any:
    """An environment's state for going on with new episodes only: what would have to be played once more is left out,
    for of that nothing is left after a reset."""
    if isinstance(state, list):
        return [without_episodes(member) for member in state]
    if not isinstance(state, dict):
        return state
    if state.get("class") == ReplayedEpisodes.__name__:
        return state | {"own": None}
    return {name: without_episodes(member) for name, member in state.items()}


def _empty_world(environment: Any) -> None:
    """Put an empty world into the place of one that has been used."""
    environment._destroy()  # bodies are destroyed in their own world
    environment.world = type(environment.world)(gravity=environment.world.gravity)
