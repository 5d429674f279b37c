"""Running loops: passes, phases, callbacks, inner loops, delegation, pull mode, stop, changes on the way."""

import gc
import itertools
import math
import re

import pytest

from looptree import Callback, Cancel, FieldWarning, Loop, Phase
from looptree.core.errors import (
    AlreadyRunning,
    BadSetting,
    LooptreeError,
    NameClash,
    NoSuchField,
    NotACallback,
    NotALoop,
    StateMismatch,
)
from tests.core.hooked import hooked, logger


class Step(Loop):
    """The smallest loop: one event, which notes what it sees."""

    def on_step(self):
        self.seen = [*getattr(self, "seen", []), (self.index, self.item, self.count)]


# --- items and times ----------------------------------------------------------------------------------------


def test_a_loop_runs_once_when_nothing_is_said():
    loop = Step()
    assert loop.run() is loop
    assert loop.seen == [(0, 0, 0)]
    assert loop.count == 1


def test_times_is_the_number_of_passes():
    assert Step(times=3).run().seen == [(0, 0, 0), (1, 1, 1), (2, 2, 2)]


def test_no_times_at_all_still_runs_what_frames_the_run():
    log = []
    Framed = hooked(Loop, "Framed", ["before_run", "on_step", "after_run", "finally_run"], logger(log))
    loop = Framed(times=0).run()
    assert log == ["Framed.before_run", "Framed.after_run", "Framed.finally_run"]
    assert loop.count == 0


def test_times_may_stand_on_the_class():
    class Three(Step):
        times = 3

    assert len(Three().run().seen) == 3
    assert len(Three(times=2).run().seen) == 2
    assert Three.times == 3


def test_times_given_to_run_counts_for_that_run_only():
    loop = Step(times=3)
    loop.run(times=1)
    assert len(loop.seen) == 1
    loop.run()
    assert [index for index, _, _ in loop.seen] == [0, 0, 1, 2]


def test_endless_is_infinity():
    class Until(Step):
        times = math.inf

        def after_step(self):
            if self.index == 9:
                self.stop("seen ten")

    loop = Until().run()
    assert [index for index, _, _ in loop.seen] == list(range(10))


def test_items_of_ones_own():
    class Letters(Step):
        def items(self):
            return "abc"

    assert Letters().run().seen == [(0, "a", 0), (1, "b", 1), (2, "c", 2)]


def test_items_may_be_a_generator_that_reads_the_loop():
    class Halving(Loop):
        def items(self):
            value = self.start
            while value > 1:
                yield value
                value //= 2

        def on_step(self):
            self.seen.append(self.item)

    loop = Halving()
    loop.start, loop.seen = 9, []
    assert loop.run().seen == [9, 4, 2]


@pytest.mark.parametrize("times, passes", [(2, 2), (5, 3), (0, 0), (math.inf, 3), (None, 3)])
def test_with_items_of_ones_own_times_is_the_most_passes(times, passes):
    class Letters(Loop):
        def items(self):
            return "abc"

        def on_step(self):
            pass

    assert Letters(times=times).run().count == passes
    assert Letters().run(times=times).count == passes


def test_items_may_be_set_on_a_loop_instead():
    class Outer(Loop):
        def on_go(self):
            self.step.seen = []

    inner = Step(call_on="on_go")
    outer = Outer(inner_loops=inner).run()
    assert [item for _, item, _ in inner.seen] == [0]
    inner.items = lambda: [7, 8, 9]
    outer.run()
    assert [item for _, item, _ in inner.seen] == [7, 8, 9]
    inner.times = 2
    outer.run()
    assert [item for _, item, _ in inner.seen] == [7, 8]
    del inner.items
    outer.run()
    assert [item for _, item, _ in inner.seen] == [0, 1]


def test_no_item_is_taken_beyond_the_last_pass():
    taken = []

    class Counting(Loop):
        def items(self):
            for number in itertools.count():
                taken.append(number)
                yield number

        def on_step(self):
            pass

    Counting(times=3).run()
    assert taken == [0, 1, 2]


def test_items_are_asked_for_anew_at_each_run():
    class Once(Loop):
        def items(self):
            self.asked = getattr(self, "asked", 0) + 1
            return range(2)

        def on_step(self):
            pass

    loop = Once().run().run()
    assert (loop.asked, loop.count) == (2, 4)


def test_before_run_comes_before_items():
    log = []

    class Opening(Loop):
        def before_run(self):
            log.append("before_run")

        def items(self):
            log.append("items")
            return range(1)

        def on_step(self):
            log.append("on_step")

    Opening().run()
    assert log == ["before_run", "items", "on_step"]


@pytest.mark.parametrize("times", [-1, 1.5, "3"])
def test_times_that_are_no_number_of_passes_are_refused(times):
    with pytest.raises(BadSetting, match="times"):
        Step(times=times).run()
    with pytest.raises(BadSetting, match="times"):
        Step().run(times=times)


# --- index, count, phase ------------------------------------------------------------------------------------


def test_index_starts_again_with_each_run_and_count_never():
    loop = Step(times=2).run().run()
    assert loop.seen == [(0, 0, 0), (1, 1, 1), (0, 0, 2), (1, 1, 3)]
    assert loop.count == 4


def test_the_counters_of_an_inner_loop():
    class Outer(Loop):
        def on_epoch(self):
            pass

    loop = Outer(times=2, inner_loops=Step(times=2, call_on="on_epoch")).run()
    assert loop.step.seen == [(0, 0, 0), (1, 1, 1), (0, 0, 2), (1, 1, 3)]


def test_cancelled_and_recovered_passes_count_too():
    class Rough(Loop):
        def on_step(self):
            if self.index == 0:
                raise Cancel("pass")
            if self.index == 1:
                raise ValueError("rough")

        def failed_step(self):
            self.recover()

    loop = Rough(times=3).run()
    assert loop.count == 3


def test_phase_is_ones_own_else_the_nearest_ancestors():
    seen = []

    class Outer(Loop):
        phases = ("train", "valid")

        def on_epoch(self):
            seen.append(self.phase)

    class Plain(Loop):
        def on_batch(self):
            seen.append(self.phase)

    class Own(Loop):
        phases = ("play",)

        def on_game(self):
            seen.append(self.phase)

    deep = Own(call_on="on_batch")
    Outer(inner_loops=Plain(call_on="on_epoch", inner_loops=deep)).run()
    assert seen == ["train", "train", "play", "valid", "valid", "play"]


def test_a_loop_without_any_phase_has_none():
    class Plain(Loop):
        def on_step(self):
            self.seen = self.phase

    assert Plain().run().seen is None


def phases_of(loop):
    """The phases in which the hooks of a loop with the event step run, as (index, phase)."""
    seen = []
    Now = hooked(Callback, "Now", ["on_step"], lambda self, name: seen.append((self.loop.index, self.loop.phase)))
    loop.run(cbs=Now())
    return seen


