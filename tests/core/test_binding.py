"""Binding: what is wrong with a tree is found before its first step, and said so that one can mend it."""

import copy
import dataclasses
import functools
import inspect

import pytest

from looptree import BindingError, Callback, FieldWarning, Loop, Phase, describe
from looptree.core.findings import Finding
from looptree.core.names import short_path

# Classes without anything wrong, of which wrong trees are made.


class Epochs(Loop):
    def on_epoch(self):
        self.epochs = getattr(self, "epochs", 0) + 1

    def on_report(self):
        pass


class Batches(Loop):
    def on_batch(self):
        self.batches = getattr(self, "batches", 0) + 1


class Bare(Loop):
    """A loop without events of its own."""


class Phased(Epochs):
    phases = ("train", "valid")


class Typo(Callback):
    def before_bacth(self):
        pass


class ReplacesBatch(Callback):
    def on_batch(self, _replace=True):
        pass


class ReplacesBatchToo(Callback):
    def on_batch(self, _replace=True):
        pass


def place(thing) -> str:
    """`file:line` of a class or function as messages give it."""
    return f"{short_path(inspect.getsourcefile(thing))}:{inspect.getsourcelines(thing)[1]}"


def wrong(loop) -> str:
    """The whole message of the error that a run of the loop raises."""
    with pytest.raises(BindingError) as raised:
        loop.run()
    return str(raised.value)


def message(at: str, said: str, write: str) -> str:
    """The message of an error with one finding."""
    return f"1 thing is wrong with this tree of loops:\n  1. {at}: {said}\n    write: {write}"


def line_to_write(loop) -> str:
    (finding,) = loop.check()
    return finding.write


def with_hook(line: str, base: type = Callback) -> type:
    """A class with the hook whose first line is the one to write."""
    namespace = {"base": base}
    exec(f"class Mended(base):\n    {line}\n        pass", namespace)
    return namespace["Mended"]


# --- events -------------------------------------------------------------------------------------------------


def test_a_callbacks_hook_for_an_event_that_no_loop_has():
    def tree(callback):
        return Epochs(inner_loops=Batches(call_on="on_epoch"), cbs=callback)

    assert wrong(tree(Typo)) == message(
        place(Typo.before_bacth),
        "Typo.before_bacth is plugged into Epochs, where no loop has the event 'bacth'. Nearest is 'batch'.",
        "def before_batch(self):",
    )
    tree(with_hook(line_to_write(tree(Typo)))).run()


def test_the_line_to_write_keeps_the_rest_of_the_signature():
    class Clip(Callback):
        def after_bacth(self, _order: int = 3, _every=2):
            pass

    assert line_to_write(Batches(cbs=Clip)) == "def after_batch(self, _order=3, _every=2):"


def test_an_event_that_is_like_no_other():
    class Far(Callback):
        def after_xyzzy(self):
            pass

    assert wrong(Epochs(cbs=Far)) == message(
        place(Far.after_xyzzy),
        "Far.after_xyzzy is plugged into Epochs, which has no event 'xyzzy'."
        " The events there are 'epoch', 'report', 'run' and 'pass'.",
        "def after_epoch(self):",
    )
    Epochs(cbs=with_hook(line_to_write(Epochs(cbs=Far)))).run()


def test_an_event_that_is_like_a_reserved_one_has_no_on_hook():
    class Pas(Callback):
        def on_pas(self):
            pass

    assert line_to_write(Bare(cbs=Pas)) == "def before_pass(self):"


@pytest.mark.parametrize("base", [Loop, Callback])
@pytest.mark.parametrize(
    "name, meant",
    [
        ("befor_epoch", "before_epoch"),
        ("afterr_pass", "after_pass"),
        ("finaly_epoch", "finally_epoch"),
        ("afterepoch", "after_epoch"),
        ("onepoch", "on_epoch"),
    ],
)
def test_a_method_that_is_all_but_called_like_a_hook(name, meant, base):
    def method(self, _every=2):
        pass

    method.__name__ = name
    Close = type("Close", (Epochs if base is Loop else Callback,), {name: method})
    loop = Close() if base is Loop else Epochs(cbs=Close)
    (finding,) = loop.check()
    assert (finding.kind, finding.severity, finding.place) == ("unknown moment", "warning", place(method))
    assert finding.given == f"Close.{name} is no hook, so that no loop calls it."
    assert finding.write == f"def {meant}(self, _every=2):"
    with pytest.warns(FieldWarning, match=f"Nearest is '{meant}'"):
        assert loop.run().epochs == 1


def test_helpers_that_are_called_like_no_hook_or_are_called():
    class Helped(Callback):
        def final_epoch(self):
            pass

        def one_epoch(self):
            pass

        def befor_batch(self):
            pass

        def afterepoch(self):
            self.called = True

        def after_epoch(self):
            self.afterepoch()

    loop = Epochs(cbs=Helped)
    assert loop.check() == ()
    assert loop.run().helped.called


