import copy
import dataclasses
import gc
import math
import pickle
import re
import subprocess
import sys
import weakref
from collections import deque

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from looptree import Callback, Cancel, Loop, Profile, Trace
from looptree.core.errors import BadSetting, NoSuchField, NotALoop
from looptree.observe.changes import Change
from looptree.observe.digest import UNSET, Summary
from looptree.observe.trace import BadPredicate
from tests.parsed_html import Parsed, shown_html

torch.set_num_threads(1)


class Update(Loop):
    call_on = "on_update"

    def on_loss(self):
        self.learner.loss = 1 / (self.count + 1)

    def finally_loss(self):
        self.learner.log.append(self.count)


class Learner(Loop):
    loss: float
    epsilon: float = 1.0

    def __init__(self, *args, **settings):
        self.log = []
        super().__init__(*args, **settings)

    def on_collect(self):
        self.epsilon *= 0.5

    def on_update(self):
        pass


def learner(passes=2, updates=2, cbs=()):
    return Learner(Update(times=updates), list(cbs), times=passes)


def brief(changes):
    return [(str(change.at), change.hook, change.field, change.old, change.new) for change in changes]


def test_each_change_says_when_who_and_from_what_to_what():
    loop = learner()
    with Trace(loop, "loss", "epsilon") as trace:
        loop.run()
    assert trace["epsilon"] == [
        Change((("learner", 0),), "Learner.on_collect", "learner.epsilon", 1.0, 0.5),
        Change((("learner", 1),), "Learner.on_collect", "learner.epsilon", 0.5, 0.25),
    ]
    assert brief(trace["loss"]) == [
        ("learner 0 > update 0", "Update.on_loss", "learner.loss", UNSET, 1.0),
        ("learner 0 > update 1", "Update.on_loss", "learner.loss", 1.0, 1 / 2),
        ("learner 1 > update 2", "Update.on_loss", "learner.loss", 1 / 2, 1 / 3),
        ("learner 1 > update 3", "Update.on_loss", "learner.loss", 1 / 3, 1 / 4),
    ]
    assert trace.fields == ("learner.loss", "learner.epsilon")
    assert trace.writers("loss") == {"Update.on_loss": 4}
    assert trace["learner.loss"] == trace["loss"]
    assert [change.field for change in trace.changes][:3] == ["learner.epsilon", "learner.loss", "learner.loss"]


def test_it_prints_who_changed_what_and_a_timeline():
    loop = learner(passes=1)
    with Trace(loop, "loss", "epsilon") as trace:
        loop.run()
    assert str(trace) == (
        "Trace of learner: 2 fields, 3 changes\n"
        "\n"
        "field            changes  changed by              now\n"
        "learner.loss     2        Update.on_loss (2)      0.5\n"
        "learner.epsilon  1        Learner.on_collect (1)  0.5\n"
        "\n"
        "at                    hook                field            old    new\n"
        "learner 0             Learner.on_collect  learner.epsilon  1      0.5\n"
        "learner 0 > update 0  Update.on_loss      learner.loss     unset  1\n"
        "learner 0 > update 1  Update.on_loss      learner.loss     1      0.5"
    )
    assert str(trace["loss"][0]) == "learner 0 > update 0: Update.on_loss: learner.loss went from unset to 1"


def test_of_a_long_timeline_the_middle_is_left_out():
    loop = learner(passes=100)
    with Trace(loop, "epsilon") as trace:
        loop.run()
    lines = str(trace).splitlines()
    assert len(lines) == 47
    assert lines[26] == "... 60 more ..."
    assert lines[25].startswith("learner 19 ") and lines[27].startswith("learner 80 ")


def test_a_field_that_hardly_changes_is_not_lost_among_others():
    class Rare(Callback):
        def after_collect(self):
            if self.parent.count == 40:
                self.parent.epsilon = 9.0

    class Busy(Loop):
        epsilon: float = 1.0
        loss: int = 0

        def on_collect(self):
            self.loss += 1

    loop = Busy(times=100, cbs=Rare)
    with Trace(loop, "loss", "epsilon") as trace:
        loop.run()
    lines = str(trace).splitlines()[6:]
    assert [line.split()[:3] for line in lines if "Rare" in line or "more" in line] == [
        ["...", "21", "more"],
        ["busy", "40", "Rare.after_collect"],
        ["...", "40", "more"],
    ]
    assert len(lines) == 1 + 40 + 2


def test_a_trace_in_which_nothing_changed_prints_too():
    loop = learner()
    with Trace(loop, "loss") as trace:
        pass
    assert str(trace).splitlines()[-1] == "learner.loss  0        -           unset"
    assert trace["loss"] == [] and trace.writers("loss") == {}


def test_without_names_every_field_is_traced_but_what_every_loop_has():
    loop = learner()
    with Trace(loop) as trace:
        loop.run()
    assert set(trace.fields) == {"learner.loss", "learner.epsilon", "learner.log"}
    with Trace(loop, "index") as trace:
        loop.run(times=2)
    assert set(trace.fields) == {"learner.index", "learner.update.index"}
    assert [change.new for change in trace["update.index"]] == [0, 1, 0, 1]


def test_a_bare_name_is_the_field_of_all_that_have_it_and_a_dotted_one_picks():
    class Noise(Callback):
        epsilon: float = 0.0

        def after_collect(self):
            self.epsilon += 1.0

    loop = learner(cbs=[Noise])
    with Trace(loop, "epsilon") as trace:
        loop.run(times=1)
    assert trace.fields == ("learner.epsilon", "learner.noise.epsilon")
    assert trace.writers("epsilon") == {"Learner.on_collect": 1, "Noise.after_collect": 1}
    assert trace.writers("noise.epsilon") == {"Noise.after_collect": 1}
    with Trace(loop, "noise.epsilon") as trace:
        loop.run(times=1)
    assert trace.fields == ("learner.noise.epsilon",)