def test_a_phase_with_every_runs_on_every_nth_pass_of_the_loops_life():
    loop = Step(phases=["train", Phase("valid", every=3)], times=4)
    assert phases_of(loop) == [(0, "train"), (1, "train"), (2, "train"), (2, "valid"), (3, "train")]
    assert phases_of(loop) == [(0, "train"), (1, "train"), (1, "valid"), (2, "train"), (3, "train")]


@pytest.mark.parametrize("name", ['5" screens', "it's", "it's 5\"", "a\\b", "two\nlines", "é", "{x}"])
def test_a_phase_may_have_any_name(name):
    class Screens(Loop):
        def on_step(self, _phase=(name, "other")):
            self.seen = self.phase

        def before_step(self, _phase=name):
            self.before = self.phase

        def finally_step(self, _phase=name):
            pass

    class Sizes(Loop):
        phases = (name,)

        def on_size(self):
            pass

    loop = Sizes(inner_loops=Screens(call_on="on_size")).run()
    assert (loop.screens.seen, loop.screens.before) == (name, name)
    assert Screens(phases=(name,)).run(phases=[name]).seen == name


def test_phases_may_stand_on_the_class():
    class Phased(Step):
        phases = ("train", Phase("valid", every=2))

    assert phases_of(Phased(times=2)) == [(0, "train"), (1, "train"), (1, "valid")]
    assert phases_of(Phased(phases=["test"])) == [(0, "test")]
    assert [getattr(phase, "name", phase) for phase in Phased.phases] == ["train", "valid"]


def test_run_may_be_given_the_phases_to_run():
    loop = Step(phases=["train", "valid", "test"], times=1)
    seen = []
    Now = hooked(Callback, "Now", ["on_step"], lambda self, name: seen.append(self.loop.phase))
    loop.add_cb(Now())
    loop.run(phases=["valid"])
    assert seen == ["valid"]
    seen.clear()
    loop.run(phases=["train", "test"])
    assert seen == ["train", "test"]
    seen.clear()
    loop.run()
    assert seen == ["train", "valid", "test"]


def test_run_refuses_a_phase_that_the_loop_does_not_have():
    with pytest.raises(LooptreeError, match="valid"):
        Step(phases=["train", "valid"]).run(phases=["vaild"])


# --- callbacks and their lives ------------------------------------------------------------------------------


def test_loops_and_callbacks_may_be_given_as_classes_or_instances_one_or_many():
    log = []
    Outer = hooked(Loop, "Outer", ["on_epoch"], logger(log))
    First = hooked(Callback, "First", ["after_epoch"], logger(log))
    Second = hooked(Callback, "Second", ["after_epoch"], logger(log))

    class Inner(Loop):
        call_on = "on_epoch"

        def on_batch(self):
            log.append("Inner.on_batch")

    for loops in (Inner, [Inner], Inner(), [Inner()]):
        for cbs in ([First, Second], [First(), Second()], (First, Second())):
            log.clear()
            Outer(loops, cbs).run()
            assert log == ["Outer.on_epoch", "Inner.on_batch", "First.after_epoch", "Second.after_epoch"]
    log.clear()
    Outer(cbs=First).run(cbs=Second)
    assert log == ["Outer.on_epoch", "First.after_epoch", "Second.after_epoch"]


