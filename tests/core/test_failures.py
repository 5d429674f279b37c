"""What happens when something is raised, one by one, at every level of three loops inside each other.

The tree is always the same, and so are the nine levels that a step of the innermost loop stands in; every loop makes
two passes. What must be called is worked out by the small functions under `Story`, each a few lines.
"""

import contextlib
import pickle
import threading
import traceback

import pytest

from looptree import Callback, Cancel, Loop
from looptree.core.errors import CannotRecover, UnknownEvent
from tests.core.hooked import hooked

LEVELS = [
    "outer.run",
    "outer.pass",
    "outer.phase",
    "outer.go",
    "middle.run",
    "middle.pass",
    "middle.do",
    "inner.run",
    "inner.pass",
    "inner.step",
]
EVENTS = {"go", "do", "step"}
MOMENTS = ["before", "after", "failed", "finally"]
INNERMOST = len(LEVELS) - 1
ERRORS = [ValueError, KeyboardInterrupt, SystemExit, StopIteration, AssertionError, BaseException]


def hook_name(level, moment):
    loop, event = LEVELS[level].split(".")
    return f"{loop}.{moment}_{event}"


def moments(level):
    """The moments of a level that have a hook: reserved events have no `on_`."""
    has_on = LEVELS[level].split(".")[1] in EVENTS
    return ["before", "on", "after", "finally"] if has_on else ["before", "after", "finally"]


PLACES = [(level, moment) for level in range(len(LEVELS)) for moment in moments(level)]
PLACE_NAMES = [hook_name(level, moment) for level, moment in PLACES]
every_place = pytest.mark.parametrize("level, moment", PLACES, ids=PLACE_NAMES)
every_level = pytest.mark.parametrize("level", range(len(LEVELS)), ids=LEVELS)
every_error = pytest.mark.parametrize("error_class", ERRORS)
either_owner = pytest.mark.parametrize("owner", ["loops", "callbacks"])
either_start = pytest.mark.parametrize("start", ["run", "pull"])


class Tree:
    """The three loops. `acts` are called by the hooks they name, with the loop, the first time the hook runs.

    The hooks of the nine levels stand on the loops themselves, or on a callback of each (but for the `on_` hooks).
    """

    def __init__(self, owner, acts):
        self.log = []
        self.acts = dict(acts)
        self.inner = self.loop("inner", ["step"], owner)
        self.middle = self.loop("middle", ["do"], owner, inner_loops=self.inner)
        self.outer = self.loop("outer", ["go"], owner, inner_loops=self.middle, phases=["train"])

    def loop(self, name, events, owner, **settings):
        frames = ["run", "pass", "phase"] if name == "outer" else ["run", "pass"]
        own = [f"on_{event}" for event in events]
        around = [f"{moment}_{event}" for event in frames + events for moment in MOMENTS]
        call_on = {"inner": "on_do", "middle": "on_go", "outer": None}[name]
        if owner == "loops":
            return hooked(Loop, name.title(), own + around, self.call)(call_on=call_on, times=2, **settings)
        watcher = hooked(Callback, f"{name.title()}Watcher", around, self.call)
        return hooked(Loop, name.title(), own, self.call)(call_on=call_on, times=2, cbs=watcher, **settings)

    def call(self, owner, hook):
        loop = owner if isinstance(owner, Loop) else owner.loop
        entry = f"{loop.name}.{hook}"
        self.log.append(entry)
        if entry in self.acts:
            self.acts.pop(entry)(loop)

    def start(self, start):
        if start == "run":
            self.outer.run()
        else:
            for _ in self.outer:
                pass


def raising(error):
    """An act that raises."""

    def act(loop):
        raise error

    return act


# --- the story that must be told: names of hooks in the order of their calls ---------------------------------


def opening(level):
    """The hooks of a level before the levels inside it."""
    return [hook_name(level, moment) for moment in moments(level) if moment in ("before", "on")]


def inside(level, times=2):
    """What is called inside a level when all goes well."""
    if level == INNERMOST:
        return []
    return whole(level + 1) * (times if LEVELS[level + 1].endswith("pass") else 1)


def whole(level):
    """A level from its first hook to its last when all goes well."""
    return opening(level) + inside(level) + [hook_name(level, "after"), hook_name(level, "finally")]


def up_to(level, moment):
    """Everything from the start of the outer run until the hook first runs, that hook included."""
    around = [name for outer in range(level) for name in opening(outer)]
    hooks = {
        "before": [hook_name(level, "before")],
        "on": opening(level),
        "after": opening(level) + inside(level) + [hook_name(level, "after")],
        "finally": whole(level),
    }
    return around + hooks[moment]


def failing(level):
    """A failure goes through a level and all those around it, to the very top."""
    return [hook_name(at, moment) for at in range(level, -1, -1) for moment in ("failed", "finally")]


def leaving(level, last):
    """All levels from `level` out to `last` are left, and nothing has failed."""
    return [hook_name(at, "finally") for at in range(level, last - 1, -1)]


def afterwards(level):
    """What follows when the first pass through a level is over and all goes on well."""
    if level == 0:
        return []
    further = whole(level) if LEVELS[level].endswith("pass") else []
    return [*further, hook_name(level - 1, "after"), hook_name(level - 1, "finally"), *afterwards(level - 1)]


