"""Bugs that other training frameworks have or had, each with a test that it is not ours."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from looptree import Callback, FieldWarning, Loop
from tests.core.hooked import hooked, logger

FRAMES = [f"{moment}_{event}" for event in ("run", "pass") for moment in ("before", "after", "failed", "finally")]


class Failing(Loop):
    """Raises the loop's `boom` in its second pass."""

    times = 3
    boom = ValueError("boom")

    def on_step(self):
        if self.index == 1:
            raise self.boom


def failing(log):
    """Such a loop that logs what frames it."""
    return hooked(Failing, "Framed", ["after_step", *FRAMES], logger(log))()


# --- an exception handler that does not raise again lets the run finish "well" -------------------------------


def test_a_failed_hook_that_returns_does_not_let_the_run_go_on():
    log = []
    Handler = hooked(Callback, "Handler", ["failed_step", "failed_run"], lambda self, name: None)
    with pytest.raises(ValueError, match="boom"):
        failing(log).run(cbs=Handler())
    assert "Framed.after_run" not in log
    assert log.count("Framed.after_pass") == 1


def test_a_failed_hook_that_raises_the_same_error_again_is_called_once():
    calls = []

    class Handler(Callback):
        def failed_step(self):
            calls.append("failed_step")
            raise self.loop.error

        def failed_run(self):
            calls.append("failed_run")
            raise self.loop.error

    loop = failing([])
    with pytest.raises(ValueError) as caught:
        loop.run(cbs=Handler())
    assert caught.value is loop.boom
    assert calls == ["failed_step", "failed_run"]


def test_an_interrupt_with_a_handler_does_not_return_normally():
    log = []
    Handler = hooked(Callback, "Handler", ["failed_step", "failed_run"], logger(log))
    loop = failing([])
    loop.boom = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        loop.run(cbs=Handler())
    assert log == ["Handler.failed_step", "Handler.failed_run"]


# --- a StopIteration in a step ends the epoch silently; an interrupt runs no hook; modes are put back on success only


def test_a_stop_iteration_in_a_hook_does_not_end_the_run_silently():
    class Data(Loop):
        times = 3

        def on_batch(self):
            next(iter(()))

    with pytest.raises(StopIteration):
        Data().run()
    with pytest.raises(RuntimeError):
        list(Data())
    assert Data().count == 0


def test_a_stop_iteration_in_an_inner_loop_does_not_end_the_outer_one():
    class Outer(Loop):
        times = 2

        def on_epoch(self):
            pass

    class Inner(Loop):
        call_on = "on_epoch"

        def on_batch(self):
            raise StopIteration("no more data")

    loop = Outer(inner_loops=Inner)
    with pytest.raises(StopIteration):
        loop.run()
    assert (loop.count, loop.ended) == (0, "failed in Inner.on_batch: StopIteration: no more data")


def test_an_interrupt_runs_failed_and_finally_hooks():
    log = []
    loop = failing(log)
    loop.boom = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        loop.run()
    assert log[-4:] == ["Framed.failed_pass", "Framed.finally_pass", "Framed.failed_run", "Framed.finally_run"]


@pytest.mark.parametrize("boom", [ValueError(), KeyboardInterrupt(), SystemExit()])
def test_a_mode_is_put_back_on_every_way_out(boom):
    class Model:
        training = True

    class Evaluating(Loop):
        phases = ("valid",)

        def before_phase(self):
            self.model.training = False

        def finally_phase(self):
            self.model.training = True

        def on_batch(self):
            raise boom

    loop = Evaluating()
    loop.model = Model()
    with pytest.raises(type(boom)):
        loop.run()
    assert loop.model.training


# --- an assert in a callback surfaces as another error; after an error no clean-up runs ----------------------


def test_an_assert_in_a_callback_is_an_assertion_error():
    class Checks(Callback):
        def after_step(self):
            assert False, "checked"

    with pytest.raises(AssertionError, match="checked"):
        Failing().run(cbs=Checks())


def test_after_an_error_every_level_cleans_up():
    log = []
    with pytest.raises(ValueError):
        failing(log).run()
    assert [name for name in log if "finally" in name] == [
        "Framed.finally_pass",
        "Framed.finally_pass",
        "Framed.finally_run",
    ]


# --- the end hook is skipped by an interrupt, and when the data simply end ------------------------------------


def test_the_end_hooks_run_when_the_items_simply_end():
    log = []

    class Reading(Loop):
        def items(self):
            yield from "ab"

        def on_step(self):
            pass

    End = hooked(Callback, "End", ["after_run", "finally_run"], logger(log))
    Reading().run(cbs=End())
    assert log == ["End.after_run", "End.finally_run"]


