"""Made-up experience for tests of memories: episodes of every kind of end, in environments side by side."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import gymnasium
import numpy as np
from hypothesis import strategies as st

from looptree.rl.transition import Transition

NUMBERS = gymnasium.spaces.Box(-1e6, 1e6, (2,), np.float64)
STACKS = gymnasium.spaces.Box(0, 255, (4, 2, 1), np.uint8)


@dataclass(frozen=True)
class Script:
    """Steps of environments, and how often an episode ended in them."""

    space: gymnasium.Space[Any]
    num_envs: int
    transitions: list[Transition]
    cuts: int

    @staticmethod
    def rows(transition: Transition) -> list[tuple[Any, ...]]:
        """The real rows of a step, as (observation, action, reward, terminated, next observation)."""
        fields = transition.observation, transition.action, transition.reward, transition.terminated
        rows = zip(*fields, transition.next_observation, transition.real, strict=True)
        return [row[:5] for row in rows if row[5]]


@st.composite
def made_up(draw: st.DrawFn, most_envs: int = 3, most_steps: int = 25) -> Script:
    """Every observation is (number, env), with a number of its own. Some environments reset themselves one step late,
    some break, and now and then a source begins anew without saying so."""
    num_envs = draw(st.integers(1, most_envs))
    ends = st.sampled_from(["", "", "", "terminated", "truncated", "both", "restart", "broken"])
    late = draw(st.booleans())
    numbers = iter(range(1_000_000))
    present = [next(numbers) for _ in range(num_envs)]
    over = [False] * num_envs
    transitions = []
    cuts = 0
    for _ in range(draw(st.integers(1, most_steps))):
        how = [draw(ends) for _ in range(num_envs)]
        kind = ["" if resets else each for each, resets in zip(how, over, strict=True)]
        broken = np.array([each == "broken" for each in kind])
        real = ~np.array(over) & ~broken
        following = [now if each else next(numbers) for now, each in zip(present, broken, strict=True)]
        cuts += sum(each != "" for each in kind)
        envs = np.arange(num_envs)
        transitions.append(
            Transition(
                observation=np.stack([present, envs], 1).astype(np.float64),
                action=np.array(present) % 10,
                reward=np.where(broken, 0.0, np.array(present) / 2),
                terminated=np.array([each in ("terminated", "both") for each in kind]),
                truncated=np.array([each in ("truncated", "both") for each in kind]) | broken,
                next_observation=np.stack([following, envs], 1).astype(np.float64),
                real=real,
            )
        )
        ended = [each != "" for each in kind]
        # In the step that ends an episode, or, one step later, in one that is not real, the environment begins anew.
        over = [late and each not in ("", "restart", "broken") for each in kind]
        begins = [end and not wait for end, wait in zip(ended, over, strict=True)]
        present = [next(numbers) if new else number for number, new in zip(following, begins, strict=True)]
    return Script(NUMBERS, num_envs, transitions, cuts)


@st.composite
def stacks(draw: st.DrawFn, scripts: st.SearchStrategy[Script]) -> Script:
    """A script observed as stacks of the latest four frames, of which the first is repeated when an episode begins."""
    script = draw(scripts)
    history: dict[tuple[float, float], np.ndarray] = {}

    def frame(number: np.ndarray) -> np.ndarray:
        return np.array([[number[0] % 256], [number[1] + number[0] // 256]], np.uint8)

    def stack(number: np.ndarray) -> np.ndarray:
        return history.setdefault(tuple(number), np.repeat(frame(number)[None], 4, 0))

    transitions = []
    for transition in script.transitions:
        before = np.stack([stack(number) for number in transition.observation])
        after = []
        for number, former in zip(transition.next_observation, before, strict=True):
            history[tuple(number)] = np.concatenate([former[1:], frame(number)[None]])
            after.append(history[tuple(number)])
        transitions.append(transition._replace(observation=before, next_observation=np.stack(after)))
    return replace(script, space=STACKS, transitions=transitions)