def pass_of(level):
    """The pass that a level stands in, of the same loop; for a run, the run itself."""
    loop = LEVELS[level].split(".")[0]
    return max(LEVELS.index(f"{loop}.run"), min(level, LEVELS.index(f"{loop}.pass")))


def test_the_story_without_a_failure():
    for owner in ("loops", "callbacks"):
        for start in ("run", "pull"):
            tree = Tree(owner, {})
            tree.start(start)
            assert tree.log == whole(0)


# --- an error in each moment of each level ------------------------------------------------------------------


def told(level, moment):
    """The story of an error in that hook."""
    failed_from = level - 1 if moment == "finally" else level
    return up_to(level, moment) + failing(failed_from)


@pytest.mark.parametrize("left_by", [Cancel("pass"), Cancel("run"), ValueError("boom"), None])
def test_the_phase_is_over_however_it_is_left(left_by):
    seen = []

    def note(loop):
        seen.append((loop.name, loop.phase))

    acts = {"outer.finally_pass": note, "outer.finally_run": note, "outer.finally_phase": note}
    tree = Tree("loops", acts | ({"outer.on_go": raising(left_by)} if left_by is not None else {}))
    with contextlib.suppress(ValueError):
        tree.outer.run()
    assert seen == [("outer", "train"), ("outer", None), ("outer", None)]


@either_start
@either_owner
@every_error
@every_place
def test_an_error_in_each_moment_of_each_level(level, moment, error_class, owner, start):
    error = error_class("boom")
    tree = Tree(owner, {hook_name(level, moment): raising(error)})

    with pytest.raises(BaseException) as caught:
        tree.start(start)

    if start == "pull" and error_class is StopIteration:  # a generator cannot let it through as it is
        assert caught.type is RuntimeError
        assert caught.value.__cause__ is error
    else:
        assert caught.value is error
        assert error.__cause__ is None
        assert error.__context__ is None
    assert not hasattr(error, "__notes__")
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames[-1] == "act"
    assert frames.count("act") == 1
    assert tree.log == told(level, moment)


@either_start
@every_place
def test_a_generator_exit_of_a_hook_is_an_error_like_any_other(level, moment, start):
    error = GeneratorExit("boom")
    tree = Tree("loops", {hook_name(level, moment): raising(error)})
    with pytest.raises(GeneratorExit) as caught:
        tree.start(start)
    assert caught.value is error
    assert tree.log == told(level, moment)


@either_start
@pytest.mark.parametrize("hook", ["inner.on_step", "outer.after_phase", "outer.before_run"])
def test_a_stop_iteration_is_how_the_run_ended(hook, start):
    tree = Tree("loops", {hook: raising(StopIteration("no more"))})
    with pytest.raises((StopIteration, RuntimeError)):
        tree.start(start)
    loop, name = hook.split(".")
    assert tree.outer.ended == f"failed in {loop.title()}.{name}: StopIteration: no more"


@pytest.mark.parametrize("error", [AssertionError(), KeyboardInterrupt(), ValueError("")])
def test_the_sentence_of_an_error_without_a_message(error):
    tree = Tree("loops", {"inner.on_step": raising(error)})
    with pytest.raises(type(error)):
        tree.outer.run()
    assert tree.outer.ended == f"failed in Inner.on_step: {type(error).__name__}"


def test_an_inner_loop_that_ran_again_after_its_failure_tells_of_its_last_run():
    class Outer(Loop):
        def on_go(self):
            pass

    class Again(Loop):
        call_on = ("on_go", "failed_go")

        def on_try(self):
            if self.count == 0 and self.root.error is None:
                raise ValueError("the first time")

    loop = Outer(inner_loops=Again(times=2))
    with pytest.raises(ValueError):
        loop.run()
    assert loop.ended == "failed in Again.on_try: ValueError: the first time"
    assert loop.again.ended == "ran all 2 items"


@every_place
def test_every_level_says_why_it_ended(level, moment):
    tree = Tree("loops", {hook_name(level, moment): raising(ValueError("boom"))})
    with pytest.raises(ValueError):
        tree.outer.run()
    loop, hook = hook_name(level, moment).split(".")
    assert tree.outer.ended == f"failed in {loop.title()}.{hook}: ValueError: boom"
    entered = ["outer", "middle", "inner"][: 1 + ["outer", "middle", "inner"].index(loop)]
    for name in entered:
        assert getattr(tree, name).ended == tree.outer.ended


@every_error
def test_the_sentence_names_any_error(error_class):
    tree = Tree("callbacks", {"inner.after_step": raising(error_class("boom"))})
    with pytest.raises(error_class):
        tree.outer.run()
    sentence = f"failed in InnerWatcher.after_step: {error_class.__name__}: boom"
    assert tree.outer.ended == tree.middle.ended == tree.inner.ended == sentence


@every_level
def test_loop_error_is_set_in_failed_hooks_of_each_level(level):
    error = ValueError("boom")
    seen = []
    acts = {"inner.on_step": raising(error), hook_name(level, "failed"): lambda loop: seen.append(loop.error)}
    tree = Tree("callbacks", acts)
    with pytest.raises(ValueError):
        tree.outer.run()
    assert seen == [error]