def test_events_of_loops_above_and_beside_are_none_of_a_callbacks():
    class Epoch(Callback):
        def after_epoch(self):
            pass

    assert Epochs(cbs=Epoch, inner_loops=Batches(call_on="on_epoch")).check() == ()
    inside = Epochs(inner_loops=[Batches(call_on="on_epoch", cbs=Epoch), Epochs(call_on="on_epoch", name="beside")])
    assert wrong(inside) == message(
        place(Epoch.after_epoch),
        "Epoch.after_epoch is plugged into Batches, which has no event 'epoch'."
        " The events there are 'batch', 'run' and 'pass'.",
        "def after_batch(self):",
    )


def test_a_replacer_where_no_loop_has_such_a_hook():
    class Replacer(Callback):
        def on_bacth(self, _replace=True):
            pass

    def tree(callback):
        return Epochs(inner_loops=Batches(call_on="on_epoch"), cbs=callback)

    assert wrong(tree(Replacer)) == message(
        place(Replacer.on_bacth),
        "Replacer.on_bacth would replace a hook of Epochs, or of a loop below, and none has one of that name."
        " Nearest is 'on_batch'.",
        "def on_batch(self, _replace=True):",
    )
    tree(with_hook(line_to_write(tree(Replacer)))).run()


def test_a_replacer_of_a_moment_that_the_event_has_no_hook_for():
    class Early(Callback):
        def before_batch(self, _replace=True):
            pass

    assert wrong(Batches(cbs=Early)) == message(
        place(Early.before_batch),
        "Early.before_batch would replace a hook of Batches, which has none of that name. Nearest is 'on_batch'.",
        "def on_batch(self, _replace=True):",
    )


def test_a_replacer_that_is_like_no_hook():
    class Far(Callback):
        def on_zzz(self, _replace=True, _every=2):
            pass

    assert wrong(Epochs(cbs=Far)) == message(
        place(Far.on_zzz),
        "Far.on_zzz would replace a hook of Epochs, which has none of that name."
        " The hooks there are 'on_epoch' and 'on_report'.",
        "def on_epoch(self, _replace=True, _every=2):",
    )
    assert wrong(Bare(cbs=Far)) == message(
        place(Far.on_zzz),
        "Far.on_zzz would replace a hook of Bare, which has none of that name. There are no hooks to replace.",
        "def before_pass(self, _every=2):",
    )
    for tree in (Epochs, Bare):
        tree(cbs=with_hook(line_to_write(tree(cbs=Far)))).run()


# --- inner loops --------------------------------------------------------------------------------------------


def test_an_unknown_call_on():
    loop = Epochs(inner_loops=Batches(call_on="on_epohc"))
    assert wrong(loop) == message(
        place(Batches),
        "Batches 'batches' is called on 'on_epohc', which is no moment of an event of Epochs."
        " The events of Epochs are 'epoch' and 'report'. Nearest is 'on_epoch'.",
        "Batches(call_on='on_epoch')",
    )
    loop = Epochs(inner_loops=eval(line_to_write(loop)))
    assert loop.run().batches.batches == 1


def test_a_call_on_that_is_an_event_and_no_moment_of_it():
    assert line_to_write(Epochs(inner_loops=Batches(call_on="epoch"))) == "Batches(call_on='on_epoch')"


def test_a_call_on_that_is_like_nothing():
    assert wrong(Epochs(inner_loops=Batches(call_on="zzz"))) == message(
        place(Batches),
        "Batches 'batches' is called on 'zzz', which is no moment of an event of Epochs."
        " The events of Epochs are 'epoch' and 'report'.",
        "Batches(call_on='on_epoch')",
    )


def test_a_call_on_where_there_are_no_events():
    loop = Bare(inner_loops=Batches(call_on=Epochs.on_epoch))
    assert wrong(loop) == message(
        place(Batches),
        "Batches 'batches' is called on 'on_epoch', which is no moment of an event of Bare."
        " Bare has no events of its own; every loop has 'before_pass', 'on_pass' and 'after_pass'."
        " Nearest is 'on_pass'.",
        "Batches(call_on='on_pass')",
    )
    assert Bare(inner_loops=eval(line_to_write(loop))).run().batches.batches == 1


def test_each_unknown_one_of_several_call_ons_and_a_line_with_all_of_them():
    loop = Epochs(inner_loops=Batches(call_on=("on_epohc", "on_report", "bfore_report")))
    write = "Batches(call_on=('on_epoch', 'on_report', 'before_report'))"
    assert wrong(loop) == (
        "2 things are wrong with this tree of loops:\n"
        f"  1. {place(Batches)}: Batches 'batches' is called on 'on_epohc', which is no moment of an event of Epochs."
        " The events of Epochs are 'epoch' and 'report'. Nearest is 'on_epoch'.\n"
        f"    write: {write}\n"
        f"  2. {place(Batches)}: Batches 'batches' is called on 'bfore_report', which is no moment of an event of"
        " Epochs. The events of Epochs are 'epoch' and 'report'. Nearest is 'before_report'.\n"
        f"    write: {write}"
    )
    assert Epochs(inner_loops=eval(write)).run().batches.batches == 3


