"""The generated code against the interpreter of the plan, on trees that Hypothesis makes up.

LOOPTREE_EXAMPLES=5000 in the environment runs that many examples.
"""

import os
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from looptree import Callback, Cancel, Loop, Phase
from tests.core.interpreter import Interpreter

MOMENTS = ["before", "on", "after", "failed", "finally"]
EVENTS = ["a", "b", "c", "d"]
PHASES = ["train", "valid"]
ERRORS = [ValueError, KeyError, StopIteration, KeyboardInterrupt]
EXAMPLES = int(os.environ.get("LOOPTREE_EXAMPLES", "400"))


# --- what a tree is made from -------------------------------------------------------------------------------


@dataclass(frozen=True)
class HookSpec:
    """A hook, and what it does at which of its calls."""

    name: str
    order: int
    phase: object
    every: int
    replace: bool
    acts: dict

    def function(self, scene):
        """The hook as a method."""
        name, acts = self.name, self.acts

        def body(self, _order=-1, _phase=None, _every=1, _replace=False):
            scene.call(self, name, acts)

        body.__name__ = name
        body.__code__ = body.__code__.replace(co_name=name)
        body.__defaults__ = (self.order, self.phase, self.every, self.replace)
        return body


@dataclass(frozen=True)
class CallbackSpec:
    """A callback with its hooks."""

    name: str
    hooks: tuple

    def make(self, scene):
        """The callback."""
        return type(self.name.title(), (Callback,), {hook.name: hook.function(scene) for hook in self.hooks})()


@dataclass(frozen=True)
class LoopSpec:
    """A loop with its hooks, callbacks and inner loops."""

    name: str
    times: int
    phases: tuple
    switches: bool
    call_on: tuple
    hooks: tuple
    callbacks: tuple
    inner_loops: tuple

    def make(self, scene):
        """The loop."""
        methods = {hook.name: hook.function(scene) for hook in self.hooks}
        if self.switches:

            def switch_phase(self, phase):
                scene.call(self, f"switch_phase {phase}", {})

            methods["switch_phase"] = switch_phase
        return type(self.name.title(), (Loop,), methods)(
            inner_loops=[spec.make(scene) for spec in self.inner_loops],
            cbs=[spec.make(scene) for spec in self.callbacks],
            call_on=list(self.call_on) or None,
            phases=[Phase(name, every=every) for name, every in self.phases] or None,
            times=self.times,
        )


@st.composite
def acts(draw, moment, event, ancestors):
    """What a hook does, by number of its call: mostly nothing."""
    if draw(st.integers(0, 5)) > 1:
        return {}
    kinds = [
        st.tuples(st.just("raise"), st.sampled_from(ERRORS if moment not in ("failed", "finally") else ERRORS[:2]))
    ]
    if moment in ("before", "on", "after"):
        named = st.sampled_from([None, *EVENTS, "pass", "run", "phase", "nowhere"])
        kinds.append(st.tuples(st.just("cancel"), named))
    if moment == "failed":
        kinds += [st.tuples(st.just("recover"), st.sampled_from([ancestors[-1], *ancestors]))] * 3
    if event != "run":
        kinds.append(st.tuples(st.just("stop"), st.sampled_from(ancestors)))
    return {draw(st.integers(1, 3)): draw(st.one_of(kinds))}


@st.composite
def hooks(draw, names, phases, ancestors, replaceable=()):
    """Hooks of these names, each of which may be filtered, by one of the phases too."""
    specs = []
    for name in names:
        moment, _, event = name.partition("_")
        frame = event in ("run", "pass", "phase")
        filters = [None, None, *phases, tuple(PHASES)] if phases and event not in ("run", "pass") else [None]
        specs.append(
            HookSpec(
                name,
                draw(st.sampled_from([-1, -1, 0, -2])),
                draw(st.sampled_from(filters)),
                1 if event == "run" else draw(st.sampled_from([1, 1, 1, 2])),
                not frame and name in replaceable and draw(st.booleans()),
                draw(acts(moment, event, ancestors)),
            )
        )
    return tuple(specs)


def hook_names(events, most):
    """Some names of hooks on these events."""
    names = [f"{moment}_{event}" for event in events for moment in MOMENTS]
    names = [name for name in names if name not in ("on_run", "on_pass", "on_phase")]
    return st.lists(st.sampled_from(names), unique=True, max_size=most)


