"""Metrics hold until their next value, and lines are drawn accordingly."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looptree.observe.report.held import Held, line, places, spread


def test_a_value_holds_until_the_next_one() -> None:
    curve = Held([10.0, 20.0, 30.0], [1.0, 2.0, math.nan], end=40.0)
    assert [curve.at(x) for x in (10.0, 19.9, 20.0)] == [1.0, 1.0, 2.0]
    assert all(math.isnan(curve.at(x)) for x in (9.9, 30.0, 40.0, 40.1))


def test_places_go_from_the_first_beginning_to_the_last_end() -> None:
    xs = places([Held([5.0], [0.0], 10.0), Held([1.0, 2.0], [0.0, 0.0], 9.0)])
    assert (xs[0], xs[-1]) == (1.0, 10.0)
    assert xs == sorted(set(xs))


def test_a_smoothed_value_weighs_by_how_long_values_held() -> None:
    # 0 for three quarters of each unit, 8 for the last one: 2 in the mean.
    xs = [number + part for number in range(100) for part in (0.0, 0.75)]
    curve = Held(xs, [0.0, 8.0] * 100, end=100.0)
    at = places([curve])
    smoothed = line(curve, at, smooth=True)
    assert smoothed[0] == 0.0
    assert smoothed[20:] == pytest.approx([2.0] * 381)
    assert line(curve, at, smooth=False)[:5] == [0.0, 0.0, 0.0, 8.0, 0.0]


def test_a_gap_stays_one_when_smoothed() -> None:
    curve = Held([0.0, 40.0, 60.0], [1.0, math.nan, 3.0], end=100.0)
    smoothed = line(curve, places([curve]), smooth=True)
    assert smoothed[:160] == pytest.approx([1.0] * 160)
    assert all(math.isnan(value) for value in smoothed[160:240])
    assert smoothed[241:] == pytest.approx([3.0] * 160)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_a_smoothed_line_stays_within_its_values(values: list[float]) -> None:
    curve = Held(list(range(len(values))), values, end=float(len(values)))
    smoothed = line(curve, places([curve]), smooth=True)
    slack = 1e-9 * max(map(abs, values)) + 1e-300  # products of the smallest numbers are 0
    assert min(values) - slack <= min(smoothed)
    assert max(smoothed) <= max(values) + slack


def test_spread_is_of_those_that_have_a_value() -> None:
    found = spread([[1.0, 2.0, math.nan], [3.0, math.nan, math.nan]])
    assert found[:2] == [(2.0, 1.0, 3.0), (2.0, 2.0, 2.0)]
    assert all(math.isnan(value) for value in found[2])


def test_only_what_goes_up_and_down_is_jagged() -> None:
    assert Held(range(100), [float(number % 2) for number in range(100)], 100).is_jagged
    assert not Held(range(100), [float(number) for number in range(100)], 100).is_jagged
    assert not Held(range(10), [float(number % 2) for number in range(10)], 10).is_jagged
