import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array
from hypothesis import given, settings
from hypothesis import strategies as st

from looptree.rl.errors import UnfitEnvironment
from looptree.rl.packed import as_bytes, check_observations, fill, kept_type
from tests.rl.some_spaces import SPACES, members


def assert_same(packed, space, observation):
    """Every entry of a packed observation is what was observed."""
    if isinstance(space, spaces.Dict):
        for key, entry in space.items():
            assert_same(packed[key], entry, observation[key])
    elif isinstance(space, spaces.Tuple):
        for number, entry in enumerate(space):
            assert_same(packed[str(number)], entry, observation[number])
    else:
        np.testing.assert_array_equal(packed, np.asarray(observation).astype(packed.dtype))
        assert packed.dtype == (np.float32 if np.issubdtype(space.dtype, np.floating) else space.dtype)


@settings(deadline=None)
@given(SPACES, st.integers(1, 4), st.integers(0, 9))
def test_packed_and_read_again(space, number, seed):
    observed = members(space, number, seed)
    side_by_side = concatenate(space, observed, create_empty_array(space, number))
    rows = np.zeros(number, kept_type(space))
    fill(rows, space, side_by_side)
    for row, observation in zip(rows, observed, strict=True):
        assert_same(row, space, observation)
    one_by_one = np.zeros(number, kept_type(space))
    for row, observation in enumerate(observed):
        fill(one_by_one[row : row + 1], space, observation)
    np.testing.assert_array_equal(as_bytes(one_by_one), as_bytes(rows))


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), SPACES, min_size=1, max_size=3).map(spaces.Dict))
def test_bytes_are_the_same_memory_and_have_no_gaps(space):
    rows = np.zeros((2, 3), kept_type(space))
    seen = as_bytes(rows)
    assert seen.shape == (2, 3, rows.dtype.itemsize)
    assert not seen.any()
    seen[...] = 255
    assert rows.tobytes() == b"\xff" * rows.nbytes
    fill(rows.reshape(-1), space, concatenate(space, members(space, 6, 0), create_empty_array(space, 6)))
    np.testing.assert_array_equal(as_bytes(rows[:, 1]), seen[:, 1])


def test_plain_observations_are_left_as_they_are():
    rows = np.arange(6.0).reshape(2, 3)
    assert as_bytes(rows) is rows


def test_what_is_no_array_is_named():
    space = spaces.Dict(position=spaces.Box(0, 1, (2,)), more=spaces.Dict(word=spaces.Text(3, charset="abc")))
    with pytest.raises(UnfitEnvironment) as error:
        check_observations("Reader", space)
    assert str(error.value) == (
        "Reader cannot observe Dict('position': Box(0.0, 1.0, (2,), float32), 'more': Dict('word': Text(1, 3, "
        "charset=abc))), nor can any algorithm here. Members of Text(1, 3, charset=abc) are no arrays of numbers; Box, "
        "Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of those would fit."
    )
