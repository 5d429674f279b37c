"""Thinned curves keep what one sees of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looptree.observe.report.thinning import thinned

NUMBERS = st.lists(st.floats(allow_nan=True), min_size=1, max_size=300)


def test_few_values_are_all_kept() -> None:
    assert thinned([3.0, math.nan, 1.0], 5) == [0, 1, 2]


def test_a_peak_a_dip_and_a_gap_are_kept() -> None:
    values = [float(number % 10) for number in range(1_000)]
    values[333], values[777], values[555] = 99.0, -99.0, math.nan
    kept = thinned(values, 41)
    assert {0, 333, 555, 777, 999} <= set(kept)
    assert len(kept) <= 41


def test_of_each_stretch_first_smallest_and_largest() -> None:
    assert thinned([5.0, 9.0, 1.0, 4.0, 6.0, 3.0, 8.0, 7.0], 5) == [0, 1, 2, 7]


@given(NUMBERS, st.integers(5, 40))
def test_first_last_smallest_largest_and_gaps_are_kept(values: list[float], most: int) -> None:
    kept = thinned(values, most)
    assert kept == sorted(set(kept))
    assert len(kept) <= most
    assert kept[0] == 0
    assert kept[-1] == len(values) - 1
    numbers = [value for value in values if not math.isnan(value)]
    shown = [values[index] for index in kept]
    shown_numbers = [value for value in shown if not math.isnan(value)]
    if numbers:
        assert min(shown_numbers) == min(numbers)
        assert max(shown_numbers) == max(numbers)
    stretch = math.ceil(len(values) / ((most - 1) // 4))
    for index in (index for index, value in enumerate(values) if math.isnan(value)):
        assert any(math.isnan(values[near]) for near in kept if abs(near - index) < stretch)


@pytest.mark.parametrize("size", [2_001, 10_000, 100_003])
def test_many_values_fit_the_screen(size: int) -> None:
    assert 1_000 < len(thinned([math.sin(number / 50) for number in range(size)], 2_000)) <= 2_000
