"""What is a hook, and the order in which the hooks of one loop run."""

import copy

import pytest

from looptree import BindingError, Callback, Hook, Loop, Phase, in_phase
from tests.core.hooked import hooked, logger

# --- Hook ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["before_step", "on_step", "after_step", "failed_step", "finally_step", "on_a_b"])
def test_a_name_with_a_moment_is_a_hook(name):
    assert Hook.ishook(name)


@pytest.mark.parametrize("name", ["_on_step", "__on_step", "step", "once_step", "onstep", "step_on_", "run"])
def test_other_names_are_not(name):
    assert not Hook.ishook(name)


def test_a_hook_has_its_parts_as_fields():
    def after_batch_loss(self, _order=3, _phase=("train", "valid"), _every=4, _replace=True):
        pass

    hook = Hook(after_batch_loss)
    assert hook.function is after_batch_loss
    assert (hook.name, hook.moment, hook.event) == ("after_batch_loss", "after", "batch_loss")
    assert (hook.order, hook.phase, hook.every, hook.replace) == (3, ("train", "valid"), 4, True)


def test_a_hook_without_parameters_has_the_defaults():
    def on_step(self):
        pass

    hook = Hook(on_step)
    assert (hook.order, hook.phase, hook.every, hook.replace) == (-1, None, 1, False)


def test_a_phase_that_is_given_wins_over_the_signature():
    def on_step(self, _phase="valid"):
        pass

    assert Hook(on_step, phase="train").phase == "train"
    assert Hook(on_step).phase == "valid"


def test_copy_changes_only_what_it_is_told_to():
    def on_step(self, _order=3, _every=2):
        pass

    hook = Hook(on_step)
    changed = hook.copy(phase="train", order=7)
    assert (changed.function, changed.order, changed.phase, changed.every) == (on_step, 7, "train", 2)
    assert (hook.order, hook.phase) == (3, None)


def test_hooks_are_equal_and_hash_by_what_they_are():
    def on_step(self):
        pass

    def on_other(self):
        pass

    assert Hook(on_step) == Hook(on_step)
    assert len({Hook(on_step), Hook(on_step), Hook(on_other)}) == 2
    assert Hook(on_step) != Hook(on_other)
    assert Hook(on_step) != Hook(on_step).copy(phase="train")
    assert Hook(on_step) != "-1_None_on_step"
    assert hash(Hook(on_step)) == hash(copy.copy(Hook(on_step)))


def test_hooks_sort_by_order_and_keep_their_places_in_a_tie():
    def first(self, _order=2):
        pass

    def second(self, _order=-5):
        pass

    def third(self, _order=2):
        pass

    assert [hook.name for hook in sorted(map(Hook, [first, second, third]))] == ["second", "first", "third"]


def test_in_phase():
    def anywhere(self):
        pass

    def in_one(self, _phase="train"):
        pass

    def in_two(self, _phase=("train", "test")):
        pass

    phases = ["train", "valid", "test", None]
    assert [in_phase(Hook(anywhere), phase) for phase in phases] == [True, True, True, True]
    assert [in_phase(Hook(in_one), phase) for phase in phases] == [True, False, False, False]
    assert [in_phase(Hook(in_two), phase) for phase in phases] == [True, False, True, False]


# --- order --------------------------------------------------------------------------------------------------


def test_events_run_in_the_order_the_class_defines_them_not_by_the_alphabet():
    log = []
    names = ["on_zebra", "on_apple", "before_mango", "on_banana", "on_mango"]
    Zoo = hooked(Loop, "Zoo", names, logger(log))
    Zoo().run()
    assert log == ["Zoo.on_zebra", "Zoo.on_apple", "Zoo.before_mango", "Zoo.on_mango", "Zoo.on_banana"]


def test_moments_run_in_order_however_the_class_writes_them():
    log = []
    names = ["finally_step", "after_step", "on_step", "failed_step", "before_step"]
    Upside = hooked(Loop, "Upside", names, logger(log))
    Upside().run()
    assert log == ["Upside.before_step", "Upside.on_step", "Upside.after_step", "Upside.finally_step"]


