"""What is written into a checkpoint is read back exactly, or refused when it is written."""

import tempfile
from collections import OrderedDict
from pathlib import Path

import hypothesis.extra.numpy as np_strategies
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from looptree.callbacks.checkpoints import UnsavableState, newest_checkpoint
from tests.callbacks.checkpoints.states import assert_same, load, save

SIMPLE_TYPES = st.one_of(
    np_strategies.boolean_dtypes(),
    np_strategies.integer_dtypes(),
    np_strategies.unsigned_integer_dtypes(),
    np_strategies.floating_dtypes(),
    np_strategies.complex_number_dtypes(),
    np_strategies.datetime64_dtypes(),
    np_strategies.timedelta64_dtypes(),
    np_strategies.byte_string_dtypes(),
    np_strategies.unicode_string_dtypes(),
)  # in both byte orders
TYPES = st.one_of(SIMPLE_TYPES, np_strategies.array_dtypes(SIMPLE_TYPES), np_strategies.nested_dtypes(SIMPLE_TYPES))
LAYOUTS = st.sampled_from([np.ascontiguousarray, np.asfortranarray, lambda array: array[..., ::-1], np.transpose])


@st.composite
def arrays(draw):
    dtype = draw(TYPES)
    shape = draw(np_strategies.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    size = int(np.prod(shape)) * dtype.itemsize
    bits = np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8).copy()
    array = np.ndarray(shape, dtype, bits)
    return draw(LAYOUTS)(array) if array.ndim else array


SURROGATES = st.text(st.characters(categories=["Cs", "L"]))
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(2**200), max_value=2**200),
    st.floats(),
    st.complex_numbers(),
    st.text(),
    SURROGATES,
    st.binary(),
    arrays(),
    st.sampled_from([np.float32(1.5), np.int64(-3), np.bool_(True), np.datetime64("2001-02-03"), np.str_("a\0")]),
)
KEYS = st.one_of(st.text(), SURROGATES, st.integers(), st.tuples(st.integers(), st.text()), st.just("$"), st.none())
STATES = st.recursive(
    LEAVES,
    lambda members: st.one_of(
        st.lists(members),
        st.lists(members).map(tuple),
        st.dictionaries(st.text(), members),
        st.dictionaries(KEYS, members),
        st.sets(st.integers()),
        st.frozensets(st.text()),
    ),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(STATES)
def test_a_state_is_read_back_exactly(state):
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), state)
        assert_same(load(Path(folder)), state)


NAMED = {
    "not a number": float("nan"),
    "another not a number": np.array([0xFFF8000000000123], np.uint64).view(float)[0].item(),
    "infinities": [float("inf"), float("-inf")],
    "minus zero": -0.0,
    "smallest": 5e-324,
    "beyond 64 bits": [2**64, -(2**127), 2**63, -(2**63) - 1],
    "more digits than Python prints": 10**6000,
    "nested tuples": ((), ((1,), [2, (3,)])),
    "int keys": {0: {"step": 1.0}, -1: (), True: "yes"},
    "keys like marks": {"$": "array", "name": "/x", "of": {"$": 1}},
    "no items": np.zeros((0, 3), np.float32),
    "no dimensions": np.array(2.5),
    "booleans": np.array([[True, False]]),
    "big-endian": np.arange(5, dtype=">i4"),
    "Fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "every other": np.arange(10)[::2],
    "backwards": np.arange(10)[::-1],
    "read only": np.broadcast_to(np.float32(3), (2, 2)),
    "structured": np.zeros(3, [("a", "<f4", (2, 2)), ("b", [("c", ">u2"), ("d", "U3")])]),
    "aligned": np.zeros(2, np.dtype([("a", "u1"), ("b", "f8")], align=True)),
    "out of order": np.zeros(2, {"names": ["a", "b"], "formats": ["u1", "f4"], "offsets": [8, 0], "itemsize": 12}),
    "text": np.array(["one", "fünf"]),
    "half": np.array([np.nan, -0.0, 65504], np.float16),
    "long double": np.array([1.5], np.longdouble),
}


def test_a_named_state_is_read_back_exactly(tmp_path):
    save(tmp_path, NAMED)
    assert_same(load(tmp_path), NAMED)


def test_arrays_that_were_read_can_be_written_to_and_the_file_stays_as_it_is(tmp_path):
    save(tmp_path, {"a": np.zeros(4)})
    first = load(tmp_path)
    first["a"][:] = 7
    assert load(tmp_path)["a"].tolist() == [0, 0, 0, 0]


def test_other_programs_can_read_the_arrays(tmp_path):
    save(tmp_path, {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "at": [np.array([True])]})
    arrays = load_file(newest_checkpoint(tmp_path).path / "arrays.safetensors")
    assert arrays["/cbs/holds/held/weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert arrays["/cbs/holds/held/at/0"].tolist() == [True]


class Number(float):
    pass


def itself():
    state = []
    state.append(state)
    return state


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"a": [1, object()]}, "/cbs/holds/held/a/1 is of type builtins.object, which cannot be written"),
        ({"a": torch.zeros(2)}, "tensor.detach().cpu().numpy()"),
        ({"a": np.array([None])}, "/cbs/holds/held/a has type object"),
        ({"a": np.ma.masked_array([1])}, "/cbs/holds/held/a is of type numpy.ma.MaskedArray"),
        (OrderedDict(), "/cbs/holds/held is of type collections.OrderedDict"),
        (Number(1), "Number, which cannot be written"),
        (itself(), "or one in itself"),
        (["x" * 9_000_000], "Keep long lists of numbers as NumPy arrays"),
    ],
)
def test_what_cannot_be_read_back_is_refused_when_it_is_written(tmp_path, state, said):
    with pytest.raises(UnsavableState) as raised:
        save(tmp_path, state)
    assert said in str(raised.value)