@every_place
def test_a_tree_that_failed_runs_again(level, moment):
    tree = Tree("callbacks", {hook_name(level, moment): raising(ValueError("once"))})
    with pytest.raises(ValueError):
        tree.outer.run()
    tree.log.clear()
    tree.outer.run()
    assert tree.log == whole(0)
    assert tree.outer.ended == tree.middle.ended == tree.inner.ended == "ran all 2 items"


@every_error
def test_an_error_of_items_belongs_to_the_run(error_class):
    error = error_class("no items")
    log = []

    class Broken(Loop):
        def items(self):
            raise error

    names = [f"{moment}_{event}" for event in ("run", "pass", "step") for moment in MOMENTS]
    loop = hooked(Broken, "Broken", [*names, "on_step"], lambda self, name: log.append(name))()
    with pytest.raises(error_class) as caught:
        loop.run()
    assert caught.value is error
    assert log == ["before_run", "failed_run", "finally_run"]


def test_an_error_of_a_later_item_belongs_to_the_run():
    log = []

    class Broken(Loop):
        def items(self):
            yield 1
            raise OSError("the file ended")

    names = [f"{moment}_{event}" for event in ("run", "pass") for moment in MOMENTS]
    loop = hooked(Broken, "Broken", [*names, "on_step"], lambda self, name: log.append(name))()
    with pytest.raises(OSError, match="the file ended"):
        loop.run()
    passed = ["before_pass", "on_step", "after_pass", "finally_pass"]
    assert log == ["before_run", *passed, "failed_run", "finally_run"]
    assert loop.count == 1


def test_an_error_of_switch_phase_fails_the_pass():
    log = []
    error = ValueError("no such mode")

    class Modes(Loop):
        phases = ("train", "valid")

        def switch_phase(self, phase):
            log.append(f"switch {phase}")
            if phase == "valid":
                raise error

    names = [*(f"{moment}_pass" for moment in MOMENTS), "on_step"]
    with pytest.raises(ValueError) as caught:
        hooked(Modes, "Modes", names, lambda self, name: log.append(name))().run()
    assert caught.value is error
    assert log == ["before_pass", "switch train", "on_step", "switch valid", "failed_pass", "finally_pass"]


def test_hooks_of_one_moment_after_the_failing_one_are_not_called():
    log = []
    Step = hooked(Loop, "Step", ["on_step", "on_more"], lambda self, name: log.append(name))

    class Bad(Callback):
        def before_step(self):
            log.append("bad")
            raise ValueError

    Next = hooked(Callback, "Next", ["before_step", "failed_step", "finally_step"], lambda self, name: log.append(name))
    with pytest.raises(ValueError):
        Step(cbs=[Bad(), Next()]).run()
    assert log == ["bad", "failed_step", "finally_step"]


# --- second errors ------------------------------------------------------------------------------------------


@either_start
@either_owner
@pytest.mark.parametrize("moment", ["failed", "finally"])
@every_level
def test_a_second_error_is_a_note_on_the_first(level, moment, owner, start):
    first, second = ValueError("the first"), RuntimeError("the second")
    acts = {"inner.on_step": raising(first), hook_name(level, moment): raising(second)}
    tree = Tree(owner, acts)
    with pytest.raises(ValueError) as caught:
        tree.start(start)
    assert caught.value is first
    assert len(first.__notes__) == 1
    assert "RuntimeError: the second" in first.__notes__[0]
    assert hook_name(level, moment).split(".")[1] in first.__notes__[0]
    assert tree.log == told(INNERMOST, "on")


def test_second_errors_everywhere_are_all_noted_in_order():
    first = ValueError("the first")
    hooks = [hook_name(level, moment) for level in range(INNERMOST, -1, -1) for moment in ("failed", "finally")]
    acts = {hook: raising(RuntimeError(f"second in {hook}!")) for hook in hooks}
    tree = Tree("callbacks", acts | {"inner.on_step": raising(first)})
    with pytest.raises(ValueError) as caught:
        tree.outer.run()
    assert caught.value is first
    assert len(first.__notes__) == len(hooks)
    assert all(f"second in {hook}!" in note for hook, note in zip(hooks, first.__notes__, strict=True))
    assert tree.log == told(INNERMOST, "on")


@every_level
def test_the_first_finalizer_to_fail_is_the_first_error_for_all_levels_around(level):
    errors = {at: RuntimeError(f"finally of {LEVELS[at]}") for at in range(level + 1)}
    acts = {hook_name(at, "finally"): raising(error) for at, error in errors.items()}
    tree = Tree("loops", acts)
    with pytest.raises(RuntimeError) as caught:
        tree.outer.run()
    assert caught.value is errors[level]
    assert len(getattr(errors[level], "__notes__", [])) == level
    assert tree.log == told(level, "finally")


def finalizers(log, moment, *errors):
    """Callbacks whose `<moment>_step` hooks log, then raise where an error is given."""

    def callback(number, error):
        def call(self, name):
            log.append(number)
            if error is not None:
                raise error

        return hooked(Callback, f"Final{number}", [f"{moment}_step"], call)()

    return [callback(number, error) for number, error in enumerate(errors)]


class Once(Loop):
    """One event, which raises the loop's `boom` if it has one."""

    boom = None

    def on_step(self):
        if self.boom is not None:
            raise self.boom