def test_an_inner_loop_placed_nowhere():
    loop = Epochs(inner_loops=Batches)
    assert wrong(loop) == message(
        place(Batches),
        "Batches 'batches' is an inner loop of Epochs without call_on, so nothing calls it."
        " The events of Epochs are 'epoch' and 'report'.",
        "Batches(call_on='on_epoch')",
    )
    assert Epochs(inner_loops=eval(line_to_write(loop))).run().batches.batches == 1


def test_an_inner_loop_placed_nowhere_in_a_loop_of_one_event_or_none():
    assert wrong(Batches(inner_loops=Epochs)) == message(
        place(Epochs),
        "Epochs 'epochs' is an inner loop of Batches without call_on, so nothing calls it."
        " The event of Batches is 'batch'.",
        "Epochs(call_on='on_batch')",
    )
    assert wrong(Bare(inner_loops=Epochs)) == message(
        place(Epochs),
        "Epochs 'epochs' is an inner loop of Bare without call_on, so nothing calls it."
        " Bare has no events of its own; every loop has 'before_pass', 'on_pass' and 'after_pass'.",
        "Epochs(call_on='on_pass')",
    )
    for outer in (Batches, Bare):
        outer(inner_loops=eval(line_to_write(outer(inner_loops=Epochs)))).run()


# --- the shape of the tree ----------------------------------------------------------------------------------


def test_a_cycle():
    epochs, batches = Epochs(call_on="on_batch"), Batches(call_on="on_epoch")
    epochs.add_loop(batches)
    batches.add_loop(epochs)
    assert wrong(epochs) == message(
        place(Batches),
        "Batches 'batches' is an inner loop of itself, further down. A tree has no cycles.",
        "epochs.remove_loop(batches)",
    )
    exec(line_to_write(epochs), {"epochs": epochs, "batches": batches})
    batches.run()
    assert (batches.batches, epochs.epochs) == (1, 1)


def test_a_loop_in_itself():
    epochs = Epochs(call_on="on_epoch")
    epochs.add_loop(epochs)
    assert wrong(epochs) == message(
        place(Epochs),
        "Epochs 'epochs' is an inner loop of itself, further down. A tree has no cycles.",
        "epochs.remove_loop(epochs)",
    )
    exec(line_to_write(epochs), {"epochs": epochs})
    assert epochs.run().epochs == 1


def test_one_loop_in_two_places_of_a_tree():
    batches = Batches(call_on="on_epoch")
    said = (
        "The same Batches 'batches' stands in two places."
        " Each place needs an object of its own; one loop may be called on several hooks of one parent."
    )
    twice = Epochs(inner_loops=[batches, batches])
    assert wrong(twice) == message(place(Batches), said, "copy.deepcopy(batches)")

    batches = Batches(call_on="on_epoch")
    inside = Epochs(inner_loops=batches, call_on="on_report", name="inside")
    both = Epochs(inner_loops=[batches, inside])
    assert wrong(both) == message(place(Batches), said, "copy.deepcopy(batches)")
    another = eval(line_to_write(both), {"copy": copy, "batches": batches})
    inside.remove_loop(batches).add_loop(another)
    both.run()
    assert (both.batches.batches, both.inside.batches.batches) == (1, 1)


def test_a_loop_in_two_trees_belongs_to_the_later_one():
    batches = Batches(call_on="on_epoch")
    first, second = Epochs(inner_loops=batches), Epochs(inner_loops=batches)
    assert [finding.kind for finding in first.check()] == ["two places"]
    assert second.check() == ()


def test_one_callback_in_two_places():
    class Plain(Callback):
        def after_epoch(self):
            self.calls = getattr(self, "calls", 0) + 1

    plain = Plain()
    inside = Epochs(cbs=plain, call_on="on_epoch", name="inside")
    outside = Epochs(cbs=plain, inner_loops=inside)
    assert wrong(outside) == message(
        place(Plain),
        "The same Plain 'plain' stands in two places. Each place needs an object of its own.",
        "copy.deepcopy(plain)",
    )
    another = eval(line_to_write(outside), {"copy": copy, "plain": plain})
    inside.remove_cb(plain).add_cb(another)
    outside.run()
    assert (plain.calls, another.calls) == (2, 1)


# --- replacers ----------------------------------------------------------------------------------------------


def test_what_was_put_into_a_list_by_hand_is_not_added():
    class Plain(Callback):
        def after_epoch(self):
            pass

    loop, plain, batches = Epochs(), Plain(), Batches(call_on="on_epoch")
    loop.cbs.append(plain)
    loop.inner_loops.append(batches)
    assert [finding.kind for finding in loop.check()] == ["not added"] * 2
    assert [finding.write for finding in loop.check()] == ["epochs.add_cb(plain)", "epochs.add_loop(batches)"]


def test_two_replacers_of_one_hook():
    batches = Batches(cbs=[ReplacesBatch, ReplacesBatchToo])
    assert wrong(batches) == message(
        place(ReplacesBatchToo.on_batch),
        f"ReplacesBatch.on_batch ({place(ReplacesBatch.on_batch)}) and ReplacesBatchToo.on_batch both replace"
        " Batches.on_batch. One hook can be replaced once.",
        "batches.remove_cb(batches.replaces_batch_too)",
    )
    exec(line_to_write(batches), {"batches": batches})
    batches.run()


