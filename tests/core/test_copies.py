"""Copies, pickles, and loops by the thousand: deep, wide, and dropped again."""

import copy
import gc
import linecache
import pickle
import subprocess
import sys
import weakref
from pathlib import Path

import pytest

from looptree import Callback, Loop, Phase
from tests.core.hooked import hooked

# What runs a pickled loop in a process of its own, as worker processes do, and prints its log.
ELSEWHERE = """
import importlib.util, pickle, sys
name, path = sys.argv[1:]
spec = importlib.util.spec_from_file_location(name, path)
sys.modules[name] = module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
loop = pickle.load(sys.stdin.buffer)
loop.log.clear()
loop.run()
print(loop.log)
"""


class Outer(Loop):
    """Everything of this tree logs on its root."""

    phases = ("train", Phase("valid", every=2))
    times = 2

    def __init__(self, *args, rate=0.5, **kwargs):
        super().__init__(*args, **kwargs)
        self.rate = rate
        self.log = []

    def on_epoch(self):
        self.log.append(f"epoch {self.count} {self.phase} {self.rate}")


class Inner(Loop):
    """Called twice a phase."""

    call_on = ("before_epoch", "on_epoch")
    scale = 1

    def on_batch(self):
        self.log.append(f"batch {self.count} {self.rate * self.scale}")

    def on_more(self, _every=2, _phase="train"):
        self.log.append("more")


class Plain(Loop):
    """An inner loop that asks for no phase."""

    call_on = "on_epoch"

    def on_batch(self):
        self.log.append("batch")


class Noting(Callback):
    """With state of its own, and hooks on the inner loop too."""

    def __init__(self, word):
        self.word = word
        self.calls = 0

    def after_batch(self):
        self.calls += 1
        self.log.append(f"{self.word} {self.calls} in {self.loop.name}")


class Instead(Callback):
    """Replaces a hook."""

    def on_more(self, _replace=True):
        self.log.append("more, instead")


def make():
    """A tree with all of it."""
    inner = Inner(times=2, cbs=[Noting("second")], name="deep")
    return Outer(inner_loops=inner, cbs=[Noting("first"), Instead()], rate=0.25)


def run_elsewhere(loop):
    """What the loop logs when it is run in another process."""
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, __name__, __file__],
        input=pickle.dumps(loop),
        capture_output=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda loop: pickle.loads(pickle.dumps(loop)),
    "old pickle": lambda loop: pickle.loads(pickle.dumps(loop, protocol=2)),
    "deepcopy of a pickle": lambda loop: copy.deepcopy(pickle.loads(pickle.dumps(loop))),
}
every_copy = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@every_copy
@pytest.mark.parametrize("runs_before", [0, 1])
def test_a_copy_runs_the_same_and_apart(copied, runs_before):
    loop = make()
    for _ in range(runs_before):
        loop.run()
    loop.log.clear()
    twin = copied(loop)
    assert type(twin) is Outer
    assert twin is not loop
    assert twin.deep is not loop.deep
    assert twin.deep.parent is twin
    assert twin.noting.parent is twin

    twin.run()
    assert loop.log == []
    assert loop.count == 2 * runs_before
    loop.run()
    assert twin.log == loop.log
    assert (twin.count, twin.deep.count) == (loop.count, loop.deep.count)
    assert twin.code == loop.code
    assert twin.ended == loop.ended


def test_constructor_arguments_and_state_survive():
    loop = make()
    loop.persist_cbs = True
    loop.run()
    twin = pickle.loads(pickle.dumps(loop))
    assert (twin.rate, twin.count, twin.times, twin.persist_cbs) == (0.25, 2, 2, True)
    assert (twin.deep.name, twin.deep.times, twin.deep.count) == ("deep", 2, loop.deep.count)
    assert [cb.name for cb in twin.cbs] == [cb.name for cb in loop.cbs]
    assert twin.noting.calls == loop.noting.calls > 0
    assert [inner.name for inner in twin.inner_loops] == ["deep"]
    assert list(map(repr, twin.hooks_with_phases())) == list(map(repr, loop.hooks_with_phases()))
    assert twin.state_dict() == loop.state_dict()


@pytest.mark.parametrize("runs_before", [0, 1])
def test_a_pickle_runs_the_same_in_another_process(runs_before):
    loop = make()
    for _ in range(runs_before):
        loop.run()
    elsewhere = run_elsewhere(loop)
    loop.log.clear()
    loop.run()
    assert elsewhere == str(loop.log)


def test_a_pickled_loop_runs_in_another_process_after_a_change_on_the_way():
    loop = make()
    loop.run()
    loop.remove_cb(Instead).add_cb(Noting("third"))
    elsewhere = run_elsewhere(loop)
    loop.log.clear()
    loop.run()
    assert elsewhere == str(loop.log)


@every_copy
def test_an_inner_loop_alone_leaves_its_parent_behind(copied):
    loop = Outer(inner_loops=Plain(times=2, cbs=Noting("second")))
    loop.run()
    loop.heavy = bytearray(10_000_000)
    twin = copied(loop.plain)
    assert twin.parent is None
    assert len(pickle.dumps(loop.plain)) < 100_000
    twin.log, twin.rate = [], 1.0
    before = twin.count
    twin.run()
    assert twin.log == ["batch", "second 7 in plain", "batch", "second 8 in plain"]
    assert twin.count == before + 2
    assert loop.plain.parent is loop
    assert loop.plain.count == before