def test_callbacks_of_the_constructor_stay_and_those_of_a_run_leave():
    log = []
    Stays = hooked(Callback, "Stays", ["after_step"], logger(log))
    Leaves = hooked(Callback, "Leaves", ["after_step"], logger(log))
    leaves = Leaves()
    loop = Step(cbs=Stays())
    loop.run(cbs=leaves)
    assert [cb.name for cb in loop.cbs] == ["stays"]
    assert leaves.parent is None
    assert not hasattr(loop, "leaves")
    loop.run()
    assert log == ["Stays.after_step", "Leaves.after_step", "Stays.after_step"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_callbacks_of_a_run_leave_when_it_fails(error):
    class Failing(Loop):
        def on_step(self):
            raise error

    log = []
    Guest = hooked(Callback, "Guest", ["failed_step", "finally_run"], logger(log))
    loop = Failing()
    with pytest.raises(error):
        loop.run(cbs=[Guest()])
    assert log == ["Guest.failed_step", "Guest.finally_run"]
    assert list(loop.cbs) == []


def test_callbacks_of_a_run_leave_when_it_cannot_bind():
    class Wrong(Callback):
        def before_setp(self):
            pass

    loop = Step()
    with pytest.raises(LooptreeError):
        loop.run(cbs=Wrong())
    assert list(loop.cbs) == []
    assert loop.run().count == 1


def test_a_callback_that_is_attached_is_refused_by_a_run_and_stays_where_it_is():
    log = []
    Once = hooked(Callback, "Once", ["after_step"], logger(log))
    once, new = Once(), Once()
    holder, other = Step(cbs=once, name="holder"), Step(name="other")
    for loop in (holder, other):
        with pytest.raises(BadSetting, match=r"Once 'once', given to .*run, is attached to holder already"):
            loop.run(cbs=[new, once])
    with pytest.raises(BadSetting, match=r"given to other.run, was given twice.*copy.deepcopy\(once\)"):
        other.run(cbs=[new, new])
    assert (holder.cbs, other.cbs, once.parent, new.parent) == ([once], [], holder, None)
    holder.run()
    other.run(cbs=new)
    assert log == ["Once.after_step"] * 2


def test_callbacks_of_a_run_stay_when_the_loop_persists_them():
    log = []
    Guest = hooked(Callback, "Guest", ["after_step"], logger(log))
    loop = Step(persist_cbs=True)
    loop.run(cbs=Guest())
    loop.run()
    assert log == ["Guest.after_step"] * 2
    assert [cb.name for cb in loop.cbs] == ["guest"]


def test_a_callback_given_to_run_hears_the_whole_run():
    log = []
    frames = [f"{moment}_{event}" for event in ["run", "pass"] for moment in ["before", "after", "finally"]]
    Guest = hooked(Callback, "Guest", frames, lambda self, name: log.append(name))
    Step().run(cbs=Guest())
    assert log == ["before_run", "before_pass", "after_pass", "finally_pass", "after_run", "finally_run"]


def test_callbacks_keep_state_of_their_own_on_themselves():
    class Hits(Callback):
        hits = 0

        def after_step(self):
            self.hits += 1

    loop = Step(times=3, cbs=[Hits(), Hits()]).run()
    assert [cb.hits for cb in loop.cbs] == [3, 3]
    assert Hits.hits == 0


# --- inner loops --------------------------------------------------------------------------------------------


def test_one_inner_loop_may_be_called_on_several_hooks():
    log = []
    Outer = hooked(Loop, "Outer", ["before_a", "on_a", "on_b", "after_b"], logger(log))
    Inner = hooked(Loop, "Inner", ["on_do"], logger(log))
    loop = Outer(inner_loops=Inner(call_on=["before_a", "after_b"])).run()
    assert log == ["Outer.before_a", "Inner.on_do", "Outer.on_a", "Outer.on_b", "Outer.after_b", "Inner.on_do"]
    assert loop.inner.count == 2


@pytest.mark.parametrize("moment", ["before", "on", "after", "finally"])
def test_the_parent_needs_the_event_but_not_a_method_of_that_very_name(moment):
    log = []
    Outer = hooked(Loop, "Outer", ["on_step"], logger(log))
    Inner = hooked(Loop, "Inner", ["on_do"], logger(log))
    Outer(inner_loops=Inner(call_on=f"{moment}_step")).run()
    assert log == (["Inner.on_do", "Outer.on_step"] if moment == "before" else ["Outer.on_step", "Inner.on_do"])


def test_an_inner_loop_on_a_failed_moment_runs_when_that_event_fails():
    log = []

    class Outer(Loop):
        def on_step(self):
            if self.index == 1:
                raise ValueError

        def failed_step(self):
            log.append("failed_step")

    Rescue = hooked(Loop, "Rescue", ["on_do"], logger(log))
    with pytest.raises(ValueError):
        Outer(times=2, inner_loops=Rescue(call_on="failed_step")).run()
    assert log == ["failed_step", "Rescue.on_do"]


def test_call_on_may_be_functions():
    log = []
    Outer = hooked(Loop, "Outer", ["on_step", "after_step"], logger(log))
    Inner = hooked(Loop, "Inner", ["on_do"], logger(log))
    Outer(inner_loops=Inner(call_on=Outer.on_step)).run()
    assert log == ["Outer.on_step", "Inner.on_do", "Outer.after_step"]
    log.clear()
    Outer(inner_loops=Inner(call_on=[Outer.on_step, "after_step"])).run()
    assert log == ["Outer.on_step", "Inner.on_do", "Outer.after_step", "Inner.on_do"]


def test_call_on_may_be_a_function_of_a_base_class_that_is_overridden():
    log = []

    class Base(Loop):
        def on_step(self):
            log.append("Base")

    class Derived(Base):
        def on_step(self):
            log.append("Derived")

    class Inner(Loop):
        call_on = Base.on_step

        def on_do(self):
            log.append("Inner")

    Derived(inner_loops=Inner).run()
    assert log == ["Derived", "Inner"]


def test_an_inner_loop_may_stand_on_the_frame_of_its_parent():
    log = []
    Outer = hooked(Loop, "Outer", ["before_run", "before_pass", "on_step", "after_run"], logger(log))
    Warm = hooked(Loop, "Warm", ["on_up"], logger(log))
    Outer(times=2, inner_loops=Warm(call_on=["before_run", "after_pass"])).run()
    assert log == [
        "Outer.before_run",
        "Warm.on_up",
        *["Outer.before_pass", "Outer.on_step", "Warm.on_up"] * 2,
        "Outer.after_run",
    ]


def test_run_callbacks_of_an_inner_loop_frame_each_time_it_is_called():
    log = []
    Outer = hooked(Loop, "Outer", ["on_epoch"], logger(log))
    Inner = hooked(Loop, "Inner", ["before_run", "on_batch", "finally_run"], logger(log))
    Outer(times=2, inner_loops=Inner(times=2, call_on="on_epoch")).run()
    once = ["Outer.on_epoch", "Inner.before_run", "Inner.on_batch", "Inner.on_batch", "Inner.finally_run"]
    assert log == once * 2


def test_an_inner_loop_can_be_run_alone():
    class Outer(Loop):
        factor = 3

        def on_epoch(self):
            pass

    class Inner(Loop):
        def on_batch(self):
            self.result = self.factor

    outer = Outer(inner_loops=Inner(call_on="on_epoch"))
    outer.inner.run()
    assert outer.inner.result == 3
    assert (outer.count, outer.inner.count) == (0, 1)


def test_an_inner_loop_of_one_pass_can_be_run_alone_for_more():
    class Outer(Loop):
        def on_epoch(self):
            pass

    class Inner(Loop):
        call_on = "on_epoch"

        def __init__(self):
            self.seen = []
            super().__init__()

        def on_batch(self):
            self.seen.append((self.index, self.item, self.count))
            if self.count == 2:
                self.add_cb(Callback())  # the passes that are left are made in new code

    outer = Outer(Inner, times=2)
    outer.run()
    assert outer.inner.run(3).ended == "ran all 3 items"
    outer.run()
    counted = [(0, 0), (0, 0), (0, 0), (1, 1), (2, 2), (0, 0), (0, 0)]
    assert outer.inner.seen == [(*numbers, count) for count, numbers in enumerate(counted)]
    assert (outer.count, outer.inner.count) == (4, 7)


def test_parent_may_be_given_to_the_inner_loop_instead():
    log = []
    Outer = hooked(Loop, "Outer", ["on_epoch"], logger(log))
    Inner = hooked(Loop, "Inner", ["on_batch"], logger(log))
    outer = Outer()
    inner = Inner(call_on="on_epoch", parent=outer)
    outer.run()
    assert outer.inner is inner
    assert log == ["Outer.on_epoch", "Inner.on_batch"]


# --- names --------------------------------------------------------------------------------------------------


class Family:
    """Three loops, one in the other, that can be found from inside by the names of their classes."""

    class Learner(Loop):
        def on_epoch(self):
            pass

    class DQN(Learner):
        pass

    class Source(Loop):
        call_on = "on_epoch"

        def before_step(self):
            pass

    class Agent(Loop):
        call_on = "before_step"

        def on_act(self):
            self.found = [self.source, self.learner, self.dqn]

    def __init__(self):
        self.agent = self.Agent()
        self.source = self.Source(inner_loops=self.agent)
        self.dqn = self.DQN(inner_loops=self.source)


def test_a_name_is_the_class_in_snake_case_and_children_are_attributes():
    class EarlyStop(Callback):
        pass

    family = Family()
    family.dqn.add_cb(EarlyStop)
    assert [family.dqn.name, family.source.name, family.agent.name] == ["dqn", "source", "agent"]
    assert family.dqn.source.agent is family.agent
    assert family.dqn.early_stop is family.dqn.cbs[0]
    assert (family.agent.path, family.dqn.early_stop.path) == ("dqn.source.agent", "dqn.early_stop")
    assert family.agent.root is family.dqn


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        ("Loop", "loop"),
        ("GymSource", "gym_source"),
        ("_Hidden", "hidden"),
        ("DQN", "dqn"),
        ("DQNAgent", "dqn_agent"),
        ("A2C", "a2c"),
        ("D3QN", "d3qn"),
        ("A2CAgent", "a2c_agent"),
        ("Stage2Source", "stage2_source"),
    ],
)
def test_a_name_keeps_capitals_and_digits_together_as_one_word(cls, name):
    assert type(cls, (Callback,), {})().name == name