def test_two_replacers_of_one_class_further_in():
    epochs = Epochs(inner_loops=Batches(call_on="on_epoch", cbs=[ReplacesBatch(), ReplacesBatch()]))
    at = place(ReplacesBatch.on_batch)
    assert wrong(epochs) == message(
        at,
        f"ReplacesBatch.on_batch ({at}) and ReplacesBatch.on_batch both replace Batches.on_batch."
        " One hook can be replaced once.",
        "epochs.batches.remove_cb(epochs.batches.replaces_batch_2)",
    )
    exec(line_to_write(epochs), {"epochs": epochs})
    epochs.run()


def test_replacers_of_one_hook_in_different_phases_do_not_meet():
    class InTrain(Callback):
        def on_epoch(self, _replace=True, _phase="train"):
            pass

    class InValid(Callback):
        def on_epoch(self, _replace=True, _phase=("valid", "test")):
            pass

    class InBoth(Callback):
        def on_epoch(self, _replace=True, _phase=("valid", "train")):
            pass

    class Everywhere(Callback):
        def on_epoch(self, _replace=True):
            pass

    assert Phased(cbs=[InTrain, InValid]).check() == ()
    for pair in ([InTrain, InBoth], [InValid, InBoth], [InTrain, Everywhere]):
        assert [finding.kind for finding in Phased(cbs=pair).check()] == ["two replacers"]


# --- phases -------------------------------------------------------------------------------------------------


def test_an_unknown_phase():
    class Report(Callback):
        def after_epoch(self, _phase="vaild", _order=5):
            pass

    assert wrong(Phased(cbs=Report)) == message(
        place(Report.after_epoch),
        "Report.after_epoch runs in phase 'vaild', which does not exist there."
        " The phases there are 'train' and 'valid'. Nearest is 'valid'.",
        "def after_epoch(self, _phase='valid', _order=5):",
    )
    Phased(cbs=with_hook(line_to_write(Phased(cbs=Report)))).run()


def test_several_unknown_phases():
    class Report(Callback):
        def after_epoch(self, _phase=("tset", "zzz")):
            pass

    assert wrong(Epochs(phases=[Phase("test", every=2)], cbs=Report)) == message(
        place(Report.after_epoch),
        "Report.after_epoch runs in phase 'tset' or 'zzz', which does not exist there."
        " The phase there is 'test'. Nearest is 'test'.",
        "def after_epoch(self, _phase='test'):",
    )
    assert wrong(Epochs(phases=("train", "valid"), cbs=Report)) == message(
        place(Report.after_epoch),
        "Report.after_epoch runs in phase 'tset' or 'zzz', which does not exist there."
        " The phases there are 'train' and 'valid'.",
        "def after_epoch(self, _phase='train'):",
    )


class Evaluating(Loop):
    phases = ("train", "tune", "valid")

    def on_step(self, _phase=("train", "tune")):
        pass

    def before_evaluate(self, _phase="valid"):
        pass

    def on_report(self):
        pass


def test_a_hook_that_runs_where_the_loop_itself_does_nothing():
    class Report(Callback):
        def after_evaluate(self, _every=2):
            pass

        def before_step(self):
            pass

        def after_report(self):
            pass

        def finally_evaluate(self, _phase="valid"):
            pass

        def after_pass(self):
            pass

    (evaluate, step) = sorted(Evaluating(cbs=Report).check(), key=lambda finding: finding.write)
    assert {(each.kind, each.severity) for each in (evaluate, step)} == {("idle phase", "warning")}
    assert str(evaluate) == (
        f"{place(Report.after_evaluate)}: Report.after_evaluate runs in phases 'train' and 'tune' too, where "
        "Evaluating does nothing on 'evaluate'. The phase in which it does is 'valid'.\n"
        "    write: def after_evaluate(self, _every=2, _phase='valid'):"
    )
    assert str(step) == (
        f"{place(Report.before_step)}: Report.before_step runs in phase 'valid' too, where Evaluating does nothing on "
        "'step'. The phases in which it does are 'train' and 'tune'.\n"
        "    write: def before_step(self, _phase=('train', 'tune')):"
    )
    assert Evaluating(cbs=[with_hook(evaluate.write), with_hook(step.write)]).check() == ()
    with pytest.warns(FieldWarning, match="where Evaluating does nothing on 'evaluate'"):
        Evaluating(cbs=with_hook("def before_evaluate(self):")).run()


def test_an_inner_loop_is_something_of_the_loops_own():
    class Report(Callback):
        def after_evaluate(self):
            pass

    def tree(call_on):
        return Evaluating(Batches(call_on=call_on), cbs=Report)

    assert tree("on_evaluate").check() == ()  # it has no on_evaluate, so that it is called in every phase
    assert [finding.kind for finding in tree("before_evaluate").check()] == ["idle phase"]