def test_base_classes_come_first_and_an_override_keeps_its_place():
    log = []

    class Base(Loop):
        def on_load(self):
            log.append("Base.load")

        def on_learn(self):
            log.append("Base.learn")

        def on_save(self):
            log.append("Base.save")

    class Middle(Base):
        def on_extra(self):
            log.append("Middle.extra")

        def on_learn(self):
            log.append("Middle.learn")

    class Last(Middle):
        def on_end(self):
            log.append("Last.end")

        def on_load(self):
            super().on_load()
            log.append("Last.load")

    Last().run()
    assert log == ["Base.load", "Last.load", "Middle.learn", "Base.save", "Middle.extra", "Last.end"]
    assert [hook.name for hook in Last.hooks()] == ["on_load", "on_learn", "on_save", "on_extra", "on_end"]


def test_a_mixin_that_is_no_loop_brings_hooks_too():
    log = []

    class Mixin:
        def on_mixed(self):
            log.append("mixed")

    class Own(Mixin, Loop):
        def on_own(self):
            log.append("own")

    Own().run()
    assert log == ["mixed", "own"]


def test_lower_order_runs_first_within_one_moment_of_one_event():
    log = []
    Step = hooked(Loop, "Step", ["before_step", "on_step", "after_step"], logger(log))

    class Early(Callback):
        def before_step(self, _order=-2):
            log.append("Early.before_step")

        def after_step(self, _order=-100):
            log.append("Early.after_step")

    class Late(Callback):
        def before_step(self, _order=0):
            log.append("Late.before_step")

    Step(cbs=[Late(), Early()]).run()
    assert log == [
        "Early.before_step",
        "Step.before_step",
        "Late.before_step",
        "Step.on_step",
        "Early.after_step",
        "Step.after_step",
    ]


def test_the_loops_own_hooks_run_before_callbacks_of_the_same_order_in_the_order_added():
    log = []
    Step = hooked(Loop, "Step", ["on_step"], logger(log))
    Zeta, Alpha, Mu = (hooked(Callback, name, ["on_step"], logger(log)) for name in ["Zeta", "Alpha", "Mu"])
    loop = Step(cbs=[Zeta(), Alpha()])
    loop.add_cb(Mu())
    loop.run()
    assert log == ["Step.on_step", "Zeta.on_step", "Alpha.on_step", "Mu.on_step"]


def test_callbacks_of_loops_further_out_stand_in_the_order_in_which_all_were_added():
    log = []
    Outer = hooked(Loop, "Outer", ["on_epoch"], logger([]))
    Inner = hooked(Loop, "Inner", ["on_batch"], logger(log))
    First, Second, Third = (hooked(Callback, name, ["on_batch"], logger(log)) for name in ("First", "Second", "Third"))
    inner = Inner(call_on="on_epoch", cbs=First())
    outer = Outer(inner_loops=inner, cbs=Second())
    inner.add_cb(Third())
    outer.run()
    assert log == ["Inner.on_batch", "First.on_batch", "Second.on_batch", "Third.on_batch"]


def test_a_callback_hooks_a_moment_that_the_loop_itself_leaves_out():
    log = []
    Step = hooked(Loop, "Step", ["on_step"], logger(log))
    Around = hooked(Callback, "Around", ["finally_step", "before_step", "after_step"], logger(log))
    Step(cbs=Around()).run()
    assert log == ["Around.before_step", "Step.on_step", "Around.after_step", "Around.finally_step"]


def test_the_frame_of_a_run():
    log = []
    frames = [f"{moment}_{event}" for event in ["run", "pass", "phase"] for moment in ["before", "after", "finally"]]
    Framed = hooked(Loop, "Framed", [*frames, "on_step"], lambda self, name: log.append(name))
    Framed(phases=["train", "valid"], times=1).run()
    phase = ["before_phase", "on_step", "after_phase", "finally_phase"]
    assert log == [
        "before_run",
        "before_pass",
        *phase,
        *phase,
        "after_pass",
        "finally_pass",
        "after_run",
        "finally_run",
    ]