def test_ancestors_are_found_by_name_and_by_the_name_of_any_of_their_classes():
    family = Family()
    family.dqn.run()
    assert family.agent.found == [family.source, family.dqn, family.dqn]


def test_ancestors_are_found_by_a_name_that_was_given():
    class Outer(Loop):
        def on_epoch(self):
            pass

    class Inner(Loop):
        def on_batch(self):
            self.found = self.teacher

    outer = Outer(name="teacher", inner_loops=Inner(call_on="on_epoch"))
    outer.run()
    assert outer.inner.found is outer


def test_a_callback_finds_the_loops_above_it():
    class Finder(Callback):
        def on_act(self):
            self.found = [self.parent, self.loop, self.source, self.learner]

    family = Family()
    family.source.add_cb(Finder())
    family.dqn.run()
    assert family.source.finder.found == [family.source, family.agent, family.source, family.dqn]


def test_a_second_one_of_the_same_name_is_numbered():
    class Outer(Loop):
        def on_epoch(self):
            pass

    class Mark(Callback):
        pass

    loop = Outer(inner_loops=[Step(call_on="on_epoch") for _ in range(3)], cbs=[Mark, Mark])
    assert [inner.name for inner in loop.inner_loops] == ["step", "step_2", "step_3"]
    assert [cb.name for cb in loop.cbs] == ["mark", "mark_2"]
    assert loop.step_2 is loop.inner_loops[1]
    loop.run()
    assert [inner.count for inner in loop.inner_loops] == [1, 1, 1]


def test_a_name_that_is_given():
    loop = Family.DQN(inner_loops=Step(call_on="on_epoch", name="fit"))
    assert loop.fit.name == "fit"
    assert loop.run().fit.count == 1


def test_a_clash_with_another_attribute_is_an_error_when_it_is_added():
    class Run(Loop):
        def on_step(self):
            pass

    class OnEpoch(Callback):
        pass

    with pytest.raises(NameClash, match="run"):
        Family.DQN(inner_loops=Run(call_on="on_epoch"))
    with pytest.raises(NameClash, match="on_epoch"):
        Family.DQN(cbs=OnEpoch())
    loop = Family.DQN()
    loop.step = "a field"
    with pytest.raises(NameClash, match="step"):
        loop.add_loop(Step(call_on="on_epoch"))
    assert loop.step == "a field"
    assert list(loop.inner_loops) == []


# --- fields -------------------------------------------------------------------------------------------------


class Scaled(Loop):
    """An outer loop with fields that its inner loops and callbacks read."""

    scale = 2
    offset: int

    def before_run(self):
        self.offset = 10

    def on_epoch(self):
        pass


def test_reads_go_to_the_nearest_ancestor_that_has_the_field():
    class Middle(Loop):
        call_on = "on_epoch"

        def before_run(self):
            self.near = "middle"

        def on_go(self):
            pass

    class Inner(Loop):
        call_on = "on_go"

        def on_do(self):
            self.found = (self.near, self.scale, self.offset)

    loop = Scaled(inner_loops=Middle(inner_loops=Inner))
    loop.run()
    assert loop.middle.inner.found == ("middle", 2, 10)
    loop.scale = 7
    loop.run()
    assert loop.middle.inner.found == ("middle", 7, 10)


def test_a_callback_reads_from_the_loop_it_is_attached_to():
    class Reader(Callback):
        def after_epoch(self):
            self.found = (self.scale, self.offset)

    loop = Scaled(cbs=Reader())
    loop.run()
    assert loop.reader.found == (2, 10)


def test_helpers_of_any_kind_read_there_too():
    class Mixin:
        def from_mixin(self):
            return self.scale

    class Base(Loop):
        def from_base(self):
            return self.scale

    class Inner(Mixin, Base):
        call_on = "on_epoch"

        @property
        def from_property(self):
            return self.scale

        def from_inside(self):
            def nested():
                return self.scale

            return [nested() for _ in range(1)] + [self.scale for _ in range(1)]

        def on_do(self):
            self.found = [self.from_mixin(), self.from_base(), self.from_property, *self.from_inside()]

    loop = Scaled(inner_loops=Inner)
    loop.run()
    assert loop.inner.found == [2, 2, 2, 2, 2]


def test_a_field_of_ones_own_goes_first():
    class Inner(Loop):
        call_on = "on_epoch"

        def on_do(self):
            self.found = self.scale

    loop = Scaled(inner_loops=Inner)
    loop.inner.scale = 5
    loop.run()
    assert loop.inner.found == 5
    del loop.inner.scale
    loop.run()
    assert loop.inner.found == 2


def test_a_class_attribute_of_ones_own_goes_first():
    class Inner(Loop):
        call_on = "on_epoch"
        scale = 9

        def on_do(self):
            self.found = self.scale

    loop = Scaled(inner_loops=Inner)
    loop.run()
    assert loop.inner.found == 9


def test_a_field_that_nobody_has_is_an_attribute_error_that_names_it():
    class Inner(Loop):
        call_on = "on_epoch"

        def on_do(self):
            return self.missing

    loop = Scaled(inner_loops=Inner)
    with pytest.warns(FieldWarning, match="missing"), pytest.raises(NoSuchField, match="missing"):
        loop.run()
    with pytest.raises(AttributeError, match="missing"):
        loop.run()


def test_a_property_above_that_fails_says_itself_what_it_misses():
    class Settings:
        pass

    class Outer(Loop):
        settings = Settings()

        @property
        def lr(self):
            return self.settings.learning_rate

        def on_epoch(self):
            pass

    class Middle(Loop):
        call_on = "on_epoch"

        def on_go(self):
            self.seen = self.lr

    class Inner(Loop):
        call_on = "before_go"

        def on_batch(self):
            self.seen = self.lr

    with pytest.raises(AttributeError, match="'Settings' object has no attribute 'learning_rate'"):
        Outer(inner_loops=Middle(inner_loops=Inner)).run()


def test_a_field_is_set_where_it_is_named():
    class Inner(Loop):
        call_on = "on_epoch"

        def on_do(self):
            self.own = 1
            self.scaled.scale = 3

    class Reach(Callback):
        def after_do(self):
            self.loop.mark = "inner"
            self.scaled.mark = "outer"

    loop = Scaled(inner_loops=Inner, cbs=Reach())
    loop.run()
    assert (loop.inner.own, loop.scale, loop.inner.mark, loop.mark) == (1, 3, "inner", "outer")
    assert not hasattr(loop, "own")
    assert Scaled.scale == 2


def test_methods_of_an_ancestor_can_be_called():
    class Outer(Loop):
        def on_epoch(self):
            pass

        def double(self, value):
            return 2 * value

    class Inner(Loop):
        call_on = "on_epoch"

        def on_do(self):
            self.found = self.double(4)

    loop = Outer(inner_loops=Inner)
    loop.run()
    assert loop.inner.found == 8