@st.composite
def loops(draw, name="root", depth=2, above=(), phases_above=(), parent_events=()):
    """A loop with up to `depth` levels of loops inside it."""
    phases = draw(st.sampled_from([(), (), ("train",), ("valid",), ("train", "valid")]))
    current = phases or phases_above
    ancestors = [*above, name]
    events = draw(st.lists(st.sampled_from(EVENTS), unique=True, min_size=1, max_size=3))
    frames = ["run", "pass", *(["phase"] if phases else [])]

    own = {f"{draw(st.sampled_from(MOMENTS[:3]))}_{event}": None for event in events}
    own |= dict.fromkeys(draw(hook_names(events + frames, 4)))
    own_hooks = draw(hooks(list(own), current, ancestors))

    inner_loops = [
        draw(loops(f"{name}{number}", depth - 1, ancestors, current, events))
        for number in range(draw(st.integers(0, 2)) if depth else 0)
    ]
    callbacks = []
    # One replacer of a hook is all that binds, and those of the root reach the whole tree.
    replaceable = set(own) if depth == 2 else set()
    for number in range(draw(st.integers(0, 2))):
        specs = draw(hooks(draw(hook_names(events + frames, 4)), current, ancestors, replaceable))
        replaceable -= {hook.name for hook in specs if hook.replace}
        callbacks.append(CallbackSpec(f"{name}cb{number}", specs))

    places = [f"{moment}_{event}" for event in parent_events for moment in [*MOMENTS[:3], *MOMENTS]]
    places += [f"{moment}_{event}" for event in ("run", "pass") for moment in ("before", "after", "finally")]
    call_on = draw(st.lists(st.sampled_from(places), unique=True, min_size=1, max_size=2)) if parent_events else []
    return LoopSpec(
        name,
        draw(st.sampled_from([1, 2, 2, 3] if depth == 2 else [1, 2])),
        tuple((phase, draw(st.sampled_from([1, 1, 2]))) for phase in phases),
        draw(st.booleans()) if phases else False,
        tuple(call_on),
        own_hooks,
        tuple(callbacks),
        tuple(inner_loops),
    )


# --- playing it twice ---------------------------------------------------------------------------------------


class Scene:
    """Where the hooks log and act: through the engine, or through the interpreter."""

    def __init__(self):
        self.interpreter = None
        self.restart()

    def restart(self, interpreter=None):
        self.interpreter, self.log, self.calls = interpreter, [], {}

    def call(self, owner, name, acts):
        number = self.calls[owner, name] = self.calls.get((owner, name), 0) + 1
        loop = owner if isinstance(owner, Loop) else owner.loop
        moment = name.partition("_")[0]
        if self.interpreter is None:
            path, phase, index, count, error = loop.path, loop.phase, loop.index, loop.count, loop.error
        else:
            frame = self.interpreter.frame
            path, phase, index, error = frame.plan.path, frame.phase, frame.index, frame.error
            count = self.interpreter.counts[path]
        seen = type(error).__name__ if moment == "failed" else ""
        self.log.append(f"{owner.path}.{name} in {path}, phase {phase}, index {index}, count {count} {seen}")
        if number in acts:
            self.act(loop, *acts[number])

    def act(self, loop, kind, what):
        self.log.append(f"  {kind} {what}")
        if kind == "raise":
            raise what("made up")
        if kind == "cancel":
            raise Cancel(what, "made up")
        if kind == "stop":
            if self.interpreter is not None:
                self.interpreter.stop(what, "made up")
            else:
                above(loop, what).stop("made up")
        if kind == "recover":
            if self.interpreter is not None:
                self.interpreter.recover(what)
            else:
                above(loop, what).recover()


def above(loop, name):
    """The loop of a name, from a loop on upwards."""
    while loop.name != name:
        loop = loop.parent
    return loop


def told(error):
    """What of an error must be the same: its type, those of a group, the number of its notes."""
    if error is None:
        return None
    members = [type(member) for member in getattr(error, "exceptions", ())]
    return type(error), members, len(getattr(error, "__notes__", ()))


def run_engine(loop, pulled):
    """Run the loop; what was raised."""
    try:
        if pulled:
            for _ in loop:
                pass
        else:
            loop.run()
    except BaseException as error:
        if pulled and type(error) is RuntimeError and isinstance(error.__cause__, StopIteration):
            return error.__cause__
        return error
    return None


def kind_of(sentence):
    """The first word of `ended`, and whom it names."""
    kind, _, rest = sentence.partition(" ")
    who = rest.partition(":")[0].rpartition(" ")[2]
    return kind, "" if kind == "ran" else who


@pytest.mark.filterwarnings("ignore:.* does nothing on:looptree.FieldWarning")  # as many a tree drawn at random has it
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(spec=loops(), pulled=st.booleans())
def test_the_code_does_what_the_plan_says(spec, pulled):
    scene = Scene()
    loop = spec.make(scene)
    plan = loop.plan

    interpreter = Interpreter()
    scene.restart(interpreter)
    expected = []
    for _ in range(2):
        left = interpreter.run(plan)
        expected.append((list(scene.log), told(left), dict(interpreter.counts), dict(interpreter.ended)))
    if interpreter.strayed:
        return

    scene.restart()
    for log, error, counts, ended in expected:
        raised = run_engine(loop, pulled)
        assert scene.log == log
        assert told(raised) == error
        for inner in plan.walk():
            assert inner.target.count == counts.get(inner.path, 0), inner.path
            if inner.path in ended:
                kind, who = kind_of(inner.target.ended)
                assert kind == ended[inner.path][0], inner.path
                assert who == ended[inner.path][1] or not ended[inner.path][1], inner.path
