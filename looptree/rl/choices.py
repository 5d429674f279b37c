"""Choices: where an observation is none of the options that its space has, a run stops before a network is asked.

Discrete and MultiDiscrete observations are numbers of options, which networks take for places: another number has none,
or that of an option of another choice.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from looptree.rl.errors import UnfitEnvironment
from looptree.rl.finite import check_given
from looptree.rl.packed import entries


class Choices:
    """The choices in observations of a space; there may be none."""

    def __init__(self, space: gymnasium.Space[Any]) -> None:
        self._options = dict(_options(space))

    def __bool__(self) -> bool:
        return bool(self._options)

    def check(self, name: str, values: NDArray[Any], source: Any) -> None:
        """Raise `UnfitEnvironment` where what the environments of a source gave, `(envs, ...)`, has a number that is
        none of its options, and what `check_given` raises."""
        check_given(name, values, source)
        for keys, options in self._options.items():
            chosen = values
            for key in keys:
                chosen = chosen[key]
            fits = list(map(operator.contains, itertools.cycle(options), chosen.ravel().tolist()))
            if not all(fits):
                first = fits.index(False)
                at = [int(each) for each in np.unravel_index(first, chosen.shape)]
                place = "".join([name, *(f"[{key!r}]" for key in keys), str(at)])
                fitting = options[first % len(options)]
                raise UnfitEnvironment(
                    f"{place} of {source.environments} is {chosen[tuple(at)]} after {source.env_steps:,} env steps; "
                    f"the first index is the environment's. Nothing is kept of that step. By its space, {fitting[0]} "
                    f"to {fitting[-1]} would fit."
                )


def _options(space: gymnasium.Space[Any], keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], list[range]]]:
    """The entries that are choices, by their keys, each with the options of all its numbers in a row."""
    inner = entries(space)
    if inner is not None:
        for key, entry in inner.items():
            yield from _options(entry, (*keys, str(key)))
    elif isinstance(space, spaces.Discrete):
        yield keys, [range(int(space.start), int(space.start + space.n))]
    elif isinstance(space, spaces.MultiDiscrete):
        pairs = zip(space.start.ravel().tolist(), space.nvec.ravel().tolist(), strict=True)
        yield keys, [range(start, start + number) for start, number in pairs]
