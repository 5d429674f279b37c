"""Loop: passes over items, with hooks, phases, inner loops and callbacks.

    class Training(Loop):
        loss: float

        def on_step(self):
            self.loss = loss_of(self.item)

    Training(times=5, cbs=[EarlyStop("loss")]).run()

A run binds the tree first (`binding.py`), which makes its plan (`plan.py`); the plan is written out as Python
(`codegen.py`) and compiled (`compiled.py`); that is what runs.
"""

from __future__ import annotations

import copy
import functools
import itertools
import math
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, ClassVar, Self, TypeVar

from looptree.core.arguments import Callbacks, CallOn, checked_name, checked_times, instance, names_called_on, several
from looptree.core.binding import bind
from looptree.core.blame import broke_off, caller
from looptree.core.bound import Bound
from looptree.core.callback import Callback
from looptree.core.codegen import Line
from looptree.core.ended import sentence, settle
from looptree.core.errors import (
    AlreadyRunning,
    BadSetting,
    BindingError,
    CannotRecover,
    FieldWarning,
    NameClash,
    NotACallback,
    NotALoop,
    NotAttached,
    StateMismatch,
    listed,
    nearest,
)
from looptree.core.findings import Finding
from looptree.core.findings_html import findings_html
from looptree.core.hook import Hook, PhaseFilter, class_hooks, in_phase
from looptree.core.names import free_name
from looptree.core.node import Forward, Node, ancestry
from looptree.core.phase import Phases, as_phases
from looptree.core.plan import LoopPlan
from looptree.core.tree import tree
from looptree.core.tree_html import tree_html
from looptree.core.watch import Watcher

_MISSING = object()
_ONCE = range(1)
_STATE = ("count", "loops", "cbs")  # the parts of a loop's state
N = TypeVar("N", bound=Node)


class _LoopFields(Node):
    """The base fields of a loop, as slots."""

    __slots__ = (
        "_binding",
        "_ended",
        "_failure",
        "_first",
        "_go",
        "_handed_on",
        "_leaving",
        "_marked",
        "_may_recover",
        "_only",
        "_own_items",
        "_pending",
        "_raised",
        "_recovering",
        "_resuming",
        "_run_times",
        "_running",
        "_stopped",
        "_warned",
        "_watchers",
        "cbs",
        "count",
        "error",
        "index",
        "inner_loops",
        "item",
        "persist_cbs",
        "phase",
    )

    item: Any  # what the pass is about
    index: int | None  # number of the pass in this run, from 0; -1 before the first, None before any run
    count: int  # passes done in the loop's life
    phase: str | None  # own phase, else that in which the loop was called
    error: BaseException | None  # the failure that is under way
    inner_loops: list[Any]
    cbs: list[Callback]
    persist_cbs: bool

    _binding: Any  # what binding the tree gave, at its root; None where something was changed since
    _go: Callable[..., None]  # the generated function with its loops and callbacks
    _warned: set[str]  # the field findings that were given as warnings
    _watchers: list[Watcher]
    _leaving: list[tuple[Any, Any]]  # what was taken out during the run, with the loop that held it
    _only: tuple[str, ...] | None  # the phases that this run was asked for
    _own_items: bool  # whether items() is not the base's: overridden, or set on the loop itself
    _run_times: int | float | None  # the passes that this run was asked for
    _running: bool
    _first: int  # the count with which this run began
    _pending: bool  # something was asked of the loop, to be seen to at the end of the pass
    _marked: bool  # since the last run began, something happened that the next one has to forget
    _stopped: tuple[str, str] | None  # who called stop(), and why
    _ended: tuple[str, str, str] | None  # how the run ended, by whom, why; None: it ran all items
    _failure: BaseException | None  # the first error, while it leaves this loop's levels
    _raised: tuple[BaseException, str] | None  # what a finally_ hook raised last, and which
    _may_recover: bool  # failed_ hooks are running
    _recovering: BaseException | None  # the failure that recover() was called for
    _handed_on: bool  # this run goes on in newer code, which sees to its end
    _resuming: bool  # `resume` is at work for this loop