def test_a_replacer_runs_in_the_phases_of_what_it_replaces():
    assert Evaluating(cbs=with_hook("def before_evaluate(self, _replace=True):")).check() == ()


def test_a_phase_that_exists_is_enough():
    class Report(Callback):
        def after_epoch(self, _phase=("tset", "valid")):
            pass

    assert Phased(cbs=Report).check() == ()


def test_the_phases_of_the_nearest_loop_above_count():
    class Filtered(Loop):
        call_on = "on_epoch"

        def on_batch(self, _phase="train"):
            pass

    assert Phased(inner_loops=Filtered).check() == ()
    assert Phased(inner_loops=Bare(call_on="on_epoch", inner_loops=Filtered(call_on="on_pass"))).check() == ()
    between = Phased(inner_loops=Epochs(call_on="on_epoch", phases=("warm", "cold"), inner_loops=Filtered))
    assert wrong(between) == message(
        place(Filtered.on_batch),
        "Filtered.on_batch runs in phase 'train', which does not exist there. The phases there are 'warm' and 'cold'.",
        "def on_batch(self, _phase='warm'):",
    )


def test_a_phase_that_exists_at_one_of_the_places_of_a_hook_is_enough():
    class Report(Callback):
        def after_epoch(self, _phase="valid"):
            pass

    class Inside(Epochs):
        call_on = "on_report"

    assert Epochs(inner_loops=Inside(phases=("train", "valid")), cbs=Report).check() == ()


def test_a_phase_where_there_are_none():
    class Filtered(Loop):
        def on_batch(self, _phase="valid"):
            pass

    for outer in (None, Epochs):
        tree = Filtered() if outer is None else Epochs(inner_loops=Filtered(call_on="on_epoch"))
        name = "Filtered" if outer is None else "Epochs"
        assert wrong(tree) == message(
            place(Filtered.on_batch),
            "Filtered.on_batch runs in phase 'valid', which does not exist there."
            " Neither that loop nor one above it has phases.",
            f"{name}(phases=('valid',))",
        )
    eval(line_to_write(Filtered()), {"Filtered": Filtered}).run()


@pytest.mark.parametrize("event", ["run", "pass"])
def test_run_and_pass_frame_all_phases_of_their_loop(event):
    class Report(Callback):
        def after_pass(self, _phase="valdi"):
            pass

        def after_run(self, _phase="valdi"):
            pass

    delattr(Report, {"run": "after_pass", "pass": "after_run"}[event])
    hook = getattr(Report, f"after_{event}")
    assert wrong(Phased(cbs=Report)) == message(
        place(hook),
        f"Report.after_{event} runs in phase 'valdi', which does not exist there."
        f" A {event} frames all phases of its loop, which are 'train' and 'valid'. Nearest is 'valid'.",
        "def after_phase(self, _phase='valid'):",
    )
    Phased(cbs=with_hook(line_to_write(Phased(cbs=Report)))).run()
    assert (
        Phased(inner_loops=Bare(call_on="on_epoch", cbs=with_hook(f"def after_{event}(self, _phase='valid'):"))).check()
        == ()
    )


# --- signatures ---------------------------------------------------------------------------------------------

KINDS = "A hook takes self and nothing else but _order, _phase, _every, _replace, each with a default."


@pytest.mark.parametrize(
    ("line", "shown", "hint", "write"),
    [
        ("def on_step(self, batch):", "(self, batch)", "", "def on_step(self):"),
        (
            "def on_step(self, batch=None, _every=2):",
            "(self, batch=None, _every=2)",
            "",
            "def on_step(self, _every=2):",
        ),
        ("def on_step(self, *args):", "(self, *args)", "", "def on_step(self):"),
        ("def on_step(self, *, key: int, **more):", "(self, key, **more)", "", "def on_step(self):"),
        ("def on_step():", "()", "", "def on_step(self):"),
        ("def on_step(_order=1):", "(_order=1)", "", "def on_step(self, _order=1):"),
        (
            "def on_step(self, _ordr=1, _phase='train'):",
            "(self, _ordr=1, _phase='train')",
            " Nearest to '_ordr' is '_order'.",
            "def on_step(self, _phase='train', _order=1):",
        ),
        (
            "def on_step(self, every=2, phase='train'):",
            "(self, every=2, phase='train')",
            " Nearest to 'every' is '_every'. Nearest to 'phase' is '_phase'.",
            "def on_step(self, _every=2, _phase='train'):",
        ),
    ],
)
def test_a_hook_that_takes_something_else(line, shown, hint, write):
    namespace = {}
    exec(line + " pass", namespace)
    steps = type("Steps", (Loop,), {"on_step": namespace["on_step"], "phases": ("train",)})
    assert wrong(steps()) == message("<string>:1", f"Steps.on_step takes {shown}. {KINDS}{hint}", write)
    with_hook(line_to_write(steps()), steps)().run()