def test_an_unknown_field_is_named_with_the_nearest_one():
    with pytest.raises(NoSuchField, match=r"No loop or callback of learner has a field 'los'. Nearest is 'loss'."):
        Trace(learner(), "los")
    with pytest.raises(NoSuchField, match="Nearest is 'epsilon'"):
        Trace(learner(), stop_if={"epsilom": math.isnan})
    with pytest.raises(NoSuchField, match=r"'epsilon' is not among the traced fields."):
        Trace(learner(), "loss")["epsilon"]
    with pytest.raises(BadSetting, match="keep=0"):
        Trace(learner(), "loss", keep=0)


def test_a_class_is_no_loop():
    with pytest.raises(NotALoop, match=r"Trace takes a loop; given was the class Learner: Trace\(Learner\(\)\)."):
        Trace(Learner)


def test_a_field_that_only_the_constructor_sets_is_known():
    class Plain(Loop):
        def __init__(self, **settings):
            self.rate = 1
            super().__init__(**settings)

        def on_step(self):
            setattr(self, "ra" + "te", self.count)

    loop = Plain(times=3)
    with Trace(loop, "rate") as trace:
        loop.run()
    assert [(change.old, change.new) for change in trace["rate"]] == [(1, 0), (0, 1), (1, 2)]


def test_a_read_that_goes_on_to_an_ancestor_is_no_field_of_the_one_that_reads():
    class Reader(Callback):
        def after_collect(self):
            self.parent.seen = self.epsilon

    loop = learner(cbs=[Reader])
    with Trace(loop, "epsilon", "seen") as trace:
        loop.run(times=1)
    assert trace.fields == ("learner.epsilon", "learner.seen")


def test_nor_is_one_that_goes_on_past_loops_that_do_not_read_it():
    class Deep(Loop):
        call_on = "on_loss"
        rate: float = 0.0

        def on_deep(self):
            self.rate = self.epsilon

    loop = Learner(Update(Deep, times=1), times=1)
    with Trace(loop, "epsilon", "rate") as trace:
        loop.run()
    assert trace.fields == ("learner.epsilon", "learner.update.deep.rate")


def test_nor_are_properties_methods_and_inner_loops():
    class Declaring(Learner):
        update: Update

        @property
        def double(self):
            return self.epsilon * 2

        def after_update(self):
            self.twice = self.double
            self.update.rate = 1

    loop = Declaring(Update(times=1), times=1)
    with Trace(loop) as trace:
        loop.run()
    assert set(trace.fields) == {
        "declaring.loss",
        "declaring.epsilon",
        "declaring.log",
        "declaring.twice",
        "declaring.update.rate",
    }
    with pytest.raises(NoSuchField, match="has a field 'double'"):
        Trace(loop, "double")


def test_a_field_that_hides_an_ancestors_counts_from_the_hook_on_that_sets_it():
    class Reader(Callback):
        def after_collect(self):
            self.parent.seen = self.epsilon

    class Setter(Callback):
        def after_collect(self):
            self.learner.reader.epsilon = 7

    loop = learner(cbs=[Reader, Setter])
    with Trace(loop, "reader.epsilon") as trace:
        loop.run(times=2)
    assert brief(trace.changes) == [("learner 0", "Setter.after_collect", "learner.reader.epsilon", UNSET, 7)]


# what counts as a change


@dataclasses.dataclass
class Batch:
    rows: list
    size: int = 0


def build(make, change):
    """A loop with a field `value` made by `make`, changed by its hook in the second of three passes."""

    class Holder(Loop):
        def __init__(self, **settings):
            self.value = make()
            super().__init__(**settings)

        def on_step(self):
            if self.count == 1:
                change(self)

        def after_step(self):
            pass

    return Holder(times=3)


def traced_value(make, change):
    loop = build(make, change)
    with Trace(loop, "value") as trace:
        loop.run()
    return trace["value"]


def set_item(key, new):
    def change(loop):
        loop.value[key] = new

    return change