class Loop(_LoopFields):
    """A loop; a subclass gives it hooks, and with `items`, `phases`, `call_on`, `times` or `produces` its shape.

    Args:
        inner_loops: loops that this one calls on its hooks; one or several, instances or classes.
        cbs: callbacks for this loop and those below; one or several, instances or classes.
        persist_cbs: whether callbacks given to `run` stay after it.
        call_on: the hooks of the parent on which this loop is called: `"on_step"`, `Outer.on_step`, or several.
        parent: a loop to become an inner loop of.
        phases: what each pass is made of: names, or `Phase("valid", every=5)`.
        times: passes of a run (None: one, `math.inf`: without end); with items of its own, the most passes of a run.
        name: the attribute of the parent under which it stands; by default its class in snake case.

    Raises:
        BadSetting: a value that does not fit.
        NotALoop, NotACallback: something else among the inner loops or callbacks.
        NameClash: an inner loop or callback with the name of another attribute.
    """

    phases: Phases | None = None
    call_on: CallOn | None = None
    times: int | float | None = None
    produces: ClassVar[str] = "item"  # the field that `for x in loop` yields after each pass

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        loop = super().__new__(cls)
        loop.item = loop.index = loop.phase = loop.error = None
        loop.count = 0
        loop.inner_loops, loop.cbs, loop._watchers, loop._leaving = [], [], [], []
        loop._warned = set()
        loop.persist_cbs = False
        loop._binding = loop._stopped = loop._ended = loop._failure = loop._raised = loop._recovering = None
        loop._run_times = loop._only = None
        loop._running = loop._pending = loop._may_recover = loop._resuming = loop._handed_on = loop._marked = False
        loop._first = 0
        loop._unbind()
        return loop

    def __init__(
        self,
        inner_loops: Loop | type[Loop] | Iterable[Loop | type[Loop]] | None = None,
        cbs: Callbacks | None = None,
        persist_cbs: bool = False,
        call_on: CallOn | None = None,
        parent: Loop | None = None,
        phases: Phases | None = None,
        *,
        times: int | float | None = None,
        name: str | None = None,
    ) -> None:
        self.persist_cbs = persist_cbs
        if name is not None:
            self.name = checked_name(name)
        if call_on is not None:
            self.call_on = tuple(names_called_on(call_on))
        if phases is not None:
            self.phases = as_phases(phases)
        if times is not None:
            self.times = checked_times(times)
        for callback in several(cbs):
            self.add_cb(callback)
        for inner in several(inner_loops):
            self.add_loop(inner)
        if parent is not None:
            parent.add_loop(self)

    # the shape of a loop, to be overridden

    def items(self) -> Iterable[Any]:
        """What a run goes over: by default `range(times)`."""
        times = self.times if self._run_times is None else self._run_times
        if times is None:
            return _ONCE
        return itertools.count() if times == math.inf else range(int(times))

    def switch_phase(self, phase: str) -> None:
        """The hook that opens each phase; override it to put a model in eval mode there, say."""
        self.phase = phase

    # changing a loop

    def add_cb(self, cb: Callback | type[Callback]) -> Self:
        """Plug in a callback; while the loop runs, from its next pass on."""
        callback = instance(cb, Callback, NotACallback)
        self._hold(callback, self.cbs)
        callback._attach(self)
        return self

    def remove_cb(self, cb: Callback | type[Callback]) -> Self:
        """Take a callback out, or all of a class; while the loop runs, from its next pass on."""
        for callback in self._held(cb, self.cbs):
            self._let_go(callback, self.cbs)
        return self

    def add_loop(self, loop: Loop | type[Loop]) -> Self:
        """Add an inner loop; while the loop runs, from its next pass on."""
        inner = instance(loop, Loop, NotALoop)
        if inner._running:
            raise AlreadyRunning(
                f"{inner.path} is running, and cannot become an inner loop of {self.path} before that run has ended;"
                f" for one of its own, {self.path}.add_loop(copy.deepcopy({inner.name}))."
            )
        inner._unbind_tree()
        self._hold(inner, self.inner_loops)
        inner.parent = self
        return self

    def remove_loop(self, loop: Loop | type[Loop]) -> Self:
        """Take an inner loop out, or all of a class; while the loop runs, from its next pass on."""
        for inner in self._held(loop, self.inner_loops):
            self._let_go(inner, self.inner_loops)
        return self

    def _hold(self, node: N, among: list[N]) -> None:
        held = [*self.inner_loops, *self.cbs]
        if any(node is each for each in held):
            among.append(node)  # in two places, which binding reports
        else:
            node.name = free_name(node.name, {each.name for each in held})
            if self._has_attribute(node.name):
                raise NameClash(
                    f"{type(node).__name__} would be {self.name}.{node.name}, which is an attribute of"
                    f" {type(self).__name__} already. Give it another name before it is added:"
                    f" {node.name}.name = '{node.name}_2'."
                )
            among.append(node)
            setattr(self, node.name, node)
        self._unbind_tree()

    def _has_attribute(self, name: str) -> bool:
        for cls in type(self).__mro__:
            if name in vars(cls):
                if not isinstance(vars(cls)[name], Forward):
                    return True
                break
        value = getattr(self, name, _MISSING)
        above = getattr(self.parent, name, _MISSING) if self.parent is not None else _MISSING
        forwarded = value is above or any(value is ancestor for ancestor in ancestry(self))
        return value is not _MISSING and not forwarded

    def _held(self, node: N | type[N], among: list[N]) -> list[N]:
        found = [each for each in among if each is node or (isinstance(node, type) and isinstance(each, node))]
        if not found:
            shown = node.__name__ if isinstance(node, type) else repr(getattr(node, "name", node))
            names = [each.name for each in among]
            raise NotAttached(
                f"{self.path} holds no {shown}; " + (f"it holds {listed(names)}." if names else "it holds nothing.")
            )
        return found

    def _let_go(self, node: N, among: list[N]) -> None:
        among[:] = [each for each in among if each is not node]
        if getattr(self, node.name, None) is node:
            delattr(self, node.name)
        self._unbind_tree()
        root = self.root
        root._leaving.append((self, node))
        if not root._running:
            root._part()

    def _part(self) -> None:
        """Let those that were taken out be on their own; until the run ends, a pass may still be calling them."""
        for former, node in self._leaving:
            if node.parent is former and not any(node is each for each in (*former.inner_loops, *former.cbs)):
                node._leave()
        self._leaving.clear()

    def _leave(self) -> None:
        self.parent = None
        self._unbind_tree()

    # running

    def run(
        self,
        times: int | float | None = None,
        cbs: Callbacks | None = None,
        phases: Phases | None = None,
    ) -> Self:
        """Run all passes, and return the loop.

        Args:
            times: passes of this run, instead of the loop's own `times`.
            cbs: callbacks for this run; they leave when it ends, however it ends, unless `persist_cbs` is true.
            phases: the phases to run, instead of all (each on every pass, whatever its `every`).

        Raises:
            AlreadyRunning: a loop of this tree is running.
            BadSetting: a value that does not fit, or a callback that is attached to a loop.
            BindingError: the tree cannot run as it is.
        """
        guests = self._open(times, cbs, phases)
        try:
            self._bound()
            self._go()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._close(guests)
        return self

    def __iter__(self) -> Generator[Any, None, None]:
        """The same run, pulled: yields the field named by `produces` after each pass."""
        guests = self._open(None, None, None)
        try:
            yield from self._pulled()()
        except BaseException as error:
            self._fail(error)
            raise
        finally:
            self._close(guests)

    def _open(
        self,
        times: int | float | None,
        cbs: Callbacks | None,
        phases: Phases | None,
    ) -> list[Callback]:
        root = self.root
        if root._running:
            raise AlreadyRunning(
                f"{self.path} cannot run now: {root.name} or a loop below it is running."
                f" One run of a tree at a time; for a second one, copy.deepcopy({root.name}).run()."
            )
        only = self._chosen_phases(phases)
        run_times = checked_times(times) if times is not None else None
        guests = self._guests(cbs)
        try:
            for guest in guests:
                self.add_cb(guest)
        except BaseException:
            self._close(guests)
            raise
        if only != self._only:
            self._only = only
            self._unbind_tree()
        self._run_times = run_times
        for above in ancestry(self):
            above.phase = None
        root._running = self._running = True
        return guests

    def _close(self, guests: list[Callback]) -> None:
        self.root._running = self._running = False
        self.root._part()
        self._run_times = None
        if self._only is not None:
            self._only = None
            self._unbind_tree()
        for callback in [] if self.persist_cbs else guests:
            if any(callback is each for each in self.cbs):
                self.remove_cb(callback)

    def _guests(self, cbs: Callbacks | None) -> list[Callback]:
        """The callbacks of one run, of which none may stand anywhere else: they leave when it ends."""
        guests = [instance(each, Callback, NotACallback) for each in several(cbs)]
        for number, guest in enumerate(guests):
            twice = any(guest is each for each in guests[:number])
            if guest.parent is not None or twice:
                at = "was given twice" if twice else f"is attached to {guest.parent.path} already"
                raise BadSetting(
                    f"{type(guest).__name__} {guest.name!r}, given to {self.path}.run, {at}. Give one that stands"
                    f" nowhere else: copy.deepcopy({guest.name})."
                )
        return guests

    def _chosen_phases(self, phases: Phases | None) -> tuple[str, ...] | None:
        if phases is None:
            return None
        own = [phase.name for phase in as_phases(self.phases)]
        chosen = tuple(phase.name for phase in as_phases(phases))
        for name in chosen:
            if name not in own:
                close = nearest(name, own)
                fits = f"Its phases are {listed(own)}." if own else "It has no phases."
                write = f" Write run(phases=[{close!r}])." if close else ""
                raise BadSetting(f"{self.path} has no phase {name!r}. {fits}{write}")
        return chosen

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, RuntimeError) and isinstance(error.__cause__, StopIteration):
            error = error.__cause__  # which a generator cannot let through as it is
        if broke_off(error):
            self._ended = "left", "", ""
        settle(error)

    def stop(self, reason: str = "", *, by: str | None = None) -> None:
        """Finish the pass that is running, then end; so do the inner loops that are running.

        May be called from a hook, from the consumer of a pulled loop, or from a signal handler. `ended` names the
        hook that called, or what `by` says instead.
        """
        label = by if by is not None else caller()
        for loop in self._loops():
            loop._stopped = label, reason
            loop._pending = loop._marked = True

    def recover(self) -> None:
        """In a `failed_` hook: let the failure end here, and the loop take its next item.

        Raises:
            CannotRecover: nothing has failed, or what was raised is Ctrl-C or SystemExit, which always go on.
        """
        if self.error is None or not self._may_recover:
            raise CannotRecover(f"{self.path} has nothing to recover from now; recover() belongs in a failed_ hook.")
        if not isinstance(self.error, Exception):
            raise CannotRecover(f"{type(self.error).__name__} goes on always; {self.path} cannot recover from it.")
        self._recovering = self.error

    @property
    def planned(self) -> int | float | None:
        """The most passes of this run or, between runs, of the next; None where `items()` alone decides."""
        times = self._run_times if self._run_times is not None else self.times
        return 1 if times is None and not self._own_items else times

    @property
    def bound_times(self) -> int | float | None:
        """The `times` that the code is written for: an inner loop that is run by itself gets new code for as many
        passes as it is to make then."""
        return self.times if self.parent is None or self._run_times is None else self._run_times

    @property
    def ended(self) -> str:
        """How the last run ended, in one sentence."""
        return sentence(self)

    # what a loop is

    @property
    def root(self) -> Loop:
        """The outermost loop of the tree."""
        outermost = self
        for node in ancestry(self):
            assert isinstance(node, Loop)
            outermost = node
        return outermost

    @property
    def loop(self) -> Self:
        """The loop itself, as callbacks call the one whose hook is running."""
        return self

    @classmethod
    def hooks(cls) -> list[Hook]:
        """The class's own hooks in the order in which they run."""
        hooks = class_hooks(cls)
        events = list(dict.fromkeys(hook.event for hook in hooks))
        moments = ["before", "on", "after", "failed", "finally"]
        return sorted(hooks, key=lambda hook: (events.index(hook.event), moments.index(str(hook.moment)), hook.order))

    def hooks_with_phases(self, phase: PhaseFilter = None) -> list[Hook]:
        """The class's own hooks phase by phase, `switch_phase` first; of all phases, or of those given."""
        chosen = as_phases(self.phases if phase is None else phase)
        if not chosen:
            return self.hooks()
        listed_hooks: list[Hook] = []
        for each in chosen:
            listed_hooks.append(Hook(self.switch_phase, phase=each.name))
            listed_hooks += [hook.copy(phase=each.name) for hook in self.hooks() if in_phase(hook, each.name)]
        return listed_hooks

    def call_names(self) -> tuple[str, ...]:
        """The names of the parent's hooks on which this loop is called."""
        return tuple(names_called_on(self.call_on)) if self.call_on is not None else ()

    @property
    def plan(self) -> LoopPlan:
        """Who runs when, in this loop and those below.

        Raises:
            BindingError: the tree cannot run as it is.
        """
        return self._bound().plans[id(self)]

    @property
    def code(self) -> str:
        """The Python that runs: one function for this loop and for each one below.

        Raises:
            BindingError: the tree cannot run as it is.
        """
        return "\n".join(self.code_lines) + "\n"

    @property
    def code_lines(self) -> list[Line]:
        """The lines of `code`, each with the step that stands on it, if one does.

        Raises:
            BindingError: the tree cannot run as it is.
        """
        return self._bound().lines(self)

    def check(self, strict: bool = False) -> tuple[Finding, ...]:
        """Everything that is wrong with the whole tree, as data.

        Args:
            strict: raise instead, for warnings too.

        Raises:
            BindingError: with `strict`, where there is any finding.
        """
        findings = tuple(bind(self.root).findings)
        if strict and findings:
            raise BindingError(findings)
        return findings

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """The watchers attached to this very loop, in the order in which they were."""
        return tuple(self._watchers)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Let a watcher rewrite the code of this loop and of those below, and return what undoes it."""
        self._watchers.append(watcher)
        self._unbind_tree()

        def undo() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)
                self._unbind_tree()

        return undo

    def remarks(self) -> Iterable[str]:
        """What a description is to say of the loop beside what runs, a line each; to be overridden: of itself, a loop
        has none. Asked when the tree is bound."""
        return ()

    def __str__(self) -> str:
        return tree(self.plan)

    def __repr__(self) -> str:
        errors = self._errors()
        if errors:
            return f"<{type(self).__name__} {self.name!r}, which cannot run yet: {errors[0].given}>"
        return str(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """What a notebook shows: the tree, or what keeps it from running."""
        errors = self._errors()
        title = f"{type(self).__name__} {self.name!r} cannot run yet:"
        html = findings_html(title, errors) if errors else tree_html(self.plan)
        return {"text/plain": repr(self), "text/html": html}

    def _errors(self) -> list[Finding]:
        """What keeps the tree from running."""
        return [finding for finding in self.check() if finding.severity == "error"]

    # binding

    def _bound(self) -> Bound:
        root = self.root
        known: Bound | None = root._binding
        if known is not None and known.shape == root._shape():
            return known
        root._unbind_tree()
        binding = bind(root)
        if binding.plan is None:
            raise BindingError(binding.findings)
        for text in dict.fromkeys(map(str, binding.findings)):
            if text not in root._warned:
                warnings.warn(text, FieldWarning, stacklevel=3)
                root._warned.add(text)
        bound = Bound(binding, root._shape())
        bound.attach()
        root._binding = bound
        return bound

    def _shape(self) -> tuple[object, ...]:
        """What a plan was made from: when it is another, the plan is old."""
        return tuple(
            (
                id(loop),
                type(loop),
                loop.name,
                loop.phases,
                loop.call_on,
                loop.bound_times,
                loop._items_function(),
                *map(id, loop.cbs),
            )
            for loop in self._loops()
        )

    def _items_function(self) -> object:
        return getattr(self.items, "__func__", self.items)

    def _unbind(self) -> None:
        self._binding = None
        self._own_items = self._items_function() is not Loop.items
        self._go = functools.partial(_bind_and_go, self)

    def _pulled(self) -> Callable[..., Generator[Any, None, None]]:
        return self._bound().pulled(self)

    def _unbind_tree(self) -> None:
        """Something was changed: every loop of the tree goes on in new code, those that run at their next pass."""
        for loop in self.root._loops():
            loop._unbind()
            loop._pending = loop._marked = True

    def _loops(self) -> Iterator[Loop]:
        """This loop and all below; a loop in two places once."""
        seen: set[int] = set()
        waiting: list[Loop] = [self]
        while waiting:
            loop = waiting.pop()
            if id(loop) not in seen:
                seen.add(id(loop))
                yield loop
                waiting.extend(reversed(loop.inner_loops))

    def _switches_phases_itself(self) -> bool:
        return type(self).switch_phase is not Loop.switch_phase

    # state and copies

    def state_dict(self) -> dict[str, Any]:
        """The counters of this loop and the states of its inner loops and callbacks, by name; a callback that has no
        state may be there or not."""
        return {
            "count": self.count,
            "loops": {inner.name: inner.state_dict() for inner in self.inner_loops},
            "cbs": {callback.name: state for callback in self.cbs if (state := callback.state_dict())},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            StateMismatch: the state is of a tree with other inner loops, or other callbacks that have a state; then
                nothing is taken over, unless a class below keeps its state in a way of its own.
        """
        self._check_state(state)
        self.count = state["count"]
        for inner in self.inner_loops:
            inner.load_state_dict(state["loops"][inner.name])
        for callback in self.cbs:
            if callback.name in state["cbs"]:
                callback.load_state_dict(state["cbs"][callback.name])

    def _check_state(self, state: dict[str, Any]) -> None:
        """Raise `StateMismatch` where a state is not of this loop and those below."""
        if missing := [part for part in _STATE if part not in state]:
            raise StateMismatch(
                f"The state for {self.path} has no {listed(missing)}. What {self.name}.state_dict() gave would fit."
            )
        with_state = [each for each in self.cbs if each.name in state["cbs"] or each.state_dict()]
        for kind, nodes in (("loops", self.inner_loops), ("cbs", with_state)):
            held: Sequence[Node] = nodes
            if set(state[kind]) != {node.name for node in held}:
                raise StateMismatch(
                    f"{self.path} has the {kind} {sorted(node.name for node in held)}, the state has"
                    f" {sorted(state[kind])}. Build the loop as it was when the state was taken."
                )
        for inner in self.inner_loops:
            below = state["loops"][inner.name]
            if all(part in below for part in _STATE):  # else the class of `inner` keeps its state in its own way
                inner._check_state(below)

    def __getstate__(self) -> dict[str, Any]:
        base = {name: getattr(self, name) for name in ("name", "count", "index", "inner_loops", "cbs", "persist_cbs")}
        return {"base": base, "own": self.__dict__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for part in (state["base"], state["own"]):
            for name, value in part.items():
                setattr(self, name, value)
        for inner in self.inner_loops:
            inner.parent = self
        for callback in self.cbs:
            callback.parent = callback.loop = self

    def __copy__(self) -> Self:
        return copy.deepcopy(self)  # a shallow copy would share inner loops, and a loop stands in one place


def _bind_and_go(loop: Loop, passes: Iterator[tuple[int, int, Any]] | None = None) -> None:
    """Stands for the passes of a loop that is not bound."""
    loop._bound()
    loop._go(passes)