@pytest.mark.parametrize("boom", [ValueError(), KeyboardInterrupt(), SystemExit()])
def test_the_teardown_of_a_callback_runs_on_errors_and_interrupts(boom):
    log = []
    Teardown = hooked(Callback, "Teardown", ["finally_run"], logger(log))
    loop = failing([])
    loop.boom = boom
    with pytest.raises(type(boom)):
        loop.run(cbs=Teardown())
    assert log == ["Teardown.finally_run"]


# --- two callbacks write one key, the last wins; a missing key is found only when it is reached ---------------


def test_two_writers_of_one_field_are_both_in_the_plan():
    class Step(Loop):
        loss: float

        def on_step(self):
            pass

    class First(Callback):
        def after_step(self):
            self.loop.loss = 1.0

    class Second(Callback):
        def after_step(self):
            self.step.loss = 2.0

    plan = Step(cbs=[First(), Second()]).plan
    (loss,) = [field for field in plan.fields if field.name == "loss"]
    labels = {step.key: step.label for step in plan.steps()}
    assert [labels[key] for key in loss.writers] == ["First.after_step", "Second.after_step"]


def test_a_missing_field_is_found_before_the_first_step():
    ran = []

    class Step(Loop):
        def on_step(self):
            ran.append(self.index)

        def on_rarely(self, _every=1000):
            ran.append(self.los)

    with pytest.warns(FieldWarning, match="los"):
        findings = Step().check()
        Step(times=1).run()
    assert ["los" in str(finding) for finding in findings] == [True]
    assert ran == [0]


# --- a callback that stops the training drops the last step and skips the end of the rollout -----------------


def test_a_stop_finishes_the_pass_with_all_its_hooks():
    log = []

    class Rollout(Loop):
        times = 5

        def on_step(self):
            log.append(f"step {self.index}")

        def on_store(self):
            log.append(f"store {self.index}")

        def after_pass(self):
            log.append("after_pass")

        def after_run(self):
            log.append("rollout ends")

    class Enough(Callback):
        def on_step(self):
            self.loop.stop("enough")

    Rollout(cbs=Enough()).run()
    assert log == ["step 0", "store 0", "after_pass", "rollout ends"]


# --- hooks in alphabetical order; phases shared by the class; loops that cannot be sent to another process ----


def test_hooks_do_not_run_in_alphabetical_order():
    log = []
    hooked(Loop, "Natural", ["on_zero", "on_one", "on_two"], logger(log))().run()
    assert log == ["Natural.on_zero", "Natural.on_one", "Natural.on_two"]


def test_nothing_of_an_instance_is_stored_on_its_class():
    class Shared(Loop):
        def on_step(self):
            self.mark = self.index

    before = dict(vars(Shared))
    base = dict(vars(Loop))
    loop = Shared(phases=["train"], times=2, cbs=Callback(), name="other", persist_cbs=True)
    loop.add_loop(Failing(call_on="on_step", times=1)).run()
    assert dict(vars(Shared)) == before
    assert dict(vars(Loop)) == base


class Travelling(Loop):
    """A loop that can be sent to another process."""

    times = 3
    total = 0

    def on_step(self):
        self.total += self.item + 1


def test_a_loop_can_be_sent_to_another_process_and_run_there():
    loop = Travelling().run()
    code = (
        "import importlib.util, pickle, sys\n"
        "name, path = sys.argv[1:]\n"
        "spec = importlib.util.spec_from_file_location(name, path)\n"
        "sys.modules[name] = module = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(module)\n"
        "loop = pickle.load(sys.stdin.buffer)\n"
        "print(loop.run().total, loop.count)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, __name__, __file__],
        input=pickle.dumps(loop),
        capture_output=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.stdout.decode().split() == ["12", "6"], done.stderr.decode()


# --- a mode that is entered before and left after stays entered when something between the two fails ----------


def test_what_a_before_hook_enters_a_finally_hook_leaves():
    entered = []

    class Precision(Callback):
        def before_step(self):
            entered.append("autocast")

        def finally_step(self):
            entered.pop()

    with pytest.raises(ValueError):
        failing([]).run(cbs=Precision())
    assert entered == []


# --- a method that is missing is a silent no-op --------------------------------------------------------------


def test_a_misspelt_method_is_an_error():
    loop = Travelling()
    with pytest.raises(AttributeError, match="on_setp"):
        loop.on_setp()
