import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looptree.rl.variants.sum_tree import SumTree

numbers = st.floats(0, 1e6).map(lambda number: 0.0 if number < 1e-3 else number)


def tree(values):
    made = SumTree(len(values))
    made.set(np.arange(len(values)), np.array(values, np.float64))
    return made


def test_running_sums_of_known_numbers():
    sums = tree([3.0, 0.0, 1.0, 2.0])
    assert sums.total == 6.0
    assert sums.find(np.array([0.0, 2.9, 3.0, 3.9, 4.0, 5.9])).tolist() == [0, 0, 2, 2, 3, 3]
    sums.set(np.array([0, 3]), np.array([0.0, 5.0]))
    assert sums.total == 6.0
    assert sums.find(np.array([0.0, 0.9, 1.0])).tolist() == [2, 2, 3]
    assert sums.get(np.array([3, 0])).tolist() == [5.0, 0.0]


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=9_000).filter(any), st.integers(0, 2**32))
def test_found_is_where_the_running_sum_goes_beyond(values, seed):
    sums = tree(values)
    array = np.array(values)
    assert sums.total == pytest.approx(array.sum())
    wanted = np.random.default_rng(seed).random(50) * sums.total
    found = sums.find(wanted)
    assert (array[found] > 0).all()
    running = array.cumsum()
    slack = 1e-9 * sums.total  # sums of the same numbers in another order
    assert (running[found] >= wanted - slack).all()
    assert (running[found] - array[found] <= wanted + slack).all()


def test_the_total_itself_is_not_beyond_the_last():
    for size in (1, 63, 64, 65, 5_000):
        sums = tree([0.1] * (size - 1) + [0.0] if size > 1 else [0.1])
        top = np.array([sums.total, np.nextafter(sums.total, 0)])
        assert sums.find(top).tolist() == [max(size - 2, 0)] * 2


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5_000), st.integers(0, 2**32))
def test_sums_are_the_same_whatever_was_changed_before(size, seed):
    generator = np.random.default_rng(seed)
    sums = tree(generator.random(size))
    for _ in range(10):
        leaves = generator.integers(0, size, 20)
        sums.set(leaves, generator.random(20))
    loaded = SumTree(0)
    loaded.load_state_dict(sums.state_dict())
    assert len(loaded) == size
    assert loaded.total == sums.total
    wanted = generator.random(30) * sums.total
    assert (loaded.find(wanted) == sums.find(wanted)).all()