def test_a_missing_field_of_the_outermost_loop_is_warned_of_too():
    class Alone(Loop):
        def on_step(self):
            self.total = self.misspelt + 1

    with pytest.warns(FieldWarning, match="misspelt"), pytest.raises(NoSuchField, match="misspelt"):
        Alone().run()


# --- pulling ------------------------------------------------------------------------------------------------


class Squares(Loop):
    """Pulled, it gives squares."""

    produces = "square"

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.log = []

    def on_step(self):
        self.square = self.item**2

    def after_pass(self):
        self.log.append("after_pass")

    def finally_pass(self):
        self.log.append("finally_pass")

    def after_run(self):
        self.log.append("after_run")

    def failed_run(self):
        self.log.append("failed_run")

    def finally_run(self):
        self.log.append("finally_run")


def test_a_pulled_loop_yields_what_it_produces_after_each_pass():
    loop = Squares(times=4)
    assert list(loop) == [0, 1, 4, 9]
    assert loop.log == ["after_pass", "finally_pass"] * 4 + ["after_run", "finally_run"]
    assert loop.ended == Squares(times=4).run().ended == "ran all 4 items"


def test_without_produces_it_is_the_item():
    class Letters(Loop):
        def items(self):
            return "abc"

        def on_step(self):
            pass

    assert list(Letters()) == ["a", "b", "c"]


def test_pulling_is_the_same_run():
    pulled, ran = [], []
    for log, start in ((pulled, lambda loop: list(loop)), (ran, lambda loop: loop.run())):
        Outer = hooked(Loop, "Outer", ["before_run", "before_pass", "on_epoch", "after_epoch"], logger(log))
        Inner = hooked(Loop, "Inner", ["before_run", "on_batch", "finally_run"], logger(log))
        Also = hooked(Callback, "Also", ["after_batch", "finally_epoch", "after_run"], logger(log))
        inner = Inner(times=2, call_on="on_epoch")
        start(Outer(times=2, inner_loops=inner, cbs=Also(), phases=["train", "valid"]))
    assert pulled == ran


def test_a_pulled_loop_does_nothing_before_the_first_item_is_asked_for_and_no_pass_ahead():
    loop = Squares(times=3)
    puller = iter(loop)
    assert loop.count == 0
    assert next(puller) == 0
    assert loop.count == 1
    assert next(puller) == 1
    assert loop.count == 2
    puller.close()


def test_it_closes_when_the_consumer_breaks_off():
    loop = Squares(times=4)
    for square in loop:
        if square == 1:
            break
    assert loop.log == ["after_pass", "finally_pass"] * 2 + ["finally_run"]
    assert loop.ended != "ran all 4 items"
    assert list(loop) == [0, 1, 4, 9]


def test_it_closes_when_the_consumer_fails():
    loop = Squares(times=4)

    def consume():
        for square in loop:
            if square == 1:
                raise ValueError("the consumer's own")

    with pytest.raises(ValueError, match="the consumer's own"):
        consume()
    gc.collect()
    assert loop.log == ["after_pass", "finally_pass"] * 2 + ["finally_run"]
    assert list(loop) == [0, 1, 4, 9]


def test_it_closes_when_it_is_closed_by_hand():
    loop = Squares(times=4)
    puller = iter(loop)
    next(puller)
    puller.close()
    assert loop.log == ["after_pass", "finally_pass", "finally_run"]
    with pytest.raises(StopIteration):
        next(puller)


def test_closing_a_pulled_loop_runs_the_finally_hooks_of_its_callbacks():
    log = []
    names = ["finally_step", "after_run", "failed_run", "finally_run"]
    File = hooked(Callback, "File", names, lambda self, name: log.append(name))
    for _ in Squares(times=4, cbs=File()):
        break
    assert log == ["finally_step", "finally_run"]


def test_two_consumers_may_take_turns_at_two_loops():
    pairs = list(zip(Squares(times=3), Squares(times=3), strict=True))
    assert pairs == [(0, 0), (1, 1), (4, 4)]


def test_stop_ends_a_pulled_loop():
    loop = Squares(times=10)
    seen = []
    for square in loop:
        seen.append(square)
        if square == 4:
            loop.stop("enough")
    assert seen == [0, 1, 4]
    assert loop.log[-2:] == ["after_run", "finally_run"]
    assert "enough" in loop.ended


def test_an_inner_loop_can_be_pulled_from_a_hook_of_its_parent_when_it_runs_alone():
    class Outer(Loop):
        def on_epoch(self):
            pass

    outer = Outer(inner_loops=Squares(times=3, call_on="on_epoch"))
    assert list(outer.squares) == [0, 1, 4]


# --- ending -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("times", [2, 5, 17])
def test_ended_says_that_all_was_run(times):
    assert Step(times=times).run().ended == f"ran all {times} items"


def test_ended_names_the_hook_that_stopped_and_its_reason():
    class EarlyStop(Callback):
        def after_epoch(self):
            if self.loop.index == 2:
                self.loop.stop("no improvement in 3 epochs")

    class Learner(Loop):
        def on_epoch(self):
            pass

    loop = Learner(times=10, cbs=EarlyStop()).run()
    assert loop.ended == "stopped by EarlyStop.after_epoch: no improvement in 3 epochs"
    assert loop.count == 3


def test_ended_names_the_hook_that_failed_and_the_error():
    class DQN(Loop):
        def on_loss(self):
            raise ValueError("loss is nan")

    loop = DQN()
    with pytest.raises(ValueError):
        loop.run()
    assert loop.ended == "failed in DQN.on_loss: ValueError: loss is nan"


def test_ended_of_the_outer_loops_names_the_inner_hook_too():
    class Outer(Loop):
        def on_epoch(self):
            pass

    class Inner(Loop):
        call_on = "on_epoch"

        def on_batch(self):
            raise KeyError("weights")

    loop = Outer(inner_loops=Inner)
    with pytest.raises(KeyError):
        loop.run()
    assert loop.inner.ended == "failed in Inner.on_batch: KeyError: 'weights'"
    assert loop.ended == loop.inner.ended


def test_ended_tells_of_the_last_run():
    class Moody(Loop):
        fail = True

        def on_step(self):
            if self.fail:
                raise ValueError("moody")

    loop = Moody(times=2)
    with pytest.raises(ValueError):
        loop.run()
    loop.fail = False
    assert loop.run().ended == "ran all 2 items"