def test_several_finalizers_that_fail_are_raised_as_a_group():
    log = []
    errors = [ValueError("a"), TypeError("b"), KeyError("c")]
    with pytest.raises(ExceptionGroup) as caught:
        Once(cbs=finalizers(log, "finally", errors[0], None, errors[1], errors[2])).run()
    assert list(caught.value.exceptions) == errors
    assert log == [0, 1, 2, 3]


def test_one_finalizer_that_fails_is_raised_as_it_is():
    log = []
    error = ValueError("alone")
    with pytest.raises(ValueError) as caught:
        Once(cbs=finalizers(log, "finally", None, error, None)).run()
    assert caught.value is error
    assert log == [0, 1, 2]


@pytest.mark.parametrize("moment", ["failed", "finally"])
def test_all_of_a_level_run_when_several_fail_after_a_first_error(moment):
    log = []
    first = ValueError("first")
    loop = Once(cbs=finalizers(log, moment, TypeError("a"), None, KeyError("b"), OSError("c")))
    loop.boom = first
    with pytest.raises(ValueError) as caught:
        loop.run()
    assert caught.value is first
    assert len(first.__notes__) == 3
    assert log == [0, 1, 2, 3]


def test_a_group_of_finalizers_is_the_error_of_the_levels_around():
    seen = []

    class Outer(Loop):
        def on_go(self):
            pass

        def failed_go(self):
            seen.append(self.error)

    loop = Outer(inner_loops=Once(call_on="on_go", cbs=finalizers([], "finally", ValueError("a"), ValueError("b"))))
    with pytest.raises(ExceptionGroup) as caught:
        loop.run()
    assert seen == [caught.value]


@pytest.mark.parametrize("error_class", [KeyboardInterrupt, SystemExit])
def test_a_finalizer_interrupted_where_nothing_failed(error_class):
    error = error_class()
    log = []
    with pytest.raises(error_class) as caught:
        Once(cbs=finalizers(log, "finally", None, error, None)).run()
    assert caught.value is error
    assert log == [0, 1, 2]


def test_interrupts_among_several_finalizers_are_not_hidden_in_an_ordinary_group():
    interrupt = KeyboardInterrupt()
    with pytest.raises(BaseException) as caught:
        Once(cbs=finalizers([], "finally", ValueError("a"), interrupt)).run()
    assert not isinstance(caught.value, Exception)
    group = caught.value
    assert group is interrupt or interrupt in group.exceptions


def test_a_finalizer_that_fails_after_a_cancel_is_raised():
    class Leaving(Once):
        def before_step(self):
            raise Cancel

    error = ValueError("not closed")
    with pytest.raises(ValueError) as caught:
        Leaving(cbs=finalizers([], "finally", error)).run()
    assert caught.value is error