@pytest.mark.parametrize("base", [Loop, Callback])
def test_names_under_which_looptree_keeps_something(base):
    class Takes(base):
        name = "own"

        def __init__(self):
            self._added = self._running = None

        def _leave(self):
            pass

        def after_epoch(self):
            self._pending = []

    loop = Takes() if base is Loop else Epochs(cbs=Takes)
    found = loop.check()
    assert {finding.kind for finding in found} == {"reserved name"}
    assert found[-1].place == place(Takes)
    assert {finding.write for finding in found} == {
        "self.name = ...  # in Takes.__init__",
        "own_leave = ...",
        *(["own_pending = ...", "own_running = ..."] if base is Loop else ["own_added = ..."]),
    }


@pytest.mark.parametrize("name, write", [("cbs", "self.add_cb(...)"), ("inner_loops", "self.add_loop(...)")])
def test_callbacks_and_inner_loops_that_stand_on_the_class(name, write):
    Takes = type("Takes", (Epochs,), {name: []})
    assert line_to_write(type("Below", (Takes,), {})()) == f"{write}  # in Takes.__init__"


def test_names_of_ones_own_that_are_not_reserved():
    @dataclasses.dataclass
    class Metric(Callback):
        name: str = "metric"
        names: tuple = ("on", "epochs")
        defined_at: str = "here"
        _names: tuple = ()

        def after_epoch(self):
            self.seen = (self.name, self.names, self.defined_at, self._names)

    loop = Epochs(cbs=Metric("loss"))
    assert loop.check() == ()
    assert loop.run().loss.seen == ("loss", ("on", "epochs"), "here", ())


class Callable:
    def __call__(self):
        pass

    def __repr__(self):
        return "Callable()"


@pytest.mark.parametrize("base", [Loop, Callback])
@pytest.mark.parametrize(
    "hook, shown",
    [(functools.partial(int, 3), "functools.partial(<class 'int'>, 3)"), (Callable(), "Callable()")],
    ids=["partial", "object"],
)
def test_a_hook_that_is_no_function(hook, shown, base):
    Given = type("Given", (base,), {"on_epoch": hook})
    loop = Given() if base is Loop else Epochs(cbs=Given)
    (finding,) = loop.check()
    assert (finding.kind, finding.write) == ("signature", "def on_epoch(self):")
    assert finding.given == f"Given.on_epoch is {shown}, which is no function."


@pytest.mark.parametrize(
    "name, fitting",
    [("val loss", "val_loss"), ("in", "loop_in"), ("", "loop"), ("5 x", "loop_5_x"), ("_own", "own")],
)
def test_a_name_that_can_be_no_attribute(name, fitting):
    class Named(Epochs):
        def __init__(self):
            super().__init__()
            self.name = name

    assert wrong(Named()) == message(
        place(Named),
        f"Named {name!r} has name={name!r}. Loops and callbacks are attributes, so a name like 'source' would fit, no"
        " word of Python's own.",
        f"self.name = {fitting!r}  # in Named.__init__",
    )


def test_a_callback_with_a_name_that_can_be_no_attribute():
    class Metric(Callback):
        def __init__(self, name):
            self.name = name

    assert line_to_write(Epochs(cbs=Metric("val loss"))) == "self.name = 'val_loss'  # in Metric.__init__"
    assert line_to_write(Epochs(cbs=type("_", (Callback,), {}))) == "self.name = 'callback'  # in _.__init__"
    assert Epochs(cbs=Metric("val_loss")).run().epochs == 1


@pytest.mark.parametrize("times", [2.5, -1, "3", True])
def test_times_of_a_class_that_are_no_number_of_passes(times):
    Given = type("Given", (Epochs,), {"times": times})
    (finding,) = Given().check()
    assert finding.given == f"Given 'given' has times={times!r}."
    assert finding.fits == "A number of passes fits (0, 1, 2...), or math.inf for a loop without end."
    assert finding.write == "times = 1  # in Given"


def test_a_static_method_is_no_hook():
    class Steps(Loop):
        @staticmethod
        def on_step(item):
            pass

    (finding,) = Steps().check()
    assert finding.given == "Steps.on_step takes (item)."
    with_hook(finding.write, Steps)().run()


@pytest.mark.parametrize(
    ("line", "given", "fits", "write"),
    [
        ("on_step(self, _order)", "_order=(no default)", "_order is a number.", "on_step(self, _order=-1)"),
        ("on_step(self, _order='x')", "_order='x'", "_order is a number.", "on_step(self, _order=-1)"),
        ("on_step(self, _order=True)", "_order=True", "_order is a number.", "on_step(self, _order=-1)"),
        ("on_step(self, _every=0)", "_every=0", "_every is 1, 2, 3...", "on_step(self, _every=1)"),
        ("on_step(self, _every=1.5)", "_every=1.5", "_every is 1, 2, 3...", "on_step(self, _every=1)"),
        (
            "on_step(self, _every='2', _order=3)",
            "_every='2'",
            "_every is 1, 2, 3...",
            "on_step(self, _every=1, _order=3)",
        ),
        (
            "on_step(self, _phase=3)",
            "_phase=3",
            "_phase is a phase's name, or a tuple of names.",
            "on_step(self, _phase='train')",
        ),
        (
            "on_step(self, _phase=())",
            "_phase=()",
            "_phase is a phase's name, or a tuple of names.",
            "on_step(self, _phase='train')",
        ),
        (
            "after_step(self, _replace=True, _order=1)",
            "_replace=True",
            "_replace is only a callback's hook; a loop's own is overridden in a subclass.",
            "after_step(self, _order=1)",
        ),
        (
            "before_run(self, _every=2)",
            "_every=2",
            "_every is nothing here: it counts passes, and run is outside of them.",
            "before_run(self)",
        ),
    ],
)
def test_a_special_parameter_whose_default_does_not_fit(line, given, fits, write):
    namespace = {}
    exec(f"def {line}: pass", namespace)
    name = line.partition("(")[0]
    steps = type("Steps", (Loop,), {name: namespace[name], "phases": ("train",)})
    said = f"Steps.{name} has {given}. What fits {fits}"
    assert wrong(steps()) == message("<string>:1", said, f"def {write}:")
    with_hook(line_to_write(steps()), steps)().run()