def test_each_run_of_an_inner_loop_of_one_pass_forgets_how_the_last_one_ended():
    seen = []

    class Outer(Loop):
        def on_epoch(self):
            pass

        def failed_epoch(self):
            self.recover()

        def finally_epoch(self):
            seen.append((self.inner.ended, self.inner.count))

    class Inner(Loop):
        call_on = "on_epoch"

        def on_batch(self):
            assert self.error is None
            if self.count == 1:
                self.stop("enough")
            if self.count == 2:
                raise Cancel("run", "no more")
            if self.outer.index == 3:
                raise ValueError("moody")

    Outer(Inner, times=5).run()
    assert seen == [
        ("ran its only item", 1),
        ("stopped by Inner.on_batch: enough", 2),
        ("cancelled by Inner.on_batch: no more", 3),
        ("failed in Inner.on_batch: ValueError: moody", 3),
        ("ran its only item", 4),
    ]


def test_stop_finishes_the_pass_and_its_after_hooks_run():
    log = []

    class Stopping(Loop):
        def before_step(self):
            if self.index == 1:
                self.stop("enough")

        def on_step(self):
            log.append(f"on_step {self.index}")

        def on_more(self):
            log.append(f"on_more {self.index}")

        def after_pass(self):
            log.append(f"after_pass {self.index}")

        def after_run(self):
            log.append("after_run")

    loop = Stopping(times=5).run()
    both = ["on_step {0}", "on_more {0}", "after_pass {0}"]
    assert log == [line.format(index) for index in range(2) for line in both] + ["after_run"]
    assert loop.ended == "stopped by Stopping.before_step: enough"
    assert loop.count == 2


def test_a_stop_counts_for_one_run():
    class Stopping(Loop):
        def on_step(self):
            if self.count == 1:
                self.stop("once")

    loop = Stopping(times=4).run()
    assert loop.count == 2
    assert loop.run().count == 6


def nested(act):
    """Three loops, 3 passes each; `act(inner loop)` is called once, in the inner's second pass."""
    log = []

    class Outer(Loop):
        times = 3

        def on_epoch(self):
            log.append(f"outer {self.index}")

        def after_epoch(self):
            log.append(f"outer {self.index} done")

    class Middle(Loop):
        times = 3
        call_on = "on_epoch"

        def on_batch(self):
            log.append(f"middle {self.index}")

        def after_batch(self):
            log.append(f"middle {self.index} done")

    class Inner(Loop):
        times = 3
        call_on = "on_batch"

        def on_step(self):
            log.append(f"inner {self.index}")
            if self.count == 1:
                act(self)

        def after_step(self):
            log.append(f"inner {self.index} done")

    return Outer(inner_loops=Middle(inner_loops=Inner)), log


def test_stop_of_the_outermost_from_the_innermost_ends_the_loops_between():
    loop, log = nested(lambda inner: inner.root.stop("all"))
    loop.run()
    assert log == [
        "outer 0",
        "middle 0",
        "inner 0",
        "inner 0 done",
        "inner 1",
        "inner 1 done",
        "middle 0 done",
        "outer 0 done",
    ]
    assert loop.ended == "stopped by Inner.on_step: all"


def test_stop_of_the_innermost_ends_its_own_run_only():
    loop, log = nested(lambda inner: inner.stop("just me"))
    loop.run()
    assert log[:7] == ["outer 0", "middle 0", "inner 0", "inner 0 done", "inner 1", "inner 1 done", "middle 0 done"]
    assert loop.ended == "ran all 3 items"
    assert loop.middle.inner.count == 9 * 3 - 1
    assert log.count("outer 2 done") == 1


def test_stop_of_the_middle():
    loop, log = nested(lambda inner: inner.parent.stop("middle"))
    loop.run()
    assert log[:8] == [
        "outer 0",
        "middle 0",
        "inner 0",
        "inner 0 done",
        "inner 1",
        "inner 1 done",
        "middle 0 done",
        "outer 0 done",
    ]
    assert (loop.count, loop.middle.count, loop.middle.inner.count) == (3, 7, 2 + 6 * 3)


def test_after_a_stop_inner_loops_that_are_not_yet_running_run_in_full_in_this_pass():
    class Outer(Loop):
        times = 3

        def before_epoch(self):
            self.stop("early")

        def on_epoch(self):
            pass

    loop = Outer(inner_loops=Step(times=4, call_on="on_epoch")).run()
    assert (loop.count, loop.step.count) == (1, 4)


# --- changes on the way -------------------------------------------------------------------------------------


def test_adding_and_removing_chain():
    class Mark(Callback):
        pass

    class Outer(Loop):
        def on_epoch(self):
            pass

    mark, inner = Mark(), Step(call_on="on_epoch")
    loop = Outer()
    assert loop.add_cb(mark).add_cb(Mark).add_loop(inner).remove_cb(mark) is loop
    assert [cb.name for cb in loop.cbs] == ["mark_2"]
    assert loop.remove_cb(Mark).remove_loop(inner) is loop
    assert list(loop.cbs) == list(loop.inner_loops) == []
    assert mark.parent is None
    assert inner.parent is None
    assert not hasattr(loop, "step")
    assert loop.add_loop(inner).remove_loop(Step).run().count == 1


def test_a_callback_added_by_a_hook_takes_effect_at_the_next_pass():
    log = []
    Late = hooked(Callback, "Late", ["after_step", "before_pass", "after_pass"], logger(log))

    class Adding(Loop):
        def on_step(self):
            log.append(f"pass {self.index}")
            if self.index == 0:
                self.add_cb(Late())

    Adding(times=3).run()
    once = ["Late.before_pass", "pass {}", "Late.after_step", "Late.after_pass"]
    assert log == ["pass 0", *(line.format(index) for index in (1, 2) for line in once)]


def test_a_callback_removed_by_a_hook_leaves_at_the_next_pass():
    log = []
    Once = hooked(Callback, "Once", ["before_step", "after_step"], logger(log))

    class Removing(Loop):
        def on_step(self):
            log.append(f"pass {self.index}")
            if self.index == 0:
                self.remove_cb(Once)

    Removing(times=3, cbs=Once()).run()
    assert log == ["Once.before_step", "pass 0", "Once.after_step", "pass 1", "pass 2"]


def test_a_callback_may_remove_itself():
    log = []

    class Once(Callback):
        def after_step(self):
            log.append("once")
            self.loop.remove_cb(self)

    assert Step(times=4, cbs=Once()).run().count == 4
    assert log == ["once"]


def test_a_change_from_an_inner_hook_reaches_the_outer_loop_at_its_next_pass():
    log = []
    Late = hooked(Callback, "Late", ["after_epoch"], logger(log))

    class Outer(Loop):
        def on_epoch(self):
            log.append(f"epoch {self.index}")

    class Inner(Loop):
        call_on = "on_epoch"

        def on_batch(self):
            if self.count == 0:
                self.outer.add_cb(Late())

    Outer(times=2, inner_loops=Inner).run()
    assert log == ["epoch 0", "epoch 1", "Late.after_epoch"]