@every_copy
def test_a_callback_alone_leaves_its_loop_behind(copied):
    loop = make()
    loop.run()
    twin = copied(loop.noting)
    assert twin.parent is None
    assert twin.calls == loop.noting.calls


def test_copies_can_be_changed_apart():
    loop = make()
    twin = copy.deepcopy(loop)
    twin.remove_cb(Instead)
    assert [type(cb) for cb in loop.cbs] == [Noting, Instead]
    assert "more" in twin.run().log
    assert "more" not in loop.run().log


def test_a_copy_of_a_running_loop_is_a_loop_that_can_run():
    twins = []

    class Copying(Callback):
        def after_epoch(self):
            twins.append(copy.deepcopy(self.loop))

    loop = make()
    loop.add_cb(Copying())
    loop.run(times=1)
    (twin,) = twins
    twin.remove_cb(Copying).log.clear()
    assert twin.run().ended == "ran all 2 items"


# --- by the thousand ----------------------------------------------------------------------------------------


def made_and_run():
    """A small tree that is made, run and looked at, then dropped."""
    loop = make()
    loop.run()
    return len(loop.code) + len(loop.plan.path)


def looptree_lines():
    """The number of generated files that linecache knows."""
    return sum(str(name).startswith("<looptree") for name in linecache.cache)


def test_a_thousand_loops_that_are_dropped_leave_nothing():
    for _ in range(50):  # whatever is kept once per class is kept by now
        made_and_run()
    gc.collect()
    lines, objects, blocks = looptree_lines(), len(gc.get_objects()), sys.getallocatedblocks()

    for _ in range(1000):
        made_and_run()
    gc.collect()

    assert looptree_lines() == lines
    assert len(gc.get_objects()) < objects + 500
    assert sys.getallocatedblocks() < blocks + 5000  # a loop has several hundred


def test_a_dropped_loop_is_freed_and_its_code_leaves_linecache():
    loop = make()
    loop.run()
    reference, text = weakref.ref(loop), loop.code
    names = [name for name, entry in linecache.cache.items() if len(entry) > 2 and "".join(entry[2]) == text]
    assert names
    del loop
    gc.collect()
    assert reference() is None
    assert not set(names) & set(linecache.cache)


def test_loops_that_failed_leave_nothing():
    class Failing(Loop):
        def on_step(self):
            raise ValueError

    def fail():
        with pytest.raises(ValueError):
            Failing().run()

    for _ in range(20):
        fail()
    gc.collect()
    lines, objects = looptree_lines(), len(gc.get_objects())
    for _ in range(200):
        fail()
    gc.collect()
    assert looptree_lines() == lines
    assert len(gc.get_objects()) < objects + 500


def test_changes_of_one_loop_leave_no_old_code():
    loop = make()
    loop.run()
    lines = looptree_lines()
    for number in range(30):
        loop.add_cb(Noting(str(number)))
        loop.run()
        loop.remove_cb(loop.cbs[-1])
    loop.run()
    gc.collect()
    assert looptree_lines() <= lines


# --- deep and wide ------------------------------------------------------------------------------------------


def deep_loop(levels, log, act):
    """Loops `levels` deep; the innermost one calls `act`."""

    def call(self, name):
        log.append(f"{self.name} {name}")
        if self.name == f"level_{levels}" and name == "on_step":
            act()

    Level = hooked(Loop, "Level", ["on_step", "failed_step", "finally_step"], call)
    loop = None
    for number in range(levels, 0, -1):
        call_on = "on_step" if number > 1 else None
        loop = Level(inner_loops=loop, name=f"level_{number}", call_on=call_on)
    return loop


def test_a_loop_fifty_levels_deep():
    log = []
    loop = deep_loop(50, log, lambda: None)
    loop.run()
    down = [f"level_{number} on_step" for number in range(1, 51)]
    up = [f"level_{number} finally_step" for number in range(50, 0, -1)]
    assert log == down + up
    log.clear()
    for _ in loop:
        pass
    assert log == down + up
    log.clear()
    copy.deepcopy(loop).run()
    assert log == down + up


def test_a_failure_fifty_levels_deep():
    error = ValueError("deep down")
    log = []

    def act():
        raise error

    loop = deep_loop(50, log, act)
    with pytest.raises(ValueError) as caught:
        loop.run()
    assert caught.value is error
    levels = [f"level_{number} {name}" for number in range(50, 0, -1) for name in ("failed_step", "finally_step")]
    assert log[50:] == levels
    assert loop.ended == "failed in Level.on_step: ValueError: deep down"


def test_a_loop_with_two_thousand_hooks():
    log = []
    names = [f"on_event_{number}" for number in range(2000)]
    Wide = hooked(Loop, "Wide", names, lambda self, name: log.append(name))
    Wide(times=2).run()
    assert log == names * 2


def test_two_thousand_callbacks():
    log = []
    Step = hooked(Loop, "Step", ["on_step"], lambda self, name: None)
    Many = hooked(Callback, "Many", ["after_step"], lambda self, name: log.append(self.name))
    Step(cbs=[Many() for _ in range(2000)]).run()
    assert log == ["many", *(f"many_{number}" for number in range(2, 2001))]
