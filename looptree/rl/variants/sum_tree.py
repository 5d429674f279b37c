"""SumTree: numbers of which one is drawn with a probability in proportion to it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BRANCHES = 64


class SumTree:
    """Numbers of 0 or more, and above them a tree of their sums (Schaul et al. 2016, appendix B.2.1).

    Each node has 64 children, so that a few operations on arrays lead from the root to any number of leaves at once.
    Every sum is made anew from its children when one of them changes, and so is the same whatever was changed before.
    """

    def __init__(self, leaves: int) -> None:
        self._make(leaves)

    def _make(self, leaves: int) -> None:
        self._size = leaves
        self._levels: list[NDArray[np.float64]] = []  # the leaves first; each padded to whole blocks of children
        nodes = max(leaves, 1)
        while True:
            blocks = -(-nodes // _BRANCHES)
            self._levels.append(np.zeros(blocks * _BRANCHES))
            if blocks == 1:
                break
            nodes = blocks

    def __len__(self) -> int:
        """The number of leaves."""
        return self._size

    @property
    def total(self) -> float:
        """The sum of all."""
        return float(self._levels[-1].sum())

    def get(self, leaves: NDArray[np.int64]) -> NDArray[np.float64]:
        """The numbers `(n,)` of leaves `(n,)`."""
        return self._levels[0][leaves]

    def set(self, leaves: NDArray[np.int64], values: NDArray[np.float64] | float) -> None:
        """Change the numbers of leaves `(n,)`; of one that is named several times, the last counts."""
        self._levels[0][leaves] = values
        for below, level in zip(self._levels, self._levels[1:], strict=False):
            leaves = leaves // _BRANCHES
            level[leaves] = below.reshape(-1, _BRANCHES)[leaves].sum(1)

    def find(self, sums: NDArray[np.float64]) -> NDArray[np.int64]:
        """The leaves `(n,)` in which the running sum over all leaves first goes beyond `sums` `(n,)`, which are from 0
        to below the total. Leaves of 0 are never found."""
        nodes = np.zeros(len(sums), np.int64)
        each = np.arange(len(sums))
        for level in reversed(self._levels):
            running = level.reshape(-1, _BRANCHES).take(nodes, 0).cumsum(1)
            # What is left may have been rounded up to the whole sum, beyond which there is no child.
            sums = np.minimum(sums, np.nextafter(running[:, -1], 0))
            children = (running > sums[:, None]).argmax(1)
            sums = sums - np.where(children > 0, running[each, children - 1], 0.0)
            nodes = nodes * _BRANCHES + children
        return nodes

    def state_dict(self) -> dict[str, Any]:
        """The numbers of all leaves, as a view: it changes with them."""
        return {"leaves": self._levels[0][: self._size]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, and its number of leaves."""
        leaves = state["leaves"]
        self._make(len(leaves))
        self.set(np.arange(len(leaves)), leaves)
