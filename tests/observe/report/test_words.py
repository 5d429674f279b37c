"""Numbers and times as people read them."""

import math

import pytest

from looptree.observe.report.words import counted, day, in_json, number, time_of


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (20_000.0, "20,000"),
        (1_147.26, "1,147"),
        (0.0731149, "0.07311"),
        (7.6e-05, "7.600e-05"),
        (123_456.7, "123,457"),
        (1e20, "1.000e+20"),
        (-0.5, "-0.5"),
        (0.0, "0"),
        (math.nan, "none"),
        (-math.inf, "−∞"),
    ],
)
def test_numbers(value: float, said: str) -> None:
    assert number(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(17.44, "17.4 s"), (3.2e-6, "3.20 µs"), (59.99, "60.0 s"), (725.0, "12 min 5 s"), (11_234.0, "3 h 7 min")],
)
def test_times(seconds: float, said: str) -> None:
    assert time_of(seconds) == said


def test_counts_and_days() -> None:
    assert [counted(1, "pass"), counted(2, "pass"), counted(1_000, "run")] == ["1 pass", "2 passes", "1,000 runs"]
    assert day("2026-11-22T18:00:01+00:00") == "22 November 2026, 18:00 UTC"
    assert day("<b>") == "<b>"


def test_numbers_in_json() -> None:
    assert [in_json(value) for value in (3.0, 1 / 3, math.nan, math.inf, 1e300)] == [3, 0.333333, None, None, 1e300]