def test_a_callback_with_hooks_on_phase_fits_a_loop_without_phases_too():
    log = []
    Plain = hooked(Loop, "Plain", ["on_step"], logger(log))
    Fits = hooked(Callback, "Fits", ["before_pass", "before_phase", "after_run"], logger(log))
    Plain(cbs=Fits()).run()
    assert log == ["Fits.before_pass", "Plain.on_step", "Fits.after_run"]
    log.clear()
    Plain(cbs=Fits(), phases=["train"]).run()
    assert log == ["Fits.before_pass", "Fits.before_phase", "Plain.on_step", "Fits.after_run"]


def test_inner_loops_run_after_the_hooks_that_stand_there():
    log = []
    Outer = hooked(Loop, "Outer", ["before_step", "on_step", "after_step"], logger(log))
    Second = hooked(Loop, "Second", ["on_do"], logger(log))
    First = hooked(Loop, "First", ["on_do"], logger(log))

    class Last(Callback):
        def on_step(self, _order=1000):
            log.append("Last.on_step")

    Outer(inner_loops=[First(call_on="on_step"), Second(call_on="on_step")], cbs=Last()).run()
    assert log == [
        "Outer.before_step",
        "Outer.on_step",
        "Last.on_step",
        "First.on_do",
        "Second.on_do",
        "Outer.after_step",
    ]


def test_the_plan_has_the_order_that_runs():
    log = []
    Step = hooked(Loop, "Step", ["on_b", "before_a", "on_a"], logger(log))
    Extra = hooked(Callback, "Extra", ["after_b", "before_a", "after_run", "before_pass"], logger(log))
    loop = Step(cbs=Extra())
    loop.run()
    by_plan = [step.label for step in loop.plan.steps()]
    assert sorted(by_plan) == sorted(log)
    inside = [label for label in log if label not in ("Extra.before_pass", "Extra.after_run")]
    assert [label for label in by_plan if label in inside] == inside


def test_a_hook_is_named_by_the_attribute_not_by_the_function_it_holds():
    log = []

    class Step(Loop):
        def on_step(self):
            log.append("step")

        def logged(self):
            log.append("logged")

        before_step = logged
        after_step = on_step
        del logged

    Step().run()
    assert log == ["logged", "step", "step"]
    assert [hook.name for hook in Step.hooks()] == ["before_step", "on_step", "after_step"]


def test_a_decorator_that_keeps_no_name_does_not_lose_the_hook():
    log = []

    def twice(function):
        def wrapper(self):
            function(self)
            function(self)

        return wrapper

    class Step(Loop):
        @twice
        def on_step(self):
            log.append("step")

    Step().run()
    assert log == ["step", "step"]


# --- _every -------------------------------------------------------------------------------------------------


def test_every_counts_the_passes_of_the_loops_life():
    seen = []

    class Counting(Loop):
        def on_step(self):
            pass

        def after_step(self, _every=3):
            seen.append(self.count)

    loop = Counting(times=4)
    loop.run()
    loop.run()
    assert loop.count == 8
    assert seen == [2, 5]  # in the third and the sixth pass, with two and five done


def test_every_on_a_callback_counts_the_passes_of_the_loop_it_hooks():
    seen = []

    class Outer(Loop):
        def on_epoch(self):
            pass

    class Inner(Loop):
        def on_batch(self):
            pass

    class Now(Callback):
        def after_epoch(self, _every=2):
            seen.append(("epoch", self.loop.index))

        def after_batch(self, _every=2):
            seen.append(("batch", self.loop.index))

    Outer(times=2, inner_loops=Inner(times=3, call_on="on_epoch"), cbs=Now()).run()
    assert seen == [("batch", 1), ("batch", 0), ("batch", 2), ("epoch", 1)]