@pytest.mark.parametrize("error_class", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("event", [None, "step", "pass", "run", "go"])
@pytest.mark.parametrize("moment", ["failed", "finally"])
def test_a_cancel_by_a_hook_that_ends_a_level_does_not_hide_a_failure(moment, event, error_class):
    first = error_class("the first")
    tree = Tree("callbacks", {"inner.on_step": raising(first), f"inner.{moment}_step": raising(Cancel(event))})
    with pytest.raises(error_class) as caught:
        tree.outer.run()
    assert caught.value is first
    assert tree.log == told(INNERMOST, "on")


@pytest.mark.parametrize("error_class", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("moment", ["failed", "finally"])
def test_an_interrupt_of_a_hook_that_ends_a_level_is_not_lost_when_the_first_error_is_recovered(moment, error_class):
    acts = {
        "inner.on_step": raising(ValueError("the first")),
        f"inner.{moment}_step": raising(error_class()),
        "middle.failed_do": lambda loop: loop.recover(),
    }
    tree = Tree("callbacks", acts)
    with pytest.raises(error_class):
        tree.outer.run()


def test_a_second_error_of_a_failed_hook_is_not_lost_when_another_recovers():
    class Recovering(Callback):
        def failed_step(self):
            self.loop.recover()

    second = TypeError("the second")
    loop = Once(cbs=[Recovering(), *finalizers([], "failed", second)])
    loop.boom = ValueError("the first")
    with pytest.raises(TypeError) as caught:
        loop.run()
    assert caught.value is second


@either_owner
def test_a_failure_inside_a_failed_hook_does_not_change_the_error_of_the_levels_around(owner):
    first = ValueError("the first")
    seen = []

    class Rescue(Loop):
        call_on = "failed_go"

        def on_try(self):
            raise TypeError("of the rescue")

        def failed_try(self):
            seen.append(type(self.error))
            self.recover()

    def note(loop):
        seen.append(type(loop.error))

    acts = {"inner.on_step": raising(first), "outer.finally_go": note, "outer.failed_phase": note}
    tree = Tree(owner, acts)
    tree.outer.add_loop(Rescue)
    with pytest.raises(ValueError) as caught:
        tree.outer.run()
    assert caught.value is first
    assert seen == [TypeError, ValueError, ValueError]


def test_an_error_that_cannot_say_what_it_is_goes_on_all_the_same():
    class Speechless(Exception):
        def __str__(self):
            raise RuntimeError

    error, second = Speechless(), Speechless()
    loop = Once(cbs=finalizers([], "finally", second))
    loop.boom = error
    with pytest.raises(Speechless) as caught:
        loop.run()
    assert caught.value is error
    said = "Speechless: (its __str__ raised RuntimeError)"
    assert loop.ended == f"failed in Once.on_step: {said}"
    assert error.__notes__ == [f"After that Final0.finally_step raised {said}"]


def test_the_same_error_may_end_one_run_after_the_other():
    loop = Once(times=2)
    loop.boom = ValueError("again")
    for _ in range(2):
        with pytest.raises(ValueError):
            loop.run()
        assert loop.ended == "failed in Once.on_step: ValueError: again"


def test_how_a_loop_ended_that_ran_again_while_a_failure_goes_on_is_how_it_ended_then():
    acts = {"inner.on_step": raising(ValueError("once"))}
    tree = Tree("loops", acts)
    tree.inner.call_on = ("on_do", "finally_do")
    with pytest.raises(ValueError):
        tree.outer.run()
    assert tree.inner.ended == "ran all 2 items"
    assert tree.middle.ended == tree.outer.ended == "failed in Inner.on_step: ValueError: once"


def test_an_error_that_left_a_run_can_be_sent_to_another_process_without_the_loop():
    loop = Once()
    loop.lock, loop.boom = threading.Lock(), ValueError("sent")
    with pytest.raises(ValueError) as caught:
        loop.run()
    assert pickle.loads(pickle.dumps(caught.value)).args == ("sent",)


def test_after_an_inner_loop_failed_alone_a_run_of_the_whole_tree_has_no_error():
    seen = []

    class Outer(Loop):
        def on_go(self):
            pass

        def finally_run(self):
            seen.append(self.error)

    outer = Outer(inner_loops=Once(call_on="on_go"))
    outer.run()
    outer.once.boom = ValueError()
    with pytest.raises(ValueError):
        outer.once.run()
    outer.once.boom = None
    outer.run()
    assert seen == [None, None]


# --- recovering ---------------------------------------------------------------------------------------------


@either_start
@either_owner
@pytest.mark.parametrize("error_class", [ValueError, StopIteration, AssertionError])
@every_level
def test_recover_at_each_level(level, error_class, owner, start):
    acts = {"inner.on_step": raising(error_class("boom")), hook_name(level, "failed"): lambda loop: loop.recover()}
    tree = Tree(owner, acts)
    tree.start(start)
    failed = [hook_name(at, moment) for at in range(INNERMOST, level - 1, -1) for moment in ("failed", "finally")]
    next_item = pass_of(level)
    assert tree.log == up_to(INNERMOST, "on") + failed + leaving(level - 1, next_item) + afterwards(next_item)


@pytest.mark.parametrize("level", range(1, len(LEVELS)), ids=LEVELS[1:])
def test_a_recovered_tree_says_that_it_ran_all_items(level):
    acts = {"inner.on_step": raising(ValueError("boom")), hook_name(level, "failed"): lambda loop: loop.recover()}
    tree = Tree("loops", acts)
    tree.outer.run()
    assert tree.outer.ended == "ran all 2 items"


def test_a_recovered_loop_ends_well_and_counts_the_pass():
    acts = {"inner.on_step": raising(ValueError("boom")), "middle.failed_do": lambda loop: loop.recover()}
    tree = Tree("callbacks", acts)
    tree.outer.run()
    assert tree.outer.ended == tree.middle.ended == tree.inner.ended == "ran all 2 items"
    assert (tree.outer.count, tree.middle.count) == (2, 4)


def test_all_failed_hooks_of_the_level_run_when_one_of_them_recovers():
    log = []

    class Recovering(Callback):
        def failed_step(self):
            log.append("recovering")
            self.loop.recover()

    Others = hooked(
        Callback, "Others", ["failed_step", "failed_run", "finally_step"], lambda self, name: log.append(name)
    )
    loop = Once(cbs=[Recovering(), Others()])
    loop.boom = ValueError()
    loop.run()
    assert log == ["recovering", "failed_step", "finally_step"]


@pytest.mark.parametrize("error_class", [KeyboardInterrupt, SystemExit])
@every_level
def test_interrupts_cannot_be_recovered(level, error_class):
    error = error_class("now")
    refused = []

    def try_to_recover(loop):
        with pytest.raises(CannotRecover):
            loop.recover()
        refused.append(loop.name)

    tree = Tree("callbacks", {"inner.on_step": raising(error), hook_name(level, "failed"): try_to_recover})
    with pytest.raises(error_class) as caught:
        tree.outer.run()
    assert caught.value is error
    assert len(refused) == 1
    assert tree.log == told(INNERMOST, "on")


@pytest.mark.parametrize("error_class", [KeyboardInterrupt, SystemExit])
def test_a_careless_recover_does_not_hide_an_interrupt(error_class):
    error = error_class("now")
    acts = {"inner.on_step": raising(error), "middle.failed_do": lambda loop: loop.recover()}
    tree = Tree("loops", acts)
    with pytest.raises(error_class) as caught:
        tree.outer.run()
    assert caught.value is error
    assert tree.log == told(INNERMOST, "on")


def test_recover_in_a_finally_hook_is_too_late():
    first = ValueError("the first")
    tree = Tree("loops", {"inner.on_step": raising(first), "inner.finally_step": lambda loop: loop.recover()})
    with pytest.raises(ValueError) as caught:
        tree.outer.run()
    assert caught.value is first
    assert "CannotRecover" in first.__notes__[0]
    assert tree.log == told(INNERMOST, "on")


def test_recover_after_a_run_that_failed_is_an_error():
    loop = Once()
    loop.boom = ValueError()
    with pytest.raises(ValueError):
        loop.run()
    with pytest.raises(CannotRecover):
        loop.recover()


@pytest.mark.parametrize("hook", ["inner.on_step", "inner.after_step", "inner.finally_step", "outer.before_run"])
def test_recover_without_a_failure_is_an_error(hook):
    tree = Tree("loops", {hook: lambda loop: loop.recover()})
    with pytest.raises(CannotRecover):
        tree.outer.run()


def test_recover_outside_a_run_is_an_error():
    with pytest.raises(CannotRecover):
        Once().recover()


def test_recovering_one_failure_does_not_recover_the_next():
    class Twice(Loop):
        def on_step(self):
            raise ValueError(f"pass {self.index}")

        def failed_step(self):
            if self.index == 0:
                self.recover()

    loop = Twice(times=3)
    with pytest.raises(ValueError, match="pass 1"):
        loop.run()
    assert loop.ended == "failed in Twice.on_step: ValueError: pass 1"


@either_start
@pytest.mark.parametrize("phases", [None, ["train", "valid"]])
@pytest.mark.parametrize("own", [[], ["failed_go"], ["finally_go"], ["failed_pass"], ["before_pass"]])
def test_a_failed_hook_further_in_recovers_a_loop_further_out(own, phases, start):
    class Inner(Loop):
        call_on = "on_do"

        def on_step(self):
            if self.outer.item == 1 and self.index == 1:
                raise ValueError("bad trial")

    class Middle(Loop):
        call_on = "on_go"

        def on_do(self):
            pass

    class Outer(Loop):
        def before_run(self):
            self.done = []

        def on_go(self):
            pass

        def after_go(self):
            self.done.append((self.phase, self.index))

    class Skip(Callback):
        def failed_step(self):
            self.outer.recover()

    Watching = hooked(Callback, "Watching", own, lambda self, name: None)
    middle = Middle(Inner(times=3, cbs=Skip), times=2)
    outer = Outer(middle, cbs=Watching, phases=phases, times=4)
    if start == "run":
        outer.run()
    else:
        assert list(outer) == [0, 1, 2, 3]
    assert outer.done == [(phase, index) for index in (0, 2, 3) for phase in phases or [None]]
    assert (outer.ended, outer.count) == ("ran all 4 items", 4)
    assert middle.count == 6 * len(phases or [None])
    assert outer.error is None


def test_what_a_loop_further_in_recovers_already_says_nothing_of_the_next_failure():
    class Inner(Loop):
        call_on = "on_go"

        def on_step(self):
            raise ValueError("of a step")

        def failed_step(self):
            self.recover()
            self.outer.recover()

    class Outer(Loop):
        def on_go(self):
            pass

        def after_go(self):
            raise TypeError("after it")

    outer = Outer(Inner, times=2)
    with pytest.raises(TypeError, match="after it"):
        outer.run()
    assert outer.ended == "failed in Outer.after_go: TypeError: after it"


def test_the_error_is_gone_once_it_is_recovered():
    seen = []

    class Shaky(Loop):
        def before_step(self):
            seen.append(self.error)

        def on_step(self):
            if self.index == 0:
                raise ValueError

        def failed_step(self):
            self.recover()

    Shaky(times=2).run()
    assert seen == [None, None]


# --- Cancel -------------------------------------------------------------------------------------------------


@either_start
@either_owner
@pytest.mark.parametrize(
    "level, moment",
    [place for place in PLACES if place[1] != "finally"],
    ids=[n for n in PLACE_NAMES if "finally" not in n],
)
def test_cancel_leaves_the_current_event(level, moment, owner, start):
    tree = Tree(owner, {hook_name(level, moment): raising(Cancel())})
    tree.start(start)
    assert tree.log == up_to(level, moment) + leaving(level, level) + afterwards(level)


NEAREST = {
    "step": "inner.step",
    "pass": "inner.pass",
    "run": "inner.run",
    "do": "middle.do",
    "go": "outer.go",
    "phase": "outer.phase",
}


@either_start
@either_owner
@pytest.mark.parametrize("event", NEAREST)
def test_cancel_from_the_innermost_to_each_event_by_name(event, owner, start):
    last = LEVELS.index(NEAREST[event])
    tree = Tree(owner, {"inner.on_step": raising(Cancel(event, "enough"))})
    tree.start(start)
    assert tree.log == up_to(INNERMOST, "on") + leaving(INNERMOST, last) + afterwards(last)


@pytest.mark.parametrize("moment", ["before", "on", "after"])
@pytest.mark.parametrize("event", ["run", "pass", "phase", "go"])
def test_cancel_from_the_outer_loop_to_each_of_its_levels(event, moment):
    level, last = LEVELS.index("outer.go"), LEVELS.index(f"outer.{event}")
    tree = Tree("callbacks", {f"outer.{moment}_go": raising(Cancel(event))})
    tree.outer.run()
    assert tree.log == up_to(level, moment) + leaving(level, last) + afterwards(last)


@pytest.mark.parametrize("moment", ["before", "on", "after"])
@pytest.mark.parametrize("event", ["run", "pass", "do", "phase", "go"])
def test_cancel_from_the_middle_to_each_level(event, moment):
    nearest = {"run": "middle.run", "pass": "middle.pass", "do": "middle.do", "phase": "outer.phase", "go": "outer.go"}
    level, last = LEVELS.index("middle.do"), LEVELS.index(nearest[event])
    tree = Tree("loops", {f"middle.{moment}_do": raising(Cancel(event))})
    tree.outer.run()
    assert tree.log == up_to(level, moment) + leaving(level, last) + afterwards(last)


@pytest.mark.parametrize("event", ["stpe", "iteration", "inner"])
@every_place
def test_cancel_of_an_event_that_is_not_running_is_a_failure(level, moment, event):
    tree = Tree("callbacks", {hook_name(level, moment): raising(Cancel(event))})
    with pytest.raises(UnknownEvent, match=event):
        tree.outer.run()
    assert tree.log == told(level, moment)


def test_cancel_of_the_phase_where_there_are_no_phases_is_a_failure():
    log = []
    Plain = hooked(Loop, "Plain", ["failed_step", "on_step", "failed_run"], lambda self, name: log.append(name))

    class Leaving(Plain):
        def on_step(self):
            raise Cancel("phase")

    loop = Leaving()
    with pytest.raises(UnknownEvent, match="phase"):
        loop.run()
    assert log == ["failed_step", "failed_run"]
    assert loop.ended.startswith("failed in Leaving.on_step: UnknownEvent: ")


@pytest.mark.parametrize("level", [LEVELS.index("inner.step"), LEVELS.index("outer.phase")])
def test_cancel_of_an_event_that_is_not_running_can_be_recovered(level):
    acts = {"inner.on_step": raising(Cancel("nowhere")), hook_name(level, "failed"): lambda loop: loop.recover()}
    tree = Tree("loops", acts)
    tree.outer.run()
    failed = [hook_name(at, moment) for at in range(INNERMOST, level - 1, -1) for moment in ("failed", "finally")]
    next_item = pass_of(level)
    assert tree.log == up_to(INNERMOST, "on") + failed + leaving(level - 1, next_item) + afterwards(next_item)
    assert tree.outer.ended == tree.inner.ended == "ran all 2 items"


def test_cancel_of_an_event_that_stands_elsewhere_is_a_failure():
    tree = Tree("loops", {"outer.before_go": raising(Cancel("step"))})
    with pytest.raises(UnknownEvent, match="step"):
        tree.outer.run()
    assert tree.log == told(LEVELS.index("outer.go"), "before")


def test_a_cancelled_pass_counts():
    tree = Tree("loops", {"inner.on_step": raising(Cancel("pass"))})
    tree.outer.run()
    assert (tree.outer.count, tree.middle.count, tree.inner.count) == (2, 4, 8)
    assert tree.inner.ended == tree.outer.ended == "ran all 2 items"


def test_a_cancelled_run_says_so():
    tree = Tree("loops", {"outer.on_go": raising(Cancel("run", "the budget is spent"))})
    tree.outer.run()
    assert "Outer.on_go" in tree.outer.ended
    assert tree.outer.ended.endswith(": the budget is spent")
    assert tree.outer.error is None


def test_a_loop_that_a_hook_runs_and_that_is_left_by_a_cancel_is_cancelled():
    class Evaluation(Loop):
        def on_batch(self):
            raise Cancel("step", "enough")

    class Training(Loop):
        def on_step(self):
            evaluation.run()

    evaluation, training = Evaluation(), Training(times=2)
    training.run()
    assert evaluation.ended == "cancelled by Evaluation.on_batch: enough"
    assert training.ended == "ran all 2 items"


@pytest.mark.parametrize("moment", ["on", "finally"])
def test_one_cancel_may_be_raised_again_and_again_and_keeps_nothing(moment):
    skip = Cancel("step", "no use")
    hooked(Loop, "Skipping", ["on_step", f"{moment}_step"], lambda self, name: raising(skip)(self))(times=3).run()
    assert skip.__traceback__ is None


def test_one_cancel_raised_in_two_runs_is_met_anew_in_each():
    enough = Cancel("run", "enough")
    First = hooked(Loop, "First", ["on_go"], lambda self, name: raising(enough)(self))
    Second = hooked(Loop, "Second", ["on_step"], lambda self, name: raising(enough)(self))
    for loop, by in ((First(), "First.on_go"), (Second(), "Second.on_step"), (First(), "First.on_go")):
        assert loop.run().ended == f"cancelled by {by}: enough"
    enough.event = "nowhere"
    with pytest.raises(UnknownEvent, match="nowhere"):
        First().run()


def test_cancel_by_class_or_instance():
    log = []

    class Leaving(Loop):
        def before_step(self):
            raise Cancel

        def on_step(self):
            log.append("on_step")

        def on_next(self):
            log.append("on_next")

    Leaving().run()
    assert log == ["on_next"]


def test_an_except_exception_in_a_hook_does_not_catch_a_cancel():
    class Careful(Loop):
        def on_step(self):
            try:
                self.helper()
            except Exception:
                self.caught = True

        def helper(self):
            raise Cancel

        def after_step(self):
            self.went_on = True

    loop = Careful().run()
    assert not hasattr(loop, "caught")
    assert not hasattr(loop, "went_on")


# --- stop ---------------------------------------------------------------------------------------------------


def stopped(level, at, first=True):
    """A level, of which loops from `at` inwards make one pass the first time they run."""
    if level == INNERMOST:
        return whole(level)
    child = LEVELS[level + 1]
    story = stopped(level + 1, at, first)
    names = ["outer", "middle", "inner"]
    if child.endswith("pass") and not (first and names.index(child.split(".")[0]) >= names.index(at)):
        story = story + stopped(level + 1, at, first=False)
    return opening(level) + story + [hook_name(level, "after"), hook_name(level, "finally")]


@either_start
@either_owner
@pytest.mark.parametrize("at", ["outer", "middle", "inner"])
def test_stop_of_each_loop_from_the_innermost(at, owner, start):
    tree = Tree(owner, {})
    tree.acts["inner.on_step"] = lambda loop: getattr(tree, at).stop("seen enough")
    tree.start(start)
    assert tree.log == stopped(0, at)
    if at == "outer":
        sentence = "stopped by Inner.on_step: seen enough"
        assert tree.outer.ended == tree.middle.ended == tree.inner.ended == sentence
    else:
        assert tree.outer.ended == "ran all 2 items"


def test_a_failure_after_a_stop_is_a_failure():
    error = ValueError("later")
    tree = Tree("callbacks", {"inner.after_step": raising(error)})
    tree.acts["inner.on_step"] = lambda loop: tree.outer.stop("seen enough")
    with pytest.raises(ValueError) as caught:
        tree.outer.run()
    assert caught.value is error
    assert tree.log == told(INNERMOST, "after")
    assert tree.outer.ended == "failed in InnerWatcher.after_step: ValueError: later"


@pytest.mark.parametrize("moment", ["after", "finally"])
def test_a_failure_after_a_stop_and_all_passes_is_how_the_run_ended(moment):
    acts = {"outer.on_go": lambda loop: loop.stop("seen enough"), f"outer.{moment}_run": raising(ValueError("late"))}
    tree = Tree("loops", acts)
    with pytest.raises(ValueError):
        tree.outer.run()
    assert tree.outer.ended == f"failed in Outer.{moment}_run: ValueError: late"


def test_a_failure_after_a_cancelled_run_is_how_it_ended():
    acts = {"outer.on_go": raising(Cancel("run", "enough")), "outer.finally_run": raising(ValueError("late"))}
    tree = Tree("loops", acts)
    with pytest.raises(ValueError):
        tree.outer.run()
    assert tree.outer.ended == "failed in Outer.finally_run: ValueError: late"


DURING_A_PASS = [name for name in PLACE_NAMES if not (name.startswith("outer") and name.endswith("run"))]


@either_owner
@pytest.mark.parametrize("name", DURING_A_PASS)
def test_stop_from_each_moment_of_each_level(name, owner):
    tree = Tree(owner, {name: lambda loop: tree.outer.stop("seen enough")})
    tree.outer.run()
    loop, hook = name.split(".")
    by = loop.title() if owner == "loops" or hook.startswith("on") else f"{loop.title()}Watcher"
    assert tree.outer.ended == f"stopped by {by}.{hook}: seen enough"
    assert tree.outer.count == 1


@either_owner
@pytest.mark.parametrize("start", ["run", "pull"])
def test_stop_before_the_first_pass(owner, start):
    tree = Tree(owner, {"outer.before_run": lambda loop: loop.stop("nothing to do")})
    tree.start(start)
    assert tree.log == ["outer.before_run", "outer.after_run", "outer.finally_run"]
    assert tree.outer.ended.startswith("stopped by Outer")
    assert tree.outer.ended.endswith(".before_run: nothing to do")


# --- pulling ------------------------------------------------------------------------------------------------


def test_a_consumer_that_breaks_off_is_no_failure():
    tree = Tree("callbacks", {})
    for _ in tree.outer:
        break
    outer_run_finally = LEVELS.index("outer.run")
    first_pass = ["outer.before_run", *whole(1)]
    assert tree.log == first_pass + leaving(outer_run_finally, outer_run_finally)
    assert tree.outer.error is None


def test_a_finalizer_that_fails_when_the_consumer_breaks_off_is_heard():
    error = ValueError("not closed")
    tree = Tree("callbacks", {"outer.finally_run": raising(error)})
    puller = iter(tree.outer)
    next(puller)
    with pytest.raises(ValueError) as caught:
        puller.close()
    assert caught.value is error


def test_cancel_of_an_event_that_is_not_running_can_be_recovered_by_the_same_loop():
    acts = {"outer.before_go": raising(Cancel("nowhere")), "outer.failed_phase": lambda loop: loop.recover()}
    tree = Tree("loops", acts)
    tree.outer.run()
    assert tree.outer.count == 2
    assert tree.outer.ended == "ran all 2 items"