@pytest.mark.parametrize("line", ["async def on_step(self): pass", "def on_step(self, _order=2): yield"])
def test_a_hook_of_which_a_call_runs_nothing(line):
    namespace = {}
    exec(line, namespace)
    steps = type("Steps", (Loop,), namespace)
    order = ", _order=2" if "_order" in line else ""
    assert wrong(steps()) == message(
        "<string>:1",
        "Steps.on_step is a generator or coroutine, so that calling it runs none of its lines."
        " A hook is a plain function, without yield, async and await.",
        f"def on_step(self{order}):",
    )
    with_hook(line_to_write(steps()), steps)().run()


@pytest.mark.parametrize(
    ("event", "framed"),
    [("run", "all passes of the loop"), ("pass", "all of a pass"), ("phase", "all events of a phase")],
)
def test_a_reserved_event_has_no_on_hook(event, framed):
    namespace = {}
    exec(f"def on_{event}(self, _order=2): pass", namespace)
    for base, holding in ((Loop, lambda cls: cls()), (Callback, lambda cls: Phased(cbs=cls))):
        wrong_one = type("Wrong", (base,), {f"on_{event}": namespace[f"on_{event}"]})
        assert wrong(holding(wrong_one)) == message(
            "<string>:1",
            f"Wrong.on_{event} has no place: between its before_ and after_ hooks, {event!r} runs {framed}."
            f" {event!r} has before_, after_, failed_ and finally_ hooks.",
            f"def before_{event}(self, _order=2):",
        )
        holding(with_hook(line_to_write(holding(wrong_one)), base)).run()


def test_the_wrong_hook_of_a_base_class_is_shown_where_it_stands():
    class Base(Loop):
        def on_step(self, batch):
            pass

    class Derived(Base):
        pass

    (finding,) = Derived().check()
    assert (finding.place, finding.given) == (place(Base.on_step), "Derived.on_step takes (self, batch).")


def test_a_decorated_hook_is_shown_where_it_is_written():
    def twice(function):
        @functools.wraps(function)
        def both(self, *args):
            return function(self, *args)

        return both

    class Steps(Loop):
        @twice
        def on_step(self, _every=0):
            pass

    (finding,) = Steps().check()
    assert finding.place == place(Steps.on_step)
    assert finding.given == "Steps.on_step has _every=0."


# --- several findings, and findings as data -----------------------------------------------------------------


def test_one_exception_lists_everything():
    class Report(Callback):
        def after_epoch(self, _phase="vaild"):
            pass

    loop = Phased(
        inner_loops=[Batches(call_on="on_epohc"), Batches(cbs=[ReplacesBatch, ReplacesBatchToo])],
        cbs=[Typo, Report],
    )
    said = [
        f"{place(Batches)}: Batches 'batches' is called on 'on_epohc', which is no moment of an event of Phased."
        " The events of Phased are 'epoch' and 'report'. Nearest is 'on_epoch'.",
        "Batches(call_on='on_epoch')",
        f"{place(Batches)}: Batches 'batches_2' is an inner loop of Phased without call_on, so nothing calls it."
        " The events of Phased are 'epoch' and 'report'.",
        "Batches(call_on='on_epoch')",
        f"{place(Typo.before_bacth)}: Typo.before_bacth is plugged into Phased, where no loop has the event 'bacth'."
        " Nearest is 'batch'.",
        "def before_batch(self):",
        f"{place(ReplacesBatchToo.on_batch)}: ReplacesBatch.on_batch ({place(ReplacesBatch.on_batch)}) and"
        " ReplacesBatchToo.on_batch both replace Batches.on_batch. One hook can be replaced once.",
        "phased.batches_2.remove_cb(phased.batches_2.replaces_batch_too)",
        f"{place(Report.after_epoch)}: Report.after_epoch runs in phase 'vaild', which does not exist there."
        " The phases there are 'train' and 'valid'. Nearest is 'valid'.",
        "def after_epoch(self, _phase='valid'):",
    ]
    numbered = [f"  {number}. {what}" for number, what in enumerate(said[::2], 1)]
    lines = [f"{what}\n    write: {write}" for what, write in zip(numbered, said[1::2], strict=True)]
    assert wrong(loop) == "\n".join(["5 things are wrong with this tree of loops:", *lines])
    with pytest.raises(BindingError) as raised:
        loop.run()
    assert raised.value.findings == loop.check()