def test_every_on_the_frame_of_a_pass():
    seen = []

    class Counting(Loop):
        def on_step(self):
            pass

        def after_pass(self, _every=2):
            seen.append(self.index)

        def finally_pass(self, _every=3):
            seen.append(-self.index)

    Counting(times=4).run()
    assert seen == [1, -2, 3]


def test_an_inner_loop_stands_on_the_hook_and_follows_its_every_and_phase():
    log = []

    class Outer(Loop):
        def on_step(self, _every=2, _phase="train"):
            log.append(f"Outer {self.index} {self.phase}")

    class Inner(Loop):
        def on_do(self):
            log.append(f"Inner {self.phase}")

    Outer(times=4, phases=["train", "valid"], inner_loops=Inner(call_on="on_step")).run()
    assert log == ["Outer 1 train", "Inner train", "Outer 3 train", "Inner train"]


# --- _phase -------------------------------------------------------------------------------------------------


def test_a_hook_runs_in_the_phase_it_names_in_the_phases_of_a_tuple_or_in_every_phase():
    log = []

    class Phased(Loop):
        def on_all(self):
            log.append(("all", self.phase))

        def on_one(self, _phase="valid"):
            log.append(("one", self.phase))

        def on_two(self, _phase=("train", "test")):
            log.append(("two", self.phase))

    Phased(phases=("train", "valid", "test")).run()
    assert log == [
        ("all", "train"),
        ("two", "train"),
        ("all", "valid"),
        ("one", "valid"),
        ("all", "test"),
        ("two", "test"),
    ]


def test_a_callbacks_phase_is_looked_at_in_the_loop_it_hooks():
    log = []
    Phased = hooked(Loop, "Phased", ["on_step"], logger(log))

    class Valid(Callback):
        def after_phase(self, _phase="valid"):
            log.append(f"after_phase {self.loop.phase}")

        def before_step(self, _phase=("valid", "other")):
            log.append("before_step")

    Phased(phases=["train", "valid"], cbs=Valid()).run()
    assert log == ["Phased.on_step", "before_step", "Phased.on_step", "after_phase valid"]


def test_phase_filters_inside_a_phaseless_loop_follow_the_phase_it_is_called_in():
    log = []

    class Outer(Loop):
        def on_step(self):
            pass

    class Middle(Loop):
        def on_go(self):
            pass

    class Inner(Loop):
        def on_do(self, _phase="train"):
            log.append(f"do {self.phase}")

        def after_do(self, _phase=("valid",)):
            log.append(f"after do {self.phase}")

    inner = Inner(call_on="on_go")
    Outer(phases=["train", "valid"], inner_loops=Middle(call_on="on_step", inner_loops=inner)).run()
    assert log == ["do train", "after do valid"]


def test_an_inner_loop_with_phases_of_its_own_follows_those():
    log = []

    class Outer(Loop):
        def on_step(self):
            log.append(f"Outer {self.phase}")

        def after_step(self):
            log.append(f"Outer {self.phase}")

    class Inner(Loop):
        phases = ("play", "rest")

        def on_do(self, _phase="play"):
            log.append(f"Inner {self.phase}")

    Outer(phases=["train", "valid"], inner_loops=Inner(call_on="on_step")).run()
    assert log == ["Outer train", "Inner play", "Outer train", "Outer valid", "Inner play", "Outer valid"]


def test_switch_phase_opens_each_phase_and_can_be_overridden():
    log = []

    class Modes(Loop):
        phases = ("train", "valid")

        def before_phase(self):
            log.append(f"before {self.phase}")

        def switch_phase(self, phase):
            super().switch_phase(phase)
            log.append(f"switch {phase}")

        def on_step(self):
            log.append(f"on {self.phase}")

    Modes().run()
    assert sorted(log[:2]) == ["before train", "switch train"]
    assert log[2] == "on train"
    assert sorted(log[3:5]) == ["before valid", "switch valid"]
    assert log[5] == "on valid"


