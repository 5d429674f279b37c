"""A condition holds where Python's own comparison would, and nothing but comparisons is taken."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looptree import Loop, Trace
from looptree.core.errors import BadSetting
from looptree.observe.condition import Condition

numbers = st.floats(allow_nan=False) | st.integers(-5, 5) | st.just(math.nan)
sides = st.sampled_from(["loss", "epsilon", "-1", "0.5", "2", "+3"])
comparisons = st.builds(
    lambda left, op, right: f"{left} {op} {right}", sides, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), sides
)
conditions = st.recursive(
    comparisons,
    lambda inner: (
        st.builds(lambda a, word, b: f"({a}) {word} ({b})", inner, st.sampled_from(["and", "or"]), inner)
        | inner.map(lambda text: f"not ({text})")
    ),
    max_leaves=6,
)


@given(conditions, numbers, numbers)
def test_a_condition_holds_where_the_comparison_does(text: str, loss: float, epsilon: float) -> None:
    values = {"loss": loss, "epsilon": epsilon}
    if "loss" in text or "epsilon" in text:
        assert Condition(text)(values) is eval(text, {"__builtins__": {}}, values)
    else:
        with pytest.raises(BadSetting):
            Condition(text)


def test_paths_and_chains() -> None:
    condition = Condition(" 0 < source.epsilon <= loss ")
    assert condition.fields == ("source.epsilon", "loss")
    assert condition({"source.epsilon": 0.5, "loss": 0.5})
    assert not condition({"source.epsilon": 0, "loss": 0.5})


NOT_ONE = ["", "loss", "1 < 2", "loss +", "loss < 'a'", "loss() < 1", "loss < open('x')", "loss[0] < 1", "loss < 1; 2"]
NOT_ONE += ["loss is None", "loss in (1, 2)", "loss + 1 < 2", "(x := loss) < 1", "lambda: loss < 1", "loss < 1j"]
NOT_ONE += ["loss = 1", "f().a < 1", "\0 < loss", f"loss < {'(' * 490}1{')' * 490}", "not " * 240 + "loss < 1 2"]


@pytest.mark.parametrize("text", NOT_ONE)
def test_what_is_no_condition(text: str) -> None:
    with pytest.raises(BadSetting, match="would fit, such as 'loss != loss'"):
        Condition(text)


def test_a_trace_stops_where_a_condition_on_two_fields_holds_for_the_first_time() -> None:
    class Training(Loop):
        loss: float
        rate = 1.0

        def on_step(self) -> None:
            self.loss = float(self.count % 4)

        def after_step(self) -> None:
            self.rate /= 2

    loop = Training(times=100)
    condition = Condition("loss == 3 and rate < 0.1")
    with Trace(loop, stop_if=condition.by_field({"rate": 1.0})) as trace:
        loop.run()
    assert trace.hit is not None
    assert (loop.loss, loop.rate) == (3, 1 / 16)
    assert trace.hit.field == "training.rate"