def test_check_returns_findings_as_data():
    loop = Epochs(inner_loops=Batches(call_on="on_epoch"), cbs=Typo)
    assert loop.check() == (
        Finding(
            kind="unknown event",
            place=place(Typo.before_bacth),
            given="Typo.before_bacth is plugged into Epochs, where no loop has the event 'bacth'.",
            fits="Nearest is 'batch'.",
            write="def before_batch(self):",
            severity="error",
        ),
    )
    assert loop.batches.check() == loop.check()  # of the whole tree, from wherever it is asked
    assert Epochs().check() == ()


def test_strict_raises_what_is_found_and_warnings_too():
    class Shadow(Callback):
        def after_epoch(self):
            self.loss = 1

    class Declares(Epochs):
        loss: float

    assert Epochs().check(strict=True) == ()
    with pytest.raises(BindingError) as raised:
        Epochs(cbs=Typo).check(strict=True)
    assert raised.value.findings == Epochs(cbs=Typo).check()
    loop = Declares(cbs=Shadow)
    assert [finding.severity for finding in loop.check()] == ["warning"]
    with pytest.raises(BindingError, match=r"1 thing is wrong with this tree of loops:\n  1. .* sets 'loss'"):
        loop.check(strict=True)


READINGS = {
    "run": lambda loop: loop.run(),
    "pull": lambda loop: next(iter(loop)),
    "plan": lambda loop: loop.plan,
    "code": lambda loop: loop.code,
    "print": str,
    "describe": describe,
    "strict check": lambda loop: loop.check(strict=True),
}


@pytest.mark.parametrize("reading", READINGS.values(), ids=READINGS)
@pytest.mark.parametrize("of", ["the root", "an inner loop"])
def test_every_reading_of_a_wrong_tree_raises_the_same(reading, of):
    loop = Epochs(inner_loops=Batches(call_on="on_epoch"), cbs=Typo)
    with pytest.raises(BindingError) as raised:
        reading(loop if of == "the root" else loop.batches)
    assert raised.value.findings == loop.check()


def test_repr_of_a_wrong_tree_tells_instead_of_raising():
    assert repr(Bare(cbs=Typo)) == (
        "<Bare 'bare', which cannot run yet: Typo.before_bacth is plugged into Bare, which has no event 'bacth'.>"
    )


# --- nothing is half done -----------------------------------------------------------------------------------


def test_a_wrong_tree_runs_nothing_and_can_be_mended():
    loop = Epochs(times=2, inner_loops=Batches(call_on="on_epoch"), cbs=Typo)
    for _ in range(2):
        with pytest.raises(BindingError):
            loop.run()
    assert not hasattr(loop, "epochs")
    assert (loop.count, loop.index, loop.item, loop.error) == (0, None, None, None)
    loop.remove_cb(Typo).run()
    assert (loop.epochs, loop.batches.batches, loop.count) == (2, 2, 2)
    assert loop.ended == "ran all 2 items"


def test_a_wrong_tree_does_not_end_a_run():
    loop = Epochs(times=2)
    assert loop.ended == Epochs().ended
    loop.run()
    with pytest.raises(BindingError):
        loop.add_cb(Typo).run()
    assert (loop.count, loop.epochs) == (2, 2)
    assert not loop.remove_cb(Typo).check()
    loop.run()
    assert loop.count == 4


def test_wrong_callbacks_given_to_run_leave():
    loop = Epochs()
    plan, code = loop.plan, loop.code
    with pytest.raises(BindingError):
        loop.run(cbs=Typo)
    assert loop.cbs == []
    assert not hasattr(loop, "typo")
    assert (loop.plan, loop.code) == (plan, code)
    assert loop.run().epochs == 1


def test_a_callback_that_does_not_fit_may_be_added_and_taken_out_while_nothing_runs():
    loop = Epochs().add_cb(Typo)
    assert [finding.kind for finding in loop.check()] == ["unknown event"]
    assert loop.remove_cb(Typo).check() == ()


def test_a_wrong_change_in_a_running_loop_is_raised_at_the_next_pass():
    class Changes(Callback):
        def after_epoch(self):
            self.loop.add_cb(Typo)

    loop = Epochs(times=3, cbs=Changes)
    with pytest.raises(BindingError) as raised:
        loop.run()
    assert raised.value.findings == loop.check()
    assert (loop.epochs, loop.count) == (1, 1)
    loop.remove_cb(Typo).remove_cb(Changes).run()
    assert loop.epochs == 4


def test_warnings_stop_nothing():
    class Reads(Callback):
        def after_epoch(self):
            self.seen = getattr(self, "seen", 0) + (self.lr if self.seen_lr else 1)

    loop = Epochs(cbs=Reads)
    loop.reads.seen_lr = False
    with pytest.warns(FieldWarning, match="reads 'lr'"):
        loop.run()
    assert loop.reads.seen == 1