def test_the_phase_is_set_even_when_an_override_of_switch_phase_leaves_it_out():
    seen = []

    class Modes(Loop):
        phases = ("train", "valid")

        def switch_phase(self, phase):
            pass

        def on_step(self):
            seen.append(self.phase)

    Modes().run()
    assert seen == ["train", "valid"]


def test_hooks_with_phases_lists_one_phase_or_all():
    class Modes(Loop):
        phases = ("train", Phase("valid", every=5))

        def on_step(self):
            pass

        def after_step(self, _phase="valid"):
            pass

    assert [repr(hook) for hook in Modes().hooks_with_phases("valid")] == [
        "-1_valid_switch_phase",
        "-1_valid_on_step",
        "-1_valid_after_step",
    ]
    assert [repr(hook) for hook in Modes().hooks_with_phases()] == [
        "-1_train_switch_phase",
        "-1_train_on_step",
        "-1_valid_switch_phase",
        "-1_valid_on_step",
        "-1_valid_after_step",
    ]


# --- _replace -----------------------------------------------------------------------------------------------


def test_a_replacer_runs_at_the_place_of_the_loops_own_hook():
    log = []
    Step = hooked(Loop, "Step", ["before_step", "on_step", "after_step"], logger(log))

    class Instead(Callback):
        def on_step(self, _replace=True):
            log.append(f"Instead on {type(self.loop).__name__}")

    Other = hooked(Callback, "Other", ["on_step"], logger(log))
    Step(cbs=[Other(), Instead()]).run()
    assert log == ["Step.before_step", "Instead on Step", "Other.on_step", "Step.after_step"]


def test_what_is_replaced_does_not_come_back_in_a_phase_that_it_has_no_part_in():
    log = []

    class Epoch(Loop):
        def on_step(self, _phase="train"):
            log.append(("own", self.phase, self.index))

    class Every(Callback):
        def on_step(self, _replace=True, _phase="valid", _every=2):
            log.append(("other", self.loop.phase, self.loop.index))

    Epoch(cbs=Every, phases=["train", "valid"], times=2).run()
    assert log == [("own", "train", 0), ("own", "train", 1), ("other", "valid", 1)]


def test_a_replacer_that_leaves_gives_the_loop_its_hook_back():
    log = []
    Step = hooked(Loop, "Step", ["on_step"], logger(log))

    class Instead(Callback):
        def on_step(self, _replace=True):
            log.append("Instead")

    loop = Step()
    loop.run(cbs=Instead()).run()
    assert log == ["Instead", "Step.on_step"]


def test_a_replacer_reaches_the_inner_loops_of_its_subtree():
    log = []
    Outer = hooked(Loop, "Outer", ["on_epoch"], logger(log))
    Inner = hooked(Loop, "Inner", ["on_batch"], logger(log))

    class Instead(Callback):
        def on_batch(self, _replace=True):
            log.append(f"Instead in {self.loop.name}")

    Outer(inner_loops=Inner(call_on="on_epoch"), cbs=Instead()).run()
    assert log == ["Outer.on_epoch", "Instead in inner"]


def test_two_replacers_of_one_hook_do_not_bind():
    class Step(Loop):
        def on_step(self):
            pass

    class One(Callback):
        def on_step(self, _replace=True):
            pass

    class Two(One):
        pass

    with pytest.raises(BindingError, match="on_step"):
        Step(cbs=[One(), Two()]).run()


# --- where a callback's hooks go ----------------------------------------------------------------------------


def family(log):
    """Outer, in it Left and Right, in Left Deep; all have the event do, and all but Outer the event step."""
    Outer = hooked(Loop, "Outer", ["on_do"], logger(log))
    Left = hooked(Loop, "Left", ["on_do", "on_step"], logger(log))
    Deep = hooked(Loop, "Deep", ["on_do", "on_step"], logger(log))
    Right = hooked(Loop, "Right", ["on_do", "on_step"], logger(log))
    left = Left(call_on="on_do", inner_loops=Deep(call_on="on_step"))
    return Outer(inner_loops=[left, Right(call_on="on_do")])