IN_PLACE = {
    "list": (lambda: [1, 2], set_item(0, 9), [1, 2], [9, 2]),
    "list, -1 to -2": (lambda: [-1, 0], set_item(0, -2), [-1, 0], [-2, 0]),
    "list, 1 to True": (lambda: [1, 0], set_item(0, True), [1, 0], [True, 0]),
    "nested list": (lambda: [1, [2]], lambda loop: loop.value[1].append(3), None, None),
    "dict": (lambda: {"a": 1}, set_item("b", 2), {"a": 1}, {"a": 1, "b": 2}),
    "set": (lambda: {1}, lambda loop: loop.value.add(2), {1}, {1, 2}),
    "deque": (lambda: deque([1]), lambda loop: loop.value.append(2), deque([1]), deque([1, 2])),
    "bytearray": (lambda: bytearray(b"ab"), set_item(0, 99), bytearray(b"ab"), bytearray(b"cb")),
    "dataclass": (lambda: Batch([1]), lambda loop: setattr(loop.value, "size", 3), None, None),
    "inside a dataclass": (lambda: Batch([1]), lambda loop: loop.value.rows.append(2), None, None),
    "array": (lambda: np.zeros(3), set_item(1, 1.0), np.zeros(3), np.array([0.0, 1.0, 0.0])),
    "large array": (lambda: np.zeros((100, 100)), set_item((99, 99), 1.0), None, None),
    "strided array": (lambda: np.zeros((100, 100))[::2, ::2], set_item((3, 3), 1.0), None, None),
    "array of times": (lambda: np.zeros(3, "M8[s]"), set_item(0, 5), None, None),
    "array of objects": (lambda: np.array([None, 1]), set_item(0, "x"), None, None),
    "array without dimensions": (lambda: np.array(1.0), set_item((), 2.0), np.array(1.0), np.array(2.0)),
    "array in a list": (lambda: [np.zeros(3)], lambda loop: loop.value[0].fill(1), None, None),
    "array in a tuple": (lambda: (np.zeros(3),), lambda loop: loop.value[0].fill(1), None, None),
    "tensor": (lambda: torch.zeros(3), lambda loop: loop.value.add_(1), torch.zeros(3), torch.ones(3)),
    "view of a tensor": (lambda: torch.zeros(9), lambda loop: loop.value[:3].zero_(), None, None),
    "bfloat16": (lambda: torch.zeros(99, dtype=torch.bfloat16), lambda loop: loop.value.add_(1), None, None),
    "tensor in a dict": (lambda: {"x": torch.zeros(3)}, lambda loop: loop.value["x"].zero_(), None, None),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_change_in_place_counts_and_old_stays_old(name):
    make, change, old, new = IN_PLACE[name]
    found = traced_value(make, change)
    assert [(str(each.at), each.hook) for each in found] == [("holder 1", "Holder.on_step")]
    if old is None:
        assert found[0].old is not found[0].new
    elif isinstance(old, np.ndarray | torch.Tensor):
        assert (found[0].old == old).all() and (found[0].new == new).all()
    else:
        assert (found[0].old, found[0].new) == (old, new) and type(found[0].old) is type(old)


def make_inference_tensor():
    with torch.inference_mode():
        return torch.zeros(20)


def test_an_inference_tensor_has_no_version_but_contents():
    def change(loop):
        with torch.inference_mode():
            loop.value.add_(1)

    assert len(traced_value(make_inference_tensor, change)) == 1


def test_a_list_that_holds_itself_can_be_traced():
    def make():
        held = [1]
        held.append(held)
        return held

    assert len(traced_value(make, set_item(0, 2))) == 1


def optimizer_step(fused):
    def change(loop):
        optimizer = torch.optim.Adam(loop.value.parameters(), fused=fused)
        loop.value(torch.ones(1, 4)).sum().backward()
        optimizer.step()

    return change


@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_step_changes_a_module(fused):
    found = traced_value(lambda: torch.nn.Linear(4, 8), optimizer_step(fused))
    assert [each.hook for each in found] == ["Holder.on_step"]
    assert str(found[0].old) != str(found[0].new)
    assert str(found[0].new).startswith("Linear of 2 tensors, 40 numbers #")


def test_a_fused_step_changes_a_tensor_field_too_and_nothing_is_left_behind():
    def change(loop):
        optimizer = torch.optim.Adam([loop.value], fused=True)
        loop.value.sum().backward()
        optimizer.step()

    hooks = sys.modules["torch.optim.optimizer"]._global_optimizer_post_hooks
    assert len(traced_value(lambda: torch.zeros(3, requires_grad=True), change)) == 1
    assert len(hooks) == 0


def test_a_buffer_counts_as_part_of_its_module():
    found = traced_value(lambda: torch.nn.BatchNorm1d(3), lambda loop: loop.value(torch.rand(5, 3)))
    assert len(found) == 1


def test_modules_with_equal_weights_show_equal_digests():
    def change(loop):
        loop.value = copy.deepcopy(loop.value)

    found = traced_value(lambda: torch.nn.Linear(4, 8), change)
    assert len(found) == 1
    assert str(found[0].old) == str(found[0].new)


NO_CHANGE = {
    "equal number": (lambda: 1000.5, lambda loop: setattr(loop, "value", float("1000.5"))),
    "NaN again": (lambda: math.nan, lambda loop: setattr(loop, "value", float("nan"))),
    "a list of the same NaN": (lambda: [1, math.nan], lambda loop: setattr(loop, "value", [1, math.nan])),
    "equal list": (lambda: [1, 2], lambda loop: setattr(loop, "value", [1, 2])),
    "equal array": (lambda: np.zeros(3), lambda loop: setattr(loop, "value", np.zeros(3))),
    "equal NumPy scalar": (lambda: np.float32(0.5), lambda loop: setattr(loop, "value", np.float32(0.5))),
    "equal dataclass": (lambda: Batch([1]), lambda loop: setattr(loop, "value", Batch([1]))),
    "there and back": (lambda: [1], lambda loop: loop.value.append(loop.value.pop())),
    "a read": (lambda: torch.zeros(3), lambda loop: loop.value.sum()),
}


@pytest.mark.parametrize("name", NO_CHANGE)
def test_the_same_value_again_is_no_change(name):
    assert traced_value(*NO_CHANGE[name]) == []


CHANGE = {
    "a list of another NaN": (lambda: [math.nan], lambda loop: setattr(loop, "value", [float("nan")])),
    "another class": (lambda: 1, lambda loop: setattr(loop, "value", True)),
    "another tensor": (lambda: torch.zeros(3), lambda loop: setattr(loop, "value", torch.zeros(3))),
    "another object": (object, lambda loop: setattr(loop, "value", object())),
    "array of another type": (lambda: np.zeros(3), lambda loop: setattr(loop, "value", np.zeros(3, "f4"))),
    "tuple to list": (lambda: (1, 2), lambda loop: setattr(loop, "value", [1, 2])),
    "number to NaN": (lambda: 1.0, lambda loop: setattr(loop, "value", math.nan)),
}


@pytest.mark.parametrize("name", CHANGE)
def test_another_value_is_a_change(name):
    assert len(traced_value(*CHANGE[name])) == 1


def test_a_deleted_field_is_unset():
    found = traced_value(lambda: 1, lambda loop: delattr(loop, "value"))
    assert [(each.old, each.new) for each in found] == [(1, UNSET)]


def test_what_is_large_or_alive_is_kept_as_a_line():
    def change(loop):
        loop.value = np.ones((64, 4), np.float32)

    (found,) = traced_value(lambda: "x" * 1000, change)
    assert isinstance(found.old, Summary) and isinstance(found.new, Summary)
    assert str(found.old) == "str of 1,000: 'xxxxxxxxxxxxxxxxxxxx'..."
    assert str(found.new).startswith("ndarray (64, 4) float32 #")
    (found,) = traced_value(lambda: list(range(1000)), lambda loop: setattr(loop, "value", Batch([1, 2])))
    assert str(found.old) == "list of 1,000: 0, 1, 2, ..."
    assert str(found.new) == "Batch(rows=[1, 2], size=0)"
    (found,) = traced_value(lambda: None, lambda loop: setattr(loop, "value", Learner(name="other")))
    assert str(found.new) == "Learner other"
    (found,) = traced_value(lambda: len, lambda loop: setattr(loop, "value", Batch))
    assert str(found.new) == "Batch"


def test_small_tensors_are_kept_as_copies_without_their_graph():
    def change(loop):
        loop.value = loop.value * 3

    (found,) = traced_value(lambda: torch.tensor(0.5, requires_grad=True), change)
    assert (found.old.item(), found.new.item()) == (0.5, 1.5)
    assert not found.new.requires_grad


# who did it


class Phased(Loop):
    phases = ("train", "valid")
    mode = ""
    score = 0

    def switch_phase(self, phase):
        super().switch_phase(phase)
        self.mode = phase

    def on_step(self, _phase="valid"):
        self.score += 1


def test_switch_phase_is_a_hook_like_others():
    loop = Phased()
    with Trace(loop, "mode", "score") as trace:
        loop.run()
    assert [(change.hook, change.new) for change in trace.changes] == [
        ("Phased.switch_phase", "train"),
        ("Phased.switch_phase", "valid"),
        ("Phased.on_step", 1),
    ]


class Sampler(Loop):
    seen = 0
    total = 0

    def items(self):
        for number in (10, 20):
            self.seen = number
            yield number
        self.seen = -1

    def on_step(self):
        self.total += self.item


def test_what_items_does_is_the_loops_doing():
    loop = Sampler()
    with Trace(loop, "seen", "total") as trace:
        loop.run()
    assert brief(trace.changes) == [
        ("sampler 0", "Sampler (no hook)", "sampler.seen", 0, 10),
        ("sampler 0", "Sampler.on_step", "sampler.total", 0, 10),
        ("sampler 1", "Sampler (no hook)", "sampler.seen", 10, 20),
        ("sampler 1", "Sampler.on_step", "sampler.total", 10, 30),
        ("outside a pass", "Sampler (no hook)", "sampler.seen", 20, -1),
    ]


def test_what_the_consumer_of_a_pull_does_is_the_loops_doing():
    loop = Sampler()
    with Trace(loop, "total") as trace:
        for _ in loop:
            loop.total += 1
    assert brief(trace.changes) == [
        ("sampler 0", "Sampler.on_step", "sampler.total", 0, 10),
        ("sampler 1", "Sampler (no hook)", "sampler.total", 10, 11),
        ("sampler 1", "Sampler.on_step", "sampler.total", 11, 31),
        ("outside a pass", "Sampler (no hook)", "sampler.total", 31, 32),
    ]


def test_a_pull_that_is_broken_off_is_traced_to_the_end():
    loop = Sampler()
    with Trace(loop, "total") as trace:
        for _ in loop:
            loop.total = 5
            break
    assert trace.writers("total") == {"Sampler.on_step": 1, "Sampler (no hook)": 1}


def test_what_happens_outside_the_run_is_nobodys_doing():
    loop = learner()
    with Trace(loop, "epsilon") as trace:
        loop.epsilon = 4.0
        loop.run(times=1)
        loop.epsilon = 3.0
        loop.run(times=1)
    assert [(change.hook, change.new) for change in trace.changes] == [
        ("outside the run", 4.0),
        ("Learner.on_collect", 2.0),
        ("outside the run", 3.0),
        ("Learner.on_collect", 1.5),
    ]


def test_hooks_on_run_are_outside_of_its_passes():
    class Around(Callback):
        def before_run(self):
            self.parent.loss = "open"

        def finally_run(self):
            self.parent.loss = "closed"

    loop = learner(passes=1)
    loop.update.add_cb(Around)
    loop.add_cb(Around)
    with Trace(loop, "loss", "update.loss") as trace:
        loop.run()
    assert brief(trace.changes)[0] == ("outside a pass", "learner.around.before_run", "learner.loss", UNSET, "open")
    assert brief(trace["update.loss"])[0] == (
        "learner 0",
        "learner.update.around.before_run",
        "learner.update.loss",
        UNSET,
        "open",
    )
    assert trace["learner.loss"][-1].at == ()


def test_two_callbacks_of_one_class_are_told_apart():
    class Tally(Callback):
        def after_collect(self):
            self.parent.log.append(self.name)

    loop = learner(cbs=[Tally, Tally])
    with Trace(loop, "log") as trace:
        loop.run(times=1)
    assert trace.writers("log") == {
        "learner.tally.after_collect": 1,
        "learner.tally_2.after_collect": 1,
        "Update.finally_loss": 2,
    }


def test_a_replacing_hook_and_the_replaced_one_both_sign_for_themselves():
    class Slow(Callback):
        def on_collect(self, _replace=True, _every=2):
            self.parent.epsilon *= 10

    loop = learner(cbs=[Slow])
    with Trace(loop, "epsilon") as trace:
        loop.run(times=4)
    assert [change.hook for change in trace.changes] == ["Learner.on_collect", "Slow.on_collect"] * 2


class Fragile(Loop):
    state = "new"
    log: list

    def __init__(self, **settings):
        self.log = []
        super().__init__(**settings)

    def on_step(self):
        self.state = "half"
        raise ValueError("no")

    def failed_step(self):
        self.state = "failed"

    def finally_step(self):
        self.state = "over"


def test_a_hook_that_raises_has_changed_what_it_changed():
    loop = Fragile()
    with Trace(loop, "state") as trace, pytest.raises(ValueError, match="no") as caught:
        loop.run()
    assert [(change.hook, change.new) for change in trace.changes] == [
        ("Fragile.on_step", "half"),
        ("Fragile.failed_step", "failed"),
        ("Fragile.finally_step", "over"),
    ]
    assert caught.value.__context__ is None
    assert loop.ended == "failed in Fragile.on_step: ValueError: no"


def test_a_trace_of_an_inner_loop_sees_what_hooks_outside_do_to_it():
    class Meddler(Callback):
        def before_update(self):
            self.learner.update.rate = self.learner.count

    class Rated(Update):
        rate = None

    loop = Learner(Rated(times=1, name="update"), [Meddler], times=2)
    with Trace(loop.update) as trace:
        loop.run()
    assert brief(trace.changes) == [
        ("learner 0", "Meddler.before_update", "learner.update.rate", None, 0),
        ("learner 1", "Meddler.before_update", "learner.update.rate", 0, 1),
    ]
    assert trace.fields == ("learner.update.rate",)


def test_an_inner_loop_run_alone_is_the_outermost():
    loop = learner()
    with Trace(loop, "loss") as trace:
        loop.update.run()
    assert [str(change.at) for change in trace["loss"]] == ["update 0", "update 1"]


def test_a_callback_added_while_it_runs_is_traced_from_then_on():
    class Guest(Callback):
        visits: int = 0

        def after_collect(self):
            self.visits += 1

    class Host(Callback):
        def before_collect(self):
            if self.learner.count == 1:
                self.learner.add_cb(Guest)

    loop = learner(passes=4, cbs=[Host])
    with Trace(loop) as trace:
        loop.run()
    assert [(str(change.at), change.new) for change in trace["visits"]] == [("learner 2", 1), ("learner 3", 2)]
    assert len(trace["epsilon"]) == 4


def test_a_hook_that_was_taken_out_is_still_named_while_the_old_code_runs():
    class Guest(Callback):
        def after_update(self):
            self.parent.epsilon = 3.0

    class Evict(Callback):
        def on_loss(self, _replace=True):
            if self.learner.cbs[-1].name == "guest":
                self.learner.remove_cb(Guest)

    loop = learner(passes=2, updates=3, cbs=[Evict, Guest])
    with Trace(loop, "epsilon") as trace:
        loop.run()
    assert trace.writers("epsilon") == {"Learner.on_collect": 2, "Guest.after_update": 1}


def test_what_was_changed_while_new_code_was_made_is_not_lost():
    class Swap(Callback):
        def after_pass(self):
            self.parent.epsilon = 8.0
            self.parent.add_cb(Callback)

    loop = learner(passes=2, cbs=[Swap])
    with Trace(loop, "epsilon") as trace:
        loop.run()
    assert [change.hook for change in trace.changes] == ["Learner.on_collect", "Swap.after_pass"] * 2


# data breakpoints


class Deep(Loop):
    """Three levels, of which the innermost sets the loss, which all of them close."""

    loss: float = 0.0

    def __init__(self, **settings):
        self.closed = []
        super().__init__([Middle(times=2)], times=3, **settings)

    def on_outer(self):
        pass

    def after_outer(self):
        self.closed.append("after_outer")

    def finally_outer(self):
        self.closed.append("outer")

    def finally_run(self):
        self.closed.append("run")


class Middle(Loop):
    call_on = "on_outer"

    def __init__(self, **settings):
        super().__init__([Innermost(times=3)], **settings)

    def on_middle(self):
        pass

    def finally_middle(self):
        self.deep.closed.append("middle")


class Innermost(Loop):
    call_on = "on_middle"

    def on_step(self):
        self.deep.loss = math.nan if self.count == 4 else float(self.count)

    def after_step(self):
        self.deep.closed.append("after_step")

    def finally_step(self):
        self.deep.closed.append("step")


def test_a_breakpoint_ends_the_whole_run_at_the_hook_that_set_the_value():
    loop = Deep()
    with Trace(loop, stop_if={"loss": math.isnan}) as trace:
        assert loop.run() is loop
    hit = trace.hit
    assert (str(hit.at), hit.hook, hit.field, hit.old) == (
        "deep 0 > middle 1 > innermost 4",
        "Innermost.on_step",
        "deep.loss",
        3.0,
    )
    assert math.isnan(hit.new)
    where = "deep 0 > middle 1 > innermost 4"
    sentence = f"cancelled by Innermost.on_step: deep.loss went from 3 to nan in {where} (a stop_if of Trace)"
    assert loop.ended == loop.middle.ended == loop.middle.innermost.ended == sentence
    assert loop.closed == [
        *["after_step", "step"] * 3,
        "middle",
        "after_step",
        "step",
        "step",
        "middle",
        "outer",
        "run",
    ]
    assert str(trace).endswith(f"stopped: {hit}")
    loop.run()
    assert loop.ended == "ran all 3 items"


def test_a_breakpoint_watches_changes_in_place():
    loop = learner(passes=5)
    with Trace(loop, stop_if={"log": lambda log: len(log) == 3}) as trace:
        loop.run()
    assert trace.hit.hook == "Update.finally_loss"
    assert loop.log == [0, 1, 2]
    assert loop.update.count == 3
    assert loop.count == 2


def test_a_breakpoint_judges_the_value_itself_not_what_is_kept_of_it():
    loop = build(lambda: torch.zeros(100), lambda loop: loop.value.fill_(math.nan))
    with Trace(loop, stop_if={"value": lambda value: bool(value.isnan().any())}) as trace:
        loop.run()
    assert str(trace.hit.at) == "holder 1"
    assert isinstance(trace.hit.new, Summary)


@pytest.mark.parametrize(
    "field, by", [("opened", "Opening (no hook)"), ("closed", "Opening.finally_step")], ids=["items", "finally"]
)
def test_a_breakpoint_names_who_set_the_value_outside_of_the_lines_of_a_pass(field, by):
    class Opening(Loop):
        opened = closed = False

        def items(self):
            self.opened = True
            yield 1

        def on_step(self):
            pass

        def finally_step(self):
            self.closed = True

    loop = Opening()
    with Trace(loop, stop_if={field: bool}):
        loop.run()
    assert loop.ended.startswith(f"cancelled by {by}: opening.{field} went from False to True")


def test_a_breakpoint_ends_a_pull_too():
    loop = Sampler()
    with Trace(loop, stop_if={"total": lambda total: total > 5}) as trace:
        assert list(loop) == []
    assert trace.hit.new == 10


def test_a_breakpoint_never_stands_in_the_way_of_an_error():
    loop = Fragile(times=3)
    with Trace(loop, stop_if={"state": lambda state: state == "half"}) as trace, pytest.raises(ValueError, match="no"):
        loop.run()
    assert trace.hit.new == "half"


def test_a_breakpoint_hit_by_a_failing_hook_that_is_recovered_stops_at_the_next_pass():
    class GoOn(Callback):
        def failed_step(self):
            self.loop.recover()

    loop = Fragile(times=3, cbs=GoOn)
    with Trace(loop, stop_if={"state": lambda state: state == "half"}):
        loop.run()
    assert loop.ended.endswith("fragile.state went from 'new' to 'half' in fragile 0 (a stop_if of Trace)")
    assert loop.count < 3


def test_a_breakpoint_before_and_after_the_passes():
    class Open(Callback):
        def before_run(self):
            self.parent.epsilon = -1.0

    loop = learner(cbs=[Open])
    with Trace(loop, stop_if={"epsilon": lambda epsilon: epsilon < 0}) as trace:
        loop.run()
    assert trace.hit.hook == "Open.before_run"
    assert loop.count == 0 or loop.log == []


def test_a_predicate_that_raises_is_the_traces_own_error():
    loop = learner()
    with Trace(loop, stop_if={"log": math.isnan}), pytest.raises(BadPredicate) as caught:
        loop.run()
    assert str(caught.value) == (
        "stop_if of learner.log raised TypeError: must be real number, not list. It was asked about [0], set by"
        " Update.finally_loss in learner 0 > update 0."
    )
    assert isinstance(caught.value.__cause__, TypeError)


def test_a_trace_with_stop_if_alone_traces_those_fields():
    loop = learner()
    with Trace(loop, stop_if={"loss": math.isnan}) as trace:
        loop.run()
    assert trace.fields == ("learner.loss",)
    assert trace.hit is None
    with Trace(loop, "epsilon", stop_if={"loss": math.isnan}) as trace:
        loop.run()
    assert set(trace.fields) == {"learner.loss", "learner.epsilon"}


def test_a_second_run_can_be_stopped_again():
    loop = learner()
    with Trace(loop, stop_if={"epsilon": lambda epsilon: True}) as trace:
        loop.run()
        first = trace.hit
        loop.run()
    assert trace.hit is not first and loop.count == 2


# watching leaves nothing behind


def test_the_code_is_the_same_afterwards_also_after_an_error():
    loop = learner()
    before = loop.code
    with Trace(loop) as trace:
        assert loop.code != before
        loop.run()
    assert loop.code == before
    with pytest.raises(Cancel), Trace(loop):
        raise Cancel("run")
    assert loop.code == before
    assert len(trace.changes) > 0


def test_traces_nest():
    loop = learner()
    before = loop.code
    with Trace(loop, "loss") as outer:
        between = loop.code
        with Trace(loop, "loss") as inner, Trace(loop.update, "count"):
            loop.run(times=1)
        assert loop.code == between
        loop.run(times=1)
    assert loop.code == before
    assert len(outer["loss"]) == 4
    assert inner["loss"] == outer["loss"][:2]


def test_a_trace_nests_with_a_profile_either_way():
    loop = learner()
    before = loop.code
    with Trace(loop, "loss") as outer, Profile(loop) as inner:
        loop.run(times=1)
    assert loop.code == before
    with Profile(loop) as around, Trace(loop, stop_if={"loss": lambda loss: loss < 1 / 3}) as within:
        loop.run(times=2)
    assert loop.code == before
    assert len(outer["loss"]) == 2 and inner["learner.update.on_loss"].calls == 2
    assert within.hit.new == 1 / 4 and around["learner.update.on_loss"].calls == 2


def test_a_loop_called_trace_is_not_in_the_way():
    loop = learner(cbs=[type("Trace", (Callback,), {"after_collect": lambda self: None})])
    with Trace(loop, "loss") as trace:
        loop.run()
    assert len(trace["loss"]) == 4


def test_the_same_trace_cannot_be_entered_twice_at_once_but_again_later():
    loop = learner()
    trace = Trace(loop, "epsilon")
    with trace, pytest.raises(BadSetting, match="tracing already"), trace:
        pass
    with trace:
        loop.run(times=1)
    assert len(trace["epsilon"]) == 1


def test_copies_of_a_watched_loop_are_not_watched():
    loop = learner()
    plain = learner().code
    with Trace(loop, "loss") as trace:
        for twin in (copy.deepcopy(loop), pickle.loads(pickle.dumps(loop))):
            twin.run()
            assert twin.code == plain
    assert trace.changes == []


def test_nothing_of_the_loop_is_held_after_the_block():
    class Box:
        pass

    class Boxed(Loop):
        def on_step(self):
            self.box = Box()
            self.boxes = [Box()]

    loop = Boxed(times=3)
    with Trace(loop) as trace:
        loop.run()
    held = [weakref.ref(loop.box), weakref.ref(loop.boxes[0])]
    loop.box = loop.boxes = None
    gc.collect()
    assert [reference() for reference in held] == [None, None]
    assert len(trace["box"]) == 3


def test_old_changes_are_dropped_and_counted():
    loop = learner(passes=50)
    with Trace(loop, "epsilon", "log", keep=10) as trace:
        loop.run()
    assert len(trace["epsilon"]) == len(trace["log"]) == 10
    assert trace["epsilon"][-1].new == loop.epsilon
    assert trace.dropped == 40 + 90
    assert trace.writers("epsilon") == {"Learner.on_collect": 50}
    assert str(trace).splitlines()[0] == (
        "Trace of learner: 2 fields, 150 changes (130 of them no longer kept: 10 a field)"
    )


def test_tracing_imports_no_torch():
    code = """
import sys
from looptree import Loop, Trace
class Count(Loop):
    def on_step(self):
        self.items_seen = [self.count]
loop = Count(times=2)
with Trace(loop) as trace:
    loop.run()
assert len(trace["items_seen"]) == 2
assert not {"torch", "numpy", "rich"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# the state at a point


def test_the_state_when_a_pass_had_ended():
    loop = learner(passes=3)
    with Trace(loop) as trace:
        loop.run()
    moment = trace.at(update=2)
    assert moment.values == {"learner.loss": 1 / 3, "learner.epsilon": 0.25, "learner.log": [0, 1, 2]}
    assert {change.hook for change in moment.changes} == {"Update.on_loss", "Update.finally_loss"}
    moment = trace.at(learner=1)
    assert moment.values == {"learner.loss": 1 / 4, "learner.epsilon": 0.25, "learner.log": [0, 1, 2, 3]}
    assert len(moment.changes) == 5
    assert trace.at(learner=1, update=2).values == trace.at(update=2).values
    assert trace.at(**{"learner.update": 2}) == trace.at(update=2)
    assert str(trace.at(learner=0)).splitlines()[:2] == ["field            value", "learner.loss     0.5"]


def test_the_state_at_a_point_before_what_is_kept_is_left_out():
    loop = learner(passes=9)
    with Trace(loop, "epsilon", "loss", keep=5) as trace:
        loop.run()
    assert trace.at(learner=1).values == {}
    assert set(trace.at(learner=8).values) == {"learner.epsilon", "learner.loss"}


def test_a_point_is_named_by_a_loop_of_the_tree():
    trace = Trace(learner(), "loss")
    with trace:
        pass
    with pytest.raises(NoSuchField, match=r"No loop of this tree is called 'updat'. Nearest is 'update'."):
        trace.at(updat=3)
    with pytest.raises(BadSetting, match="needs the number of a pass"):
        trace.at()
    twins = Learner([Update(times=1), Update(times=1)])
    twins.update.add_loop(Update(call_on="on_loss", name="update"))
    with Trace(twins, "loss") as trace:
        twins.run()
    with pytest.raises(BadSetting, match=r"Several loops are called 'update': 'learner.update' and"):
        trace.at(update=0)


class Nested(Loop):
    """A loop in another of its name."""

    y = -1

    def on_step(self):
        self.y = self.count


def nested():
    return Nested(Nested(call_on="on_step", times=3, name="fit"), times=2, name="fit")


def test_of_loops_of_one_name_one_inside_the_other_the_path_says_which():
    loop = nested()
    with Trace(loop, "y") as trace:
        loop.run()
    inner = [("fit 0 > fit 0", 0), ("fit 0 > fit 1", 1), ("fit 0 > fit 2", 2)]
    inner += [("fit 1 > fit 3", 3), ("fit 1 > fit 4", 4), ("fit 1 > fit 5", 5)]
    assert [(str(change.at), change.new) for change in trace["fit.fit.y"]] == inner
    assert [(str(change.at), change.new) for change in trace["fit.y"]] == [("fit 0", 0), ("fit 1", 1)]
    assert [(str(change.at), change.new) for change in trace.at(**{"fit.fit": 1}).changes] == inner[1:2]
    within = trace.at(fit=1)
    assert [(change.field, change.new) for change in within.changes] == [
        ("fit.y", 1), ("fit.fit.y", 3), ("fit.fit.y", 4), ("fit.fit.y", 5),
    ]  # fmt: skip
    assert within.values == {"fit.y": 1, "fit.fit.y": 5}
    assert trace.at(**{"fit": 1, "fit.fit": 4}).values == {"fit.y": 1, "fit.fit.y": 4}


# against a brute-force record

FIELDS = ("a", "b", "c")
values = st.one_of(st.integers(-2, 2), st.booleans(), st.none(), st.sampled_from(["x", "y"]), st.just(0.5))
operations = st.one_of(
    st.tuples(st.just("assign"), st.sampled_from(FIELDS), values),
    st.tuples(st.just("assign list"), st.sampled_from(FIELDS), st.lists(values, max_size=3)),
    st.tuples(st.just("assign array"), st.sampled_from(FIELDS), st.integers(0, 2)),
    st.tuples(st.just("append"), st.sampled_from(FIELDS), values),
    st.tuples(st.just("write first"), st.sampled_from(FIELDS), values),
    st.tuples(st.just("share"), st.sampled_from(FIELDS), st.sampled_from(FIELDS)),
    st.tuples(st.just("delete"), st.sampled_from(FIELDS), st.none()),
)
scripts = st.lists(st.lists(operations, max_size=2), min_size=1, max_size=30)


def apply(loop, operation):
    kind, field, given_value = operation
    held = getattr(loop, field, None)
    if kind == "assign":
        setattr(loop, field, given_value)
    elif kind == "assign list":
        setattr(loop, field, list(given_value))
    elif kind == "assign array":
        setattr(loop, field, np.full(3, given_value))
    elif kind == "append" and isinstance(held, list):
        held.append(given_value)
    elif kind == "write first" and isinstance(held, list) and held:
        held[0] = given_value
    elif kind == "write first" and isinstance(held, np.ndarray):
        held[0] += 1
    elif kind == "share" and hasattr(loop, given_value):
        setattr(loop, field, getattr(loop, given_value))
    elif kind == "delete" and hasattr(loop, field):
        delattr(loop, field)


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


class Script:
    """Goes through a script a step at each call, and writes down what really changed."""

    def __init__(self, steps):
        self.steps = list(steps)
        self.record = []
        self.fields = dict.fromkeys(FIELDS, UNSET)

    def play(self, loop, hook):
        for operation in self.steps.pop(0) if self.steps else []:
            apply(loop, operation)
        for name in FIELDS:
            now = copy.deepcopy(getattr(loop, name, UNSET))
            if not same(now, self.fields[name]):
                self.record.append((hook, name, self.fields[name], now))
            self.fields[name] = now


class Outer(Loop):
    a: object
    b: object
    c: object

    def __init__(self, script, **settings):
        self.script = script
        super().__init__([Inner(times=2)], [Both], **settings)

    def items(self):
        for number in range(3):
            self.script.play(self, "Outer (no hook)")
            yield number

    def before_step(self):
        self.script.play(self, "Outer.before_step")

    def on_step(self):
        self.script.play(self, "Outer.on_step")

    def finally_step(self):
        self.script.play(self, "Outer.finally_step")

    def after_run(self):
        self.script.play(self, "Outer.after_run")


class Inner(Loop):
    call_on = "on_step"

    def on_part(self):
        self.script.play(self.outer, "Inner.on_part")


class Both(Callback):
    def after_step(self):
        self.script.play(self.outer, "Both.after_step")

    def before_part(self):
        self.script.play(self.outer, "Both.before_part")

    def after_pass(self):
        self.script.play(self.outer, "Both.after_pass")


@settings(max_examples=150, deadline=None)
@given(scripts)
def test_a_trace_agrees_with_a_record_kept_by_hand(steps):
    script = Script(steps)
    loop = Outer(script)
    with Trace(loop, *FIELDS) as trace:
        loop.run()
    found = [(change.hook, change.field.removeprefix("outer."), change.old, change.new) for change in trace.changes]
    assert len(found) == len(script.record)
    for (hook, field, old, new), (real_hook, real_field, real_old, real_new) in zip(found, script.record, strict=True):
        assert (hook, field) == (real_hook, real_field)
        assert same(old, real_old) and same(new, real_new)


# --- which fields are one object ----------------------------------------------------------------------------


class Acting(Callback):
    def __init__(self, network):
        self.network = network


class Training(Loop):
    def __init__(self, network, acting_network):
        self.network = network
        super().__init__(cbs=Acting(acting_network))

    def on_step(self):
        torch.nn.init.ones_(self.network.weight)


def test_a_field_that_holds_the_object_of_another_one_says_so():
    network = torch.nn.Linear(1, 1)
    loop = Training(network, network)
    with Trace(loop, "network") as trace:
        during = trace.summary()
        loop.run()
    assert during.splitlines()[2].endswith("  same object as training.network")
    assert trace.summary().splitlines()[2].split() == (
        "training.acting.network 1 Training.on_step (1) same object as training.network".split()
    )


def test_a_copy_is_another_object_however_equal_it_is():
    network = torch.nn.Linear(1, 1)
    with Trace(Training(network, copy.deepcopy(network)), "network") as trace:
        pass
    first, second = trace.summary().splitlines()[1:]
    assert first.split("  ")[-1] == second.split("  ")[-1]
    assert "same object" not in trace.summary()


def test_values_that_nothing_can_change_are_never_called_the_same_object():
    class Constants(Loop):
        def __init__(self):
            self.first = self.second = None
            self.third = self.fourth = ()
            super().__init__()

        def on_step(self):
            self.seen = (self.first, self.second, self.third, self.fourth)

    loop = Constants()
    with Trace(loop, "first", "second", "third", "fourth") as trace:
        loop.run()
    assert "same object" not in trace.summary()


# --- HTML ---------------------------------------------------------------------------------------------------


def test_a_notebook_shows_the_fields_with_their_writers_and_the_changes():
    loop = learner(passes=1)
    with Trace(loop, "loss", "epsilon", "log") as trace:
        loop.run()
    page = Parsed(shown_html(trace))
    assert page.text[:6] == ["Trace of learner: 3 fields, 5 changes", "field", "changes", "changed by", "now", "when"]
    row = page.text.index("learner.loss")
    assert page.text[row : row + 4] == ["learner.loss", "2", "Update.on_loss (2)", "0.5"]
    changes = page.text[page.text.index("the changes") + 1 :]
    assert changes[:5] == ["at", "hook", "field", "old", "new"]
    assert changes[5:10] == ["learner 0", "Learner.on_collect", "learner.epsilon", "1", "0.5"]


def test_the_marks_of_a_field_stand_where_it_changed_in_the_colour_of_who_did_it():
    loop = learner(passes=1)
    with Trace(loop, "loss", "epsilon", "log") as trace:
        loop.run()
    html = shown_html(trace)
    colours = dict(re.findall(r'--by: (#\w+)">([\w.]+) ', html))
    marks = [re.findall(r'<rect x="(\d+)".*?fill="(#\w+)"><title>(.*?)<', line) for line in html.split("<svg")[1:]]
    order = [change.field.rpartition(".")[2] for change in trace.changes]
    for field, found in zip(("loss", "epsilon", "log"), marks, strict=True):
        assert [int(x) // 48 for x, _, _ in found] == [place for place, name in enumerate(order) if name == field]
        assert all(colours[colour] == hook for _, colour, hook in found)


def test_a_notebook_shows_what_is_left_out_and_why_a_run_was_stopped():
    loop = learner(passes=100)
    with Trace(loop, "epsilon") as trace:
        loop.run()
    assert "... 60 more ..." in Parsed(shown_html(trace)).text
    with Trace(loop, stop_if={"epsilon": lambda value: value < 1}) as trace:
        loop.run()
    assert Parsed(shown_html(trace)).text[-1].startswith("stopped: learner 100: Learner.on_collect: ")


def test_a_value_that_looks_like_html_is_text():
    class Saying(Loop):
        word: str = ""

        def on_step(self):
            self.word = "<script>alert('x')</script>"

    loop = Saying()
    with Trace(loop, "word") as trace:
        loop.run()
    page = Parsed(shown_html(trace))
    assert "script" not in page.tags
    assert "\"<script>alert('x')</script>\"" in page.text


def test_without_looking_inside_a_run_of_an_inner_loop_is_one_place():
    class Inner(Loop):
        call_on = "on_step"
        times = 3

        def on_work(self):
            self.outer.total += 1

        def finally_work(self):
            self.outer.ends = self.outer.total

    class Outer(Loop):
        total = 0
        ends = 0
        rate = 1.0

        def before_step(self):
            self.rate /= 2

        def on_step(self):
            self.total += 10

    def outer():
        return Outer(Inner(), times=2)

    loop = outer()
    with Trace(loop, "total", "rate", "ends", inside=False) as trace:
        loop.run()
        code = loop.code
    assert trace.writers("rate") == {"Outer.before_step": 2}
    assert [(str(change.at), change.hook, change.new) for change in trace["total"]] == [
        ("outer 0", "Outer.on_step", 10),
        ("outer 0", "outer.inner (a whole run)", 13),
        ("outer 1", "Outer.on_step", 23),
        ("outer 1", "outer.inner (a whole run)", 26),
    ]
    assert trace.writers("ends") == {"outer.inner (a whole run)": 2}
    assert "trace.look" not in code.partition("def inner(")[2]
    whole = outer()
    with Trace(whole, "rate") as hook_by_hook:
        whole.run()
    assert trace["rate"] == hook_by_hook["rate"]


def test_a_breakpoint_on_a_whole_run_of_an_inner_loop_stops_behind_it():
    class Inner(Loop):
        call_on = "on_step"
        times = 3

        def on_work(self):
            self.outer.total += 1

    class Outer(Loop):
        total = 0

        def on_step(self):
            pass

    loop = Outer(Inner(), times=9)
    with Trace(loop, inside=False, stop_if={"total": lambda total: total >= 4}) as trace:
        loop.run()
    assert (loop.total, loop.index) == (6, 1)
    assert trace.hit.hook == "outer.inner (a whole run)"
