"""Thinning: of many values as many as a screen can show, chosen so that the curve looks the same."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise


def thinned(values: Sequence[float], most: int) -> list[int]:
    """Where the values stand, in order, that are to be shown: `most` of them or less, all where there are no more.

    The first and the last are among them, and of each of equally long stretches its first, the smallest, the largest,
    and a NaN where there is one, so that no peak and no gap is lost. `most` is 5 at least.
    """
    if len(values) <= most:
        return list(range(len(values)))
    stretches = (most - 1) // 4
    edges = [round(stretch * len(values) / stretches) for stretch in range(stretches + 1)]
    kept = {*edges[:-1], len(values) - 1}
    for begin, end in pairwise(edges):
        stretch = range(begin, end)
        numbers = [at for at in stretch if not math.isnan(values[at])]
        if len(numbers) < len(stretch):
            kept.add(next(at for at in stretch if math.isnan(values[at])))
        if numbers:
            kept.add(min(numbers, key=values.__getitem__))
            kept.add(max(numbers, key=values.__getitem__))
    return sorted(kept)