def place_logger(calls):
    """For `hooked`: each call appends "name of the loop it ran in.name of the hook" to `calls`."""
    return lambda self, name: calls.append(f"{self.loop.name}.{name}")


def test_callbacks_bind_to_every_loop_of_their_subtree_that_has_the_event():
    calls = []
    Everywhere = hooked(Callback, "Everywhere", ["after_do", "after_step"], place_logger(calls))
    loop = family([])
    loop.add_cb(Everywhere())
    loop.run()
    assert calls == [
        "left.after_do",
        "deep.after_do",
        "deep.after_step",
        "left.after_step",
        "right.after_do",
        "right.after_step",
        "outer.after_do",
    ]


def test_callbacks_do_not_bind_above_or_beside_the_loop_they_are_attached_to():
    calls = []
    Here = hooked(Callback, "Here", ["after_do", "after_step"], place_logger(calls))
    loop = family([])
    loop.left.add_cb(Here())
    loop.run()
    assert calls == ["left.after_do", "deep.after_do", "deep.after_step", "left.after_step"]


def test_hooks_on_reserved_events_stay_with_the_loop_the_callback_is_attached_to():
    calls = []
    names = [f"{moment}_{event}" for event in ["run", "pass"] for moment in ["before", "after", "finally"]]
    Frame = hooked(Callback, "Frame", names, place_logger(calls))
    loop = family([])
    loop.left.add_cb(Frame())
    loop.run()
    assert calls == [
        "left.before_run",
        "left.before_pass",
        "left.after_pass",
        "left.finally_pass",
        "left.after_run",
        "left.finally_run",
    ]


def test_self_loop_is_the_loop_whose_hook_is_running_and_parent_the_one_it_is_attached_to():
    seen = []

    class Where(Callback):
        def on_step(self):
            seen.append((self.loop.name, self.parent.name))

        def after_do(self):
            seen.append((self.loop.name, self.parent.name))

    loop = family([])
    loop.left.add_cb(Where())
    loop.run()
    assert seen == [("left", "left"), ("left", "left"), ("deep", "left"), ("deep", "left")]


# --- signatures ---------------------------------------------------------------------------------------------


def test_a_hook_with_any_other_parameter_does_not_bind():
    class Wants(Loop):
        def on_step(self, batch):
            pass

    with pytest.raises(BindingError, match="batch"):
        Wants().run()


def test_a_callbacks_hook_with_any_other_parameter_does_not_bind_even_with_a_default():
    class Step(Loop):
        def on_step(self):
            pass

    class Wants(Callback):
        def after_step(self, _order=2, factor=3):
            pass

    with pytest.raises(BindingError, match="factor"):
        Step(cbs=Wants()).run()


def test_a_phase_that_is_no_name_is_a_finding():
    for wrong in (3, (), ("train", 4), ""):

        class Wrong(Loop):
            phases = ("train",)

            def on_step(self, _phase=wrong):
                pass

        with pytest.raises(BindingError, match="_phase"):
            Wrong().run()


def test_a_hook_that_a_call_would_not_run_is_a_finding():
    class Generates(Loop):
        def on_step(self):
            yield 1

    class Awaits(Loop):
        async def on_step(self):
            pass

    for wrong in (Generates, Awaits):
        with pytest.raises(BindingError, match=rf"{wrong.__name__}.on_step is a generator or coroutine"):
            wrong().run()


def test_a_phase_hook_of_a_callback_for_a_phase_is_a_finding_where_there_are_none():
    class Looks(Callback):
        def after_phase(self, _phase="valid"):
            pass

    class Plain(Loop):
        def on_step(self):
            pass

    with pytest.raises(BindingError, match=r"Looks.after_phase runs in phase 'valid', which does not exist there"):
        Plain(cbs=Looks).run()