def test_a_change_of_an_inner_loop_from_outside_takes_effect_at_its_next_pass():
    log = []
    Late = hooked(Callback, "Late", ["after_batch"], logger(log))

    class Outer(Loop):
        def on_epoch(self):
            if self.index == 1:
                self.inner.add_cb(Late())

    class Inner(Loop):
        call_on = "on_epoch"
        times = 2

        def on_batch(self):
            log.append(f"{self.count}")

    Outer(times=2, inner_loops=Inner).run()
    assert log == ["0", "1", "2", "Late.after_batch", "3", "Late.after_batch"]


def test_a_change_of_an_inner_loop_from_its_own_hook():
    log = []
    Late = hooked(Callback, "Late", ["after_batch"], logger(log))

    class Outer(Loop):
        def on_epoch(self):
            pass

    class Inner(Loop):
        call_on = "on_epoch"
        times = 3

        def on_batch(self):
            log.append(f"{self.count}")
            if self.count == 1:
                self.add_cb(Late())
            if self.count == 3:
                self.remove_cb(Late)

    Outer(times=2, inner_loops=Inner).run()
    assert log == ["0", "1", "2", "Late.after_batch", "3", "Late.after_batch", "4", "5"]


def test_a_loop_added_and_removed_by_a_hook():
    log = []
    Extra = hooked(Loop, "Extra", ["on_do"], logger(log))

    class Changing(Loop):
        def on_step(self):
            log.append(f"pass {self.index}")
            if self.index == 0:
                self.add_loop(Extra(call_on="on_step"))
            if self.index == 2:
                self.remove_loop(Extra)

    Changing(times=4).run()
    assert log == ["pass 0", "pass 1", "Extra.on_do", "pass 2", "Extra.on_do", "pass 3"]


def test_items_index_and_what_is_left_go_on_over_a_change():
    class Changing(Loop):
        def items(self):
            self.asked = getattr(self, "asked", 0) + 1
            yield from "abcdef"

        def on_step(self):
            self.seen.append((self.index, self.item))
            self.add_cb(Callback())

    loop = Changing(times=5)
    loop.seen = []
    loop.run()
    assert loop.seen == list(enumerate("abcde"))
    assert loop.asked == 1
    assert loop.ended == "ran all 5 items"


def test_a_change_while_pulling():
    log = []
    Late = hooked(Callback, "Late", ["after_step"], logger(log))
    loop = Squares(times=4)
    seen = []
    for square in loop:
        seen.append(square)
        if square == 1:
            loop.add_cb(Late())
    assert seen == [0, 1, 4, 9]
    assert log == ["Late.after_step"] * 2


def test_frames_of_the_run_stay_whole_over_a_change():
    log = []
    frames = ["before_run", "after_run", "finally_run"]
    Framed = hooked(Loop, "Framed", [*frames, "on_step"], logger(log))

    class Adding(Callback):
        def on_step(self):
            self.loop.add_cb(Callback())

    Framed(times=3, cbs=Adding()).run()
    assert log == ["Framed.before_run", *["Framed.on_step"] * 3, "Framed.after_run", "Framed.finally_run"]


def test_a_failure_after_a_change_is_told_once():
    log = []
    Framed = hooked(Loop, "Framed", ["failed_step", "failed_pass", "failed_run", "finally_run"], logger(log))

    class Changing(Callback):
        def on_step(self):
            self.loop.add_cb(Callback())
            if self.loop.index == 2:
                raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        Framed(times=5, cbs=Changing()).run()
    assert log == ["Framed.failed_step", "Framed.failed_pass", "Framed.failed_run", "Framed.finally_run"]


def test_a_change_that_does_not_bind_is_an_error_of_the_run():
    class Wrong(Callback):
        def before_setp(self):
            pass

    log = []
    Framed = hooked(Loop, "Framed", ["on_step", "failed_run", "finally_run"], logger(log))

    class Adding(Callback):
        def after_step(self):
            self.loop.add_cb(Wrong())

    with pytest.raises(LooptreeError, match="before_setp"):
        Framed(times=3, cbs=Adding()).run()
    assert log == ["Framed.on_step", "Framed.failed_run", "Framed.finally_run"]


def test_a_callback_that_is_removed_still_has_its_place_in_the_tree_until_the_pass_ends():
    seen = []

    class Late(Callback):
        def after_step(self):
            seen.append((self.loop.name, self.parent.name, self.factor))

    class Removing(Loop):
        factor = 3

        def on_step(self):
            self.remove_cb(Late)

    loop = Removing(times=1, cbs=Late())
    loop.run()
    assert seen == [("removing", "removing", 3)]
    assert list(loop.cbs) == []


def test_a_loop_that_is_removed_before_it_is_called_still_runs_in_this_pass():
    log = []
    Watching = hooked(Callback, "Watching", ["after_do"], logger(log))

    class Outer(Loop):
        factor = 3

        def before_step(self):
            if self.index == 0:
                self.remove_loop(Inner)

        def on_step(self):
            log.append("on_step")

    class Inner(Loop):
        call_on = "on_step"

        def on_do(self):
            log.append(f"on_do {self.factor}")

    Outer(times=2, inner_loops=Inner(cbs=Watching())).run()
    assert log == ["on_step", "on_do 3", "Watching.after_do", "on_step"]


def test_a_loop_that_removes_itself_while_it_runs_finishes_its_run():
    log = []

    class Outer(Loop):
        factor = 3

        def on_step(self):
            log.append("on_step")

    class Inner(Loop):
        call_on = "on_step"
        times = 2

        def on_do(self):
            log.append(f"on_do {self.factor}")
            if self.index == 0:
                self.outer.remove_loop(self)

    Outer(times=2, inner_loops=Inner).run()
    assert log == ["on_step", "on_do 3", "on_do 3", "on_step"]


def test_thousands_of_changes_in_one_run():
    class Flicker(Callback):
        def after_step(self):
            self.loop.flickers += 1

    class Changing(Loop):
        flickers = 0

        def on_step(self):
            if self.index % 2:
                self.remove_cb(Flicker)
            else:
                self.add_cb(Flicker())

    loop = Changing(times=2000).run()
    assert loop.count == 2000
    assert loop.flickers == 1000
    assert list(loop.cbs) == []


# --- one run of a tree at a time ----------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["outer", "inner", "beside"])
def test_running_any_loop_of_a_running_tree_is_an_error(which):
    log = []

    class Outer(Loop):
        def on_epoch(self):
            pass

        def after_epoch(self):
            log.append("after_epoch")

    class Beside(Loop):
        call_on = "after_epoch"

        def on_do(self):
            log.append("beside")

    class Inner(Loop):
        call_on = "on_epoch"

        def on_batch(self):
            again = {"outer": self.outer, "inner": self, "beside": self.outer.beside}[which]
            with pytest.raises(AlreadyRunning):
                again.run()
            with pytest.raises(AlreadyRunning):
                list(again)
            log.append("refused")

    loop = Outer(inner_loops=[Inner, Beside], times=2).run()
    assert log == ["refused", "after_epoch", "beside"] * 2
    assert loop.ended == "ran all 2 items"
    assert loop.run().count == 4


