"""Spaces of every kind that can be observed, nested in each other, for tests of what is to take them all."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from hypothesis import strategies as st

SHAPES = st.lists(st.integers(1, 3), max_size=3).map(tuple)
SIZES = st.integers(1, 5)


@st.composite
def boxes(draw: st.DrawFn) -> spaces.Box:
    dtype = draw(st.sampled_from([np.float32, np.float64, np.float16, np.uint8, np.int16, np.int64]))
    return spaces.Box(draw(st.sampled_from([0, 1])), 50, draw(SHAPES), dtype)


@st.composite
def multi_discretes(draw: st.DrawFn) -> spaces.MultiDiscrete:
    shape = draw(SHAPES.filter(len))
    options = draw(st.lists(SIZES, min_size=int(np.prod(shape)), max_size=int(np.prod(shape))))
    starts = draw(st.lists(st.integers(-3, 3), min_size=len(options), max_size=len(options)))
    return spaces.MultiDiscrete(np.reshape(options, shape), start=np.reshape(starts, shape))


PLAIN = st.one_of(
    boxes(),
    multi_discretes(),
    st.builds(spaces.Discrete, SIZES, start=st.integers(-3, 300)),
    st.builds(spaces.MultiBinary, st.lists(st.integers(1, 3), min_size=1, max_size=2)),
)
SPACES = st.recursive(
    PLAIN,
    lambda inner: st.one_of(
        st.dictionaries(st.text(max_size=3), inner, min_size=1, max_size=3).map(spaces.Dict),
        st.lists(inner, min_size=1, max_size=3).map(spaces.Tuple),
    ),
    max_leaves=5,
)


def members(space: gymnasium.Space[Any], number: int, seed: int) -> list[Any]:
    """So many members of a space."""
    space.seed(seed)
    return [space.sample() for _ in range(number)]