def test_running_a_loop_that_is_being_pulled_is_an_error():
    loop = Squares(times=3)
    puller = iter(loop)
    next(puller)
    with pytest.raises(AlreadyRunning):
        loop.run()
    assert list(puller) == [1, 4]
    assert loop.run().ended == "ran all 3 items"


def test_a_loop_that_is_running_becomes_no_inner_loop():
    loop = Squares(times=3)
    puller = iter(loop)
    next(puller)
    with pytest.raises(AlreadyRunning, match="squares is running, and cannot become an inner loop of step before"):
        Step(inner_loops=loop)
    assert list(puller) == [1, 4]
    assert Step(inner_loops=loop).squares is loop


def test_another_tree_may_run_inside_a_hook():
    class Outer(Loop):
        def on_epoch(self):
            self.result = list(Squares(times=3))

    assert Outer().run().result == [0, 1, 4]


# --- state --------------------------------------------------------------------------------------------------


def test_the_state_has_the_counters_of_every_loop():
    family = Family()
    family.dqn.run(times=3)
    state = family.dqn.state_dict()
    assert state["count"] == 3
    assert state["loops"]["source"]["count"] == 3
    assert state["loops"]["source"]["loops"]["agent"]["count"] == 3


def test_a_loop_that_loads_a_state_goes_on_counting_there():
    seen = []

    class Phased(Loop):
        phases = ("train", Phase("valid", every=3))

        def on_step(self):
            seen.append((self.count, self.phase))

        def after_step(self, _every=4, _phase="train"):
            seen.append("fourth")

    whole = Phased(times=7)
    whole.run()
    expected, seen[:] = list(seen), []
    first = Phased(times=2).run()
    second = Phased(times=5)
    second.load_state_dict(first.state_dict())
    second.run()
    assert seen == expected
    assert second.count == 7


def test_callbacks_bring_state_of_their_own():
    class Best(Callback):
        best = 0.0

        def after_step(self):
            self.best += 1.5

        def state_dict(self):
            return super().state_dict() | {"best": self.best}

        def load_state_dict(self, state):
            super().load_state_dict(state)
            self.best = state["best"]

    loop = Step(times=2, cbs=Best()).run()
    state = loop.state_dict()
    assert state["cbs"]["best"]["best"] == 3.0
    fresh = Step(cbs=Best())
    fresh.load_state_dict(state)
    assert (fresh.count, fresh.cbs[0].best) == (2, 3.0)


class Met(Callback):
    """Has no state before the first pass."""

    def __init__(self):
        self.met = []

    def after_step(self):
        self.met.append(self.loop.count)

    def state_dict(self):
        return {"met": list(self.met)} if self.met else {}

    def load_state_dict(self, state):
        self.met = list(state["met"])


def test_a_callback_may_come_to_have_a_state():
    loop = Step(times=2, cbs=Met())
    empty = loop.state_dict()
    state = loop.run().state_dict()
    fresh = Step(cbs=Met())
    fresh.load_state_dict(empty)
    assert fresh.met.met == []
    fresh.load_state_dict(state)
    assert (fresh.count, fresh.met.met) == (2, [0, 1])
    with pytest.raises(StateMismatch, match=r"step has the cbs \['met'\], the state has \[\]\. Build the loop as"):
        fresh.load_state_dict(empty)
    with pytest.raises(StateMismatch, match=r"step has the cbs \[\], the state has \['met'\]\."):
        Step().load_state_dict(state)


def test_of_a_state_that_does_not_fit_nothing_is_taken_over():
    def tree(*cbs):
        deepest = Step(call_on="on_step", cbs=cbs, name="deepest")
        return Step(Step(deepest, Met, call_on="on_step", name="inner"))

    state = tree(Met).run(3).state_dict()
    loop = tree()
    with pytest.raises(StateMismatch, match=r"deepest has the cbs \[\], the state has \['met'\]"):
        loop.load_state_dict(state)
    assert (loop.count, loop.inner.count, loop.inner.met.met) == (0, 0, [])
    for missing in ({}, {"count": 1, "cbs": {}}):
        with pytest.raises(StateMismatch, match=r"has no .*'loops'.*\. What step\.state_dict\(\) gave would fit\."):
            loop.load_state_dict(missing)


def test_a_class_may_keep_its_state_in_a_way_of_its_own():
    class Odd(Step):
        call_on = "on_step"

        def state_dict(self):
            return {"odd": self.count}

        def load_state_dict(self, state):
            self.count = state["odd"]

    fresh = Step(Odd)
    fresh.load_state_dict(Step(Odd).run(3).state_dict())
    assert (fresh.count, fresh.odd.count) == (3, 3)


@pytest.mark.parametrize("pulled", [False, True])
def test_a_callback_added_before_the_first_pass_takes_effect_in_it(pulled):
    log = []
    Late = hooked(Callback, "Late", ["after_step", "after_do"], logger(log))

    class Adding(Loop):
        def before_run(self):
            self.add_cb(Late())

        def on_step(self):
            log.append(f"pass {self.index}")

        def on_do(self):
            pass

    loop = Adding(times=2)
    if pulled:
        list(loop)
    else:
        loop.run()
    assert log == ["pass 0", "Late.after_step", "Late.after_do", "pass 1", "Late.after_step", "Late.after_do"]


@pytest.mark.parametrize(
    ("made", "error", "message"),
    [
        (lambda loop: loop(inner_loops=int), NotALoop, "A Loop or a class of Loop fits here; given was the class int."),
        (lambda loop: loop(cbs=loop), NotACallback, "given was the class Plain. It belongs into inner_loops."),
        (lambda loop: loop(inner_loops=Callback), NotALoop, "given was the class Callback. It belongs into cbs."),
        (lambda loop: loop(phases=3), BadSetting, "phases=3: names of phases fit. Write phases=('train', 'valid')."),
        (lambda loop: loop(call_on=3), BadSetting, "call_on=3: the parent's hooks fit, by name or themselves"),
        (lambda loop: loop(times=2.5), BadSetting, "times=2.5: a number of passes fits"),
        (lambda loop: loop(name="a b"), BadSetting, "name='a b': loops and callbacks are attributes"),
        (
            lambda loop: loop(cbs=NeedsAField),
            NotACallback,
            "NeedsAField is made with 'field'; give one that is made",
        ),
        (lambda loop: loop().run(phases="valid"), BadSetting, "plain has no phase 'valid'. It has no phases."),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(made, error, message):
    class Plain(Loop):
        def on_step(self):
            pass

    with pytest.raises(error, match=re.escape(message)):
        made(Plain)


class NeedsAField(Callback):
    def __init__(self, field):
        self.field = field
